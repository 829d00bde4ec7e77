#include "shared/tree/materialize.hpp"

#include <sys/xattr.h>

#include <cstdlib>

#include "shared/format/path.hpp"
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

TEST_CASE("materialize: metadata never goes through a symlink that took the place of a file",
          "[tree]") {
  const Scratch scratch;
  make_file(scratch / "outside", to_buffer("x"), 0600);
  REQUIRE(os::make_directories(scratch / "r"));
  REQUIRE(symlink("../outside", (scratch / "r/f").c_str()) == 0);
  const auto root = os::Root::open(scratch / "r");
  REQUIRE(root);
  const auto done =
      set_metadata(root->fd(), "f", {.path = "f", .kind = EntryKind::file, .mode = 0666}, kOptions);
  REQUIRE_FALSE(done);
  CHECK(done.error().text().find("'f'") != std::string::npos);
  struct stat facts {};
  REQUIRE(stat((scratch / "outside").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0600);
}

TEST_CASE("materialize: a part whose hard links begin outside of it is made from the first name",
          "[tree]") {
  const Scratch scratch;
  make_nasty_tree(scratch / "t");
  make_file(scratch / "t/a/zz", noise(100, 7));
  for (const char* name : {"a.b/one", "a.b/two"})
    REQUIRE(link((scratch / "t/a/zz").c_str(), (scratch / "t" + '/' + name).c_str()) == 0);
  const auto captured = capture(scratch / "t");
  const auto entries = captured.entries();
  std::vector<Entry> part;
  for (const Entry& entry : entries)
    if (format::is_within(entry.path, "a.b")) part.push_back(entry);
  REQUIRE(os::make_directories(scratch / "r"));
  auto root = os::Root::open(scratch / "r");
  REQUIRE(root);
  const auto find = [&](const std::string& path) -> Result<Entry> {
    for (const Entry& entry : entries)
      if (entry.path == path) return entry;
    return fail(ErrorKind::not_found, path);
  };
  TreeWriter writer(*root, "a.b", captured.source(), kOptions);
  writer.find_outside(find);
  for (const Entry& entry : part) REQUIRE(writer.write(entry));
  REQUIRE(writer.finish());
  CHECK(os::read_file(scratch / "r/hard", 1 << 20).value() == noise(300'000, 1));
  struct stat one {};
  struct stat two {};
  REQUIRE(stat((scratch / "r/one").c_str(), &one) == 0);
  REQUIRE(stat((scratch / "r/two").c_str(), &two) == 0);
  CHECK(one.st_ino == two.st_ino);
  CHECK(one.st_nlink == 2);

  // One name alone, asked for by its path.
  REQUIRE(os::make_directories(scratch / "alone"));
  auto alone = os::Root::open(scratch / "alone");
  REQUIRE(alone);
  TreeWriter single(*alone, "a.b/two", captured.source(), kOptions);
  single.find_outside(find);
  REQUIRE(single.write(part.back()));
  REQUIRE(single.finish());
  CHECK(os::read_file(scratch / "alone/two", 1000).value() == noise(100, 7));

  REQUIRE(os::make_directories(scratch / "w"));
  const auto without = write_all(part, scratch / "w", "a.b", captured.source());
  REQUIRE_FALSE(without);
  CHECK(without.error().kind() == ErrorKind::invalid);
}

TEST_CASE("materialize: owners by name get the id of the target's own accounts", "[tree]") {
  if (geteuid() != 0) {
    WARN("changing owners needs root: not checked");
    return;
  }
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "r/etc"));
  make_file(scratch / "r/etc/passwd",
            to_buffer("root:x:0:0::/:\nweb:x:501:1::/:\nweb:x:9:1::/:\n"));
  make_file(scratch / "r/etc/group", to_buffer("root:x:0:\nmail:x:77:\n"));
  auto root = os::Root::open(scratch / "r");
  REQUIRE(root);
  const auto accounts = AccountNames::of_tree(*root);
  CHECK(accounts.user(501) == "web");
  CHECK_FALSE(accounts.user_id(""));
  const auto none = [](const format::ChunkRef&) -> Result<Buffer> { return Buffer(); };
  const auto owner_of = [&](const std::string& name, const AccountNames* names) {
    const Entry entry{.path = name,
                      .kind = EntryKind::file,
                      .mode = 04755,
                      .uid = 33,
                      .gid = 34,
                      .owner = "web",
                      .group = "unknown"};
    REQUIRE(make_entry(root->fd(), name, entry, none, {.accounts = names}));
    struct stat facts {};
    REQUIRE(fstatat(root->fd(), name.c_str(), &facts, 0) == 0);
    CHECK((facts.st_mode & 07777) == 04755);
    return std::pair(facts.st_uid, facts.st_gid);
  };
  CHECK(owner_of("by-id", nullptr) == std::pair<uid_t, gid_t>(33, 34));
  CHECK(owner_of("by-name", &accounts) == std::pair<uid_t, gid_t>(501, 34));
}
