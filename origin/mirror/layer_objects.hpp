// The signed records of a layer, as a mirror takes them from the origin and keeps them. Functions
// read and write small files; any thread.
#pragma once

#include <span>

#include "origin/mirror/plan.hpp"
#include "shared/format/signed_layer.hpp"

namespace lamina::origin {

struct MirrorKeys {
  PublicKey target;                   // Signs distribution records,
  std::vector<PublicKey> publishers;  // and these sign layers.
};

// What the layer consists of, once both signatures fit and the three agree. `corrupt`, `invalid` or
// `refused` says what does not.
Result<MirrorLayer> check_objects(const LayerId& id, const format::LayerEnvelopes& objects,
                                  const MirrorKeys& keys);

// Below `data`, as in an origin's data directory.
Result<format::LayerEnvelopes> read_objects(const std::string& data, const LayerId& id);
Status keep_objects(const std::string& data, const LayerId& id,
                    const format::LayerEnvelopes& objects);
Status remove_objects(const std::string& data, const LayerId& id);  // Not there: no error.
// The layers of which a record is kept.
Result<std::vector<LayerId>> kept_layers(const std::string& data);

}  // namespace lamina::origin
