#include "origin/cli/platform.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <map>

#include "tests/support/scratch.hpp"

using namespace lamina;
using origin::cli::platform_of;

namespace {

// The first 64 bytes of an ELF file: class, byte order and machine as elf(5) has them.
std::string elf(unsigned char bits, unsigned char order, unsigned machine) {
  std::string bytes(64, '\0');
  bytes.replace(0, 4,
                "\x7f"
                "ELF");
  bytes[4] = static_cast<char>(bits);
  bytes[5] = static_cast<char>(order);
  const auto low = static_cast<char>(machine & 0xff), high = static_cast<char>(machine >> 8);
  bytes[18] = order == 2 ? high : low;
  bytes[19] = order == 2 ? low : high;
  return bytes;
}

using Files = std::map<std::string, std::string>;
format::Platform detect(const Files& files) {
  return platform_of([&files](const std::string& path, std::size_t most) {
    const auto file = files.find(path);
    return file == files.end() ? std::string() : file->second.substr(0, most);
  });
}

}  // namespace

TEST_CASE("platform: the machine of the shell", "[cli]") {
  const struct {
    unsigned char bits, order;
    unsigned machine;
    std::string name;
  } cases[] = {{2, 1, 62, "x86_64"}, {1, 1, 62, "x32"},     {2, 1, 183, "aarch64"},
               {1, 1, 3, "i386"},    {1, 1, 40, "arm"},     {2, 1, 243, "riscv64"},
               {2, 2, 22, "s390x"},  {2, 1, 21, "ppc64le"}, {2, 2, 21, "ppc64"},
               {2, 1, 0x7777, ""},   {2, 2, 62 << 8, ""},   {1, 2, 40, "armeb"}};
  for (const auto& one : cases) {
    CAPTURE(one.machine, one.order);
    CHECK(detect({{"bin/sh", elf(one.bits, one.order, one.machine)}}).architecture == one.name);
  }
  CHECK(detect({{"bin/sh", "#!/bin/false"}}).architecture.empty());
  CHECK(detect({{"bin/sh", elf(2, 1, 62).substr(0, 19)}}).architecture.empty());
  CHECK(detect({{"bin/sh", "#!/usr/bin/execlineb"}, {"sbin/init", elf(2, 1, 183)}}).architecture ==
        "aarch64");
}

TEST_CASE("platform: a shell by its own name, where nothing is called sh", "[cli]") {
  for (const char* program : {"usr/bin/dash", "bin/dash", "usr/bin/bash", "bin/bash"}) {
    CAPTURE(program);
    CHECK(detect({{program, elf(2, 1, 183)}}).architecture == "aarch64");
  }
}

TEST_CASE("platform: what os-release says", "[cli]") {
  const auto of = [](const std::string& text) { return detect({{"etc/os-release", text}}); };
  CHECK(of("ID=debian\nVERSION_ID=\"12\"\n") == format::Platform{"linux", "debian", "12", ""});
  CHECK(of("VERSION_ID='22.04'\nID=\"ubuntu\"\n").release == "22");
  CHECK(of("ID=debian\nVERSION_CODENAME=forky\n").release == "forky");
  CHECK(of("VERSION_ID=1\n").distribution == "linux");
  CHECK(of("ID=\"a\\\"b\"\n").distribution == "a\"b");
  CHECK(of("ID=first\nXID=other\nID_LIKE=none\nID=last\r\n").distribution == "last");
  CHECK(detect({}) == format::Platform{});
  // os-release(5): the one in etc comes first.
  CHECK(detect({{"etc/os-release", "ID=a\n"}, {"usr/lib/os-release", "ID=b\n"}}).distribution ==
        "a");
}

TEST_CASE("platform: symlinks of the tree lead to its own files", "[cli]") {
  const tests::Scratch scratch;
  for (const char* directory : {"/usr/lib", "/usr/bin", "/etc"})
    REQUIRE(os::make_directories(scratch.path() + directory));
  REQUIRE(os::write_file(scratch / "usr/lib/release-12", as_view("ID=debian\nVERSION_ID=12\n")));
  REQUIRE(os::write_file(scratch / "usr/bin/dash", as_view(elf(2, 1, 183))));
  const auto link = [&](const char* target, const char* name) {
    REQUIRE(symlink(target, (scratch / name).c_str()) == 0);
  };
  link("usr/bin", "bin");
  link("/etc/alternatives/sh", "usr/bin/sh");
  REQUIRE(os::make_directories(scratch / "etc/alternatives"));
  link("/usr/bin/dash", "etc/alternatives/sh");
  link("../../../../usr/lib/release-12", "etc/os-release");
  const auto tree = os::Root::open(scratch.path());
  REQUIRE(tree);
  CHECK(platform_of(*tree) == format::Platform{"linux", "debian", "12", "aarch64"});
}
