#include "shared/policy/shares.hpp"

#include <algorithm>

namespace lamina::policy {

int share_of(const PackId& pack, std::uint32_t piece) {
  // Four bytes are many against twelve shares, and are read in one order everywhere.
  std::uint32_t start = 0;
  for (const std::byte byte : pack.bytes().first(4))
    start = start << 8 | std::to_integer<std::uint32_t>(byte);
  constexpr std::uint32_t kShares = ShareSet::kCount;
  return static_cast<int>((start % kShares + piece / kRun) % kShares);
}

std::map<PackId, std::vector<bool>> pieces_within(std::map<PackId, std::vector<bool>> pieces,
                                                  ShareSet shares) {
  if (shares.is_all()) return pieces;
  for (auto& [pack, bits] : pieces)
    for (std::uint32_t i = 0; i < bits.size(); ++i)
      if (bits[i] && !shares.has(share_of(pack, i))) bits[i] = false;
  std::erase_if(pieces, [](const auto& entry) {
    return std::ranges::find(entry.second, true) == entry.second.end();
  });
  return pieces;
}

}  // namespace lamina::policy
