// What a device keeps of a layer beside its packs: the signed record, the signed distribution and
// the torrent; all verified before they are kept, and again when they are read.
//
//   cache/records/<layer>.layer, <layer>.distribution     as the worker reads them
//   cache/records/<layer>.rebuilt                         what an update gave: cached_layer.hpp
//   cache/torrents/<torrent>.torrent
//
// Blocking; any thread, one at a time for one directory.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "node/worker/cached_layer.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/swarm/piece_map.hpp"

namespace lamina::node {

using format::LayerEnvelopes;

struct LayerFiles {
  LayerId layer;
  std::string name;  // "debian 12.11": for logs.
  Buffer torrent;
  TorrentId torrent_id;
  std::vector<format::DistributedPack> packs;
  // The packs of layers that are kept here and that it may lean on, and of those that these may
  // lean on in turn.
  std::map<LayerId, std::vector<format::DistributedPack>> bases = {};
  // What was rebuilt here of it and of those.
  std::map<LayerId, Rebuilt> rebuilt = {};
  // Layers that the device will have whole beside it, if it has not yet: those of the same target.
  std::set<LayerId> beside = {};
  // Other devices of the site are to get all of its packs from this one: it leans on nothing.
  bool is_for_site = false;
  // Likewise, the packs of its updates from these.
  std::set<LayerId> updates_for_site = {};
  // The device does not fetch over its site's line by itself: who does has the layer's own packs
  // for it, and none of an update from nothing.
  bool is_fetched_for = false;

  Bytes size() const;
  // Its packs, and what was rebuilt of it.
  std::vector<format::DistributedPack> all_packs() const;
};

// `refused` for a signature of somebody else, `corrupt` for another layer's record, `invalid` for a
// torrent that is not the distribution's.
Result<LayerFiles> check_layer(const LayerId& layer, const LayerEnvelopes& envelopes,
                               const TrustedKeys& keys);

// What is kept of it, with its bases. `not_found` when not all of it is kept.
Result<LayerFiles> load_layer(const StateDirectory& state, const LayerId& layer,
                              const TrustedKeys& keys);
// Looks for its bases anew: some may have come or gone.
void find_bases(const StateDirectory& state, const TrustedKeys& keys, LayerFiles& layer);
// Its envelopes, as they are kept. Only the distribution is checked: it names the torrent.
Result<LayerEnvelopes> read_layer(const StateDirectory& state, const LayerId& layer,
                                  const TrustedKeys& keys);
// Keeps what check_layer() accepted. `refused` for an older distribution than the one that is kept.
Status keep_layer(const StateDirectory& state, const LayerId& layer,
                  const LayerEnvelopes& envelopes, const TrustedKeys& keys);
// One of "record", "distribution" and "torrent", as it is kept. `not_found`
// when it is not, or is none of these.
Result<Buffer> read_envelope(const StateDirectory& state, const LayerId& layer,
                             const std::string& part, const TrustedKeys& keys);
// The layers that have a record there, checked or not; `not_found` where no record ever was.
Result<std::vector<LayerId>> recorded_layers(const StateDirectory& state);
// Fetches it anew next time.
Status forget_layer(const StateDirectory& state, const LayerId& layer);

// How a layer is read here. Where a pack is not whole, and one of the layers that have its content
// too is, the layer *leans* on that one: its packs are read instead. Likewise where a layer is here
// from which there is an update, or with an update from nothing: its packs are fetched, and what
// comes out of them is read. Not where much would have to stay in the cache to save little.
struct Leaning {
  std::set<PackId> unneeded;  // Of the layer's packs.
  // Of the layer's packs, those that an update did not give all of, and which pieces have the rest.
  swarm::PieceMap partly = {};
  std::set<LayerId> upon;  // Bases, and theirs; never format::kNoLayer.
  // All that the layer is read from, and what others are to get from here: its packs that are
  // needed whole, if they are or not, and packs of the layers that it leans on.
  std::vector<format::DistributedPack> packs;
  bool is_fresh = false;  // It lacks packs that it would not need with an earlier layer.
  // What an update gives is here, but for what another device of the site is to give.
  bool awaits_site = false;
  // Once `packs` are whole, the update from this layer, or format::kNoLayer, is to be taken; once
  // `partly` is there too, that is (Updating::take_parts()).
  std::optional<LayerId> update = std::nullopt;
};
// As the disk has it now.
Leaning leaning_of(const StateDirectory& state, const LayerFiles& layer);

// The pieces of a pack that a part of it needs now, and what some pieces of a pack have.
swarm::PieceBits pieces_of(const PackPart& part, std::uint64_t pack_size);
Bytes size_of(const swarm::PieceBits& pieces, std::uint64_t pack_size);

// Whether all of the layer can be read here.
bool is_here(const StateDirectory& state, const LayerFiles& layer);

// Of the layer's packs, those that the update from `base` stands for.
std::vector<format::DistributedPack> replaced_packs(const LayerFiles& layer, const LayerId& base);

// Of the packs that the layer needs whole, what is not.
Bytes missing_packs(const StateDirectory& state, const LayerFiles& layer, const Leaning& leaning);
// That, and all that is needed of packs in part, there or not.
Bytes missing_bytes(const StateDirectory& state, const LayerFiles& layer);

// What the packs take of the disk.
Result<Bytes> cache_size(const StateDirectory& state);

// Reads back every pack that the layer is read from; the ones that are damaged count as missing
// afterwards. How many these are, and lacked before.
Result<std::size_t> forget_damaged_packs(const StateDirectory& state, const LayerFiles& layer);

struct PackCheck {
  std::size_t packs = 0;  // That counted as whole, and were read back.
  Bytes read;
  std::set<PackId> damaged;  // Those of them that count as missing now.
};
// Reads back every pack of the layers that counts as whole, each once. A damaged one is removed;
// nothing is copied.
Result<PackCheck> verify_packs(const StateDirectory& state, const std::vector<LayerFiles>& layers);

// Removes records, torrents and packs that none of `layers` needs. Packs that are not whole go only
// with `unfinished`: nobody may be writing them then. How many bytes became free.
Result<Bytes> remove_others(const StateDirectory& state, const std::vector<LayerFiles>& layers,
                            bool unfinished);

}  // namespace lamina::node
