// Layers on a disk, for sites behind a line too thin for them: `lamina-node cache export|import`,
// and what `lamina layer export` writes.
//
//   DIR/cache/records/<layer>.layer, <layer>.distribution
//   DIR/cache/torrents/<torrent>.torrent
//   DIR/cache/packs/<pack>
//
// It names no device and holds no key. An import believes nothing of it: records count with the
// signatures that the device trusts, packs with the bytes that their names say.
//
// What was imported lies in STATE/cache/import until the network process takes it into its cache
// (LayerCache::take_in), which is the only one that writes there. Blocking; any thread.
#pragma once

#include <string>
#include <vector>

#include "node/net/layer_files.hpp"

namespace lamina::node {

// Where an import puts what it verified, laid out as a state directory.
StateDirectory import_directory(const StateDirectory& state);

struct Exported {
  std::string name;  // "debian 12.11"
  LayerId layer;
  std::size_t packs = 0;
  Bytes written;  // What the directory did not have yet.
};
// Writes a layer that is whole in the cache, "NAME:VERSION" or by its id, to `directory`, which is
// made. What is there already stays; other layers may be there. `not_found`: the cache has no such
// layer; `unavailable`: it is not whole; `out_of_space`; `corrupt` names a pack.
Result<Exported> export_layer(const StateDirectory& state, const TrustedKeys& keys,
                              const std::string& layer, const std::string& directory);

struct Imported {
  struct Layer {
    LayerId layer;
    std::string name;
    std::size_t packs = 0;    // Verified, here now...
    std::size_t known = 0;    // ...or here before.
    std::size_t missing = 0;  // Not on the disk, or refused.
  };
  std::vector<Layer> layers;
  Bytes written;
  std::vector<std::string> refused;  // "FILE: why", one each.
};
// Goes on behind what it refuses. Fails when `directory` is no export (`not_found`), when there is
// no room (`out_of_space`), and with the file system's errors; what was taken until then stays, and
// the next try goes on there. `dry_run`: writes nothing, and takes every pack that has its size for
// a sound one.
Result<Imported> import_layers(const StateDirectory& state, const TrustedKeys& keys,
                               const std::string& directory, bool dry_run = false);

}  // namespace lamina::node
