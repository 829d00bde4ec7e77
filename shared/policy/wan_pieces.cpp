#include "shared/policy/wan_pieces.hpp"

#include <algorithm>

namespace lamina::policy {

bool may_fetch(const SiteContact& contact, const MeetingLimits& limits) {
  const std::uint64_t enough = std::min(limits.enough, (contact.known + 1) / 2);
  return contact.connected >= enough || contact.open >= limits.patience ||
         (contact.connected > 0 && contact.open >= limits.meeting) ||
         (contact.elsewhere > 0 && contact.open >= limits.alone);
}

bool WanPieces::has(const Pieces& pieces, const Piece& piece) {
  const auto pack = pieces.find(piece.first);
  return pack != pieces.end() && piece.second < pack->second.size() && pack->second[piece.second];
}

WanPieces::Pieces WanPieces::choose(const Pieces& missing, const Pieces& offered, Instant now) {
  if (std::ranges::any_of(offers_, [&](const auto& offer) {
        return offer.second.is_left && !has(missing, offer.first);
      }))
    came_ = now;

  Pieces chosen;
  std::map<Piece, Offer> offers;
  for (const auto& [pack, pieces] : missing) {
    std::vector<bool> fetch(pieces.size(), false);
    bool any = false;
    for (std::uint32_t i = 0; i < pieces.size(); ++i) {
      const Piece piece{pack, i};
      if (!pieces[i]) continue;
      if (has(offered, piece)) {
        const auto known = offers_.find(piece);
        Offer offer{.since = known == offers_.end() ? now : known->second.since};
        const Instant heard = std::max(offer.since, came_.value_or(offer.since));
        offer.is_left = now - offer.since < limits_.patience && now - heard < limits_.silence;
        offers.emplace(piece, offer);
        if (offer.is_left) continue;
      }
      fetch[i] = true;
      any = true;
    }
    if (any) chosen.emplace(pack, std::move(fetch));
  }
  offers_ = std::move(offers);
  return chosen;
}

}  // namespace lamina::policy
