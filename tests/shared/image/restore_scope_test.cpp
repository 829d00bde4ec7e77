#include "shared/image/restore_scope.hpp"

#include <catch2/catch.hpp>

#include "shared/image/list_stream.hpp"

using namespace lamina;
using namespace lamina::image;
using format::Entry;
using format::EntryKind;

namespace {

Entry file(const std::string& path, std::uint64_t size = 0) {
  return {.path = path, .kind = EntryKind::file, .mode = 0644, .owner = "root", .size = size};
}

const Protection factory;

bool covers(RestoreLevel level, const std::string& path, bool directory = false,
            Disks disks = Disks::restored) {
  const Entry entry = file(path, 1);
  return RestoreScope(level, disks, factory, factory).covers(path, directory, &entry, nullptr);
}

}  // namespace

TEST_CASE("restore scope: every level by area", "[image]") {
  using enum RestoreLevel;
  struct Row {
    const char* path;
    bool whole, system, apps_and_user, user;
  };
  // What base the path is of is told apart below.
  const Row rows[] = {
      {"home/ann/report", true, false, true, true},
      {"root/.bashrc", true, false, true, true},
      {"home", true, true, true, false},
      {"etc/machine-id", true, true, false, false},
      {"etc/fstab", true, true, false, false},
      {"boot/grub/grub.cfg", true, true, false, false},
      {"usr/bin/tool", true, true, true, false},
      {"var/log/syslog", true, true, true, false},
      {".lamina/stack", false, false, false, false},
      {"proc/1", false, false, false, false},
      {"tmp/x", false, false, false, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path);
    const bool directory = std::string(row.path) == "home";
    CHECK(covers(whole, row.path, directory) == row.whole);
    CHECK(covers(RestoreLevel::system, row.path, directory) == row.system);
    CHECK(covers(apps_and_user, row.path, directory) == row.apps_and_user);
    CHECK(covers(user, row.path, directory) == row.user);
  }
}

TEST_CASE("restore scope: system and user together are the whole, and share nothing", "[image]") {
  for (const char* path : {"", "home", "home/x", "root", "root/x", "etc/passwd", "etc/fstab",
                           "run/x", "var/log/x", "srv/data"})
    for (const bool directory : {false, true}) {
      CAPTURE(path, directory);
      const bool system = covers(RestoreLevel::system, path, directory);
      const bool user = covers(RestoreLevel::user, path, directory);
      CHECK_FALSE((system && user));
      CHECK((system || user) == covers(RestoreLevel::whole, path, directory));
    }
}

TEST_CASE("restore scope: what the base layer has is left to it", "[image]") {
  const RestoreScope scope(RestoreLevel::apps_and_user, Disks::restored, factory, factory);
  const Entry base = file("usr/bin/ls", 1);
  Entry same = base;
  same.uid = 7;  // Owners go by name.
  CHECK_FALSE(scope.covers("usr/bin/ls", false, &same, &base));
  Entry other = base;
  other.size = 2;
  CHECK(scope.covers("usr/bin/ls", false, &other, &base));
  other = base;
  other.owner = "ann";
  CHECK(scope.covers("usr/bin/ls", false, &other, &base));
  // The user removed it; it may have come back since.
  CHECK_FALSE(scope.covers("usr/bin/ls", false, nullptr, &base));
  // Installed by the user since.
  CHECK(scope.covers("usr/bin/new", false, nullptr, nullptr));
}

TEST_CASE("restore scope: another machine's disks stay as they are", "[image]") {
  for (const char* path : {"etc/fstab", "etc/crypttab", "boot/grub/grub.cfg", "etc/default/grub",
                           "etc/initramfs-tools/conf.d/resume"}) {
    CAPTURE(path);
    CHECK_FALSE(covers(RestoreLevel::whole, path, false, Disks::kept));
  }
  for (const char* path : {"etc/hostname", "etc/ssh/ssh_host_rsa_key", "home/ann/x", "usr/bin/x"}) {
    CAPTURE(path);
    CHECK(covers(RestoreLevel::whole, path, false, Disks::kept));
  }
}

TEST_CASE("restore scope: the base layer is asked in order", "[image]") {
  BaseEntries base(
      std::make_unique<ListStream>(std::vector{file("a"), file("b/x"), file("b/z"), file("c")}));
  CHECK(base.at("a").value()->path == "a");
  CHECK(base.at("a").value()->path == "a");
  CHECK(base.at("b").value() == nullptr);
  CHECK(base.at("b/x").value()->path == "b/x");
  CHECK(base.at("b/y").value() == nullptr);
  CHECK(base.at("c").value()->path == "c");
  CHECK(base.at("d").value() == nullptr);
}

TEST_CASE("restore scope: what a start needs comes first", "[image]") {
  for (const char* path : {"boot/vmlinuz", "usr/lib/systemd/systemd", "etc/fstab", "usr/bin/sh",
                           "lib64/ld-linux-x86-64.so.2"})
    CHECK(is_needed_to_start(path));
  for (const char* path : {"home/x", "usr/share/doc/x", "var/lib/x", "usr/lib/debug/x", "opt/x"})
    CHECK_FALSE(is_needed_to_start(path));
}

TEST_CASE("restore scope: levels have names", "[image]") {
  for (const RestoreLevel level : kRestoreLevels)
    CHECK(parse_restore_level(name_of(level)).value() == level);
  CHECK(parse_restore_level("all").error().kind() == ErrorKind::invalid);
}

TEST_CASE("restore scope: the users' areas of the device's policy are its users'", "[image]") {
  const auto now =
      Protection::make({.unprotected = {}, .user = {{"data", {"srv/data"}, {"srv/data/shared"}}}});
  REQUIRE(now);
  const auto touches = [&](RestoreLevel level, const char* path) {
    const Entry entry = file(path);
    return RestoreScope(level, Disks::restored, factory, *now).covers(path, false, &entry, nullptr);
  };
  CHECK_FALSE(touches(RestoreLevel::system, "srv/data/x"));
  CHECK(touches(RestoreLevel::user, "srv/data/x"));
  CHECK(touches(RestoreLevel::apps_and_user, "srv/data/x"));
  CHECK(touches(RestoreLevel::system, "srv/data/shared/x"));
  CHECK_FALSE(touches(RestoreLevel::user, "srv/data/shared/x"));
}

TEST_CASE("restore scope: what no snapshot holds is not removed", "[image]") {
  const auto protection =
      Protection::make({.unprotected = {{"cache", {"srv/cache/*"}, {}}}, .user = {}});
  REQUIRE(protection);
  const RestoreScope left_out_then(RestoreLevel::whole, Disks::restored, *protection, factory);
  const RestoreScope left_out_now(RestoreLevel::whole, Disks::restored, factory, *protection);
  const Entry held = file("srv/cache/x");
  CHECK_FALSE(left_out_then.covers("srv/cache/y", false, nullptr, nullptr));
  CHECK(left_out_then.covers("srv/cache", true, &held, nullptr));
  // It was protected then, and comes back; what is new there stays.
  CHECK(left_out_now.covers("srv/cache/x", false, &held, nullptr));
  CHECK_FALSE(left_out_now.covers("srv/cache/y", false, nullptr, nullptr));
  CHECK(left_out_now.covers("srv/other", false, nullptr, nullptr));
}
