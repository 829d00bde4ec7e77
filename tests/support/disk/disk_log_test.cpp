// The log of what was done to files, and what it says of crashes.
#include "tests/support/disk/disk_log.hpp"

#include "shared/store/kv.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/killed_at.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

// A directory that is logged from the start.
struct Fixture {
  Scratch scratch;
  std::string top = scratch / "disk";
  std::unique_ptr<DiskLog> log;
  Fixture() { REQUIRE(os::make_directories(top)); }
  void begin() { log = std::make_unique<DiskLog>(top); }
  std::string operator/(const std::string& name) const { return top + '/' + name; }

  // What a disk holds, as a tree of its own.
  std::string made_of(const disk::History& history, const disk::Image& image) {
    const std::string to = scratch / ("made" + std::to_string(++made_));
    history.write_out(image, to);
    return to;
  }

 private:
  int made_ = 0;
};

// One of everything that is done to files.
void work(const std::string& top) {
  make_nasty_tree(top + "/tree");
  REQUIRE(os::write_file(top + "/whole", text(10'000, 1)));
  REQUIRE(os::write_file(top + "/whole", text(5'000, 2), 0600));
  auto file = os::open_write(top + "/log");
  REQUIRE(file);
  for (int i = 0; i < 5; ++i) REQUIRE(os::write_all(file->get(), noise(3'000, 4), "log"));
  REQUIRE(os::write_all_at(file->get(), text(700, 5), 1'000, "log"));
  REQUIRE(os::sync_data(file->get(), "log"));
  REQUIRE(ftruncate(file->get(), 9'000) == 0);
  REQUIRE(os::rename_file(top + "/log", top + "/tree/a/log"));
  REQUIRE(os::remove_tree(top + "/tree/a.b"));
  REQUIRE(os::remove_file(top + "/tree/absolute"));
  REQUIRE(os::make_directories(top + "/kv"));
  const auto kv = Kv::open(top + "/kv").value();
  for (int i = 0; i < 20; ++i)
    REQUIRE(kv->write([&](Kv::Edit& edit) {
      return edit.put("key" + std::to_string(i), std::string(500, 'x'));
    }));
  auto root = os::Root::open(top);
  REQUIRE(root);
  REQUIRE(root->make_directory("made"));
  REQUIRE(root->rename("made", "tree/empty", os::Root::Rename::exchange));
  auto opened = root->open_at("beneath", O_WRONLY | O_CREAT | O_EXCL, 0640);
  REQUIRE(opened);
  REQUIRE(os::write_all(opened->get(), text(100, 9), "beneath"));
  REQUIRE(os::TemporaryDirectory::make(top, "temporary-"));
}

// What a tree holds; LMDB's lock file, of which the maps are not seen, left out.
std::vector<format::Entry> content_of(const std::string& path) {
  auto entries =
      capture(path, {.include = [](const std::string& p,
                                   bool) { return p.find("lock.mdb") == std::string::npos; }})
          .entries();
  // Times that nobody set are those of the copy.
  for (auto& entry : entries)
    if (!entry.path.starts_with("tree/") || entry.path.starts_with("tree/a/log") ||
        entry.kind == format::EntryKind::directory)
      entry.mtime_ns = 0;
  return entries;
}

}  // namespace

TEST_CASE("disk log: replayed to its end it gives what is there", "[disk]") {
  Fixture f;
  make_file(f / "before", text(300, 8));
  f.begin();
  work(f.top);
  const auto history = f.log->take();
  CHECK(history.operations.size() > 100);
  const auto image = history.killed_after(history.operations.size());
  const auto made = content_of(f.made_of(history, image));
  const auto is = content_of(f.top);
  REQUIRE(made.size() == is.size());
  for (std::size_t i = 0; i < is.size(); ++i) {
    CAPTURE(is[i].path, made[i].path, is[i].mtime_ns, made[i].mtime_ns, is[i].mode, made[i].mode);
    CHECK(made[i] == is[i]);
  }
}

TEST_CASE("disk log: what it says of a kill is what a kill leaves", "[disk]") {
  for (const std::size_t at : {3, 40, 61, 90, 117}) {
    Fixture killed;
    CHECK(killed_at(1, [&](const auto&) {
      killed.begin();
      killed.log->plant({.kind = DiskFault::Kind::kill, .at = at});
      work(killed.top);
    }));
    Fixture told;
    told.begin();
    work(told.top);
    const auto history = told.log->take();
    const auto left = content_of(told.made_of(history, history.killed_after(at)));
    const auto is = content_of(killed.top);
    // Temporary files have other names each time.
    REQUIRE(left.size() == is.size());
    for (std::size_t i = 0; i < is.size(); ++i) {
      CAPTURE(at, is[i].path, left[i].path);
      CHECK(left[i].kind == is[i].kind);
      CHECK(left[i].size == is[i].size);
      CHECK(left[i].chunks == is[i].chunks);
      CHECK(left[i].mode == is[i].mode);
    }
  }
}

TEST_CASE("disk log: a power failure takes what was not synced, and nothing else", "[disk]") {
  Fixture f;
  f.begin();
  auto file = os::open_write(f / "file");
  REQUIRE(file);
  REQUIRE(os::write_all(file->get(), to_buffer("one"), "file"));
  const std::size_t written = f.log->count();
  REQUIRE(os::sync_data(file->get(), "file"));
  const std::size_t synced = f.log->count();
  REQUIRE(os::sync_directory(f.top));
  const std::size_t named = f.log->count();
  REQUIRE(os::write_all(file->get(), to_buffer("two"), "file"));
  REQUIRE(os::rename_file(f / "file", f / "other"));
  const auto history = f.log->take();
  const auto left = [&](std::size_t after, std::uint64_t seed) {
    return f.made_of(history, history.power_failed_after(after, seed));
  };
  const auto names = [&](const std::string& at) { return os::list_directory(at).value(); };
  using Names = std::vector<std::string>;
  CHECK(names(left(written, 0)).empty());
  CHECK(names(left(synced, 0)).empty());
  CHECK(os::read_text(left(written, 1) + "/file").value().empty());
  CHECK(os::read_text(left(synced, 1) + "/file").value() == "one");
  const std::size_t end = history.operations.size();
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CHECK(os::read_text(left(named, seed) + "/file").value() == "one");
    const std::string at = left(end, seed);
    CHECK((names(at) == Names{"file"} || names(at) == Names{"other"}));
    const std::string text = os::read_text(at + '/' + names(at).front()).value();
    CHECK((text == "one" || text == "onetwo" || text == std::string("one\0\0\0", 6)));
  }
  CHECK(names(left(end, 0)) == Names{"file"});
  CHECK(names(left(end, 1)) == Names{"other"});

  // As of a program that leaves the first sync out.
  const auto without = history.without_syncs(
      [&](const disk::Operation& operation) { return operation.path == "file"; });
  CHECK(os::read_text(f.made_of(without, without.power_failed_after(named, 0)) + "/file")
            .value()
            .empty());
  // One that syncs the directory first.
  const auto late = history.delayed(
      [](const disk::Operation& operation) {
        return operation.kind == disk::Operation::Kind::sync && operation.path == "file";
      },
      [](const disk::Operation& operation) { return operation.path.empty(); });
  CHECK(os::read_text(f.made_of(late, late.power_failed_after(named - 1, 0)) + "/file")
            .value()
            .empty());
}

TEST_CASE("disk log: faults are what the code sees, and what the disk is left with", "[disk]") {
  Fixture f;
  f.begin();
  REQUIRE(os::write_file(f / "file", to_buffer("old")));
  using Kind = DiskFault::Kind;
  SECTION("a full disk stays full until there is room") {
    f.log->plant({.kind = Kind::full, .at = f.log->count() + 1});
    for (int i = 0; i < 2; ++i) {
      const auto done = os::write_file(f / "file", to_buffer("new"));
      REQUIRE_FALSE(done);
      CHECK(done.error().kind() == ErrorKind::out_of_space);
    }
    CHECK(f.log->heal() == 2);
    CHECK(os::read_text(f / "file").value() == "old");
    CHECK(os::write_file(f / "file", to_buffer("new")));
  }
  SECTION("a write that is cut short is gone on with") {
    f.log->plant({.kind = Kind::short_write, .at = 0});
    CHECK(os::write_file(f / "file", to_buffer("a new one")));
    CHECK(f.log->heal() == 1);
    CHECK(os::read_text(f / "file").value() == "a new one");
  }
  SECTION("what a sync failed for no later sync makes durable") {
    const os::Descriptor file(open((f / "file").c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(os::write_all(file.get(), to_buffer("new"), "file"));
    f.log->plant({.kind = Kind::input_output, .at = 0});
    CHECK_FALSE(os::sync_data(file.get(), "file"));
    CHECK(os::sync_data(file.get(), "file"));
    const auto history = f.log->take();
    const auto image = history.power_failed_after(history.operations.size(), 0);
    CHECK(os::read_text(f.made_of(history, image) + "/file").value() == "old");
  }
}
