#include "shared/image/rules.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "shared/image/classify.hpp"

using namespace lamina::image;

namespace {

const Protection factory;

}  // namespace

TEST_CASE("rules: what stays although no layer has it", "[image]") {
  for (const char* path : {"home/ann/letter", "etc/machine-id", "etc/ld.so.cache", "boot/vmlinuz-9",
                           "usr/lib/modules/9/x.ko", ".lamina/applied",
                           "etc/systemd/system/multi-user.target.wants/lamina-node.service"}) {
    CAPTURE(path);
    CHECK(factory.stays_unowned(path, false));
  }
  for (const char* path : {"opt/game", "usr/bin/game", "etc/game.conf", "boot", "home",
                           "etc/systemd/system/game.service", "var/lib/dpkg/info/game.list"}) {
    CAPTURE(path);
    CHECK_FALSE(factory.stays_unowned(path, false));
  }
}

TEST_CASE("rules: the first that fits is found wherever it stands", "[image]") {
  std::vector<std::string> paths = {"", "usr", "usr/bin/sh", "etc", "etcetera", "var/log/a/b"};
  for (const Rule& rule : factory_rules()) {
    std::string path(rule.pattern);
    // By the first component of its pattern a rule is found.
    CHECK(path.substr(0, path.find('/')).find('*') == std::string::npos);
    std::ranges::replace(path, '*', 'x');
    paths.insert(paths.end(), {path, path + "/beneath", path + 'x', "usr/" + path});
  }
  for (const std::string& path : paths)
    for (const bool is_directory : {false, true}) {
      CAPTURE(path, is_directory);
      const auto first = std::ranges::find_if(factory_rules(), [&](const Rule& rule) {
        return !(rule.covers == Covers::contents && is_directory) && matches(rule.pattern, path);
      });
      const Rule* const expected = first == factory_rules().end() ? nullptr : &*first;
      CHECK(factory_rule(path, is_directory) == expected);
    }
}

TEST_CASE("rules: a captured Debian is complete but for what is a device's own", "[image]") {
  for (const char* own :
       {"etc/machine-id", "etc/hostname", "etc/ssh/ssh_host_rsa_key", "boot/grub/grub.cfg",
        "boot/efi/EFI", "home/ann", "root/.bashrc", "var/lib/lamina-node/node.json", ".lamina",
        "proc/1", "dev/null", "var/tmp/x", "var/log/apt/history.log",
        "var/cache/apt/archives/x_1_amd64.deb", "etc/default/grub"}) {
    CAPTURE(own);
    CHECK_FALSE(in_capture(own, false));
  }
  for (const char* content :
       {"", "etc/passwd", "etc/mtab", "etc/ssh/sshd_config", "boot/vmlinuz-6.1.0-1-amd64",
        "boot/grub/unicode.pf2", "usr/bin/sh", "var/lib/dpkg/status", "etc/shadow"}) {
    CAPTURE(content);
    CHECK(in_capture(content, false));
  }
  for (const char* directory : {"proc", "sys", "dev", "run", "tmp", "var/tmp", "home", "root",
                                "var/log", "var/log/apt", "boot/efi", "boot/grub"}) {
    CAPTURE(directory);
    CHECK(in_capture(directory, true));
  }
}

TEST_CASE("rules: a snapshot holds all of a device but runtime files and Lamina's own", "[image]") {
  for (const char* held : {"etc/machine-id", "home/ann/x", "boot/grub/grub.cfg", "var/log/syslog"})
    CHECK(factory.in_snapshot(held, false));
  for (const char* left : {"proc/1", "run/x", ".lamina/undo", "var/lib/lamina-node/x"})
    CHECK_FALSE(factory.in_snapshot(left, false));
}

