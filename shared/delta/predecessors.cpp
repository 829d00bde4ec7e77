#include "shared/delta/predecessors.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "shared/base/assert.hpp"
#include "shared/chunk/gear.hpp"

namespace lamina::delta {
namespace {

// A window counts when the top bits of its hash are zero: those depend on the most bytes.
constexpr int kChosenBits = 9;
// A fingerprint that more contents have says nothing; padding and licence texts are such.
constexpr int kSharedMost = 16;
// Similar content must have an eighth more in common than the one of the right path.
constexpr std::uint32_t kBetterBy = 8;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

void Fingerprinter::update(ByteView bytes) {
  std::uint64_t hash = hash_;
  for (const std::byte byte : bytes) {
    hash = (hash << 1) + kGear[std::to_integer<std::uint8_t>(byte)];
    if (hash >> (64 - kChosenBits) == 0) found_.push_back(hash);
  }
  hash_ = hash;
}

std::vector<std::uint64_t> Fingerprinter::finish() {
  std::ranges::sort(found_);
  // Not std::ranges::unique: clang 14 cannot read that of libstdc++ 12.
  found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
  hash_ = 0;
  return std::exchange(found_, {});
}

std::string without_versions(std::string_view path) {
  for (const std::string_view ending : {".gz", ".xz", ".zst"})
    if (path.ends_with(ending)) path.remove_suffix(ending.size());
  std::string plain;
  bool in_number = false;
  for (const char c : path) {
    if (is_digit(c) || (in_number && (c == '.' || c == '-' || c == '+' || c == '~'))) {
      if (!in_number) plain += '#';
      in_number = true;
    } else {
      in_number = false;
      plain += c;
    }
  }
  return plain;
}

void Predecessors::add(std::string_view path, std::uint64_t size,
                       std::vector<std::uint64_t> fingerprints) {
  const std::size_t number = contents_.size();
  contents_.push_back({std::string(path), size});
  const std::string plain = without_versions(path);
  by_name_[std::string(name_of(plain))].push_back(number);
  by_path_[plain].push_back(number);
  for (const std::uint64_t fingerprint : fingerprints)
    by_fingerprint_.emplace_back(fingerprint, static_cast<std::uint32_t>(number));
}

void Predecessors::seal() { std::ranges::sort(by_fingerprint_); }

std::optional<std::size_t> Predecessors::nearest(const std::vector<std::size_t>& candidates,
                                                 std::string_view path, std::uint64_t size) const {
  const auto distance = [&](std::size_t number) {
    const Content& content = contents_[number];
    const std::uint64_t difference =
        content.size > size ? content.size - size : size - content.size;
    return std::tuple(content.path != path, difference, number);
  };
  const auto best = std::ranges::min_element(candidates, {}, distance);
  return best == candidates.end() ? std::nullopt : std::optional(*best);
}

std::optional<std::size_t> Predecessors::by_path(std::string_view path, std::uint64_t size) const {
  const std::string plain = without_versions(path);
  if (const auto same = by_path_.find(plain); same != by_path_.end())
    return nearest(same->second, path, size);
  if (const auto same = by_name_.find(std::string(name_of(plain))); same != by_name_.end())
    return nearest(same->second, path, size);
  return std::nullopt;
}

std::optional<std::size_t> Predecessors::find(
    std::string_view path, std::uint64_t size,
    const std::vector<std::uint64_t>& fingerprints) const {
  const auto expected = by_path(path, size);
  std::map<std::uint32_t, std::uint32_t> in_common;
  for (const std::uint64_t fingerprint : fingerprints) {
    auto place =
        std::ranges::lower_bound(by_fingerprint_, std::pair(fingerprint, std::uint32_t{0}));
    for (int i = 0;
         i < kSharedMost && place != by_fingerprint_.end() && place->first == fingerprint;
         ++i, ++place)
      ++in_common[place->second];
  }
  const auto most =
      std::ranges::max_element(in_common, {}, [](const auto& entry) { return entry.second; });
  if (most == in_common.end()) return expected;
  if (!expected) return most->first;
  const auto expected_common = in_common.find(static_cast<std::uint32_t>(*expected));
  const std::uint32_t expected_count =
      expected_common == in_common.end() ? 0 : expected_common->second;
  return most->second > expected_count + expected_count / kBetterBy + 1
             ? std::optional<std::size_t>(most->first)
             : expected;
}

}  // namespace lamina::delta
