#include "shared/os/mounts.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace lamina;

TEST_CASE("mounts: those beneath a directory, relative to it", "[os]") {
  constexpr const char* kMounts =
      "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "22 21 0:5 / /mnt rw - ext4 /dev/sdb1 rw\n"
      "23 22 0:6 / /mnt/home rw - ext4 /dev/sdb2 rw\n"
      "24 22 0:7 / /mnt/my\\040disk rw - ext4 /dev/sdb3 rw\n"
      "25 23 0:8 / /mnt/home/ann rw - ext4 /dev/sdb4 rw\n"
      "26 25 0:9 / /mnt/home/ann rw - ext4 /dev/sdb5 rw\n"
      "27 21 0:9 / /mnt2/x rw - ext4 /dev/sdb5 rw\n"
      "none of these\n\n";
  using Places = std::vector<std::string>;
  CHECK(os::mounts_beneath(kMounts, "/mnt") == Places{"home", "home/ann", "my disk"});
  CHECK(os::mounts_beneath(kMounts, "/mnt/home") == Places{"ann"});
  CHECK(os::mounts_beneath(kMounts, "/").size() == 5);
  CHECK(os::mounts_beneath(kMounts, "/mnt3").empty());
}

TEST_CASE("mounts: those of this process, and of no directory", "[os]") {
  const auto here = os::mounts_beneath("/");
  REQUIRE(here);
  CHECK(std::ranges::find(*here, "proc") != here->end());
  const auto none = os::mounts_beneath("/no such directory");
  REQUIRE_FALSE(none);
  CHECK(none.error().kind() == ErrorKind::not_found);
}

TEST_CASE("fstab: lines with their first three fields", "[os]") {
  const auto lines = os::parse_fstab(
      "# comment\n\nUUID=1-2 / ext4 defaults 0 1\n  LABEL=x\t/srv/my\\040data xfs\n/dev/sda1 none\n"
      "/swapfile none swap sw\n");
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].source == "UUID=1-2");
  CHECK(lines[0].type == "ext4");
  CHECK(lines[1].place == "/srv/my data");
  CHECK(lines[2].place == "none");
}
