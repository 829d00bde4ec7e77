#include "origin/backup/backup.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "origin/backup/restore.hpp"
#include "origin/rebuild.hpp"
#include "tests/origin/kept.hpp"
#include "tests/support/killed_at.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

using Rows_ = std::map<std::string, std::string>;

// All of a catalogue but what says how far its journal is.
Rows_ rows_of(const DataDirectory& data) {
  auto kv = Kv::open(data.catalog()).value();
  Rows_ rows;
  REQUIRE(kv->read([&](const Kv::View& view) {
    return view.scan("", [&](std::string_view key, std::string_view value) {
      if (key != kJournalRow) rows.emplace(key, value);
      return true;
    });
  }));
  return rows;
}

// Without what a restore adds.
Rows_ without_restore(Rows_ rows) {
  REQUIRE(rows.erase("restored") == 1);
  const auto last = std::prev(rows.lower_bound("audit0"));
  REQUIRE(last->second.find("origin.restored") != std::string::npos);
  rows.erase(last);
  return rows;
}

// With a device at a site that has a target, a lease and a snapshot.
struct Peopled : Kept {
  std::string to = scratch / "backup";
  std::string elsewhere = scratch / "restored";
  DataDirectory restored{elsewhere};
  PrivateKey target_key = read_keys(data).value().target;

  Peopled() {
    const auto table = JournaledTable::open(data.catalog(), data.journal()).value();
    Catalog catalog(*table);
    const Act act{"test", {1000}};
    REQUIRE(catalog.add_site(act, {.name = "north"}));
    const auto token = catalog.create_token(
        act, {.name = "t", .kind = "enrol", .uses = 3, .ttl_ms = 1000, .site = "north"});
    REQUIRE(token);
    wire::EnrolRequest request{.token = token->secret};
    request.host_name = "pc1";
    REQUIRE(catalog.enrol({2000}, request, device, std::string(64, 'a')));
    assign(catalog);
    REQUIRE(catalog.note_lease_epoch(act, "north", device, 5));
    keep_snapshot(catalog, 1);
  }

  Catalog::SignTarget signer() const {
    return [key = target_key](const wire::DeviceInfo& device, const std::vector<LayerId>& stack,
                              const std::vector<LayerId>&) -> Result<Buffer> {
      const format::DeviceTarget target{
          .device = device.id, .sequence = device.target_sequence, .stack = stack};
      return format::sign_record(format::RecordType::target, format::encode(target), key);
    };
  }
  void assign(Catalog& catalog) const {
    const auto done =
        catalog.assign({"test", {3000}}, {.site = "north", .layers = {"debian:1.0"}}, signer());
    if (!done) FAIL(done.error().text());
  }
  void keep_snapshot(Catalog& catalog, std::uint64_t sequence) const {
    const format::SnapshotRecord record{.device = device, .sequence = sequence};
    const Buffer bytes = format::encode(record);
    const SnapshotId id = format::snapshot_id(bytes);
    REQUIRE(os::write_file(data.object("snapshots", id.hex()), bytes));
    REQUIRE(catalog.add_snapshot({"test", {4000}}, device, {.id = id}));
  }

  int backup() { return run({"backup", "--data", path.c_str(), "--to", to.c_str(), "--json"}); }
  int restore() {
    return run({"restore", "--from", to.c_str(), "--data", elsewhere.c_str(), "--json"});
  }
  nlohmann::json answer(const std::string& command) const {
    return nlohmann::json::parse(out).at(command);
  }
  // The restored directory is sound, and everything of it can be read.
  void check_restored() {
    std::string text;
    if (origin::run({"check", "--data", elsewhere.c_str(), "--read-data"}, text, err) != 0)
      FAIL(text << err);
    const auto keys = read_keys(restored).value();
    const auto content =
        Content::open(elsewhere, {keys.publishers, keys.target, keys.swarm_ca.certificate_pem});
    REQUIRE(content);
    CHECK((*content)->cvds().read(ref_of(own)).value() == own);
    const auto record = (*content)->layer_record(layer);
    REQUIRE(record);
    // Visits every chunk of the manifest, digests checked.
    CHECK((*content)->examine(*record, {7}));
  }
};

