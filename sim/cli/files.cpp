#include "sim/cli/files.hpp"

#include <algorithm>
#include <filesystem>

#include "shared/base/bytes.hpp"
#include "shared/os/file.hpp"

namespace lamina::sim {
namespace {

// Where a file stands that `scenario` names.
std::string beside(const std::string& scenario, const std::string& name) {
  const auto slash = scenario.rfind('/');
  if (name.starts_with('/') || slash == scenario.npos) return name;
  return scenario.substr(0, slash + 1) + name;
}

}  // namespace

Result<std::string> read_text_file(const std::string& path, Bytes most) {
  return os::read_text(path, static_cast<std::size_t>(most.count));
}

Status write_text_file(const std::string& path, std::string_view text) {
  return os::write_file(path, as_view(text));
}

Status make_directory(const std::string& path) { return os::make_directories(path); }

bool is_there(const std::string& path) { return os::exists(path); }

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

bool is_same_directory(const std::string& a, const std::string& b) {
  std::error_code error;
  return std::filesystem::equivalent(a, b, error) && !error;
}

tl::expected<Scenario, Findings> load_scenario_file(const std::string& path,
                                                    const std::vector<Override>& overrides) {
  const auto text = read_text_file(path, kDocumentMax);
  if (!text) {
    Findings findings;
    findings.add({path, 0, 0}, text.error().text() + "; `lamina-sim init DIR` makes an example");
    return tl::unexpected<Findings>(std::move(findings));
  }
  return load_scenario(
      path, *text,
      [&](const std::string& name) { return read_text_file(beside(path, name), kTableMax); },
      overrides);
}

Status write_new_files(const std::string& directory, const NamedTexts& files) {
  if (auto made = os::make_directories(directory); !made) return made;
  const auto there = os::list_directory(directory);
  if (!there) return fail(there.error());
  for (const auto& [name, text] : files)
    if (std::ranges::find(*there, name) != there->end())
      return fail(ErrorKind::refused, directory + '/' + name +
                                          " is there already, and nothing is overwritten: name "
                                          "another directory");
  for (const auto& [name, text] : files)
    if (auto written = write_text_file(directory + '/' + name, text); !written) return written;
  return Done{};
}

}  // namespace lamina::sim
