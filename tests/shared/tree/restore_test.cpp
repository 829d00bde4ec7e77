#include "shared/tree/restore.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "shared/format/path.hpp"
#include "tests/shared/tree/trees.hpp"

using namespace lamina;
using namespace lamina::tests;
using format::Entry;
using format::EntryKind;

namespace {

using InScope = std::function<bool(const std::string& path)>;

class Entries : public format::EntryStream {
 public:
  explicit Entries(std::vector<Entry> entries) : entries_(std::move(entries)) {}
  Result<std::optional<Entry>> next() override {
    if (at_ == entries_.size()) return std::nullopt;
    return std::optional(entries_[at_++]);
  }

 private:
  std::vector<Entry> entries_;
  std::size_t at_ = 0;
};

// A snapshot, and restores of it.
struct Restored {
  Captured snapshot;
  InScope in_scope = [](const std::string&) { return true; };
  InScope is_first = [](const std::string&) { return false; };
  std::vector<std::string> changed = {};

  TreeRestorer restorer(const os::Root& root) {
    return TreeRestorer(
        root,
        {.scope = [this](const std::string& path, bool, const Entry*) -> Result<bool> {
           return in_scope(path);
         },
         .include = [](const std::string& path, bool) { return path != "run"; },
         .is_first = is_first,
         .on_change = [this](RestoreChange, const std::string& path) { changed.push_back(path); }},
        {.find = [this](const std::string& path) -> Result<Entry> {
           for (Entry& entry : snapshot.entries())
             if (entry.path == path) return std::move(entry);
           return fail(ErrorKind::not_found, path);
         },
         .source = snapshot.source()});
  }

  RestorePlan plan(const std::string& onto) {
    changed.clear();
    const auto root = os::Root::open(onto).value();
    Entries entries(snapshot.entries());
    auto plan = restorer(root).plan(entries);
    if (!plan) FAIL(plan.error().text());
    return std::move(*plan);
  }

  // The source insists on being asked for exactly what the plan says, in order.
  void carry_out(const std::string& onto) {
    auto planned = plan(onto);
    REQUIRE(planned.blocked.empty());
    const auto root = os::Root::open(onto).value();
    auto restoring = restorer(root);
    for (const RestorePart part : {RestorePart::start, RestorePart::rest}) {
      std::vector<format::ChunkRef> expected;
      const auto all = snapshot.entries();
      REQUIRE(planned.writes.size() == all.size());
      for (std::size_t i = 0; i < all.size(); ++i)
        if (planned.writes[i] == part)
          expected.insert(expected.end(), all[i].chunks.begin(), all[i].chunks.end());
      std::size_t at = 0;
      const auto source = snapshot.source();
      Entries entries(all);
      auto done = restoring.carry_out(entries, planned, part, [&](const format::ChunkRef& ref) {
        REQUIRE(at < expected.size());
        REQUIRE(expected[at++] == ref);
        return source(ref);
      });
      if (!done) FAIL(done.error().text());
      CHECK(at == expected.size());
    }
  }
};

std::map<std::string, Entry> by_path(const std::vector<Entry>& entries) {
  std::map<std::string, Entry> map;
  for (const Entry& entry : entries) map.emplace(entry.path, entry);
  return map;
}

// Without hard links' details, which a scope may cut through: each name as the file that it is.
std::map<std::string, Entry> flat(const std::vector<Entry>& entries) {
  auto map = by_path(entries);
  for (auto& [path, entry] : map)
    if (entry.kind == EntryKind::hard_link) {
      Entry file = map.at(entry.target);
      file.path = path;
      entry = file;
    }
  return map;
}

bool is_home(const std::string& path) { return path.starts_with("home/"); }

// A tree of some forty names in few directories, of which another seed makes another one.
void make_random_tree(const std::string& top, std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto one_of = [&](std::uint32_t n) { return random() % n; };
  std::vector<std::string> directories{""};
  REQUIRE(os::make_directories(top));
  REQUIRE(os::make_directories(top + "/home"));
  directories.emplace_back("/home");
  std::vector<std::string> files;
  for (int i = 0; i < 40; ++i) {
    const std::string path = directories[one_of(static_cast<std::uint32_t>(directories.size()))] +
                             '/' + std::string(1, static_cast<char>('a' + one_of(8)));
    if (os::exists(top + path)) continue;
    switch (one_of(6)) {
      case 0:
        REQUIRE(os::make_directories(top + path));
        directories.push_back(path);
        break;
      case 1: REQUIRE(symlink(one_of(2) ? "x" : "y", (top + path).c_str()) == 0); break;
      case 2:
        if (!files.empty()) {
          const auto& file = files[one_of(static_cast<std::uint32_t>(files.size()))];
          REQUIRE(link((top + file).c_str(), (top + path).c_str()) == 0);
          break;
        }
        [[fallthrough]];
      default:
        make_file(top + path, noise(1 + one_of(3) * 100, one_of(3)), one_of(2) ? 0644 : 0600);
        files.push_back(path);
    }
  }
  const auto entries = capture(top).entries();
  for (const Entry& entry : entries)
    set_mtime(top + '/' + entry.path, 1'600'000'000 + one_of(2), 5);
}

}  // namespace

TEST_CASE("restore: any tree becomes any other one, in whatever parts", "[tree]") {
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const Scratch scratch;
    make_random_tree(scratch / "s", seed);
    make_random_tree(scratch / "d", seed + 1000);
    Restored restored{capture(scratch / "s")};
    if (seed % 2 == 0) restored.is_first = [](const std::string& path) { return path < "d"; };
    restored.carry_out(scratch / "d");
    CHECK(capture(scratch / "d").entries() == restored.snapshot.entries());
    CHECK(restored.plan(scratch / "d").changes() == 0);
    CHECK(restored.changed.empty());
  }
}

