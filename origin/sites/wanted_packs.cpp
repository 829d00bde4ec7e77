#include "origin/sites/wanted_packs.hpp"

#include <algorithm>

namespace lamina::origin {

void WantedPacks::set(const List& list) {
  for (auto it = wanted_.begin(); it != wanted_.end();) {
    const auto at = it++;
    if (!list.contains(at->first)) arrived(PackId(at->first));
  }
  for (const auto& [pack, layers] : list) wanted_[pack].layers = layers;
}

void WantedPacks::arrived(const PackId& pack) {
  const auto at = wanted_.find(pack);
  if (at == wanted_.end()) return;
  release(pack, at->second);
  wanted_.erase(at);
}

void WantedPacks::give_time(const PackId& pack, Wanted& wanted, Instant until) {
  asked_.erase({wanted.until, pack});
  wanted.until = until;
  asked_.emplace(until, pack);
}

void WantedPacks::release(const PackId& pack, Wanted& wanted) {
  asked_.erase({wanted.until, pack});
  wanted.asked = {};
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

void WantedPacks::heard_from(const DeviceId& holder, Instant now) {
  std::vector<PackId> heard;
  for (const auto& [until, pack] : asked_) {
    const Wanted& wanted = wanted_.at(pack);
    if (wanted.asked == holder && !wanted.has_heard && now < until) heard.push_back(pack);
  }
  for (const PackId& pack : heard) {
    Wanted& wanted = wanted_.at(pack);
    wanted.has_heard = true;
    wanted.asked_before[holder] = now + limits_.ask_again;
    give_time(pack, wanted, now + limits_.ask_for);
  }
}

std::vector<wire::WantedPack> WantedPacks::ask(const DeviceId& holder,
                                               const std::set<LayerId>& layers, Instant now) {
  std::vector<wire::WantedPack> asked;
  for (auto& [pack, wanted] : wanted_) {
    if (asked.size() >= limits_.at_once) break;
    const LayerId* const layer = layer_of(wanted, holder, layers, now);
    if (layer == nullptr) continue;
    wanted.asked = holder;
    wanted.has_heard = false;
    give_time(pack, wanted, now + limits_.hear_within);
    asked.push_back({*layer, pack});
  }
  return asked;
}

std::optional<Instant> WantedPacks::next_change() const {
  if (asked_.empty()) return std::nullopt;
  return asked_.begin()->first;
}

bool WantedPacks::expire(Instant now) {
  bool any = false;
  while (!asked_.empty() && asked_.begin()->first <= now) {
    const PackId pack = asked_.begin()->second;
    release(pack, wanted_.at(pack));
    any = true;
  }
  return any;
}

}  // namespace lamina::origin