// All steps but most of those that give one of many files its name.
template <class Die>
Copier::OnStep few_renames(const Die& die) {
  return [&die, renames = 0](std::string_view step) mutable {
    if (step != "rename" || renames++ % 6 == 0) die(step);
  };
}

mode_t mode_of(const std::string& path) {
  struct stat facts {};
  REQUIRE(stat(path.c_str(), &facts) == 0);
  return facts.st_mode & 0777;
}

}  // namespace

TEST_CASE("backup: a restore has everything, and nobody enrols again", "[origin]") {
  Peopled kept;
  REQUIRE(kept.backup() == 0);
  const auto made = kept.answer("backup");
  CHECK(made.at("layers") == 1);
  CHECK(made.at("devices") == 1);
  CHECK(made.at("snapshots") == 1);
  CHECK(made.at("packs") == 2);
  CHECK(made.at("packs_new") == 2);
  CHECK(mode_of(kept.to) == 0700);
  CHECK(mode_of(kept.to + "/keys/api-ca.key") == 0600);
  CHECK(mode_of(kept.to + "/catalogue.rows") == 0600);
  const Rows_ rows = rows_of(kept.data);

  REQUIRE(kept.restore() == 0);
  kept.check_restored();
  CHECK(without_restore(rows_of(kept.restored)) == rows);
  const auto keys = os::list_directory(kept.path + "/keys").value();
  for (const std::string& name : keys) {
    CHECK(os::read_text(kept.restored.key(name)).value() ==
          os::read_text(kept.data.key(name)).value());
    CHECK(mode_of(kept.restored.key(name)) == mode_of(kept.data.key(name)));
  }
  const auto seed = os::list_directory(kept.path + "/seed").value();
  for (const std::string& name : seed)
    CHECK(mode_of(kept.restored.seed(name)) == mode_of(kept.data.seed(name)));
  CHECK(mode_of(kept.elsewhere + "/layers/packs") == 0755);
  CHECK(os::read_text(kept.restored.config()).value() == os::read_text(kept.data.config()).value());
  CHECK(kept.run({"restore", "--from", kept.to.c_str(), "--data", kept.elsewhere.c_str()}) == 5);
  CHECK(kept.err.find("is not empty") != std::string::npos);
}

TEST_CASE("backup: what devices and seeders saw since is older than what the restored one says",
          "[origin]") {
  Peopled kept;
  REQUIRE(kept.backup() == 0);
  std::uint64_t sequence = 0;
  {
    const auto table = JournaledTable::open(kept.data.catalog(), kept.data.journal()).value();
    Catalog catalog(*table);
    for (int i = 0; i < 5; ++i) kept.assign(catalog);
    REQUIRE(catalog.note_lease_epoch({"test", {1}}, "north", kept.device, 77));
    sequence = catalog.device(kept.device)->target_sequence;
  }
  REQUIRE(kept.restore() == 0);
  const auto table = JournaledTable::open(kept.restored.catalog(), kept.restored.journal()).value();
  Catalog catalog(*table);
  // A device that saw no more than the backup is left alone.
  CHECK(catalog.device(kept.device)->target_sequence == 1);
  CHECK(catalog.lease_epoch("north").value() > 77);
  CHECK(catalog.lease_epoch("made-since").value() > 77);
  const Catalog::SignAnew sign = [&](const Buffer& envelope, std::uint64_t next) -> Result<Buffer> {
    const PublicKey key = kept.target_key.public_key();
    auto opened = format::open_record(format::RecordType::target, envelope, std::span(&key, 1));
    REQUIRE(opened);
    auto target = format::parse_target(opened->record).value();
    target.sequence = next;
    return format::sign_record(format::RecordType::target, format::encode(target), kept.target_key);
  };
  REQUIRE(catalog.renew_target({"origin", {1}}, kept.device, 1, sign));
  CHECK(catalog.device(kept.device)->target_sequence == 1);
  REQUIRE(catalog.renew_target({"origin", {1}}, kept.device, sequence, sign));
  const auto renewed = catalog.device(kept.device)->target_sequence;
  CHECK(renewed > sequence);
  kept.assign(catalog);
  CHECK(catalog.device(kept.device)->target_sequence == renewed + 1);
}

