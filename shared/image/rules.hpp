// The factory rules: which paths are a device's own, whatever the layers say.
//
// They cannot be edited. A pattern is compared component by component; '*' stands for any run of
// bytes within a component. A rule covers the paths that match and all that lies beneath them, so
// "proc/*" covers the contents of proc and not the directory. Pure; any thread.
#pragma once

#include <span>
#include <string_view>

namespace lamina::image {

enum class Area {
  identity,  // What makes this machine this machine: names, keys, addresses, disks.
  boot,      // How this machine finds its system.
  user,      // The users' files.
  lamina,    // Lamina's own files.
  runtime,   // Made anew at every start, or another file system.
  leftover,  // Logs and caches.
};
std::string_view name_of(Area area);  // "identity", "boot", ...

enum class Covers {
  everything,
  contents,  // Beneath the match, directories stay part of the system; everything else is covered.
};

struct Rule {
  std::string_view name;  // "ssh-host-keys"; stands in layer records and reports.
  Area area;
  std::string_view pattern;
  Covers covers = Covers::everything;
};

std::span<const Rule> factory_rules();

// The first rule that covers `path`, or none.
const Rule* factory_rule(std::string_view path, bool is_directory);

// Captures leave out, and applies keep, everything that a rule covers. Snapshots hold all of a
// device, so that it can be restored: all but runtime files and Lamina's own.
inline bool in_capture(std::string_view path, bool is_directory) {
  return !factory_rule(path, is_directory);
}
bool in_snapshot(std::string_view path, bool is_directory);

// A rule for something that may lie beneath the directory `path` and cannot be made again
// (identity, boot, user, lamina), or none.
const Rule* factory_rule_beneath(std::string_view path);

// Whether `path` or a directory above it matches `pattern`.
bool matches(std::string_view pattern, std::string_view path);

}  // namespace lamina::image
