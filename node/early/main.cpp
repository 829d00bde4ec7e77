// lamina-early: Lamina's part of the initramfs. Run with the root of the machine mounted, before
// anything runs from it: node/worker/early.hpp says what it does. Restarts the machine when that is
// due; whatever happens, it leaves a root that the start can go on with.
#include <linux/reboot.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "node/worker/early.hpp"
#include "shared/base/log.hpp"
#include "shared/cli/exit_code.hpp"
#include "shared/os/errno.hpp"

namespace {

using namespace lamina;

constexpr const char* kHelp =
    "usage: lamina-early ROOT\n\n"
    "Carries out what waits for the start of the machine on its mounted root directory: run by "
    "the\n"
    "initramfs (scripts/local-bottom/lamina), not by hand. Restarts the machine after a change.\n\n"
    "Exit codes: 0 the start goes on; 1 it goes on, and what waits was not carried out (why is on\n"
    "stderr); 2 wrong arguments.\n\n"
    "Example: lamina-early /root\n";

Status remount(const std::string& root, bool writable) {
  struct statvfs facts {};
  if (statvfs(root.c_str(), &facts) != 0) return fail(os::last_error("looking at " + root));
  if (((facts.f_flag & ST_RDONLY) == 0) == writable) return Done{};
  unsigned long flags = MS_REMOUNT | (writable ? 0 : MS_RDONLY);
  for (const auto& [is_set, flag] :
       {std::pair<unsigned long, unsigned long>{ST_NOATIME, MS_NOATIME},
        {ST_NODIRATIME, MS_NODIRATIME},
        {ST_RELATIME, MS_RELATIME}})
    if ((facts.f_flag & is_set) != 0) flags |= flag;
  if (mount(nullptr, root.c_str(), nullptr, flags, nullptr) != 0)
    return fail(os::last_error("mounting " + root + " anew"));
  return Done{};
}

Result<node::EarlyEnd> start(const std::string& path) {
  auto transaction = node::Transaction::open(path);
  if (!transaction) return fail(std::move(transaction.error()));
  node::Grub loader(transaction->volume(), node::Grub::this_machine());
  return node::start_early(*transaction, loader);
}

// Most starts have nothing to do, and leave the root as it was mounted.
bool is_needed(const std::string& root) {
  return os::exists(root + "/.lamina/txn") || os::exists(root + "/.lamina/trial") ||
         os::exists(root + "/boot/lamina/released");
}

int run(const std::string& root) {
  if (auto marked = os::write_file(node::kEarlyMark, as_view(LAMINA_VERSION "\n")); !marked)
    log::warning("early_mark_missing", {{"error", marked.error().text()}});
  if (!is_needed(root)) return cli::ok;
  struct statvfs facts {};
  const bool was_writable = statvfs(root.c_str(), &facts) == 0 && (facts.f_flag & ST_RDONLY) == 0;
  auto done = remount(root, true);
  // For the tools that make an initramfs.
  const std::string sys = root + "/sys";
  const bool has_sys = mount("/sys", sys.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0;
  auto end = done ? start(root) : Result<node::EarlyEnd>(fail(std::move(done.error())));
  if (has_sys) umount2(sys.c_str(), MNT_DETACH);
  sync();
  if (!end) log::error("early_failed", {{"error", end.error().text()}});
  const bool restarts = end && *end == node::EarlyEnd::restart;
  if (auto back = remount(root, was_writable && !restarts); !back)
    log::warning("early_remount_failed", {{"error", back.error().text()}});
  if (restarts) {
    log::info("early_restarts_the_machine");
    if (reboot(LINUX_REBOOT_CMD_RESTART) != 0)
      log::error("early_failed", {{"error", os::last_error("restarting the machine").text()}});
  }
  return end ? cli::ok : cli::failed;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::cout << kHelp;
    return cli::ok;
  }
  // Not beneath a running system, which would be restarted.
  if (argc != 2 || std::string_view(argv[1]) == "/") {
    std::cerr << kHelp;
    return cli::usage;
  }
  return run(argv[1]);
}
