#include "origin/cli/disk_layout.hpp"

#include <utility>

#include "shared/base/bytes.hpp"
#include "shared/os/mounts.hpp"

namespace lamina::origin::cli {

std::string device_path(std::string_view source) {
  constexpr std::pair<std::string_view, std::string_view> kTags[] = {
      {"UUID=", "/dev/disk/by-uuid/"},
      {"LABEL=", "/dev/disk/by-label/"},
      {"PARTUUID=", "/dev/disk/by-partuuid/"},
      {"PARTLABEL=", "/dev/disk/by-partlabel/"}};
  for (const auto& [tag, directory] : kTags) {
    if (!source.starts_with(tag)) continue;
    source.remove_prefix(tag.size());
    if (source.size() > 1 && source.front() == '"' && source.back() == '"')
      source = source.substr(1, source.size() - 2);
    return std::string(directory) + std::string(source);
  }
  return source.starts_with("/dev/") ? std::string(source) : std::string();
}

std::vector<std::string> layout_differences(std::string_view fstab,
                                            const std::function<bool(const std::string&)>& has) {
  std::vector<std::string> differences;
  for (const os::FstabLine& line : os::parse_fstab(fstab)) {
    if (device_path(line.source).empty() || has(line.source)) continue;
    differences.push_back(printable(line.place, 200) + ": this machine has no " +
                          printable(line.source, 200) + " (" + printable(line.type, 40) + ")");
  }
  return differences;
}

}  // namespace lamina::origin::cli
