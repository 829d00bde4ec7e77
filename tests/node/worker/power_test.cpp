// What programs of the volume wrote is on its disk before anything that counts on it.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "node/worker/boot_loader.hpp"
#include "tests/node/worker/own_shell.hpp"
#include "tests/node/worker/worker_fixture.hpp"

namespace {
// Looks at the volume whenever its file system is synced.
std::function<void()> at_sync;
}  // namespace

// In the place of the C library's.
extern "C" int syncfs(int fd) noexcept {
  if (at_sync) at_sync();
  return static_cast<int>(syscall(SYS_syncfs, fd));
}

using namespace lamina;
using namespace lamina::tests;

namespace {

struct Bench : WorkerBench {
  Bench() = default;
  ~Bench() { at_sync = nullptr; }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  std::string file(const std::string& path) const { return scratch / ("volume/" + path); }
  void program(const std::string& path, const std::string& text) {
    REQUIRE(os::make_directories(file(path.substr(0, path.rfind('/')))));
    make_file(file(path), to_buffer("#!/bin/sh\n" + text), 0755);
  }
  // Applies a layer with a library and a script.
  void apply_one() {
    const std::string tree = scratch / "tree";
    REQUIRE(os::make_directories(tree + "/usr/lib"));
    make_file(tree + "/usr/lib/libx.so.1", to_buffer("library"));
    const LayerId base =
        layer(tree, "1", publisher, format::LayerKind::base, "12", [](format::LayerRecord& record) {
          record.scripts.push_back({"s", 60, "echo done > /scripted"});
        });
    target(1, {base}, target_key);
    const auto reply = apply();
    REQUIRE(reply.remarks.empty());
    REQUIRE(reply.scripts.size() == 1);
    REQUIRE(reply.scripts[0].is_good());
  }
};

}  // namespace

TEST_CASE("power: derived files are on the disk before they are not due any more", "[node]") {
  Bench f;
  if (!put_shell(f.file(""))) return;
  f.program("sbin/ldconfig", "echo made > /cache");
  int seen = 0;
  at_sync = [&] { seen += os::exists(f.file("cache")) && os::exists(f.file(".lamina/due")); };
  f.apply_one();
  CHECK(os::exists(f.file("cache")));
  CHECK_FALSE(os::exists(f.file(".lamina/due")));
  CHECK(seen == 1);
}

TEST_CASE("power: what a script did is on the disk before it counts as run", "[node]") {
  Bench f;
  if (!put_shell(f.file(""))) return;
  f.program("sbin/ldconfig", "");
  int seen = 0;
  at_sync = [&] {
    if (!os::exists(f.file("scripted"))) return;
    const auto aftermath =
        node::parse_aftermath(os::read_file(f.file(".lamina/after"), 65536).value());
    REQUIRE(aftermath);
    seen += aftermath->scripts.size() == 1 && !aftermath->scripts[0].end;
  };
  f.apply_one();
  CHECK(seen == 1);
}

TEST_CASE("power: GRUB's new configuration is on the disk before it is in charge", "[node]") {
  Bench f;
  if (!put_shell(f.file(""))) return;
  const std::string own = f.file("boot/grub/grub.cfg"), ours = f.file("boot/lamina/grub.cfg");
  for (const char* name : {"boot/grub", "lib/modules/6.1"})
    REQUIRE(os::make_directories(f.file(name)));
  make_file(f.file("boot/vmlinuz-6.1"), to_buffer("kernel"));
  make_file(f.file("boot/initrd.img-6.1"), to_buffer("initramfs"));
  make_file(own, to_buffer("source /boot/lamina/grub.cfg\n"));
  f.program("usr/sbin/grub-mkconfig", "echo new > $2");
  auto root = os::Root::open(f.file("")).value();
  node::Grub loader(root, {.kernel = "6.1", .arguments = "quiet", .had_early_part = true});
  REQUIRE(loader.keep());

  std::vector<std::string> seen;
  at_sync = [&] {
    const auto made = os::read_text(ours + ".made");
    seen.push_back(std::string(made && *made == "new\n" ? "made" : "-") +
                   (os::read_text(own).value() == "new\n" ? " own" : " -") +
                   (os::exists(ours) ? " ours" : " -"));
  };
  const auto released = loader.release();
  if (!released) FAIL(released.error().text());
  CHECK(os::read_text(own).value() == "new\n");
  CHECK_FALSE(os::exists(ours));
  CHECK(seen == std::vector<std::string>{"made - ours", "- own ours"});
}
