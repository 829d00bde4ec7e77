#include "shared/store/chunk_index.hpp"

#include "shared/store/chunk_rows.hpp"

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

Status ChunkIndex::read(const std::function<Status(const Look&)>& look) const {
  return kv_->read([&](const Kv::View& view) { return look(Look(view)); });
}

}  // namespace lamina