TEST_CASE("backup: only what is new is copied", "[origin]") {
  Peopled kept;
  REQUIRE(kept.backup() == 0);
  REQUIRE(kept.backup() == 0);
  CHECK(kept.answer("backup").at("packs_new") == 0);
  CHECK(kept.answer("backup").at("objects_new") == 0);
  {
    const auto store = ChunkStore::open(kept.data.cvds()).value();
    const Buffer more = noise(9000, 5);
    send(*store, {{ref_of(more).id, more}}, kept.scratch / "client");
    const auto table = JournaledTable::open(kept.data.catalog(), kept.data.journal()).value();
    Catalog catalog(*table);
    kept.keep_snapshot(catalog, 2);
  }
  REQUIRE(kept.backup() == 0);
  CHECK(kept.answer("backup").at("packs_new") == 1);
  CHECK(kept.answer("backup").at("objects_new") == 1);

  SECTION("what is damaged in the backup is found and replaced when it is read") {
    const std::string pack = kept.to + kept.only_pack("layers").substr(kept.path.size());
    Buffer bytes = os::read_file(pack, 1 << 26).value();
    bytes[200] ^= std::byte{1};
    REQUIRE(os::write_file(pack, bytes));
    CHECK(kept.restore() == 6);
    CHECK(kept.out.find("layers/packs/") != std::string::npos);
    REQUIRE(os::remove_tree(kept.elsewhere));
    REQUIRE(kept.run({"backup", "--data", kept.path.c_str(), "--to", kept.to.c_str(), "--read-data",
                      "--json"}) == 0);
    CHECK(kept.answer("backup").at("packs_new") == 1);
  }
  REQUIRE(kept.restore() == 0);
  kept.check_restored();
}

TEST_CASE("backup: what is damaged at the origin is named, and the rest is saved", "[origin]") {
  Peopled kept;
  const std::string pack = kept.only_pack("cvd");
  Buffer bytes = os::read_file(pack, 1 << 26).value();
  bytes[100] ^= std::byte{1};
  SECTION("before the first backup") {
    REQUIRE(os::write_file(pack, bytes));
    CHECK(kept.backup() == 6);
    CHECK(kept.out.find("cvd/packs/") != std::string::npos);
    CHECK(kept.answer("backup").at("packs") == 1);
  }
  SECTION("afterwards: the good copy stays") {
    REQUIRE(kept.backup() == 0);
    REQUIRE(os::write_file(pack, bytes));
    REQUIRE(kept.backup() == 0);
    REQUIRE(kept.restore() == 0);
    kept.check_restored();
  }
  SECTION("a snapshot's record") {
    REQUIRE(os::remove_tree(kept.path + "/objects/snapshots"));
    CHECK(kept.backup() == 6);
    CHECK(kept.out.find("objects/snapshots/") != std::string::npos);
  }
}

