#include "shared/os/mounts.hpp"

#include <filesystem>
#include <set>
#include <sstream>

#include "shared/base/bytes.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::os {
namespace {

constexpr std::size_t kMountinfoMax = std::size_t{16} << 20;

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// Both files have blanks and backslashes as three octal digits.
std::string unescaped(std::string_view field) {
  std::string text;
  for (std::size_t i = 0; i < field.size(); ++i) {
    const std::string_view digits = field.substr(i + 1, 3);
    if (field[i] == '\\' && digits.size() == 3 && is_octal(digits[0]) && is_octal(digits[1]) &&
        is_octal(digits[2])) {
      text += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + digits[2] - '0');
      i += 3;
    } else {
      text += field[i];
    }
  }
  return text;
}

}  // namespace

std::vector<std::string> mounts_beneath(std::string_view mountinfo, std::string_view path) {
  const std::string above = path == "/" ? "/" : std::string(path) + '/';
  std::set<std::string> places;  // A place sorts before what lies beneath it.
  std::istringstream lines{std::string(mountinfo)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string skipped, place;
    if (!(fields >> skipped >> skipped >> skipped >> skipped >> place)) continue;
    place = unescaped(place);
    if (place.size() > above.size() && place.starts_with(above))
      places.insert(place.substr(above.size()));
  }
  return {places.begin(), places.end()};
}

Result<std::vector<std::string>> mounts_beneath(const std::string& path) {
  std::error_code error;
  const auto real = std::filesystem::canonical(path, error);
  if (error) return fail(from_errno(error.value(), "looking for '" + printable(path, 200) + "'"));
  auto mountinfo = read_text("/proc/self/mountinfo", kMountinfoMax);
  if (!mountinfo) return fail(std::move(mountinfo.error()));
  return mounts_beneath(*mountinfo, real.string());
}

std::vector<FstabLine> parse_fstab(std::string_view text) {
  std::vector<FstabLine> parsed;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    FstabLine one;
    if (!(fields >> one.source >> one.place >> one.type) || one.source.starts_with('#')) continue;
    one.place = unescaped(one.place);
    parsed.push_back(std::move(one));
  }
  return parsed;
}

}  // namespace lamina::os
