// What a device fetches of a layer, judged from its distribution alone: for reports and forecasts.
// A device itself knows better (node/net/layer_files.hpp): which of its packs are whole.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "shared/format/record.hpp"

namespace lamina::format {

// In the lists of a distribution about updates, in place of a layer's id: an update from nothing,
// for devices that have none of the other layers there. No layer has this id: a program that does
// not know of it sees a layer that is not here, and takes the layer's own packs.
constexpr LayerId kNoLayer{};

// Of `packs`, those that a device lacks which has the layers `held` whole, and the packs `there`:
// with the update that costs least, that from nothing among them, or with none. Sizes by pack.
// Pure; any thread.
std::map<PackId, std::uint64_t> needed_packs(const std::vector<DistributedPack>& packs,
                                             const std::set<LayerId>& held,
                                             const std::set<PackId>& there);

std::uint64_t sum_of(const std::map<PackId, std::uint64_t>& packs);

}  // namespace lamina::format
