// Holdings knows which packs and pieces a device has of the torrents it takes part in, and which
// torrent fetches what.
//
// A pack may belong to several torrents. libtorrent would fetch it once per torrent, so one torrent
// *owns* a missing pack: the one that joined first. The others want it not; when it is whole they
// are told that they hold it. A torrent may have packs that the device does not need, or of
// which it needs some pieces: it is whole without the rest, and gives what is there all the same.
//
// Pure: no I/O, no clock. One thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "shared/base/units.hpp"
#include "shared/swarm/session.hpp"
#include "shared/wire/node.hpp"

namespace lamina::reflector {

class Holdings {
 public:
  struct Pack {
    PackId id;
    std::uint64_t size = 0;
    bool is_needed = true;
    swarm::PieceBits needed = {};  // Of its pieces, if it is; empty: all.
  };

  // `whole` and `pieces`: what of the new torrent's packs lies on disk; packs known already keep
  // their state. The torrents that own such a pack and are to fetch more of it now. Precondition:
  // the torrent is not joined.
  std::set<TorrentId> join(const TorrentId& torrent, const std::vector<Pack>& packs,
                           const std::set<PackId>& whole, const swarm::PieceMap& pieces);
  // The torrents that own another pack now.
  std::set<TorrentId> leave(const TorrentId& torrent);
  bool has(const TorrentId& torrent) const { return torrents_.contains(torrent); }
  std::vector<TorrentId> torrents() const;

  // A piece was verified. True when the pack has all its pieces now and did not before: it is to be
  // read back. Unknown packs and pieces are ignored.
  bool hold(const PackId& pack, std::uint32_t piece);
  // The pack was read back: whole. The torrents that wait for it without owning it.
  std::set<TorrentId> finish(const PackId& pack);
  // The pack proved broken: all of it is missing. The torrents that have it.
  std::set<TorrentId> lose(const PackId& pack);

  bool has_pack(const PackId& pack) const { return packs_.contains(pack); }
  bool holds(const PackId& pack, std::uint32_t piece) const;
  std::uint64_t size_of(const PackId& pack) const { return packs_.at(pack).size; }
  // By some torrent.
  bool is_needed_in_part(const PackId& pack) const;
  std::vector<PackId> unread() const;  // All pieces held, not read back yet.
  // Packs with some pieces or all, not read back yet: what is to be remembered.
  swarm::PieceMap pieces() const;

  // Of one torrent.
  swarm::Session::Held held(const TorrentId& torrent) const;
  std::set<PackId> owned(
      const TorrentId& torrent) const;  // Not whole, and fetched by this torrent.
  // Of owned packs, what some torrent needs.
  swarm::PieceMap missing_pieces(const TorrentId& torrent) const;
  Bytes missing(const TorrentId& torrent) const;  // Of what is needed; read back or not.
  // Every needed pack was read back, and of packs that are needed in part those pieces are held.
  bool is_whole(const TorrentId& torrent) const;
  bool is_whole() const;  // Every torrent.

 private:
  struct PackState {
    std::uint64_t size = 0;
    bool whole = false;
    std::uint32_t held = 0;
    swarm::PieceBits pieces;
    TorrentId owner;  // None once whole, and while no torrent needs it.
    std::set<TorrentId> users;
    std::map<TorrentId, swarm::PieceBits> needed_by;  // Some of them; which pieces, empty: all.
  };
  struct Torrent {
    std::vector<PackId> packs;
    std::uint64_t joined = 0;  // In which order.
  };

  // None of none.
  TorrentId first_of(const std::map<TorrentId, swarm::PieceBits>& users) const;
  static swarm::PieceBits missing_of(const PackState& pack);
  static bool is_there(const PackState& pack, const swarm::PieceBits& needed);

  std::map<TorrentId, Torrent> torrents_;
  std::map<PackId, PackState> packs_;
  std::uint64_t joins_ = 0;
};

// The peers that a device dials. The lease holder dials everybody, because everybody needs it;
// another dials the `most` that follow it in the order of ids, as on a ring, so that the site hangs
// together with few connections. m: five peers and the holder lose nothing against a full mesh.
std::vector<wire::Peer> peers_to_dial(const DeviceId& self, std::vector<wire::Peer> peers,
                                      bool leads, std::size_t most);

}  // namespace lamina::reflector