TEST_CASE("backup: refusals name the thing", "[origin]") {
  Peopled kept;
  const auto refused = [&](const std::string& to, int code, const std::string& what) {
    CHECK(kept.run({"backup", "--data", kept.path.c_str(), "--to", to.c_str()}) == code);
    CAPTURE(kept.err);
    CHECK(kept.err.find(what) != std::string::npos);
  };
  refused(kept.path + "/backup", 5, "lie in one another");
  refused(kept.scratch.path(), 5, "lie in one another");
  refused(kept.scratch / "client", 5, "no backup of an origin");
  CHECK(kept.run({"backup", "--data", "/nowhere", "--to", kept.to.c_str()}) == 3);
  CHECK(kept.run({"restore", "--from", "/nowhere", "--data", kept.elsewhere.c_str()}) == 3);
  CHECK_FALSE(os::exists(kept.elsewhere));
  {
    Kept other;
    REQUIRE(other.run({"backup", "--data", other.path.c_str(), "--to", kept.to.c_str()}) == 0);
  }
  refused(kept.to, 5, "of another origin");
  REQUIRE(os::write_file(kept.to + "/backup.json", as_view("{\"lamina_backup\": 99}")));
  refused(kept.to, 5, "version 99");
  REQUIRE(os::remove_tree(kept.to));
  REQUIRE(kept.backup() == 0);
  {
    const auto lock = os::FileLock::take(kept.to + "/lock");
    refused(kept.to, 4, "another backup runs");
  }
  REQUIRE(os::remove_tree(kept.path + "/catalog"));
  refused(kept.to, 6, "lamina-origin rebuild");
  CHECK(kept.restore() == 0);
}

TEST_CASE("backup: killed at any step, the one before can be restored", "[origin][kill]") {
  const auto silent = [](const DataDirectory& data, const std::string& to,
                         const Copier::OnStep& on_step) {
    std::ostringstream out;
    lamina::cli::Progress progress(out, false);
    return run_backup(data, {.to = to}, {9}, out, progress, on_step);
  };
  int kills = 0;
  for (int at = 1;; ++at) {
    Peopled kept;
    CAPTURE(at);
    REQUIRE(kept.backup() == 0);
    const Rows_ before = rows_of(kept.data);
    {
      const auto store = ChunkStore::open(kept.data.cvds()).value();
      const Buffer more = noise(9000, 5);
      send(*store, {{ref_of(more).id, more}}, kept.scratch / "client");
      const auto table = JournaledTable::open(kept.data.catalog(), kept.data.journal()).value();
      Catalog catalog(*table);
      REQUIRE(catalog.link_chunks(kept.device, {ref_of(more).id}));
      kept.keep_snapshot(catalog, 2);
    }
    const Rows_ after = rows_of(kept.data);
    const bool killed = killed_at(at, [&](const auto& die) {
      static_cast<void>(silent(kept.data, kept.to, few_renames(die)));
    });
    REQUIRE(kept.restore() == 0);
    kept.check_restored();
    const Rows_ restored = without_restore(rows_of(kept.restored));
    CHECK((restored == after || (killed && restored == before)));
    REQUIRE(os::remove_tree(kept.elsewhere));
    REQUIRE(kept.backup() == 0);
    REQUIRE(kept.restore() == 0);
    CHECK(without_restore(rows_of(kept.restored)) == after);
    if (!killed) break;
    ++kills;
  }
  CHECK(kills > 6);
}

TEST_CASE("restore: killed at any step, it can be run again", "[origin][kill]") {
  Peopled kept;
  REQUIRE(kept.backup() == 0);
  const Rows_ rows = rows_of(kept.data);
  int kills = 0;
  for (int at = 1;; ++at) {
    CAPTURE(at);
    REQUIRE(os::remove_tree(kept.elsewhere));
    const bool killed = killed_at(at, [&](const auto& die) {
      std::ostringstream out;
      lamina::cli::Progress progress(out, false);
      static_cast<void>(
          run_restore(kept.restored, {.from = kept.to}, {9}, out, progress, few_renames(die)));
    });
    if (killed) {
      ++kills;
      // Nothing serves it as it is.
      CHECK_FALSE(read_config(kept.restored));
      REQUIRE(kept.restore() == 0);
    }
    kept.check_restored();
    CHECK(without_restore(rows_of(kept.restored)) == rows);
    CHECK_FALSE(os::exists(kept.elsewhere + "/incoming"));
    if (!killed) break;
  }
  CHECK(kills > 6);
}

