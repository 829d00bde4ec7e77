#include "reflector/holdings.hpp"

#include <algorithm>

#include "shared/base/assert.hpp"

namespace lamina::reflector {
namespace {

std::uint32_t pieces_of(std::uint64_t size) {
  return static_cast<std::uint32_t>((size + swarm::kPieceSize - 1) / swarm::kPieceSize);
}

}  // namespace

std::set<TorrentId> Holdings::join(const TorrentId& torrent, const std::vector<Pack>& packs,
                                   const std::set<PackId>& whole, const swarm::PieceMap& pieces) {
  LAMINA_ASSERT(!torrents_.contains(torrent));
  std::set<TorrentId> owners;
  Torrent& joined = torrents_[torrent];
  joined.joined = ++joins_;
  for (const Pack& pack : packs) {
    joined.packs.push_back(pack.id);
    const auto [entry, is_new] = packs_.try_emplace(pack.id);
    PackState& state = entry->second;
    if (is_new) {
      state.size = pack.size;
      state.whole = whole.contains(pack.id);
      state.pieces.assign(pieces_of(pack.size), state.whole);
      const auto known = pieces.find(pack.id);
      // A map of another number of pieces is of another pack size: not believed.
      if (!state.whole && known != pieces.end() && known->second.size() == state.pieces.size())
        state.pieces = known->second;
      state.held = static_cast<std::uint32_t>(std::ranges::count(state.pieces, true));
    }
    state.users.insert(torrent);
    if (!pack.is_needed) continue;
    if (!state.whole && state.needed_by.empty()) state.owner = torrent;
    const auto before = missing_of(state);
    state.needed_by.emplace(torrent, pack.needed);
    if (!state.whole && state.owner != torrent && missing_of(state) != before)
      owners.insert(state.owner);
  }
  return owners;
}

// Of what is needed by anybody.
swarm::PieceBits Holdings::missing_of(const PackState& pack) {
  swarm::PieceBits missing(pack.pieces.size(), false);
  for (const auto& [torrent, needed] : pack.needed_by)
    for (std::size_t i = 0; i < missing.size(); ++i)
      if (!pack.pieces[i] && (needed.empty() || (i < needed.size() && needed[i])))
        missing[i] = true;
  return missing;
}

bool Holdings::is_there(const PackState& pack, const swarm::PieceBits& needed) {
  if (pack.whole) return true;
  if (needed.empty()) return false;
  for (std::size_t i = 0; i < needed.size() && i < pack.pieces.size(); ++i)
    if (needed[i] && !pack.pieces[i]) return false;
  return true;
}

std::set<TorrentId> Holdings::leave(const TorrentId& torrent) {
  std::set<TorrentId> heirs;
  const auto left = torrents_.find(torrent);
  if (left == torrents_.end()) return heirs;
  const std::vector<PackId> packs = std::move(left->second.packs);
  torrents_.erase(left);
  for (const PackId& id : packs) {
    PackState& pack = packs_.at(id);
    pack.users.erase(torrent);
    pack.needed_by.erase(torrent);
    if (pack.users.empty()) {
      packs_.erase(id);
    } else if (pack.owner == torrent) {
      pack.owner = first_of(pack.needed_by);
      if (!pack.needed_by.empty()) heirs.insert(pack.owner);
    }
  }
  return heirs;
}

TorrentId Holdings::first_of(const std::map<TorrentId, swarm::PieceBits>& users) const {
  if (users.empty()) return {};
  return std::ranges::min_element(
             users, {}, [this](const auto& user) { return torrents_.at(user.first).joined; })
      ->first;
}

std::vector<TorrentId> Holdings::torrents() const {
  std::vector<TorrentId> ids;
  for (const auto& [id, torrent] : torrents_) ids.push_back(id);
  return ids;
}

bool Holdings::hold(const PackId& id, std::uint32_t piece) {
  const auto pack = packs_.find(id);
  if (pack == packs_.end() || piece >= pack->second.pieces.size() || pack->second.pieces[piece])
    return false;
  pack->second.pieces[piece] = true;
  return ++pack->second.held == pack->second.pieces.size();
}

std::set<TorrentId> Holdings::finish(const PackId& id) {
  const auto pack = packs_.find(id);
  if (pack == packs_.end() || pack->second.whole) return {};
  PackState& state = pack->second;
  state.whole = true;
  std::set<TorrentId> waiting = state.users;
  waiting.erase(state.owner);
  state.owner = TorrentId{};
  return waiting;
}

std::set<TorrentId> Holdings::lose(const PackId& id) {
  const auto pack = packs_.find(id);
  if (pack == packs_.end()) return {};
  PackState& state = pack->second;
  state.whole = false;
  state.held = 0;
  state.pieces.assign(state.pieces.size(), false);
  state.owner = first_of(state.needed_by);
  return state.users;
}

bool Holdings::holds(const PackId& id, std::uint32_t piece) const {
  const auto pack = packs_.find(id);
  return pack != packs_.end() && piece < pack->second.pieces.size() && pack->second.pieces[piece];
}

bool Holdings::is_needed_in_part(const PackId& id) const {
  const auto pack = packs_.find(id);
  return pack != packs_.end() && std::ranges::any_of(pack->second.needed_by, [](const auto& need) {
           return !need.second.empty();
         });
}

std::vector<PackId> Holdings::unread() const {
  std::vector<PackId> ids;
  for (const auto& [id, pack] : packs_)
    if (!pack.whole && pack.held == pack.pieces.size()) ids.push_back(id);
  return ids;
}

swarm::PieceMap Holdings::pieces() const {
  swarm::PieceMap map;
  for (const auto& [id, pack] : packs_)
    if (!pack.whole && pack.held > 0) map.emplace(id, pack.pieces);
  return map;
}

swarm::Session::Held Holdings::held(const TorrentId& torrent) const {
  swarm::Session::Held held;
  for (const PackId& id : torrents_.at(torrent).packs) {
    const PackState& pack = packs_.at(id);
    if (pack.whole)
      held.complete.insert(id);
    else if (pack.held > 0)
      held.partial.emplace(id, pack.pieces);
  }
  return held;
}

std::set<PackId> Holdings::owned(const TorrentId& torrent) const {
  std::set<PackId> ids;
  for (const PackId& id : torrents_.at(torrent).packs)
    if (const PackState& pack = packs_.at(id); !pack.whole && pack.owner == torrent) ids.insert(id);
  return ids;
}

swarm::PieceMap Holdings::missing_pieces(const TorrentId& torrent) const {
  swarm::PieceMap map;
  for (const PackId& id : owned(torrent)) {
    auto missing = missing_of(packs_.at(id));
    if (std::ranges::find(missing, true) != missing.end()) map.emplace(id, std::move(missing));
  }
  return map;
}

Bytes Holdings::missing(const TorrentId& torrent) const {
  Bytes total;
  const auto found = torrents_.find(torrent);
  if (found == torrents_.end()) return total;
  for (const PackId& id : found->second.packs) {
    const PackState& pack = packs_.at(id);
    const auto needed = pack.needed_by.find(torrent);
    if (needed == pack.needed_by.end()) continue;
    for (std::uint32_t i = 0; i < pack.pieces.size(); ++i) {
      if (pack.pieces[i]) continue;
      if (!needed->second.empty() && (i >= needed->second.size() || !needed->second[i])) continue;
      const std::uint64_t begin = std::uint64_t{i} * swarm::kPieceSize;
      total.count +=
          static_cast<std::int64_t>(std::min<std::uint64_t>(swarm::kPieceSize, pack.size - begin));
    }
  }
  return total;
}

bool Holdings::is_whole(const TorrentId& torrent) const {
  return std::ranges::all_of(torrents_.at(torrent).packs, [&](const PackId& id) {
    const PackState& pack = packs_.at(id);
    const auto needed = pack.needed_by.find(torrent);
    return needed == pack.needed_by.end() || is_there(pack, needed->second);
  });
}

bool Holdings::is_whole() const {
  return std::ranges::all_of(packs_, [](const auto& entry) {
    return std::ranges::all_of(entry.second.needed_by, [&](const auto& need) {
      return is_there(entry.second, need.second);
    });
  });
}

std::vector<wire::Peer> peers_to_dial(const DeviceId& self, std::vector<wire::Peer> peers,
                                      bool leads, std::size_t most) {
  if (leads || peers.size() <= most) return peers;
  // Those after `self` first, then around.
  std::ranges::sort(peers, [&self](const wire::Peer& a, const wire::Peer& b) {
    return std::pair(a.device < self, a.device) < std::pair(b.device < self, b.device);
  });
  peers.resize(most);
  return peers;
}

}  // namespace lamina::reflector