TEST_CASE("restore: what is out of scope stays as it is, times of directories included", "[tree]") {
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const Scratch scratch;
    make_random_tree(scratch / "s", seed);
    make_random_tree(scratch / "d", seed + 1000);
    const auto before = flat(capture(scratch / "d").entries());
    Restored restored{capture(scratch / "s")};
    const bool is_user = seed % 2 == 0;
    restored.in_scope = [&](const std::string& path) { return is_home(path) == is_user; };
    restored.carry_out(scratch / "d");
    const auto after = flat(capture(scratch / "d").entries());
    const auto wanted = flat(restored.snapshot.entries());
    for (const auto& [path, entry] : after) {
      CAPTURE(path);
      const auto& from = is_home(path) == is_user ? wanted : before;
      REQUIRE(from.contains(path));
      CHECK(entry == from.at(path));
    }
    for (const auto& [path, entry] : wanted)
      if (is_home(path) == is_user) CHECK(after.contains(path));
    for (const auto& [path, entry] : before)
      if (is_home(path) != is_user) CHECK(after.contains(path));
  }
}

TEST_CASE("restore: content counts, not size and time; equal content is not written", "[tree]") {
  const Scratch scratch;
  for (const char* tree : {"s", "d"}) {
    make_nasty_tree(scratch / tree);
  }
  make_file(scratch / "d/a/file", noise(300'000, 2));
  for (const char* path : {"d/a/file", "d/a"})
    set_mtime(scratch / path, 1'600'000'000, 123'456'789);
  Restored restored{capture(scratch / "s")};
  const auto plan = restored.plan(scratch / "d");
  // The file and its two other names.
  CHECK(plan.replaced == 3);
  CHECK(plan.made + plan.removed + plan.metadata == 0);
  CHECK(plan.bytes() == 300'000);
  restored.carry_out(scratch / "d");
  CHECK(capture(scratch / "d").entries() == restored.snapshot.entries());
}

TEST_CASE("restore: a plan alone changes nothing", "[tree]") {
  const Scratch scratch;
  make_random_tree(scratch / "s", 1);
  make_random_tree(scratch / "d", 2);
  const auto before = capture(scratch / "d").entries();
  Restored restored{capture(scratch / "s")};
  CHECK(restored.plan(scratch / "d").changes() > 0);
  CHECK(restored.changed.size() == restored.plan(scratch / "d").changes());
  CHECK(capture(scratch / "d").entries() == before);
}

TEST_CASE("restore: nothing changes through another name of a file", "[tree]") {
  const Scratch scratch;
  for (const char* tree : {"s", "d"}) REQUIRE(os::make_directories(scratch / tree + "/home"));
  make_file(scratch / "s/program", to_buffer("program"), 0755);
  make_file(scratch / "d/program", to_buffer("program"), 0644);
  REQUIRE(link((scratch / "d/program").c_str(), (scratch / "d/home/mine").c_str()) == 0);
  const auto before = flat(capture(scratch / "d").entries()).at("home/mine");
  Restored restored{capture(scratch / "s")};
  restored.in_scope = [](const std::string& path) { return !is_home(path); };
  restored.carry_out(scratch / "d");
  const auto after = by_path(capture(scratch / "d").entries());
  CHECK(after.at("program").mode == 0755);
  CHECK(after.at("home/mine") == before);
}

TEST_CASE("restore: a link whose file is not restored becomes a file of its own", "[tree]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "s/home"));
  make_file(scratch / "s/a", to_buffer("as it was"));
  REQUIRE(link((scratch / "s/a").c_str(), (scratch / "s/home/x").c_str()) == 0);
  REQUIRE(link((scratch / "s/a").c_str(), (scratch / "s/home/y").c_str()) == 0);
  REQUIRE(os::make_directories(scratch / "d/home"));
  make_file(scratch / "d/a", to_buffer("as it is"));
  Restored restored{capture(scratch / "s")};
  restored.in_scope = is_home;
  restored.carry_out(scratch / "d");
  CHECK(os::read_text(scratch / "d/a").value() == "as it is");
  CHECK(os::read_text(scratch / "d/home/x").value() == "as it was");
  CHECK(by_path(capture(scratch / "d").entries()).at("home/y").target == "home/x");
  CHECK(restored.plan(scratch / "d").changes() == 0);
}

TEST_CASE("restore: what stands in the way of the scope is said before anything moves", "[tree]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "s"));
  REQUIRE(os::make_directories(scratch / "d/x/run"));
  SECTION("a directory with something else in it") {
    make_file(scratch / "s/x", to_buffer("file"));
    Restored restored{capture(scratch / "s")};
    restored.in_scope = [](const std::string& path) { return path != "x/run"; };
    const auto plan = restored.plan(scratch / "d");
    REQUIRE(plan.blocked.size() == 1);
    CHECK(plan.blocked[0] ==
          "x: it is a directory with something that is not restored, and no file");
  }
  SECTION("something that is no directory") {
    REQUIRE(os::make_directories(scratch / "s/y"));
    make_file(scratch / "s/y/file", to_buffer("file"));
    make_file(scratch / "d/y", to_buffer("file"));
    Restored restored{capture(scratch / "s")};
    restored.in_scope = [](const std::string& path) { return path.starts_with("y/"); };
    const auto plan = restored.plan(scratch / "d");
    REQUIRE(plan.blocked.size() == 1);
    CHECK(plan.blocked[0] == "y/file: 'y' is no directory, and is not restored");
  }
}

TEST_CASE("restore: what the walk does not look at stays, with its directory", "[tree]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "s"));
  REQUIRE(os::make_directories(scratch / "d/run/lock"));
  make_file(scratch / "d/file", to_buffer("file"));
  Restored restored{capture(scratch / "s")};
  restored.carry_out(scratch / "d");
  CHECK(os::list_directory(scratch / "d").value() == std::vector<std::string>{"run"});
  CHECK(os::exists(scratch / "d/run/lock"));
}

TEST_CASE("restore: one that was killed is begun again", "[tree]") {
  const Scratch scratch;
  make_random_tree(scratch / "s", 3);
  make_random_tree(scratch / "d", 4);
  Restored restored{capture(scratch / "s")};
  {
    auto plan = restored.plan(scratch / "d");
    const auto root = os::Root::open(scratch / "d").value();
    Entries entries(restored.snapshot.entries());
    int reads = 0;
    const auto source = restored.snapshot.source();
    CHECK_FALSE(restored.restorer(root).carry_out(
        entries, plan, RestorePart::rest, [&](const format::ChunkRef& ref) -> Result<Buffer> {
          if (++reads == 3) return fail(ErrorKind::unavailable, "the line is down");
          return source(ref);
        }));
  }
  make_file(scratch / "d/.lamina-restore~", to_buffer("half of it"));
  restored.carry_out(scratch / "d");
  CHECK(capture(scratch / "d").entries() == restored.snapshot.entries());
}