TEST_CASE("backup: of an origin that is written to meanwhile", "[origin]") {
  Peopled kept;
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t writer = fork();
  REQUIRE(writer >= 0);
  if (writer == 0) {
    const auto store = ChunkStore::open(kept.data.cvds()).value();
    // Its files of changes are short, so that it begins new ones all the time.
    const auto table =
        JournaledTable::open(kept.data.catalog(), kept.data.journal(), {.changes_max = 8_KiB})
            .value();
    Catalog catalog(*table);
    for (std::uint64_t i = 1; i < 100'000; ++i) {
      const Buffer more = noise(3000, 1000 + i);
      send(*store, {{ref_of(more).id, more}}, kept.scratch / "writer");
      if (!catalog.link_chunks(kept.device, {ref_of(more).id})) _exit(1);
      kept.keep_snapshot(catalog, i + 1);
      if (i == 3 && write(ready[1], "x", 1) != 1) _exit(1);
    }
    _exit(1);
  }
  char byte = 0;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  std::uint64_t snapshots = 0;
  for (int i = 0; i < 4; ++i) {
    REQUIRE(kept.backup() == 0);
    const auto counted = kept.answer("backup").at("snapshots").get<std::uint64_t>();
    CHECK(counted > snapshots);
    snapshots = counted;
    REQUIRE(os::remove_tree(kept.elsewhere));
    REQUIRE(kept.restore() == 0);
    kept.check_restored();
  }
  kill(writer, SIGKILL);
  int status = 0;
  REQUIRE(waitpid(writer, &status, 0) == writer);
  CHECK(WIFSIGNALED(status));
  close(ready[0]);
  close(ready[1]);
  // And what the kill left is whole, too.
  REQUIRE(os::remove_tree(kept.path + "/catalog"));
  REQUIRE(kept.run({"rebuild", "--data", kept.path.c_str()}) == 0);
  CHECK(kept.run({"check", "--data", kept.path.c_str(), "--read-data"}) == 0);
}

TEST_CASE("rebuild: without the databases the answers are the same", "[origin]") {
  Peopled kept;
  const Rows_ rows = rows_of(kept.data);
  REQUIRE(os::remove_tree(kept.path + "/catalog"));
  REQUIRE(os::remove_tree(kept.path + "/layers/index"));
  REQUIRE(os::remove_tree(kept.path + "/cvd/index"));
  CHECK(kept.run({"check", "--data", kept.path.c_str()}) == 6);
  CHECK(kept.out.find("lamina-origin rebuild") != std::string::npos);
  CHECK(kept.run({"serve", "--data", kept.path.c_str(), "--listen", "127.0.0.1:0"}) == 6);
  REQUIRE(kept.run({"rebuild", "--data", kept.path.c_str(), "--json"}) == 0);
  const auto rebuilt = kept.answer("rebuild");
  CHECK(rebuilt.at("catalogue").at("rebuilt") == true);
  CHECK(rebuilt.at("spaces").at("cvd").at("packs") == 1);
  CHECK(rows_of(kept.data) == rows);
  CHECK(kept.check(0).at("findings").empty());
  REQUIRE(kept.run({"rebuild", "--data", kept.path.c_str()}) == 0);
  CHECK(kept.out.find("is there") != std::string::npos);

  SECTION("not while the catalogue is in use") {
    const auto table = JournaledTable::open(kept.data.catalog(), kept.data.journal()).value();
    CHECK(kept.run({"rebuild", "--data", kept.path.c_str()}) == 4);
  }
  SECTION("without a journal it says what is left") {
    REQUIRE(os::remove_tree(kept.path + "/catalog"));
    REQUIRE(os::remove_tree(kept.path + "/journal"));
    CHECK(kept.run({"rebuild", "--data", kept.path.c_str()}) == 3);
    CHECK(kept.err.find("lamina-origin restore") != std::string::npos);
  }
  SECTION("check says when the journal lacks something") {
    {
      auto kv = Kv::open(kept.data.catalog()).value();
      REQUIRE(kv->write([](Kv::Edit& edit) { return edit.put("alert/x/y", ""); }));
    }
    const auto check = kept.check(6);
    CHECK(check.at("findings").at(0).at("kind") == "journal-differs");
    JournaledTable::open(kept.data.catalog(), kept.data.journal()).value();
    kept.check(0);
  }
}

