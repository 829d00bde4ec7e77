#include "shared/os/file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "shared/os/lock.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using tests::Scratch;

TEST_CASE("file: an atomic write leaves the content, the mode and nothing else", "[os]") {
  const Scratch scratch;
  REQUIRE(os::write_file(scratch / "a", as_view("one"), 0640));
  REQUIRE(os::write_file(scratch / "a", as_view("two"), 0600));
  CHECK(os::read_text(scratch / "a").value() == "two");
  CHECK(os::list_directory(scratch.path()).value() == std::vector<std::string>{"a"});
  struct stat facts {};
  REQUIRE(stat((scratch / "a").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0600);
}

TEST_CASE("file: errors name the path and have a kind", "[os]") {
  const Scratch scratch;
  const auto missing = os::read_file(scratch / "none", 10);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind() == ErrorKind::not_found);
  CHECK(missing.error().text().find("none") != std::string::npos);
  REQUIRE(os::write_file(scratch / "a", as_view("12345")));
  CHECK(os::read_file(scratch / "a", 4).error().kind() == ErrorKind::invalid);
  const auto file = os::open_read(scratch / "a");
  REQUIRE(file);
  CHECK(os::read_at(file->get(), 3, 3, "a").error().kind() == ErrorKind::corrupt);
  CHECK(os::make_directories(scratch / "a/b").error().kind() == ErrorKind::not_found);
}

TEST_CASE("file: a tree is removed without following its symlinks", "[os]") {
  const Scratch scratch;
  REQUIRE(os::make_directories(scratch / "keep"));
  REQUIRE(os::write_file(scratch / "keep/file", as_view("x")));
  REQUIRE(os::make_directories(scratch / "gone/a/b"));
  REQUIRE(symlink((scratch / "keep").c_str(), (scratch / "gone/a/link").c_str()) == 0);
  REQUIRE(os::remove_tree(scratch / "gone"));
  CHECK_FALSE(os::exists(scratch / "gone"));
  CHECK(os::exists(scratch / "keep/file"));
  CHECK(os::remove_tree(scratch / "gone"));
}

TEST_CASE("lock: a second taker is told who has it", "[os]") {
  const Scratch scratch;
  {
    const auto first = os::FileLock::take(scratch / "lock");
    REQUIRE(first);
    const auto second = os::FileLock::take(scratch / "lock");
    REQUIRE_FALSE(second);
    CHECK(second.error().kind() == ErrorKind::unavailable);
    CHECK(second.error().text().find(std::to_string(getpid())) != std::string::npos);
  }
  CHECK(os::FileLock::take(scratch / "lock"));
}

TEST_CASE("lock: a directory is shared, or one has it alone", "[os]") {
  using Mode = os::FileLock::Mode;
  const Scratch scratch;
  const std::string path = scratch.path();
  {
    const auto first = os::FileLock::take_directory(path, Mode::shared);
    REQUIRE(first);
    CHECK(os::FileLock::take_directory(path, Mode::shared));
    CHECK(os::FileLock::wait_to_share(path));
    CHECK(os::FileLock::take_directory(path, Mode::alone).error().kind() == ErrorKind::unavailable);
  }
  std::optional<os::FileLock> alone;
  alone.emplace(std::move(*os::FileLock::take_directory(path, Mode::alone)));
  CHECK(os::FileLock::take_directory(path, Mode::shared).error().kind() == ErrorKind::unavailable);
  CHECK(os::FileLock::take_directory(path, Mode::alone).error().kind() == ErrorKind::unavailable);
  std::atomic<bool> is_released = false;
  bool waited = false;
  {
    const std::jthread waiting(
        [&] { waited = os::FileLock::wait_to_share(path) && is_released.load(); });
    is_released = true;
    alone.reset();
  }
  CHECK(waited);
  CHECK(os::list_directory(path)->empty());
  CHECK(os::FileLock::take_directory(path + "/gone", Mode::shared).error().kind() ==
        ErrorKind::not_found);
}
