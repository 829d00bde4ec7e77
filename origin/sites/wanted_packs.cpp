#include "origin/sites/wanted_packs.hpp"

#include <algorithm>

namespace lamina::origin {

void WantedPacks::set(const List& list) {
  std::erase_if(wanted_, [&](const auto& entry) { return !list.contains(entry.first); });
  for (const auto& [pack, layers] : list) wanted_[pack].layers = layers;
}

bool WantedPacks::wants(const PackId& pack, const LayerId& layer) const {
  const auto at = wanted_.find(pack);
  return at != wanted_.end() &&
         std::ranges::find(at->second.layers, layer) != at->second.layers.end();
}

const LayerId* WantedPacks::layer_of(const Wanted& wanted, const DeviceId& holder,
                                     const std::set<LayerId>& layers, Instant now) {
  if (!wanted.asked.is_none() && now < wanted.until) return nullptr;
  if (const auto before = wanted.asked_before.find(holder);
      before != wanted.asked_before.end() && now < before->second)
    return nullptr;
  const auto layer =
      std::ranges::find_if(wanted.layers, [&](const LayerId& id) { return layers.contains(id); });
  return layer == wanted.layers.end() ? nullptr : &*layer;
}

bool WantedPacks::would_ask(const DeviceId& holder, const std::set<LayerId>& layers,
                            Instant now) const {
  return std::ranges::any_of(wanted_, [&](const auto& entry) {
    return layer_of(entry.second, holder, layers, now) != nullptr;
  });
}

std::vector<wire::WantedPack> WantedPacks::ask(const DeviceId& holder,
                                               const std::set<LayerId>& layers, Instant now) {
  std::vector<wire::WantedPack> asked;
  for (auto& [pack, wanted] : wanted_) {
    if (asked.size() >= limits_.at_once) break;
    const LayerId* const layer = layer_of(wanted, holder, layers, now);
    if (layer == nullptr) continue;
    wanted.asked = holder;
    wanted.until = now + limits_.ask_for;
    wanted.asked_before[holder] = now + limits_.ask_again;
    asked.push_back({*layer, pack});
  }
  return asked;
}

}  // namespace lamina::origin