TEST_CASE("rules: what may lie beneath a directory", "[image]") {
  for (const char* path : {"", "etc", "home", "boot", "etc/ssh", "var/lib"})
    CHECK(factory.own_rule_beneath(path) != nullptr);
  for (const char* path : {"usr", "tmp", "etc/apt", "var/log"})
    CHECK(factory.own_rule_beneath(path) == nullptr);
}

TEST_CASE("rules: derived files are known by name", "[image]") {
  for (const auto& [path, name] : std::vector<std::pair<const char*, const char*>>{
           {"etc/ld.so.cache", "ld-so-cache"},
           {"usr/lib/modules/6.1.0-1-amd64/modules.dep.bin", "module-maps"},
           {"lib/modules/6.1.0-1-amd64/modules.builtin.alias.bin", "module-maps"},
           {"boot/initrd.img-6.1.0-1-amd64", "initramfs"},
           {"usr/share/icons/hicolor/icon-theme.cache", "icon-cache"},
           {"var/cache/fontconfig/CACHEDIR.TAG", "font-cache"}}) {
    CAPTURE(path);
    REQUIRE(derived_rule(path) != nullptr);
    CHECK(derived_rule(path)->name == name);
    // Captured, so that an applied base is complete.
    CHECK(in_capture(path, false));
  }
  // What the kernel's package itself brings, and what is merged by record.
  for (const char* path : {"", "usr/lib/modules/6.1.0-1-amd64/modules.order", "etc/ld.so.conf",
                           "usr/lib/modules/6.1.0-1-amd64/modules.builtin", "boot/vmlinuz-6.1.0-1",
                           "lib/modules/6.1.0-1-amd64/modules.builtin.modinfo", "etc/passwd",
                           "usr/share/icons/hicolor/index.theme"}) {
    CAPTURE(path);
    CHECK(derived_rule(path) == nullptr);
  }
}

TEST_CASE("rules: what an apply changed says what has to be made again", "[image]") {
  using Commands = std::vector<std::vector<std::string>>;
  struct Row {
    std::vector<const char*> changed;
    Commands commands;
  };
  const Row rows[] = {
      {{}, {}},
      {{"usr/bin/sh", "etc/passwd", "usr/share/doc/x"}, {}},
      {{"usr/lib/x86_64-linux-gnu/libssl.so.3", "usr/lib/libx.so"}, {{"ldconfig"}}},
      {{"usr/lib/modules/6.1/kernel/a.ko", "usr/lib/modules/5.10/kernel/a.ko",
        "usr/lib/modules/6.1/kernel/b.ko"},
       {{"depmod", "5.10"}, {"depmod", "6.1"}, {"update-initramfs", "-u", "-k", "all"}}},
      {{"usr/share/icons/hicolor/48x48/apps/x.png"},
       {{"gtk-update-icon-cache", "-q", "-f", "/usr/share/icons/hicolor"}}},
      // A derived file alone means no work, nor does a name that is an option.
      {{"etc/ld.so.cache", "usr/share/icons/hicolor/icon-theme.cache"}, {}},
      {{"usr/lib/modules/-a/kernel"}, {{"update-initramfs", "-u", "-k", "all"}}},
      {{"usr/share/icons/x y; z/a.png"},
       {{"gtk-update-icon-cache", "-q", "-f", "/usr/share/icons/x y; z"}}},
  };
  for (const Row& row : rows) {
    Regeneration regeneration;
    for (const char* path : row.changed) regeneration.add(path);
    CHECK((regeneration.commands() == row.commands));
  }
}

TEST_CASE("classify: base, app, machine and user", "[image]") {
  CHECK(classify(factory, "usr/bin/sh", false, 0) == Attribution{Origin::base});
  CHECK(classify(factory, "opt/app", false, 2) == Attribution{Origin::app, 2});
  CHECK(classify(factory, "opt/own", false, {}) == Attribution{Origin::machine});
  CHECK(classify(factory, "etc/fstab", false, 0) == Attribution{Origin::machine});
  CHECK(classify(factory, "home/ann/x", false, {}) == Attribution{Origin::user});
}
