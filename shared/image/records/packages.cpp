#include "shared/image/records/packages.hpp"

#include <algorithm>
#include <tuple>

#include "shared/image/records/record_format.hpp"

namespace lamina::image {
namespace {

// The first line of a field of a stanza (deb822(5): names without regard to case, dpkg writes them
// as here).
std::string field_of(std::string_view stanza, std::string_view name) {
  while (!stanza.empty()) {
    const std::size_t end = std::min(stanza.find('\n'), stanza.size());
    std::string_view line = stanza.substr(0, end);
    stanza.remove_prefix(std::min(end + 1, stanza.size()));
    if (!line.starts_with(name) || line.substr(name.size()).substr(0, 1) != ":") continue;
    line.remove_prefix(name.size() + 1);
    const std::size_t begin = std::min(line.find_first_not_of(" \t"), line.size());
    line.remove_prefix(begin);
    return std::string(line.substr(0, line.find_last_not_of(" \t") + 1));
  }
  return {};
}

}  // namespace

std::vector<InstalledPackage> installed_packages(std::string_view status) {
  std::vector<InstalledPackage> packages;
  for (const Record& record : record_rule(kDpkgStatus)->format.parse(status).records) {
    if (record.key.part != RecordKey::Part::record || !record.value) continue;
    // "want flag status" (dpkg(1), "Package states").
    if (!field_of(*record.value, "Status").ends_with(" installed")) continue;
    packages.push_back({field_of(*record.value, "Package"), field_of(*record.value, "Version"),
                        field_of(*record.value, "Architecture")});
  }
  std::ranges::sort(packages, {}, [](const InstalledPackage& one) {
    return std::tie(one.name, one.architecture);
  });
  return packages;
}

}  // namespace lamina::image
