#include "origin/cli/verify.hpp"

#include <algorithm>
#include <unordered_map>

#include "shared/format/envelope.hpp"

namespace lamina::origin::cli {

std::string packs_text(const wire::LayerInfo& layer) {
  const auto text = [](std::int64_t bytes, std::int64_t packs) {
    return to_text(Bytes{bytes}) + " in " + std::to_string(packs) +
           (packs == 1 ? " pack" : " packs");
  };
  std::string all = text(layer.stored_bytes, layer.packs);
  if (layer.fresh_packs)
    all += ", " + text(layer.fresh_bytes.value_or(0), *layer.fresh_packs) +
           " of that only without an earlier layer";
  return all;
}

Result<wire::LayerInfo> find_layer(const wire::LayerList& list, const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto id = LayerId::parse(text);
  if (colon == std::string::npos && !id)
    return fail(ErrorKind::invalid,
                "a layer is named NAME:VERSION or by its id, not '" + printable(text, 80) + "'");
  const auto found = std::ranges::find_if(list.layers, [&](const wire::LayerInfo& layer) {
    return id ? layer.id == *id : layer.name + ":" + layer.version == text;
  });
  if (found == list.layers.end())
    return fail(ErrorKind::not_found,
                "the origin has no layer " + printable(text, 80) + "; see lamina layer ls");
  return *found;
}

Result<SignedLayer> open_layer(ByteView envelope, const wire::LayerInfo& asked,
                               const std::optional<PublicKey>& publisher) {
  const std::string name = asked.name + ":" + asked.version;
  if (format::layer_id(envelope) != asked.id)
    return fail(ErrorKind::corrupt, "the origin sent another record than " + name + " " +
                                        asked.id.short_hex() + ": do not use this layer");
  auto signer = format::claimed_signer(envelope);
  if (!signer) return fail(std::move(signer.error()).in("the record of " + name));
  const PublicKey trusted[] = {publisher.value_or(*signer)};
  auto opened = format::open_record(format::RecordType::layer, envelope, trusted);
  if (!opened) return fail(std::move(opened.error()).in("the record of " + name));
  auto record = format::parse_layer(opened->record);
  if (!record) return fail(std::move(record.error()).in("the record of " + name));
  if (record->name != asked.name || record->version != asked.version)
    return fail(ErrorKind::corrupt, "the origin lists " + record->name + ":" + record->version +
                                        " as " + name + ": do not use this layer");
  return SignedLayer{std::move(*record), opened->signer};
}

Result<VerifiedContent> verify_content(
    const format::ManifestRef& manifest, PackSet& packs,
    const std::function<void(const VerifiedContent&)>& progress) {
  constexpr std::uint64_t kReportEvery = 1024;
  VerifiedContent seen;
  std::unordered_map<ChunkId, std::uint32_t, IdHash> known;  // Read, with this length.
  auto done = format::for_each_chunk(manifest, packs.source(),
                                     [&](const format::ChunkRef& chunk, bool) -> Status {
                                       const auto before = known.find(chunk.id);
                                       if (before != known.end() && before->second == chunk.length)
                                         return Done{};
                                       auto plain = packs.read(chunk);
                                       if (!plain) return fail(std::move(plain.error()));
                                       known.emplace(chunk.id, chunk.length);
                                       ++seen.chunks;
                                       seen.bytes += plain->size();
                                       if (seen.chunks % kReportEvery == 0) progress(seen);
                                       return Done{};
                                     });
  if (!done) return fail(std::move(done.error()));
  return seen;
}

}  // namespace lamina::origin::cli
