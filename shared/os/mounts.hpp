// What is mounted where, and what is to be: proc(5)'s mountinfo and fstab(5). Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shared/base/result.hpp"

namespace lamina::os {

// The places below the directory `path` where something is mounted for this process, relative to
// it, each once, a place before those beneath it. `path` itself is none of them.
Result<std::vector<std::string>> mounts_beneath(const std::string& path);
// The same for the text of a mountinfo; `path` is absolute, without symlinks. Lines that are none
// are passed over.
std::vector<std::string> mounts_beneath(std::string_view mountinfo, std::string_view path);

struct FstabLine {
  std::string source;  // "UUID=...", "/dev/...", "server:/export", ...
  std::string place;   // Absolute; "none" for swap areas.
  std::string type;
};
// Lines that are none (comments, fewer than three fields) are passed over.
std::vector<FstabLine> parse_fstab(std::string_view text);

}  // namespace lamina::os
