#include "shared/format/needed_packs.hpp"

#include <algorithm>
#include <optional>

namespace lamina::format {

std::uint64_t sum_of(const std::map<PackId, std::uint64_t>& packs) {
  std::uint64_t sum = 0;
  for (const auto& [id, size] : packs) sum += size;
  return sum;
}

std::map<PackId, std::uint64_t> needed_packs(const std::vector<DistributedPack>& packs,
                                             const std::set<LayerId>& held,
                                             const std::set<PackId>& there) {
  const auto is_held = [&](const LayerId& layer) { return held.contains(layer); };
  // What is needed by the update from `base`, or by none.
  const auto lacking = [&](const std::optional<LayerId>& base) {
    const auto names_base = [&](const std::vector<LayerId>& layers) {
      return base && std::ranges::find(layers, *base) != layers.end();
    };
    std::map<PackId, std::uint64_t> lacks;
    for (const DistributedPack& pack : packs) {
      const bool is_needed =
          pack.update_from.empty()
              ? std::ranges::none_of(pack.unless, is_held) && !names_base(pack.unless_updated)
              : names_base(pack.update_from);
      if (is_needed && !there.contains(pack.id)) lacks.emplace(pack.id, pack.size);
    }
    return lacks;
  };
  auto least = lacking(std::nullopt);
  const auto try_from = [&](const LayerId& base) {
    auto lacks = lacking(base);
    if (sum_of(lacks) < sum_of(least)) least = std::move(lacks);
  };
  for (const LayerId& base : held) try_from(base);
  try_from(kNoLayer);
  return least;
}

}  // namespace lamina::format
