// Holdings knows which packs and pieces a device has of the layers it takes part in, and which
// layer's torrent fetches what.
//
// A pack may belong to several layers. libtorrent would fetch it once per torrent, so one layer
// *owns* a missing pack: the one that joined first. The others want it not; when it is whole they
// are told that they hold it. Pure: no I/O, no clock. One thread.
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
  };

  // `whole` and `pieces`: what of the new layer's packs lies on disk; packs known already keep
  // their state. Precondition: the layer is not joined.
  void join(const LayerId& layer, const TorrentId& torrent, const std::vector<Pack>& packs,
            const std::set<PackId>& whole, const swarm::PieceMap& pieces);
  // The layers that own another pack now.
  std::set<LayerId> leave(const LayerId& layer);
  bool has(const LayerId& layer) const { return layers_.contains(layer); }
  std::vector<LayerId> layers() const;
  TorrentId torrent_of(const LayerId& layer) const { return layers_.at(layer).torrent; }
  std::optional<LayerId> layer_of(const TorrentId& torrent) const;

  // A piece was verified. True when the pack has all its pieces now and did not before: it is to be
  // read back. Unknown packs and pieces are ignored.
  bool hold(const PackId& pack, std::uint32_t piece);
  // The pack was read back: whole. The layers that wait for it without owning it.
  std::set<LayerId> finish(const PackId& pack);
  // The pack proved broken: all of it is missing. The layers that have it.
  std::set<LayerId> lose(const PackId& pack);

  bool holds(const PackId& pack, std::uint32_t piece) const;
  std::uint64_t size_of(const PackId& pack) const { return packs_.at(pack).size; }
  std::vector<PackId> unread() const;  // All pieces held, not read back yet.
  // Packs with some pieces or all, not read back yet: what is to be remembered.
  swarm::PieceMap pieces() const;

  // Of one layer.
  swarm::Session::Held held(const LayerId& layer) const;
  std::set<PackId> owned(const LayerId& layer) const;  // Not whole, and fetched by this layer.
  swarm::PieceMap missing_pieces(const LayerId& layer) const;  // Of owned packs.
  Bytes missing(const LayerId& layer) const;  // Of all its packs; read back or not.
  bool is_whole(const LayerId& layer) const;  // Every pack read back.
  bool is_whole() const;                      // Every layer.

 private:
  struct PackState {
    std::uint64_t size = 0;
    bool whole = false;
    std::uint32_t held = 0;
    swarm::PieceBits pieces;
    LayerId owner;  // None once whole.
    std::set<LayerId> users;
  };
  struct Layer {
    TorrentId torrent;
    std::vector<PackId> packs;
    std::uint64_t joined = 0;  // In which order.
  };

  LayerId first_of(const std::set<LayerId>& users) const;

  std::map<LayerId, Layer> layers_;
  std::map<PackId, PackState> packs_;
  std::uint64_t joins_ = 0;
};

// The peers that a device dials. The lease holder dials everybody, because everybody needs it;
// another dials the `most` that follow it in the order of ids, as on a ring, so that the site hangs
// together with few connections. m: five peers and the holder lose nothing against a full mesh.
std::vector<wire::Peer> peers_to_dial(const DeviceId& self, std::vector<wire::Peer> peers,
                                      bool leads, std::size_t most);

}  // namespace lamina::reflector
