#include "shared/format/signed_layer.hpp"

#include "shared/format/envelope.hpp"

namespace lamina::format {

Result<LayerRecord> open_layer(const LayerId& layer, ByteView envelope,
                               std::span<const PublicKey> publishers) {
  if (layer_id(envelope) != layer) return fail(ErrorKind::corrupt, "the record is another layer's");
  auto opened = open_record(RecordType::layer, envelope, publishers);
  if (!opened) return fail(std::move(opened.error()));
  return parse_layer(opened->record);
}

Result<DistributionRecord> open_distribution(const LayerId& layer, ByteView envelope,
                                             const PublicKey& target) {
  auto opened = open_record(RecordType::distribution, envelope, std::span(&target, 1));
  if (!opened) return fail(std::move(opened.error()));
  auto distribution = parse_distribution(opened->record);
  if (!distribution) return fail(std::move(distribution.error()));
  if (distribution->layer != layer)
    return fail(ErrorKind::corrupt,
                "the distribution is of layer " + distribution->layer.short_hex());
  return distribution;
}

Result<DistributionRecord> open_distribution(const LayerId& layer, ByteView envelope) {
  auto signer = claimed_signer(envelope);
  if (!signer) return fail(std::move(signer.error()).in("the layer's list of packs"));
  auto record = open_distribution(layer, envelope, *signer);
  if (!record) return fail(std::move(record.error()).in("the layer's list of packs"));
  return record;
}

Result<SignedLayer> open_layer(const LayerId& layer, const LayerEnvelopes& envelopes,
                               std::span<const PublicKey> publishers, const PublicKey& target) {
  const auto named = [&](Error error) {
    return fail(std::move(error).in("layer " + layer.short_hex()));
  };
  auto record = open_layer(layer, envelopes.record, publishers);
  if (!record) return named(std::move(record.error()));
  auto distribution = open_distribution(layer, envelopes.distribution, target);
  if (!distribution) return named(std::move(distribution.error()));
  return SignedLayer{std::move(*record), std::move(*distribution)};
}

}  // namespace lamina::format
