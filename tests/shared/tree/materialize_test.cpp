#include "shared/tree/materialize.hpp"

#include <cstdlib>

#include "tests/shared/tree/trees.hpp"

using namespace lamina;
using namespace lamina::tests;
using format::Entry;
using format::EntryKind;

namespace {

const MaterializeOptions kOptions{.set_owner = geteuid() == 0, .set_attributes = true};

Status write_all(const std::vector<Entry>& entries, const std::string& to, const std::string& base,
                 const format::ChunkSource& source) {
  auto root = os::Root::open(to);
  REQUIRE(root);
  TreeWriter writer(*root, base, source, kOptions);
  for (const Entry& entry : entries)
    if (auto done = writer.write(entry); !done) return done;
  return writer.finish();
}

}  // namespace

TEST_CASE("materialize: a restored tree is captured to the same manifest", "[tree]") {
  const Scratch scratch;
  make_nasty_tree(scratch / "t");
  if (geteuid() == 0) {
    REQUIRE(mknod((scratch / "t/null").c_str(), S_IFCHR | 0666, 0x103) == 0);
    REQUIRE(chown((scratch / "t/a-").c_str(), 12345, 23456) == 0);
    REQUIRE(lchown((scratch / "t/a/link").c_str(), 1, 2) == 0);
  }
  const auto captured = capture(scratch / "t");
  REQUIRE(os::make_directories(scratch / "r"));
  const auto done = write_all(captured.entries(), scratch / "r", "", captured.source());
  if (!done) FAIL(done.error().text());
  const auto again = capture(scratch / "r");
  CHECK(again.entries() == captured.entries());
  CHECK(again.result.manifest == captured.result.manifest);
}

TEST_CASE("materialize: a directory or a file of a tree is restored alone", "[tree]") {
  const Scratch scratch;
  make_nasty_tree(scratch / "t");
  const auto captured = capture(scratch / "t");
  std::vector<Entry> part;
  for (const Entry& entry : captured.entries())
    if (entry.path == "a/b" || entry.path.starts_with("a/b/")) part.push_back(entry);
  REQUIRE(os::make_directories(scratch / "dir"));
  REQUIRE(write_all(part, scratch / "dir", "a/b", captured.source()));
  CHECK(os::list_directory(scratch / "dir").value() == std::vector<std::string>{"deep", "script"});
  REQUIRE(os::make_directories(scratch / "file"));
  REQUIRE(write_all({part.back()}, scratch / "file", part.back().path, captured.source()));
  CHECK(os::read_text(scratch / "file/script").value() == "#!/bin/sh\necho\n");
}

TEST_CASE("materialize: nothing is written through a planted symlink or over a file", "[tree]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "outside"));
  REQUIRE(os::make_directories(scratch / "r"));
  REQUIRE(symlink((scratch / "outside").c_str(), (scratch / "r/dir").c_str()) == 0);
  make_file(scratch / "r/file", to_buffer("mine"));
  const auto none = [](const format::ChunkRef&) -> Result<Buffer> { return Buffer(); };
  const auto planted = write_all({{.path = "dir/x", .kind = EntryKind::file, .mode = 0644}},
                                 scratch / "r", "", none);
  REQUIRE_FALSE(planted);
  CHECK(planted.error().kind() == ErrorKind::refused);
  CHECK(planted.error().text().find("dir/x") != std::string::npos);
  CHECK(os::list_directory(scratch / "outside").value().empty());
  CHECK_FALSE(write_all({{.path = "file", .kind = EntryKind::file, .mode = 0644}}, scratch / "r",
                        "", none));
  CHECK(os::read_text(scratch / "r/file").value() == "mine");
  CHECK_FALSE(write_all({{.path = "../x", .kind = EntryKind::file}}, scratch / "r", "", none));
  CHECK_FALSE(os::exists(scratch / "x"));
}

TEST_CASE("materialize: a missing chunk leaves no half file and names the path", "[tree]") {
  const Scratch scratch;
  make_file(scratch / "t", noise(300'000, 1));
  REQUIRE(os::make_directories(scratch / "r"));
  Entry entry{.path = "big", .kind = EntryKind::file, .mode = 0644, .size = 10};
  entry.chunks = {ref_of(noise(10, 1))};
  const auto done =
      write_all({entry}, scratch / "r", "", [](const format::ChunkRef& ref) -> Result<Buffer> {
        return fail(ErrorKind::not_found, "chunk " + ref.id.short_hex());
      });
  REQUIRE_FALSE(done);
  CHECK(done.error().text().find("'big'") != std::string::npos);
  CHECK(os::list_directory(scratch / "r").value().empty());
}
