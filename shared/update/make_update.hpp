// make_update(): what a device that has one layer, or none, needs to have another one.
//
// Every file with a chunk that the old layer lacks is coded against the old layer's files
// (shared/delta), the manifest's new chunks against the old manifest. Without an old layer the same
// gives full frames, of related contents together. The result is a few packs of
// delta frames, which are named by their bytes like all packs; a receiver puts the new layer's
// chunks together from them and the old layer's (take_update.hpp).
//
// Memory: what shared/delta says of surveys; of groups that are encoded at a time three times the
// largest stream and its reference each. (slow: some 15 s of processor for each GB of the old
// layer, or of the new one without an old one, and what the effort costs.)
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "shared/delta/encode_update.hpp"
#include "shared/format/pack.hpp"
#include "shared/store/pack_files.hpp"
#include "shared/update/layer_content.hpp"

namespace lamina::update {

struct MakeOptions {
  delta::EncodeOptions encoding = {};  // Its threads call `source`.
  std::uint64_t pack_bytes = 16 << 20;
};

struct MadeUpdate {
  struct Pack {
    PackId id;
    std::uint64_t size = 0;
    bool is_metadata = false;  // It has the head, or the manifest.
  };
  std::vector<Pack> packs;
  // What a receiver has of the new layer with these packs and the old layer.
  std::set<ChunkId> covered;

  std::uint64_t bytes() const;
};

// `pack_of` says where a chunk of the new layer is in full. The packs are written to `into`, each
// when it is complete; what was written before an error is the caller's to remove. Errors are those
// of the source and of `into`.
Result<MadeUpdate> make_update(const std::optional<format::ManifestRef>& old,
                               const format::ManifestRef& next, const format::ChunkSource& source,
                               const std::function<Result<PackId>(const ChunkId&)>& pack_of,
                               const PackFiles& into, const MakeOptions& options);

}  // namespace lamina::update
