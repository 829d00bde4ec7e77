#include "shared/image/records/packages.hpp"

#include <catch2/catch.hpp>

using namespace lamina::image;

TEST_CASE("packages: those that are installed, in order", "[image]") {
  const auto found = installed_packages(
      "Package: zlib1g\nStatus: install ok installed\nPriority: optional\nArchitecture: amd64\n"
      "Multi-Arch: same\nVersion: 1:1.2.13\nDescription: a library\n Version: none of this one\n\n"
      "Package: old\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n"
      "Package: half\nStatus: install reinstreq half-installed\nArchitecture: all\nVersion: 2\n\n"
      "Package: held\nStatus: hold ok installed\nArchitecture: all\nVersion: 3-1\n");
  CHECK(found == std::vector<InstalledPackage>{{"held", "3-1", "all"},
                                               {"zlib1g", "1:1.2.13", "amd64"}});
}

TEST_CASE("packages: a file that is no package database has none", "[image]") {
  CHECK(installed_packages("").empty());
  CHECK(installed_packages("this is\nsome other file\n").empty());
}
