// Whether a layer is whole and unchanged, from its signed record and its packs alone.
#pragma once

#include <optional>

#include "shared/format/record.hpp"
#include "shared/store/pack_set.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {

// The layer "NAME:VERSION", or the one with this id in 64 hex digits. `invalid` when `text` is
// neither, `not_found` when the origin has none such.
Result<wire::LayerInfo> find_layer(const wire::LayerList& list, const std::string& text);

// What a device fetches that has nothing: "600 MB in 40 packs".
std::string packs_text(const wire::LayerInfo& layer);

struct SignedLayer {
  format::LayerRecord record;
  PublicKey signer;
};
// The record of the layer that was asked for, once its id, signature, name and version are right.
// With `publisher` the signer must be that key (`refused` if not); without it the signer is only
// the one that the record itself names, for a person to compare.
Result<SignedLayer> open_layer(ByteView envelope, const wire::LayerInfo& asked,
                               const std::optional<PublicKey>& publisher);

struct VerifiedContent {
  std::uint64_t chunks = 0;  // Different ones, those of the manifest included.
  std::uint64_t bytes = 0;   // Theirs, plain.
};
// Reads the whole manifest and every chunk it names. `not_found` or `corrupt` names the chunk.
// `progress` is called now and then with what was read so far.
Result<VerifiedContent> verify_content(const format::ManifestRef& manifest, PackSet& packs,
                                       const std::function<void(const VerifiedContent&)>& progress);

}  // namespace lamina::origin::cli
