#include "node/worker/boot_loader.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <vector>

#include "shared/base/log.hpp"
#include "shared/os/command.hpp"
#include "shared/os/errno.hpp"

namespace lamina::node {
namespace {

using Rename = os::Root::Rename;

// An initramfs on a slow disk takes a minute.
constexpr Duration kToolTime = std::chrono::minutes{10};
constexpr const char* kHome = "boot/lamina";
constexpr const char* kConfiguration = "boot/grub/grub.cfg";
constexpr std::string_view kOurs = "# lamina ";
constexpr std::string_view kStart = "lamina.start=";
constexpr std::string_view kLoaders[] = {"BOOT_IMAGE=", "initrd="};
// A kernel that stops in a panic would stand still until somebody comes: with this one the machine
// restarts, and the loader counts that start.
constexpr const char* kRestartAtPanic = "panic=30";
// What a volume needs to carry out, at a later start, what waits then.
constexpr const char* kParts[] = {"usr/bin/lamina-node", "usr/lib/lamina/lamina-early",
                                  "usr/share/initramfs-tools/hooks/lamina",
                                  "usr/share/initramfs-tools/scripts/local-bottom/lamina"};

// As the kernel takes them apart: blanks between double quotes separate nothing.
std::vector<std::string> words_of(std::string_view arguments) {
  std::vector<std::string> words;
  std::string word;
  bool is_quoted = false;
  const auto end = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (const char c : arguments) {
    if (c == '"') is_quoted = !is_quoted;
    if (!is_quoted && (c == ' ' || c == '\n' || c == '\t'))
      end();
    else
      word += c;
  }
  end();
  return words;
}

std::string quoted_for_grub(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + '\'';
}

std::string slot(unsigned number, const char* file) {
  return '/' + std::string(kHome) + '/' + std::to_string(number) + '/' + file;
}

// The commands that load a kernel and its initramfs.
struct Loading {
  std::string linux, initrd;
};
Loading loading(const char* role, unsigned number, const std::vector<std::string>& words,
                const char* own = nullptr) {
  Loading commands{.linux = "linux " + slot(number, "vmlinuz"),
                   .initrd = "initrd " + slot(number, "initrd.img")};
  for (const std::string& word : words) commands.linux += ' ' + quoted_for_grub(word);
  commands.linux += ' ' + std::string(kStart) + role;
  if (own != nullptr) commands.linux += std::string(1, ' ') + own;
  return commands;
}

std::string entry(const char* role, const std::string& commands) {
  return "menuentry 'Lamina, " + std::string(role) + "' --id lamina-" + role + " {\n" + commands +
         "}\n";
}

std::string in_lines(const Loading& commands) {
  return "  " + commands.linux + "\n  " + commands.initrd + '\n';
}

// What GRUB cannot load is left for the other one: it would stop at its menu, and its `fallback`
// takes no names (2.06).
std::string in_lines(const Loading& commands, const Loading& otherwise) {
  return "  set lamina_loaded=no\n  if " + commands.linux + "; then\n    if " + commands.initrd +
         "; then\n      set lamina_loaded=yes\n    fi\n  fi\n"
         "  if [ \"$lamina_loaded\" = \"no\" ]; then\n    " +
         otherwise.linux + "\n    " + otherwise.initrd + "\n  fi\n";
}

// GRUB's environment block is a file of this size, filled up with '#'.
constexpr std::size_t kBlock = 1024;

std::string environment_block() {
  std::string text =
      "# GRUB Environment Block\nlamina_left=" + std::to_string(kOfferedStartsMax) + '\n';
  text.resize(kBlock, '#');
  return text;
}

Status said(const Result<os::CommandEnd>& ended, const std::string& what) {
  if (!ended) return fail(Error(ended.error()).in(what));
  if (ended->is_absent) return fail(ErrorKind::not_found, what + ": it is not on the volume");
  if (ended->is_late) return fail(ErrorKind::unavailable, what + ": it took too long");
  if (ended->code != 0)
    return fail(ErrorKind::unavailable, what + ": exit code " + std::to_string(ended->code) + ": " +
                                            printable(ended->output, 400));
  return Done{};
}

Status link_file(const std::string& from, const std::string& to) {
  if (link(from.c_str(), to.c_str()) == 0) return Done{};
  return fail(os::last_error("keeping '" + printable(from) + "' for the next start"));
}

}  // namespace

std::string grub_configuration(const Charge& charge, std::string_view arguments) {
  std::vector<std::string> words;
  bool restarts_at_panic = false;
  for (std::string& word : words_of(arguments)) {
    if (word.starts_with(kStart)) break;  // It and what follows is this function's.
    restarts_at_panic = restarts_at_panic || word.starts_with("panic=");
    bool is_loaders = false;
    for (const std::string_view prefix : kLoaders)
      is_loaders = is_loaders || word.starts_with(prefix);
    if (!is_loaders) words.push_back(std::move(word));
  }
  const Loading kept = loading("kept", charge.kept, words);
  std::string text = std::string(kOurs) + "kept " + std::to_string(charge.kept);
  if (charge.offered) text += " offered " + std::to_string(*charge.offered);
  text += "\n# In charge while the system that it starts is being replaced.\n";
  if (!charge.offered) {
    text += "set default=lamina-kept\n";
  } else {
    const std::string block = slot(*charge.offered, "env");
    // Without arithmetic, and without a way to save the block: the kept one.
    text += "set lamina_left=0\nload_env --file " + block + " lamina_left\n";
    for (int left = kOfferedStartsMax; left > 0; --left)
      text += std::string(left == kOfferedStartsMax ? "if" : "elif") + " [ \"$lamina_left\" = \"" +
              std::to_string(left) + "\" ]; then\n  set lamina_left=" + std::to_string(left - 1) +
              "\n  set default=lamina-offered\n";
    text += "else\n  set default=lamina-kept\nfi\nsave_env --file " + block + " lamina_left\n" +
            entry("offered", in_lines(loading("offered", *charge.offered, words,
                                              restarts_at_panic ? nullptr : kRestartAtPanic),
                                      kept));
  }
  return text + entry("kept", in_lines(kept));
}

Result<Charge> parse_grub_configuration(std::string_view text) {
  const auto damaged = [] {
    return fail(ErrorKind::corrupt,
                "/boot/lamina/grub.cfg is damaged: run update-grub, and remove it");
  };
  const std::vector<std::string> words = words_of(text.substr(0, text.find('\n')));
  const auto number = [&](std::size_t at) -> std::optional<unsigned> {
    unsigned value = 0;
    const std::string& word = words[at];
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return value;
  };
  if (!text.starts_with(kOurs) || (words.size() != 4 && words.size() != 6) || words[2] != "kept")
    return damaged();
  const auto kept = number(3);
  if (!kept) return damaged();
  Charge charge{.kept = *kept};
  if (words.size() == 4) return charge;
  charge.offered = number(5);
  if (words[4] != "offered" || !charge.offered) return damaged();
  return charge;
}

Grub::Machine Grub::this_machine() {
  Machine machine;
  struct utsname name {};
  if (uname(&name) == 0) machine.kernel = static_cast<const char*>(name.release);
  if (auto text = os::read_text("/proc/cmdline", 65536)) machine.arguments = std::move(*text);
  machine.had_early_part = os::exists(kEarlyMark);
  return machine;
}

std::string Grub::at(const std::string& name) const {
  return (volume_.path() == "/" ? "" : volume_.path()) + '/' + name;
}

Status Grub::check() {
  if (!machine_.had_early_part)
    return fail(ErrorKind::refused,
                "what this machine runs from is replaced at its start, by Lamina's part of the "
                "initramfs, and this start had none: install initramfs-tools, run "
                "'update-initramfs -u -k all', and restart it");
  auto configuration = volume_.open_at(kConfiguration, O_RDONLY);
  if (!configuration)
    return fail(ErrorKind::refused,
                "how this machine starts is not known: it takes GRUB, with "
                "/boot on the volume (" +
                    configuration.error().text() + ")");
  auto text = os::read_text(at(kConfiguration));
  if (!text) return fail(std::move(text.error()));
  if (text->find("/lamina/grub.cfg") == std::string::npos)
    return fail(ErrorKind::refused,
                "/boot/grub/grub.cfg does not read /boot/lamina/grub.cfg: run update-grub");
  if (!os::exists(at("boot/vmlinuz-" + machine_.kernel)))
    return fail(ErrorKind::refused, "/boot has no vmlinuz-" + machine_.kernel +
                                        ", the kernel that runs: restart the machine");
  return Done{};
}

// GRUB sees what stands on the disk, and replays no journal.
Status Grub::settle() const {
  if (auto done = os::sync_filesystem_of(volume_.fd(), volume_.path()); !done) return done;
  // In the running system others would wait for it.
  if (volume_.path() == "/") return Done{};
  if (ioctl(volume_.fd(), FIFREEZE, 0) != 0) {
    if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EPERM) return Done{};
    return fail(os::last_error("writing the journal of " + printable(volume_.path()) + " back"));
  }
  if (ioctl(volume_.fd(), FITHAW, 0) != 0)
    return fail(os::last_error("going on with " + printable(volume_.path())));
  return Done{};
}

