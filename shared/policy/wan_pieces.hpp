// WanPieces decides which of a lease holder's missing pieces go over the WAN.
//
// A piece that some peer of the site offers is left to the site: it comes over the LAN and costs
// the line nothing. But a peer may hang, or claim what it does not have. So a piece that is still
// missing `patience` after it was first offered is fetched from the origin all the same, and so is
// everything that was offered when nothing of what was left to the site has come for `silence`.
// Feed it what is missing and offered about once a second; it keeps the time at which each missing
// piece was first offered, and when one of those left to the site came last.
//
// Deterministic; no clock, no I/O. Not thread-safe; all calls come from one event loop.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

// How a device that leads stands with its site in a torrent that lacks pieces.
struct SiteContact {
  std::uint64_t known = 0;  // Devices that it was told of...
  std::uint64_t connected =
      0;  // ...with how many it shares this torrent: what those have is known...
  std::uint64_t elsewhere = 0;  // ...and with how many another one.
  Duration open{};              // Since the WAN session was opened, or the torrent came to it.
};
// Whether it may fetch the torrent's pieces over the WAN already. One that was asleep or away lost
// its connections, and would fetch what its site has until it meets it again (m: 7 s, 14 MB, by a
// device that had been stopped for a minute). So would the next holder of a lease whom nobody met
// in this torrent yet (m: the whole update that the holder before had just fetched). It has met the
// site with `enough` devices, or half of them; after `meeting` one will do, as others may be away,
// but not at once: the first one may be as new as itself (m: 1.1 s, 2.7 MB, by one of two that came
// back together). Where it meets others elsewhere, nobody has the torrent after `alone`.
// `patience` is for a site where nobody answers.
struct MeetingLimits {
  std::uint64_t enough = 3;
  Duration meeting = std::chrono::seconds{1};
  Duration alone = std::chrono::seconds{2};  // m: up to 0.9 s from a call to the peer's pieces.
  Duration patience = std::chrono::seconds{10};
};
bool may_fetch(const SiteContact& contact, const MeetingLimits& limits = {});

class WanPieces {
 public:
  using Pieces = std::map<PackId, std::vector<bool>>;  // One bit a piece.

  struct Limits {
    // A hung peer offers nothing any more after the peer time-out, 10 s. One of many peers that
    // sends next to nothing goes on offering all that it says it has.
    Duration patience = std::chrono::seconds{10};
    // The line rests for so long when all offers are of such a peer, and a few seconds pass before
    // and after it (m: 15 s in all when 10 s had to pass). Longer than connecting, being unchoked
    // and a piece over a slow LAN take.
    Duration silence = std::chrono::seconds{5};
  };

  WanPieces() : WanPieces(Limits()) {}
  explicit WanPieces(Limits limits) : limits_(limits) {}

  // The pieces of `missing` to fetch over the WAN. Packs of which nothing is to be fetched are left
  // out. `offered` may have packs and pieces that are not missing. `now` must not be earlier than
  // in the previous call.
  Pieces choose(const Pieces& missing, const Pieces& offered, Instant now);

 private:
  using Piece = std::pair<PackId, std::uint32_t>;
  struct Offer {
    Instant since{};
    bool is_left = false;  // To the site, by the last call.
  };
  static bool has(const Pieces& pieces, const Piece& piece);

  Limits limits_;
  std::map<Piece, Offer> offers_;  // Of missing pieces only.
  std::optional<Instant> came_;    // When one that was left to the site was not missing any more.
};

}  // namespace lamina::policy
