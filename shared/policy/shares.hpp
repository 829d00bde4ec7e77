// Which share a piece belongs to, when several reflectors of a site fetch different pieces.
//
// A pure function of the pack's id and the piece's number, the same on every machine and for every
// torrent that has the pack. Neighbours stay together in runs of kRun, so that ranges of packs
// (HTTPS) are worth a request; the runs of a pack go through the shares in turn, from one that the
// pack's id (a digest) picks, so that the shares are alike in size. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/share_set.hpp"

namespace lamina::policy {

constexpr std::uint32_t kRun = 4;  // Pieces: 1 MiB.

// From 0 to ShareSet::kCount - 1.
int share_of(const PackId& pack, std::uint32_t piece);

// Those of `pieces` (one bit a piece) that belong to `shares`; packs of which none does are left
// out.
std::map<PackId, std::vector<bool>> pieces_within(std::map<PackId, std::vector<bool>> pieces,
                                                  ShareSet shares);

}  // namespace lamina::policy
