#include "shared/image/records/accounts.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "shared/image/records/record_format.hpp"

using namespace lamina;
using namespace lamina::image;

namespace {

using Kind = IdClash::Kind;

const RecordFormat& format_of(std::string_view path) { return record_rule(path)->format; }
RecordList users(std::string_view bytes) { return format_of("etc/passwd").parse(bytes); }
RecordList groups(std::string_view bytes) { return format_of("etc/group").parse(bytes); }
RecordList ranges(std::string_view bytes) { return format_of("etc/subuid").parse(bytes); }

std::string user(const std::string& name, int uid, int gid) {
  return name + ":x:" + std::to_string(uid) + ':' + std::to_string(gid) + "::/:/s\n";
}
std::string group(const std::string& name, int gid, const std::string& members = "") {
  return name + ":x:" + std::to_string(gid) + ':' + members + '\n';
}

const std::string kRoot = user("root", 0, 0), kRootGroup = group("root", 0);
Accounts base() { return {users(kRoot), groups(kRootGroup), {}, {}}; }

std::string passwd_of(std::span<const Accounts> layers) {
  std::vector<RecordList> lists;
  for (const Accounts& layer : layers) lists.push_back(layer.passwd);
  return merged_file(format_of("etc/passwd"), lists);
}
std::string group_of(std::span<const Accounts> layers) {
  std::vector<RecordList> lists;
  for (const Accounts& layer : layers) lists.push_back(layer.group);
  return merged_file(format_of("etc/group"), lists);
}

}  // namespace

TEST_CASE("accounts: two system users captured with one id", "[image]") {
  Accounts layers[] = {
      base(),
      {users(user("postgres", 105, 113)), groups(group("postgres", 113)), {}, {}},
      {users(user("mosquitto", 105, 113)), groups(group("mosquitto", 113)), {}, {}}};
  const AccountIds ids = settle_ids(layers, base());
  CHECK(passwd_of(layers) == kRoot + user("postgres", 105, 113) + user("mosquitto", 100, 100));
  CHECK(group_of(layers) == kRootGroup + group("postgres", 113) + group("mosquitto", 100));
  CHECK((ids.clashes == std::vector<IdClash>{{Kind::user, "mosquitto", 105, 100, "postgres"},
                                             {Kind::group, "mosquitto", 113, 100, "postgres"}}));

  format::Entry entry{
      .path = "etc/mosquitto", .uid = 105, .gid = 113, .owner = "mosquitto", .group = "mosquitto"};
  renumber(entry, ids);
  CHECK(entry.uid == 100);
  CHECK(entry.gid == 100);
  format::Entry unknown{.path = "x", .uid = 105, .gid = 113, .owner = "", .group = "nobody-here"};
  renumber(unknown, ids);
  CHECK(unknown.uid == 105);
  CHECK(unknown.gid == 113);
}

