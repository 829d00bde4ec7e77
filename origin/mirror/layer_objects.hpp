// The signed records of a layer, as a mirror takes them from the origin and keeps them. Functions
// read and write small files; any thread.
#pragma once

#include <span>

#include "origin/mirror/plan.hpp"
#include "shared/hash/ed25519.hpp"

namespace lamina::origin {

struct MirrorKeys {
  PublicKey target;                   // Signs distribution records,
  std::vector<PublicKey> publishers;  // and these sign layers.
};

struct LayerObjects {
  Buffer record;
  Buffer distribution;
  Buffer torrent;
};

// What the layer consists of, once both signatures fit and the three agree. `corrupt`, `invalid` or
// `refused` says what does not.
Result<MirrorLayer> check_objects(const LayerId& id, const LayerObjects& objects,
                                  const MirrorKeys& keys);

// Below `data`, as in an origin's data directory.
Result<LayerObjects> read_objects(const std::string& data, const LayerId& id);
Status keep_objects(const std::string& data, const LayerId& id, const LayerObjects& objects);
Status remove_objects(const std::string& data, const LayerId& id);  // Not there: no error.
// The layers of which a record is kept.
Result<std::vector<LayerId>> kept_layers(const std::string& data);

}  // namespace lamina::origin
