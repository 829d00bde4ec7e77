#include "shared/tree/capture.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <algorithm>
#include <utility>

#include "shared/format/path.hpp"
#include "shared/hash/sha256.hpp"
#include "shared/tree/scan_state.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/own_mounts.hpp"

using namespace lamina;
using namespace lamina::tests;
using format::Entry;
using format::EntryKind;

namespace {

const Entry& entry_of(const std::vector<Entry>& entries, const std::string& path) {
  const auto found = std::ranges::find(entries, path, &Entry::path);
  REQUIRE(found != entries.end());
  return *found;
}

std::vector<std::string> paths_of(const std::vector<Entry>& entries) {
  std::vector<std::string> paths;
  for (const Entry& entry : entries) paths.push_back(entry.path);
  return paths;
}

constexpr std::int64_t kLongAgo = 1'600'000'000;
// Far ahead of the files' ctimes, so that none is racy.
constexpr WallTime kLater{std::int64_t{4'000'000'000} * 1'000'000'000};

}  // namespace

TEST_CASE("capture: everything is there, in path order, with its kind", "[tree]") {
  const Scratch scratch;
  make_nasty_tree(scratch / "t");
  const auto entries = capture(scratch / "t").entries();
  CHECK(std::ranges::is_sorted(entries, format::PathLess{}, &Entry::path));
  CHECK(entries.size() == 18);
  CHECK(entry_of(entries, "").kind == EntryKind::directory);
  CHECK(entry_of(entries, "a/b/script").mode == 04755);
  CHECK(entry_of(entries, "a/\xff\xfe/\n").size == 8);
  CHECK(entry_of(entries, "a/link").target == "../nowhere/\xff");
  CHECK(entry_of(entries, "pipe").kind == EntryKind::fifo);
  CHECK(entry_of(entries, "a/file").mtime_ns == 1'600'000'000'123'456'789);
  CHECK(entry_of(entries, "a.b/hard").target == "a/file");
  CHECK(entry_of(entries, "z-hard").target == "a/file");
  const Entry& sparse = entry_of(entries, "sparse");
  CHECK(sparse.size == 5 << 20);
  if (sparse.sparse) CHECK(sparse.stored_bytes() < 100'000);
}

TEST_CASE("capture: sockets and unreadable files are noted, excluded paths are not walked",
          "[tree]") {
  const Scratch scratch;
  make_file(scratch / "keep", to_buffer("x"));
  REQUIRE(os::make_directories(scratch / "out/deep"));
  make_file(scratch / "closed", to_buffer("x"), 0000);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = scratch / "sock";
  std::copy(path.begin(), path.end(), address.sun_path);
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const os::Descriptor closes(fd);

  const auto captured =
      capture(scratch.path(), {.include = [](const std::string& p, bool) { return p != "out"; }});
  std::vector<std::string> noted;
  for (const Note& note : captured.result.notes)
    noted.push_back(std::string(name_of(note.kind)) + ' ' + note.path);
  const auto entries = captured.entries();
  CHECK(std::ranges::count(noted, "skipped sock") == 1);
  CHECK(std::ranges::none_of(entries, [](const Entry& e) { return e.path.starts_with("out"); }));
  if (geteuid() != 0) {
    CHECK(std::ranges::count(noted, "unreadable closed") == 1);
    CHECK(entries.size() == 2);
  }
  CHECK(captured.result.notes_total == noted.size());
}

TEST_CASE("capture: a file that is made empty keeps everything but its content", "[tree]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "t"));
  make_file(scratch / "t/id", to_buffer("who I am"), 0444);
  make_file(scratch / "t/other", to_buffer("x"));
  CaptureOptions options{.make_empty = [](const std::string& p) { return p == "id"; },
                         .scan_state = scratch / "state",
                         .new_scan_state = scratch / "state",
                         .started = kLater};
  for (int round = 0; round < 2; ++round) {
    const auto captured = capture(scratch / "t", options);
    const Entry& entry = entry_of(captured.entries(), "id");
    CHECK(entry.size == 0);
    CHECK(entry.chunks.empty());
    CHECK(entry.mode == 0444);
    CHECK(captured.result.manifest.content_bytes == 1);
  }
  // Its emptiness is not what a scan state remembers.
  options.make_empty = [](const std::string&) { return false; };
  CHECK(entry_of(capture(scratch / "t", options).entries(), "id").size == 8);
}

TEST_CASE("capture: owners get the names of the tree's own accounts", "[tree]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "etc"));
  const std::string uid = std::to_string(geteuid());
  make_file(scratch / "etc/passwd", to_buffer("broken\nnobody:x:notanumber:\nme:x:" + uid +
                                              ":0::/:\nsecond:x:" + uid + ":0\n"));
  const auto entries = capture(scratch.path()).entries();
  CHECK(entry_of(entries, "etc/passwd").owner == "me");
  CHECK(entry_of(entries, "etc/passwd").group.empty());
}

TEST_CASE("scan state: unchanged files are not read, changed ones are", "[tree]") {
  const Scratch scratch;
  make_nasty_tree(scratch / "t");
  const CaptureOptions options{
      .scan_state = scratch / "state", .new_scan_state = scratch / "state", .started = kLater};
  const auto first = capture(scratch / "t", options);
  CHECK(first.result.files_reused == 0);
  const auto again = capture(scratch / "t", options, first.chunks);
  CHECK(again.result.files_read == 0);
  CHECK(again.result.manifest == first.result.manifest);

  // Same size and same mtime: the ctime tells.
  REQUIRE(chmod((scratch / "t/a-").c_str(), 0644) == 0);
  make_file(scratch / "t/a-", text(70'000, 99), 0444);
  set_mtime(scratch / "t/a-", kLongAgo, 123'456'789);
  const auto changed = capture(scratch / "t", options, first.chunks);
  CHECK(changed.result.files_read == 1);
  CHECK(entry_of(changed.entries(), "a-").chunks != entry_of(first.entries(), "a-").chunks);

  SECTION("a chunk that nobody has any more is read again") {
    CaptureOptions forgetful = options;
    const ChunkId lost = entry_of(first.entries(), "a/file").chunks.at(0).id;
    forgetful.is_known = [lost](const ChunkId& id) { return id != lost; };
    CHECK(capture(scratch / "t", forgetful, first.chunks).result.files_read == 1);
  }
  SECTION("a damaged state is never believed") {
    Buffer state = os::read_file(scratch / "state", 1 << 20).value();
    for (std::size_t at = 0; at < state.size(); at += 37) {
      Buffer bad = state;
      bad[at] ^= std::byte{0x20};
      REQUIRE(os::write_file(scratch / "state", bad));
      CHECK(capture(scratch / "t", options, changed.chunks).result.manifest ==
            changed.result.manifest);
    }
  }
  SECTION("a file changed just before the scan is read again") {
    CaptureOptions racy = options;
    racy.started = {0};
    capture(scratch / "t", racy, first.chunks);
    CHECK(capture(scratch / "t", options, first.chunks).result.files_reused == 0);
  }
}

TEST_CASE("scan state: attributes of unchanged files are remembered, new ones found", "[tree]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "t"));
  make_file(scratch / "t/f", noise(5000, 1));
  const std::string file = scratch / "t/f";
  if (setxattr(file.c_str(), "user.colour", "red", 3, 0) != 0) {
    WARN("this file system takes no attributes");
    return;
  }
  const CaptureOptions options{
      .scan_state = scratch / "state", .new_scan_state = scratch / "state", .started = kLater};
  const auto first = capture(scratch / "t", options);
  const auto again = capture(scratch / "t", options, first.chunks);
  CHECK(again.result.files_reused == 1);
  CHECK(again.result.manifest == first.result.manifest);
  REQUIRE(entry_of(again.entries(), "f").attributes.size() == 1);
  REQUIRE(setxattr(file.c_str(), "user.colour", "blue", 4, 0) == 0);
  const auto changed = capture(scratch / "t", options, first.chunks);
  CHECK(changed.result.files_read == 1);
  CHECK(entry_of(changed.entries(), "f").attributes.at(0).value == "blue");
}

TEST_CASE("scan state: every unchanged file has its turn of being read", "[tree]") {
  const Scratch scratch;
  constexpr std::uint64_t kFiles = 40, kSlices = 8;
  REQUIRE(os::make_directories(scratch / "t"));
  for (std::uint64_t i = 0; i < kFiles; ++i)
    make_file(scratch / ("t/f" + std::to_string(i)), noise(100, i));
  CaptureOptions options{
      .scan_state = scratch / "state", .new_scan_state = scratch / "state", .started = kLater};
  const auto first = capture(scratch / "t", options);
  std::uint64_t read = 0;
  for (std::uint64_t n = 100; n < 100 + kSlices; ++n) {
    options.reread = {.number = n, .of = kSlices};
    const auto scan = capture(scratch / "t", options, first.chunks);
    CHECK(scan.result.files_reread == scan.result.files_read);
    CHECK(scan.result.files_reused + scan.result.files_reread == kFiles);
    CHECK(scan.result.notes.empty());
    CHECK(scan.result.manifest == first.result.manifest);
    read += scan.result.files_reread;
  }
  CHECK(read == kFiles);

  SECTION("other content under the same facts is found, told of and kept") {
    // Nobody can set a ctime: what the last scan saw is what is changed here.
    ScanStateReader known(scratch / "state");
    ScannedFile row = *known.find("f7");
    row.entry.chunks.at(0).id = digest<ChunkId>(as_view("what the disk held before"));
    auto state = ScanStateWriter::create(scratch / "state");
    REQUIRE(state);
    REQUIRE(state->add(row));
    REQUIRE(state->finish());
    options.reread = {.number = 0, .of = 1};
    const auto scan = capture(scratch / "t", options, first.chunks);
    REQUIRE(scan.result.notes.size() == 1);
    CHECK(scan.result.notes[0].kind == Note::Kind::changed);
    CHECK(scan.result.notes[0].path == "f7");
    CHECK(scan.result.manifest == first.result.manifest);
  }
}

TEST_CASE("capture: a file that changes under the reading is consistent or noted", "[tree]") {
  const Scratch scratch;
  // More than the stages hold between them: the reader waits for the sink before it is through.
  make_file(scratch / "f", noise(32 << 20, 1));
  auto root = os::Root::open(scratch.path());
  REQUIRE(root);
  // The sink is called in the middle of a reading: that is where the file changes.
  const auto run = [&](const std::function<void()>& change) {
    return capture_tree(
        *root, {},
        [&](const ContentChunk&) -> Status {
          change();
          return Done{};
        },
        [](const ChunkId&, ByteView) -> Status { return Done{}; });
  };
  const auto restless = run([&] {
    const os::Descriptor file(open((scratch / "f").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    REQUIRE(write(file.get(), "x", 1) == 1);
  });
  REQUIRE(restless);
  REQUIRE(restless->notes.size() == 1);
  CHECK(restless->notes[0].kind == Note::Kind::changed);
  CHECK(restless->notes[0].path == "f");
  bool changed = false;
  const auto steady = run([&] {
    if (std::exchange(changed, true)) return;
    make_file(scratch / "g", noise(500'000, 10));
    REQUIRE(rename((scratch / "g").c_str(), (scratch / "f").c_str()) == 0);
  });
  REQUIRE(steady);
  CHECK(steady->notes.empty());
  CHECK(steady->manifest.content_bytes == 500'000);
}

TEST_CASE("capture: an error of a sink stops it and is passed on", "[tree]") {
  const Scratch scratch;
  make_file(scratch / "f", noise(100, 1));
  auto root = os::Root::open(scratch.path());
  REQUIRE(root);
  const auto result = capture_tree(
      *root, {},
      [](const ContentChunk&) -> Status { return fail(ErrorKind::out_of_space, "disk full"); },
      [](const ChunkId&, ByteView) -> Status { return Done{}; });
  REQUIRE_FALSE(result);
  CHECK(result.error().kind() == ErrorKind::out_of_space);
}

TEST_CASE("capture: what is replaced between looking and reading has the new file's metadata",
          "[tree]") {
  const Scratch scratch;
  make_file(scratch / "f", to_buffer("public"), 0644);
  bool replaced = false;
  const auto entries =
      capture(scratch.path(),
              {.include =
                   [&](const std::string& path, bool) {
                     if (path == "f" && !std::exchange(replaced, true)) {
                       make_file(scratch / "g", to_buffer("private"), 0600);
                       REQUIRE(rename((scratch / "g").c_str(), (scratch / "f").c_str()) == 0);
                     }
                     return true;
                   }})
          .entries();
  CHECK(entry_of(entries, "f").size == 7);
  CHECK(entry_of(entries, "f").mode == 0600);
}

TEST_CASE("capture: a hard link never points to a name that was left out", "[tree]") {
  const Scratch scratch;
  make_file(scratch / "a", noise(5000, 1));
  REQUIRE(link((scratch / "a").c_str(), (scratch / "b").c_str()) == 0);
  REQUIRE(link((scratch / "a").c_str(), (scratch / "c").c_str()) == 0);
  const auto entries = capture(scratch.path(), {.include =
                                                    [&](const std::string& path, bool) {
                                                      // Looked at already, and gone before it is
                                                      // opened.
                                                      if (path == "a")
                                                        REQUIRE(os::remove_file(scratch / "a"));
                                                      return true;
                                                    }})
                           .entries();
  CHECK(entries.size() == 3);
  CHECK(entry_of(entries, "b").kind == EntryKind::file);
  CHECK(entry_of(entries, "c").target == "b");
}

TEST_CASE("capture: a directory with too many attributes keeps what is beneath it", "[tree]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "d"));
  make_file(scratch / "d/f", to_buffer("x"));
  for (int i = 0; i <= 128; ++i)
    if (setxattr((scratch / "d").c_str(), ("user." + std::to_string(i)).c_str(), "", 0, 0) != 0) {
      WARN("this file system takes no " + std::to_string(i) + " attributes");
      return;
    }
  const auto captured = capture(scratch.path());
  REQUIRE(captured.result.notes.size() == 1);
  CHECK(captured.result.notes[0].path == "d");
  const auto entries = captured.entries();
  CHECK(entry_of(entries, "d").attributes.empty());
  CHECK(entry_of(entries, "d/f").size == 1);
}

TEST_CASE("capture: owners' names with bytes that no name has are no names", "[tree]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "etc"));
  make_file(scratch / "etc/passwd",
            to_buffer(std::string("a\0b:x:", 6) + std::to_string(geteuid()) + ":0::/:\n"));
  const auto captured = capture(scratch.path());
  CHECK(captured.result.notes.empty());
  CHECK(captured.entries().size() == 3);
}

TEST_CASE("capture: what is mounted inside is noted and left out, files and bind mounts too",
          "[tree]") {
  const Scratch scratch;
  for (const char* name : {"t", "t/dir", "t/sub", "t/tmp"})
    REQUIRE(os::make_directories(scratch / name));
  make_file(scratch / "t/file", to_buffer("below"));
  make_file(scratch / "t/sub/inner", to_buffer("inner"));
  make_file(scratch / "outside", to_buffer("outside"));
  check_with_mounts(
      [&] {
        return bind_mount(scratch / "outside", scratch / "t/file") &&
               bind_mount(scratch / "t/sub", scratch / "t/dir") && mount_tmpfs(scratch / "t/tmp");
      },
      [&] {
        const auto captured = capture(scratch / "t");
        return paths_of(captured.entries()) ==
                   std::vector<std::string>{"", "dir", "sub", "sub/inner", "tmp"} &&
               captured.result.notes_total == 3;
      });
}

TEST_CASE("capture: what the root has entered belongs to the tree, with what is on it", "[tree]") {
  const Scratch scratch;
  for (const char* name : {"t", "t/a", "t/b", "t/plain"})
    REQUIRE(os::make_directories(scratch / name));
  check_with_mounts(
      [&] {
        return mount_tmpfs(scratch / "t/a") && os::make_directories(scratch / "t/a/in") &&
               mount_tmpfs(scratch / "t/a/in") && mount_tmpfs(scratch / "t/b") &&
               os::write_file(scratch / "t/a/file", as_view("a")) &&
               os::write_file(scratch / "t/a/in/file", as_view("in")) &&
               os::write_file(scratch / "t/b/file", as_view("b")) &&
               link((scratch / "t/a/file").c_str(), (scratch / "t/a/same").c_str()) == 0;
      },
      [&] {
        auto root = os::Root::open(scratch / "t");
        const auto below = root->enter("a/in");  // Behind one that is not entered.
        const bool order = !below && below.error().kind() == ErrorKind::refused;
        const bool entered = root->enter("a").value() && root->enter("a/in").value() &&
                             !root->enter("plain").value() && !root->enter("none").value() &&
                             !root->enter("a/file").value();
        const bool known = root->volumes() == std::vector<std::string>{"a", "a/in"} &&
                           root->volume_of("a/in/file") == "a/in" && root->volume_of("b") == "" &&
                           root->has_entered("a") && !root->has_entered("b");
        const bool reached = root->facts("a/in/file").value().has_value() &&
                             root->rename("a/file", "a/moved", os::Root::Rename::replace) &&
                             !root->open_at("b/file", O_RDONLY);
        const Captured captured = capture(*root);
        return order && entered && known && reached &&
               paths_of(captured.entries()) ==
                   std::vector<std::string>{"",        "a",      "a/in", "a/in/file",
                                            "a/moved", "a/same", "b",    "plain"} &&
               captured.result.notes_total == 1;
      });
}
