// The signed statements about a layer, as an origin hands them out: what it consists of, by its
// publisher, and how to get it, by the origin. Values; any thread.
#pragma once

#include <span>

#include "shared/format/record.hpp"

namespace lamina::format {

// As the origin sends them, and whoever keeps a layer keeps them.
struct LayerEnvelopes {
  Buffer record;
  Buffer distribution;
  Buffer torrent;  // Not signed: the distribution says its id.
};

// The record, once the envelope is that of `layer` and one of `publishers` signed it. `corrupt`:
// it is another layer's; otherwise as open_record() and parse_layer().
Result<LayerRecord> open_layer(const LayerId& layer, ByteView envelope,
                               std::span<const PublicKey> publishers);

// The same for the distribution, which the holder of `target` signs.
Result<DistributionRecord> open_distribution(const LayerId& layer, ByteView envelope,
                                             const PublicKey& target);

// The same, whoever signed it: enough where packs are fetched or counted by their names, which are
// digests of their bytes.
Result<DistributionRecord> open_distribution(const LayerId& layer, ByteView envelope);

struct SignedLayer {
  LayerRecord record;
  DistributionRecord distribution;
};
// Both, with errors that name the layer. The torrent is the caller's to compare with
// `distribution.torrent`.
Result<SignedLayer> open_layer(const LayerId& layer, const LayerEnvelopes& envelopes,
                               std::span<const PublicKey> publishers, const PublicKey& target);

}  // namespace lamina::format
