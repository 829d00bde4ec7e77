// PatchWriter: chunks that are much like former ones in, durable packs of patches out.
//
// Chunks are gathered into frames of at most 2 MiB (format/patch.hpp), and these into packs of 64
// MiB of plain bytes: whoever takes one in has to build all of it while the sender waits. Memory:
// one frame. One thread at a time.
#pragma once

#include <span>

#include "shared/format/patch.hpp"
#include "shared/store/pack_writer.hpp"

namespace lamina {

class PatchWriter {
 public:
  // `level` is zstd's. Both `files` and what `on_pack` refers to must outlive the writer.
  PatchWriter(const PackFiles& files, int level, PackWriter::OnPack on_pack)
      : packs_(files, {}, std::move(on_pack)), compressor_(level) {}

  // Whether a patch is worth it: a quarter of the chunk is where it was. Less is better coded as it
  // is, beside its neighbours.
  static bool pays(const format::ChunkRef& ref, std::span<const format::Same> same);

  // Takes a chunk; false: it does not fit into any patch. After an error the writer must be
  // dropped.
  Result<bool> add(const format::ChunkRef& ref, ByteView plain, std::span<const format::Same> same);
  // Writes everything. Call once, last.
  Status finish();

  bool was_given(const ChunkId& id) const { return given_.contains(id); }

 private:
  static constexpr std::uint64_t kPackPlain = std::uint64_t{64} << 20;
  Status end_frame();

  PackWriter packs_;
  ZstdCompressor compressor_;
  format::PatchBuilder patch_;
  std::uint64_t plain_in_pack_ = 0;
  std::unordered_set<ChunkId, IdHash> given_;
};

}  // namespace lamina
