#include "shared/policy/wan_pieces.hpp"

namespace lamina::policy {

bool may_fetch(const SiteContact& contact, Duration patience) {
  return !contact.knows_peers || contact.is_connected || contact.open >= patience;
}

WanPieces::Pieces WanPieces::choose(const Pieces& missing, const Pieces& offered, Instant now) {
  Pieces chosen;
  std::map<Piece, Instant> offered_since;
  for (const auto& [pack, pieces] : missing) {
    const auto on_lan = offered.find(pack);
    std::vector<bool> fetch(pieces.size(), false);
    bool any = false;
    for (std::uint32_t i = 0; i < pieces.size(); ++i) {
      if (!pieces[i]) continue;
      if (on_lan != offered.end() && i < on_lan->second.size() && on_lan->second[i]) {
        const auto known = offered_since_.find({pack, i});
        const Instant since = known == offered_since_.end() ? now : known->second;
        offered_since.emplace(Piece{pack, i}, since);
        if (now - since < limits_.patience) continue;
      }
      fetch[i] = true;
      any = true;
    }
    if (any) chosen.emplace(pack, std::move(fetch));
  }
  offered_since_ = std::move(offered_since);
  return chosen;
}

}  // namespace lamina::policy
