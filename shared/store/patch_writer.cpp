#include "shared/store/patch_writer.hpp"

namespace lamina {

bool PatchWriter::pays(const format::ChunkRef& ref, std::span<const format::Same> same) {
  std::uint64_t bytes = 0;
  for (const format::Same& part : same) bytes += part.length;
  return bytes * 4 >= ref.length;
}

Result<bool> PatchWriter::add(const format::ChunkRef& ref, ByteView plain,
                              std::span<const format::Same> same) {
  if (!patch_.has_room_for(ref, same) && !patch_.empty())
    if (auto done = end_frame(); !done) return fail(std::move(done.error()));
  if (!patch_.has_room_for(ref, same)) return false;
  if (given_.insert(ref.id).second) patch_.add(ref, plain, same);
  return true;
}

Status PatchWriter::end_frame() {
  const auto coded = patch_.finish(compressor_);
  if (auto done = packs_.add_frame(coded.frame, coded.bytes); !done) return done;
  plain_in_pack_ += coded.frame.plain_size;
  if (plain_in_pack_ < kPackPlain) return Done{};
  plain_in_pack_ = 0;
  return packs_.end_pack();
}

Status PatchWriter::finish() {
  if (!patch_.empty())
    if (auto done = end_frame(); !done) return done;
  return packs_.finish();
}

}  // namespace lamina
