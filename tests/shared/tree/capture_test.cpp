#include "shared/tree/capture.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>

#include "shared/format/path.hpp"
#include "tests/shared/tree/trees.hpp"

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

constexpr std::int64_t kLongAgo = 1'600'000'000;

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
  // Far ahead of the files' ctimes, so that none is racy.
  const CaptureOptions options{.scan_state = scratch / "state",
                               .new_scan_state = scratch / "state",
                               .started = {std::int64_t{4'000'000'000} * 1'000'000'000}};
  const auto first = capture(scratch / "t", options);
  CHECK(first.result.files_reused == 0);
  const auto again = capture(scratch / "t", options, first.chunks);
  CHECK(again.result.files_read == 0);
  CHECK(again.result.manifest == first.result.manifest);

  // Same size and same mtime: the ctime tells.
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

TEST_CASE("capture: a file that changes under the reading is consistent or noted", "[tree]") {
  const Scratch scratch;
  make_file(scratch / "f", noise(600'000, 1));
  auto root = os::Root::open(scratch.path());
  REQUIRE(root);
  int changes = 0;
  std::map<ChunkId, Buffer> chunks;
  // The sink is called in the middle of a reading: that is where the file changes.
  const auto run = [&](int changes_max) {
    changes = 0;
    return capture_tree(
        *root, {},
        [&](const format::ChunkRef& ref, ByteView plain, ContentClass) -> Status {
          chunks[ref.id] = to_buffer(plain);
          if (changes < changes_max) {
            ++changes;
            make_file(scratch / "f", noise(500'000, 10 + static_cast<std::uint64_t>(changes)));
          }
          return Done{};
        },
        [&](const ChunkId& id, ByteView plain) -> Status {
          chunks[id] = to_buffer(plain);
          return Done{};
        });
  };
  const auto steady = run(1);
  REQUIRE(steady);
  CHECK(steady->notes.empty());
  CHECK(steady->manifest.content_bytes == 500'000);
  const auto restless = run(1'000);
  REQUIRE(restless);
  REQUIRE(restless->notes.size() == 1);
  CHECK(restless->notes[0].kind == Note::Kind::changed);
  CHECK(restless->notes[0].path == "f");
}

TEST_CASE("capture: an error of a sink stops it and is passed on", "[tree]") {
  const Scratch scratch;
  make_file(scratch / "f", noise(100, 1));
  auto root = os::Root::open(scratch.path());
  REQUIRE(root);
  const auto result = capture_tree(
      *root, {},
      [](const format::ChunkRef&, ByteView, ContentClass) -> Status {
        return fail(ErrorKind::out_of_space, "disk full");
      },
      [](const ChunkId&, ByteView) -> Status { return Done{}; });
  REQUIRE_FALSE(result);
  CHECK(result.error().kind() == ErrorKind::out_of_space);
}