Result<std::optional<Charge>> Grub::charge() const {
  const std::string path = at(std::string(kHome) + "/grub.cfg");
  if (!os::exists(path)) return std::optional<Charge>();
  auto text = os::read_text(path);
  if (!text) return fail(std::move(text.error()));
  auto charge = parse_grub_configuration(*text);
  if (!charge) return fail(std::move(charge.error()));
  return std::optional(*charge);
}

Status Grub::put_in_charge(const Charge& charge) {
  const std::string path = std::string(kHome) + "/grub.cfg", next = path + ".next";
  auto done = os::write_file(at(next), as_view(grub_configuration(charge, machine_.arguments)));
  if (done) done = settle();
  // The old one keeps its place on the disk: GRUB may still see it there.
  if (done)
    done = volume_.rename(next, path, os::exists(at(path)) ? Rename::exchange : Rename::no_replace);
  return done ? settle() : done;
}

// An empty directory that no configuration names.
Result<unsigned> Grub::make_slot() const {
  auto now = charge();
  if (!now) return fail(std::move(now.error()));
  unsigned number = 1;
  while (*now && (number == (*now)->kept || number == (*now)->offered)) ++number;
  const std::string path = at(std::string(kHome) + '/' + std::to_string(number));
  if (auto done = os::remove_tree(path); !done) return fail(std::move(done.error()));
  if (auto done = os::make_directories(path, 0700); !done) return fail(std::move(done.error()));
  return number;
}

