#include "shared/os/line_file.hpp"

#include <catch2/catch.hpp>

#include "tests/support/scratch_directory.hpp"

using namespace lamina;

TEST_CASE("line file: it holds whole lines, up to its bound, and starts empty", "[os]") {
  const ScratchDirectory directory;
  const std::string path = directory.path() / "record";
  REQUIRE(os::write_file(path, as_view("old")));
  {
    auto file = os::LineFile::create(path, Bytes{10});
    REQUIRE(file);
    file->add("four");
    CHECK(os::read_text(path) == "four\n");
    file->add("too long");
    file->add("x");  // It would fit, but something before it is missing.
  }
  CHECK(os::read_text(path) == "four\n");
}

TEST_CASE("line file: a disk that is full ends the record, not the program", "[os]") {
  auto file = os::LineFile::create("/dev/full", 1_MiB);
  REQUIRE(file);
  file->add("lost");
  file->add("ignored");
  CHECK_FALSE(os::LineFile::create("/nonexistent/record", 1_MiB));
}
