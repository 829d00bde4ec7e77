// What GRUB is told while a volume is being changed.
#include "node/worker/boot_loader.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/shared/tree/trees.hpp"

using namespace lamina;
using namespace lamina::tests;
using node::Charge;
using node::Grub;

namespace {

constexpr const char* kArguments =
    "BOOT_IMAGE=/boot/vmlinuz-6.1.0-1-amd64 root=UUID=17 ro quiet dyndbg=\"file a.c +p\" "
    "it's=$HOME lamina.start=offered panic=30\n";

class Bench {
 public:
  Bench() {
    for (const char* name : {"boot/grub", "lib/modules/6.1.0-1-amd64"})
      REQUIRE(os::make_directories(at(name)));
    make_file(at("boot/vmlinuz-6.1.0-1-amd64"), to_buffer("kernel 1"));
    make_file(at("boot/initrd.img-6.1.0-1-amd64"), to_buffer("initramfs 1"));
    make_file(at("boot/grub/grub.cfg"),
              to_buffer("if [ -f /boot/lamina/grub.cfg ]; then\n  source /boot/lamina/grub.cfg\n"));
  }
  std::string at(const std::string& path) const { return scratch / ("volume/" + path); }
  Grub loader(bool had_early_part = true, const std::string& kernel = "6.1.0-1-amd64") {
    return Grub(root,
                {.kernel = kernel, .arguments = kArguments, .had_early_part = had_early_part});
  }
  void refused(const Status& said, const std::string& why) {
    REQUIRE_FALSE(said);
    CAPTURE(said.error().text());
    CHECK(said.error().kind() == ErrorKind::refused);
    CHECK(said.error().text().find(why) != std::string::npos);
  }

  Scratch scratch;
  os::Root root = made(scratch / "volume");

 private:
  static os::Root made(const std::string& path) {
    REQUIRE(os::make_directories(path));
    return os::Root::open(path).value();
  }
};

}  // namespace

TEST_CASE("grub: a configuration says what is in charge", "[node]") {
  for (const Charge& charge :
       {Charge{.kept = 1}, Charge{.kept = 1, .offered = 2}, Charge{.kept = 12, .offered = 3}}) {
    const std::string text = node::grub_configuration(charge, kArguments);
    CAPTURE(text);
    CHECK(node::parse_grub_configuration(text).value() == charge);
    const std::string kept = "/boot/lamina/" + std::to_string(charge.kept) + "/";
    CHECK(text.find("linux " + kept +
                    "vmlinuz 'root=UUID=17' 'ro' 'quiet' "
                    "'dyndbg=\"file a.c +p\"' 'it'\\''s=$HOME' lamina.start=kept\n") !=
          std::string::npos);
    CHECK(text.find("initrd " + kept + "initrd.img\n") != std::string::npos);
    CHECK((text.find("set default=lamina-offered") != std::string::npos) ==
          charge.offered.has_value());
    CHECK((text.find(" lamina.start=offered panic=30; then\n") != std::string::npos) ==
          charge.offered.has_value());
    CHECK(text.find("BOOT_IMAGE") == std::string::npos);
  }
  const Charge charge{.kept = 1, .offered = 2};
  CHECK(node::grub_configuration(charge, "ro panic=5")
            .find("'panic=5' lamina.start=offered; then\n") != std::string::npos);
  for (const char* damaged : {"", "# lamina", "# lamina kept", "# lamina kept x", "set default=0\n",
                              "# lamina kept 1 offered", "# lamina kept 1 offered -2"})
    CHECK(node::parse_grub_configuration(damaged).error().kind() == ErrorKind::corrupt);
}

TEST_CASE("grub: it takes the configuration for a script of its own", "[node]") {
  if (std::system("command -v grub-script-check > /dev/null") != 0) {
    WARN("skipped: grub-script-check (grub-common) is not installed");
    return;
  }
  const Scratch scratch;
  make_file(scratch / "grub.cfg",
            to_buffer(node::grub_configuration({.kept = 1, .offered = 2}, kArguments)));
  CHECK(std::system(("grub-script-check '" + (scratch / "grub.cfg") + "'").c_str()) == 0);
}

TEST_CASE("grub: the kept kernel outlives its files on the volume", "[node]") {
  Bench bench;
  auto loader = bench.loader();
  REQUIRE(loader.check());
  REQUIRE(loader.keep());
  for (const char* name : {"boot/vmlinuz-6.1.0-1-amd64", "boot/initrd.img-6.1.0-1-amd64"})
    REQUIRE(os::remove_file(bench.at(name)));
  CHECK(os::read_text(bench.at("boot/lamina/1/vmlinuz")).value() == "kernel 1");
  CHECK(os::read_text(bench.at("boot/lamina/1/initrd.img")).value() == "initramfs 1");
  const auto charge = [&] {
    return node::parse_grub_configuration(os::read_text(bench.at("boot/lamina/grub.cfg")).value())
        .value();
  };
  CHECK(charge() == Charge{.kept = 1});
  // One that is kept anew never takes the place of the one in charge.
  make_file(bench.at("boot/vmlinuz-6.1.0-1-amd64"), to_buffer("kernel 2"));
  make_file(bench.at("boot/initrd.img-6.1.0-1-amd64"), to_buffer("initramfs 2"));
  REQUIRE(loader.keep());
  CHECK(charge() == Charge{.kept = 2});
  CHECK(os::read_text(bench.at("boot/lamina/1/vmlinuz")).value() == "kernel 1");
  CHECK(os::read_text(bench.at("boot/lamina/2/vmlinuz")).value() == "kernel 2");
  // Nothing was offered.
  REQUIRE(loader.back_to_kept());
  CHECK(charge() == Charge{.kept = 2});
}

TEST_CASE("grub: nothing is offered of a stack that would lose the device", "[node]") {
  Bench bench;
  auto loader = bench.loader();
  REQUIRE(loader.keep());
  bench.refused(loader.offer(), "usr/bin/lamina-node");
  for (const char* part : {"usr/bin/lamina-node", "usr/lib/lamina/lamina-early",
                           "usr/share/initramfs-tools/hooks/lamina",
                           "usr/share/initramfs-tools/scripts/local-bottom/lamina"}) {
    REQUIRE(
        os::make_directories(bench.at(std::string(part).substr(0, std::string(part).rfind('/')))));
    make_file(bench.at(part), to_buffer("x"));
  }
  REQUIRE(os::remove_tree(bench.at("lib/modules")));
  const auto said = loader.offer();
  REQUIRE_FALSE(said);
  CHECK(said.error().text().find("no kernel") != std::string::npos);
}

TEST_CASE("grub: what a machine lacks for a change at its start is named", "[node]") {
  Bench bench;
  bench.refused(bench.loader(false).check(), "update-initramfs");
  bench.refused(bench.loader(true, "9.9").check(), "vmlinuz-9.9");
  make_file(bench.at("boot/grub/grub.cfg"), to_buffer("set default=0\n"));
  bench.refused(bench.loader().check(), "run update-grub");
  REQUIRE(os::remove_file(bench.at("boot/grub/grub.cfg")));
  bench.refused(bench.loader().check(), "it takes GRUB");
}