TEST_CASE("move: killed at any step, one of the two is the origin's", "[origin][kill]") {
  int kills = 0;
  for (int at = 1;; ++at) {
    Peopled kept;
    CAPTURE(at);
    const Rows_ rows = rows_of(kept.data);
    const auto move = [&](const Copier::OnStep& on_step) {
      std::ostringstream out;
      lamina::cli::Progress progress(out, false);
      return run_move(kept.data, {.to = kept.elsewhere}, out, progress, on_step);
    };
    const bool killed =
        killed_at(at, [&](const auto& die) { static_cast<void>(move(few_renames(die))); });
    if (killed) {
      ++kills;
      CHECK_FALSE((read_config(kept.data) && read_config(kept.restored)));
      const auto again = move({});
      if (!again) FAIL(again.error().text());
    }
    CHECK_FALSE(read_config(kept.data));
    kept.check_restored();
    // Nothing is older than what was seen: no sequence jumps.
    CHECK(rows_of(kept.restored) == rows);
    if (!killed) break;
  }
  CHECK(kills > 6);
}

TEST_CASE("move: a dry run says whether it could be, and changes nothing", "[origin]") {
  Peopled kept;
  const auto foresee = [&] {
    std::ostringstream out;
    lamina::cli::Progress progress(out, false);
    return run_move(kept.data, {.to = kept.elsewhere, .as_json = false, .dry_run = true}, out,
                    progress);
  };
  REQUIRE(foresee());
  CHECK_FALSE(os::exists(kept.elsewhere));
  CHECK(read_config(kept.data));
  {
    const auto serving = JournaledTable::open(kept.data.catalog(), kept.data.journal());
    REQUIRE(serving);
    const auto refused = foresee();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind() == ErrorKind::unavailable);
  }
  REQUIRE(os::make_directories(kept.elsewhere));
  REQUIRE(os::write_file(kept.elsewhere + "/other", as_view("x")));
  const auto refused = foresee();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind() == ErrorKind::refused);
}

TEST_CASE("rebuild: a dry run says what would be made, and makes nothing", "[origin]") {
  Peopled kept;
  const auto rebuild = [&](bool dry_run) {
    std::ostringstream out;
    lamina::cli::Progress progress(out, false);
    const auto done = run_rebuild(kept.data, {.as_json = true, .dry_run = dry_run}, out, progress);
    if (!done) FAIL(done.error().text());
    return nlohmann::json::parse(out.str()).at("rebuild");
  };
  CHECK_FALSE(rebuild(true).at("catalogue").contains("due"));
  REQUIRE(os::remove_tree(kept.data.catalog()));
  REQUIRE(os::remove_tree(kept.data.cvds() + "/index"));
  const auto due = rebuild(true);
  CHECK(due.at("catalogue").at("due") == true);
  CHECK(due.at("spaces").at("cvd").at("due") == true);
  CHECK_FALSE(os::exists(kept.data.catalog()));
  CHECK_FALSE(os::exists(kept.data.cvds() + "/index"));
  const auto made = rebuild(false);
  CHECK(made.at("catalogue").at("rebuilt") == true);
  CHECK(made.at("spaces").at("cvd").at("rebuilt") == true);
}
