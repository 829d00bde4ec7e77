// WanPieces decides which of a lease holder's missing pieces go over the WAN.
//
// A piece that some peer of the site offers comes over the LAN and costs the line nothing. But a
// peer may hang, or claim what it does not have: a piece that is still missing `patience` after it
// was first offered is fetched from the origin all the same. Feed it what is missing and offered
// about once a second; it keeps nothing but the time at which each missing piece was first offered.
//
// Deterministic; no clock, no I/O. Not thread-safe; all calls come from one event loop.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

// How a device that just opened its WAN session stands with its site.
struct SiteContact {
  bool knows_peers = false;   // It was told of devices to meet...
  bool is_connected = false;  // ...and is connected with one of them: what that has is known.
  Duration open{};            // Since the WAN session was opened.
};
// Whether it may fetch over the WAN already. One that was asleep or away lost its connections, and
// would fetch what its site has until it meets somebody again; `patience` is for a site where
// nobody answers (m: 7 s, 14 MB, by a device that had been stopped for a minute).
bool may_fetch(const SiteContact& contact, Duration patience = std::chrono::seconds{10});

class WanPieces {
 public:
  using Pieces = std::map<PackId, std::vector<bool>>;  // One bit a piece.

  struct Limits {
    // A hung peer offers nothing any more after the peer time-out, 10 s. One that sends next to
    // nothing goes on offering all that it says it has: the line rests for so long, and a few
    // seconds pass before and after it (m: 16 s in all with 12 s).
    Duration patience = std::chrono::seconds{10};
  };

  WanPieces() : WanPieces(Limits()) {}
  explicit WanPieces(Limits limits) : limits_(limits) {}

  // The pieces of `missing` to fetch over the WAN. Packs of which nothing is to be fetched are left
  // out. `offered` may have packs and pieces that are not missing. `now` must not be earlier than
  // in the previous call.
  Pieces choose(const Pieces& missing, const Pieces& offered, Instant now);

 private:
  using Piece = std::pair<PackId, std::uint32_t>;

  Limits limits_;
  std::map<Piece, Instant> offered_since_;  // Of missing pieces only.
};

}  // namespace lamina::policy