Status Grub::keep() {
  auto number = make_slot();
  if (!number) return fail(std::move(number.error()));
  auto done = link_file(at("boot/vmlinuz-" + machine_.kernel), at(slot(*number, "vmlinuz")));
  if (done)
    done = link_file(at("boot/initrd.img-" + machine_.kernel), at(slot(*number, "initrd.img")));
  return done ? put_in_charge({.kept = *number}) : done;
}

Result<std::string> Grub::newest_kernel() const {
  constexpr std::string_view kPrefix = "vmlinuz-";
  auto names = os::list_directory(at("boot"));
  if (!names) return fail(std::move(names.error()));
  std::string newest;
  for (const std::string& name : *names) {
    if (!name.starts_with(kPrefix)) continue;
    const std::string release = name.substr(kPrefix.size());
    if (!os::exists(at("lib/modules/" + release))) continue;
    if (newest.empty() || strverscmp(release.c_str(), newest.c_str()) > 0) newest = release;
  }
  if (newest.empty())
    return fail(ErrorKind::not_found,
                "the new stack has no kernel: no /boot/vmlinuz-* with its /lib/modules");
  return newest;
}

Status Grub::offer() {
  for (const char* part : kParts)
    if (!os::exists(at(part)))
      return fail(ErrorKind::refused, "the new stack lacks '" + std::string(part) +
                                          "', and the device would be lost to its fleet: put "
                                          "Lamina's node into the base layer");
  auto kernel = newest_kernel();
  if (!kernel) return fail(std::move(kernel.error()));
  auto now = charge();
  if (!now) return fail(std::move(now.error()));
  if (!*now) return fail(ErrorKind::corrupt, "/boot/lamina/grub.cfg is gone");
  auto number = make_slot();
  if (!number) return fail(std::move(number.error()));
  auto done = link_file(at("boot/vmlinuz-" + *kernel), at(slot(*number, "vmlinuz")));
  if (!done) return done;
  // The layers bring the maps of the modules that they have; two may bring modules of one kernel.
  done = said(os::run_command(volume_, {"depmod", *kernel}, {.time = kToolTime}), "depmod");
  if (!done) return done;
  done = said(os::run_command(volume_, {"mkinitramfs", "-o", slot(*number, "initrd.img"), *kernel},
                              {.time = kToolTime}),
              "mkinitramfs for " + *kernel);
  if (!done) return done;
  done = os::write_file(at(slot(*number, "env")), as_view(environment_block()));
  if (!done) return done;
  log::info("kernel_offered", {{"release", *kernel}});
  return put_in_charge({.kept = (*now)->kept, .offered = *number});
}

Status Grub::back_to_kept() {
  auto now = charge();
  if (!now) return fail(std::move(now.error()));
  if (!*now || !(*now)->offered) return Done{};
  return put_in_charge({.kept = (*now)->kept});
}

bool Grub::is_kept_started() const {
  return machine_.arguments.find(std::string(kStart) + "kept") != std::string::npos;
}

Status Grub::release() {
  const std::string ours = std::string(kHome) + "/grub.cfg";
  auto now = charge();
  if (!now) return fail(std::move(now.error()));
  if (!*now) return Done{};
  // What came up stays in charge until the rest is done, however many starts that takes.
  if ((*now)->offered)
    if (auto accepted = put_in_charge({.kept = *(*now)->offered}); !accepted) return accepted;
  const std::string made = std::string(kHome) + "/grub.cfg.made";
  auto done =
      said(os::run_command(volume_, {"grub-mkconfig", "-o", '/' + made}, {.time = kToolTime}),
           "grub-mkconfig");
  // What grub-mkconfig wrote may be in memory only: a name that stands on the disk before it would
  // stand for an empty file.
  if (done) done = settle();
  // Both keep their places on the disk until the next start: GRUB may still see the old ones.
  if (done) done = volume_.rename(made, kConfiguration, Rename::exchange);
  if (done) done = settle();
  if (done) done = volume_.rename(ours, std::string(kHome) + "/released", Rename::replace);
  return done ? os::sync_directory(at(kHome)) : done;
}

Status Grub::tidy() {
  if (!os::exists(at(std::string(kHome) + "/released"))) return Done{};
  return os::remove_tree(at(kHome));
}

}  // namespace lamina::node