TEST_CASE("accounts: the rule, case by case", "[image]") {
  struct Row {
    const char* what;
    std::string device;  // passwd
    std::vector<std::string> layers;
    std::string merged;
    std::vector<IdClash> clashes;
  };
  const Row rows[] = {
      {"free", "", {user("a", 105, 1)}, user("a", 105, 1), {}},
      {"the device has the name elsewhere",
       user("a", 117, 1),
       {user("a", 105, 1)},
       user("a", 117, 1),
       {{Kind::user, "a", 105, 117, ""}}},
      {"the device has it elsewhere, and another name there",
       user("b", 105, 1) + user("a", 117, 1),
       {user("a", 105, 1)},
       user("a", 117, 1),
       {{Kind::user, "a", 105, 117, "b"}}},
      {"another name on the device",
       user("u", 105, 1),
       {user("a", 105, 1)},
       user("a", 100, 1),
       {{Kind::user, "a", 105, 100, "u"}}},
      {"a user's id",
       user("u", 1000, 1),
       {user("a", 1000, 1)},
       user("a", 1001, 1),
       {{Kind::user, "a", 1000, 1001, "u"}}},
      {"a fixed id",
       user("u", 33, 1),
       {user("a", 33, 1)},
       user("a", 33, 1),
       {{Kind::user, "a", 33, 33, "u"}}},
      {"what a later layer says is not taken",
       user("u", 105, 1),
       {user("a", 105, 1), user("b", 100, 1)},
       user("a", 101, 1) + user("b", 100, 1),
       {{Kind::user, "a", 105, 101, "u"}}},
      {"two layers have the name under two ids",
       "",
       {user("a", 105, 1), user("a", 106, 1)},
       user("a", 105, 1),
       {{Kind::user, "a", 106, 105, ""}}},
      {"names that share an id go on",
       user("u", 105, 1),
       {user("a", 105, 1) + user("b", 105, 2)},
       user("a", 100, 1) + user("b", 100, 2),
       {{Kind::user, "a", 105, 100, "u"}}},
      {"no number", user("u", 105, 1), {"a:x:?:1::/:/s\n"}, "a:x:?:1::/:/s\n", {}},
      {"too large a number", "", {"a:x:4294967296:1::/:/s\n"}, "a:x:4294967296:1::/:/s\n", {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    std::vector<Accounts> layers;
    for (const std::string& bytes : row.layers) layers.push_back({users(bytes), {}, {}, {}});
    const AccountIds ids = settle_ids(layers, {users(row.device), {}, {}, {}});
    CHECK(passwd_of(layers) == row.merged);
    CHECK((ids.clashes == row.clashes));
  }
}

TEST_CASE("accounts: no id is left", "[image]") {
  std::string device;
  for (int id = 100; id < 1000; ++id) device += user("u" + std::to_string(id), id, 1);
  Accounts layers[] = {{users(user("a", 105, 1)), {}, {}, {}}};
  const AccountIds ids = settle_ids(layers, {users(device), {}, {}, {}});
  CHECK((ids.clashes == std::vector<IdClash>{{Kind::user, "a", 105, 105, "u105"}}));
}

TEST_CASE("accounts: a layer that takes a name away frees its id", "[image]") {
  const std::string games = user("games", 105, 60);
  Accounts layers[] = {{users(kRoot + games), {}, {}, {}},
                       {changes(users(kRoot + games), users(kRoot)), {}, {}, {}},
                       {users(user("a", 105, 1)), {}, {}, {}}};
  CHECK(settle_ids(layers, {}).clashes.empty());
  CHECK(passwd_of(layers) == kRoot + user("a", 105, 1));
}

TEST_CASE("accounts: a user's group is what its own layer means by the number", "[image]") {
  Accounts layers[] = {
      {users(kRoot), groups(kRootGroup + group("common", 120)), {}, {}},
      {users(user("a", 105, 113)), groups(group("a", 113)), {}, {}},
      {users(user("b", 106, 113) + user("c", 107, 120)), groups(group("b", 113)), {}, {}}};
  const Accounts device{users(kRoot), groups(kRootGroup + group("common", 500)), {}, {}};
  settle_ids(layers, device);
  CHECK(passwd_of(layers) ==
        kRoot + user("a", 105, 113) + user("b", 106, 100) + user("c", 107, 500));
}

TEST_CASE("accounts: subordinate ranges do not overlap", "[image]") {
  struct Row {
    const char* what;
    std::string device, layer, result;
    std::vector<IdClash> clashes;
  };
  const Row rows[] = {
      {"free", "u:100000:65536\n", "a:165536:65536\n", "a:165536:65536\n", {}},
      {"taken",
       "u:100000:65536\n",
       "a:100000:65536\n",
       "a:165536:65536\n",
       {{Kind::user_range, "a", 100000, 165536, "u"}}},
      {"partly taken",
       "u:165536:65536\n",
       "a:200000:65536\n",
       "a:100000:65536\n",
       {{Kind::user_range, "a", 200000, 100000, "u"}}},
      {"the device's own stays",
       "a:300000:65536\n",
       "a:100000:65536\n",
       "a:300000:65536\n",
       {{Kind::user_range, "a", 100000, 300000, ""}}},
      {"a name's own ranges may overlap",
       "",
       "a:100000:65536\na:100000:1\n",
       "a:100000:65536\na:100000:1\n",
       {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Accounts layers[] = {{{}, {}, ranges(row.layer), {}}};
    const AccountIds ids = settle_ids(layers, {{}, {}, ranges(row.device), {}});
    CHECK(format_of("etc/subuid").write(layers[0].subuid) == row.result);
    CHECK((ids.clashes == row.clashes));
  }
}

TEST_CASE("accounts: random stacks keep names apart and settle once", "[image]") {
  std::mt19937_64 engine(7);
  const auto below = [&](std::size_t limit) { return static_cast<int>(engine() % limit); };
  for (int round = 0; round < 2000; ++round) {
    CAPTURE(round);
    // Within a list no two names share an id: what is found in the end came from different lists.
    const auto draw = [&](int first_id) {
      std::string user_lines, group_lines;
      std::set<int> uids, gids;
      for (char c = 'a'; c < 'g'; ++c) {
        const std::string name(1, c);
        const int uid = first_id + below(8), gid = first_id + below(8);
        if (below(2) == 0 && uids.insert(uid).second) user_lines += user(name, uid, gid);
        if (below(2) == 0 && gids.insert(gid).second) group_lines += group(name, gid);
      }
      return Accounts{users(user_lines), groups(group_lines), {}, {}};
    };
    const Accounts device = draw(100);
    const std::vector<Accounts> captured{draw(100), draw(100), draw(1000)};
    std::vector<Accounts> layers = captured;
    const AccountIds ids = settle_ids(layers, device);
    const auto apply = [&](const std::vector<Accounts>& stack) {
      return Accounts{
          users(*plan_records(format_of("etc/passwd"), format_of("etc/passwd").write(device.passwd),
                              "", passwd_of(stack), Mode::apply)
                     .result),
          groups(*plan_records(format_of("etc/group"), format_of("etc/group").write(device.group),
                               "", group_of(stack), Mode::apply)
                      .result),
          {},
          {}};
    };
    const Accounts after = apply(layers);
    for (const auto& [list, number] : {std::pair(&after.passwd, "user"), {&after.group, "group"}}) {
      std::set<std::string> seen;
      for (const Record& record : list->records) {
        if (record.key.part != RecordKey::Part::record) continue;
        const std::string& line = *record.value;
        const std::size_t at = line.find(':', line.find(':') + 1) + 1;
        CAPTURE(number, line);
        CHECK(seen.insert(line.substr(at, line.find(':', at) - at)).second);
      }
    }
    for (const Record& record : device.passwd.records) {
      const auto kept = index_of(after.passwd).at(record.key);
      CHECK(after.passwd.records[kept].value->substr(0, 8) == record.value->substr(0, 8));
    }
    std::vector<Accounts> again = captured;
    const AccountIds settled = settle_ids(again, after);
    CHECK(settled.users == ids.users);
    CHECK(settled.groups == ids.groups);
    CHECK(passwd_of(again) == passwd_of(layers));
    CHECK(group_of(again) == group_of(layers));
  }
}
