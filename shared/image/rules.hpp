// The factory rules: which paths are a device's own, whatever the layers say.
//
// They cannot be edited; protection.hpp has them with a policy's beside them, and is what to ask
// about a device. Patterns are those of path_pattern.hpp. Pure; any thread.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shared/image/path_pattern.hpp"

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

// Captures leave out everything that a rule covers.
inline bool in_capture(std::string_view path, bool is_directory) {
  return !factory_rule(path, is_directory);
}

// Content that layers may have, and that stays where none has it: the kernels that a machine may
// start with, and what starts Lamina's own programs.
bool is_kept_unowned(std::string_view path);

// Derived files are made from others of the same tree. Layers hold them, so that an applied base is
// complete; but what an apply leaves there counts only until they are made again, no plan compares
// them with what a layer has, and they conflict with nothing.
struct DerivedRule {
  std::string_view name;  // "module-maps"
  std::span<const std::string_view> files;
  std::span<const std::string_view> made_from;
  // Run in the tree as root, after the commands of the rules before it; words with a blank between
  // them. "{}" stands for the name in the path that the first '*' of `made_from` stands for. ""
  // where the next who needs the file makes it.
  std::string_view command;
};

std::span<const DerivedRule> derived_rules();

// The rule of a derived file, or none.
const DerivedRule* derived_rule(std::string_view path);

// Collects what an apply changes, and says what has to be made again then.
class Regeneration {
 public:
  void add(std::string_view changed_path);
  // Program and arguments of each command, in the order in which they have to run, each once. A
  // command about a directory that is gone from the tree has nothing to do.
  std::vector<std::vector<std::string>> commands() const;

 private:
  std::set<std::pair<std::size_t, std::string>> due_;  // A rule's index, and the name.
};

}  // namespace lamina::image
