#include "shared/store/chunk_index.hpp"

#include "shared/store/chunk_rows.hpp"
#include "shared/store/pack_files.hpp"

namespace lamina {

Result<ChunkIndex> ChunkIndex::open(const std::string& directory) {
  if (!chunk_rows::has_index(directory))
    return fail(ErrorKind::not_found, "there is no index in " + printable(directory));
  auto kv = Kv::open(directory + "/index");
  if (!kv) return fail(std::move(kv.error()));
  return ChunkIndex(std::move(*kv));
}

Result<bool> ChunkIndex::Look::has(const ChunkId& id) const {
  auto row = view_.get(chunk_rows::key_of(id));
  if (!row) return fail(std::move(row.error()));
  return row->has_value();
}

Result<ChunkIndex::Look::Place> ChunkIndex::Look::place_of(const ChunkId& id) const {
  auto row = view_.get(chunk_rows::key_of(id));
  if (!row) return fail(std::move(row.error()));
  if (!*row) return fail(ErrorKind::not_found, "the index has no chunk " + id.short_hex());
  const auto place = chunk_rows::parse_row(**row);
  if (!place)
    return fail(ErrorKind::corrupt, "the index row of chunk " + id.short_hex() + " is broken");
  return Place{place->pack, place->frame, place->offset};
}

Status ChunkIndex::read(const std::function<Status(const Look&)>& look) const {
  return kv_->read([&](const Kv::View& view) { return look(Look(view)); });
}

ChunkReader::ChunkReader(const std::vector<std::string>& directories) {
  for (const std::string& directory : directories)
    spaces_.push_back({directory, ChunkIndex::open(directory)});
}

Result<Buffer> ChunkReader::read(const format::ChunkRef& ref) {
  for (const Space& space : spaces_) {
    if (!space.index) {
      if (space.index.error().kind() == ErrorKind::not_found) continue;
      return fail(space.index.error());
    }
    std::optional<ChunkIndex::Look::Place> place;
    auto looked = space.index->read([&](const ChunkIndex::Look& look) -> Status {
      auto found = look.place_of(ref.id);
      if (found) place = *found;
      if (found || found.error().kind() == ErrorKind::not_found) return Done{};
      return fail(std::move(found.error()));
    });
    if (!looked) return fail(std::move(looked.error()));
    if (!place) continue;
    if (at_ != std::pair(place->pack, place->frame)) {
      auto files = PackFiles::open(space.directory, PackFiles::Access::read);
      if (!files) return fail(std::move(files.error()));
      auto pack = files->read(place->pack);
      if (!pack) return fail(std::move(pack.error()));
      if (place->frame >= pack->index().frames.size())
        return fail(ErrorKind::corrupt,
                    "the index and pack " + place->pack.short_hex() + " disagree");
      const format::Frame& frame = pack->index().frames[place->frame];
      auto coded = pack->read_coded(frame);
      if (!coded) return fail(std::move(coded.error()));
      ZstdDecompressor decompressor;
      auto plain = format::PlainFrame::decode(frame, *coded, decompressor);
      if (!plain) return fail(std::move(plain.error()));
      frame_ = std::move(*plain);
      at_ = {place->pack, place->frame};
    }
    auto bytes = frame_->chunk_at(place->offset, ref);
    if (!bytes) return fail(std::move(bytes.error()));
    return to_buffer(*bytes);
  }
  return fail(ErrorKind::not_found, "the store has no chunk " + ref.id.short_hex());
}

}  // namespace lamina
