#include "shared/os/beneath.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "shared/os/xattr.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using tests::Scratch;

namespace {

struct Tree {
  Tree() {
    REQUIRE(os::make_directories(scratch / "root/dir"));
    REQUIRE(os::write_file(scratch / "root/dir/file", as_view("inside")));
    REQUIRE(os::write_file(scratch / "secret", as_view("outside")));
    REQUIRE(symlink("..", (scratch / "root/up").c_str()) == 0);
    REQUIRE(symlink(scratch.path().c_str(), (scratch / "root/abs").c_str()) == 0);
    REQUIRE(symlink("dir", (scratch / "root/in").c_str()) == 0);
  }
  Scratch scratch;
  bool made = os::make_directories(scratch / "root").has_value();
  os::Root root = os::Root::open(scratch / "root").value();
};

}  // namespace

TEST_CASE("root: read as a root, its symlinks lead to files inside", "[os]") {
  const Tree tree;
  REQUIRE(symlink("/dir/file", (tree.scratch / "root/absolute").c_str()) == 0);
  REQUIRE(symlink("../../../dir/file", (tree.scratch / "root/climbing").c_str()) == 0);
  for (const std::string path : {"in/file", "absolute", "climbing", "../dir/file"}) {
    CAPTURE(path);
    const auto file = tree.root.open_in_root(path, O_RDONLY);
    REQUIRE(file);
    CHECK(as_text(os::read_up_to(file->get(), 100, path).value()) == "inside");
  }
  for (const std::string path : {"up/secret", "abs/secret", "../secret"}) {
    CAPTURE(path);
    const auto file = tree.root.open_in_root(path, O_RDONLY);
    REQUIRE_FALSE(file);
    CHECK(file.error().kind() == ErrorKind::not_found);
  }
}

TEST_CASE("root: no path leads out of it", "[os]") {
  const Tree tree;
  for (const std::string path :
       {"up/secret", "abs/secret", "../secret", "dir/../../secret", "in/file", "up", "abs"}) {
    CAPTURE(path);
    const auto file = tree.root.open_at(path, O_RDONLY);
    REQUIRE_FALSE(file);
    CHECK(file.error().kind() == ErrorKind::refused);
    CHECK(file.error().text().find(path) != std::string::npos);
  }
  CHECK_FALSE(tree.root.make_directory("up/planted"));
  CHECK_FALSE(tree.root.remove("up/secret"));
  CHECK_FALSE(tree.root.rename("dir/file", "up/stolen", os::Root::Rename::replace));
  CHECK(os::exists(tree.scratch / "secret"));
  CHECK(tree.root.open_at("dir/file", O_RDONLY));
}

TEST_CASE("root: facts tell missing from unreachable", "[os]") {
  const Tree tree;
  CHECK(tree.root.facts("dir/file").value()->st_size == 6);
  CHECK(S_ISLNK(tree.root.facts("up").value()->st_mode));
  CHECK(S_ISDIR(tree.root.facts("").value()->st_mode));
  CHECK_FALSE(tree.root.facts("dir/none").value());
  CHECK_FALSE(tree.root.facts("dir/file/none").value());
  CHECK_FALSE(tree.root.facts("up/secret").has_value());
}

TEST_CASE("root: rename exchanges, refuses or replaces as asked", "[os]") {
  const Tree tree;
  using Rename = os::Root::Rename;
  REQUIRE(os::write_file(tree.scratch / "root/other", as_view("other")));
  CHECK_FALSE(tree.root.rename("other", "dir/file", Rename::no_replace));
  REQUIRE(tree.root.rename("other", "dir/file", Rename::exchange));
  CHECK(os::read_text(tree.scratch / "root/other").value() == "inside");
  REQUIRE(tree.root.rename("other", "dir/file", Rename::replace));
  CHECK(os::read_text(tree.scratch / "root/dir/file").value() == "inside");
  CHECK(tree.root.remove("dir").error().kind() == ErrorKind::invalid);
  REQUIRE(tree.root.remove("dir/file"));
  REQUIRE(tree.root.remove("dir"));
  CHECK(tree.root.remove("dir").error().kind() == ErrorKind::not_found);
}

TEST_CASE("xattr: values of any bytes come back, sorted by name", "[os]") {
  const Tree tree;
  const std::string value("\0\xff\n", 3);
  const auto set = os::set_xattr(tree.root.fd(), "dir/file", "user.b", value, "file");
  if (!set) {
    WARN("this file system has no user attributes: not tested");
    return;
  }
  REQUIRE(os::set_xattr(tree.root.fd(), "dir/file", "user.a", "", "file"));
  CHECK(os::read_xattrs(tree.root.fd(), "dir/file", "file").value() ==
        os::Xattrs{{"user.a", ""}, {"user.b", value}});
  REQUIRE(os::remove_xattr(tree.root.fd(), "dir/file", "user.a", "file"));
  CHECK(os::read_xattrs(tree.root.fd(), "dir/file", "file").value().size() == 1);
  CHECK(os::read_xattrs(tree.root.fd(), "up", "up").value().empty());
}
