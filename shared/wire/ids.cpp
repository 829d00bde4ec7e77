#include "shared/wire/ids.hpp"

#include "shared/wire/protocol.hpp"

namespace lamina::wire {

Buffer to_bytes(const std::vector<ChunkId>& ids) {
  Buffer bytes;
  bytes.reserve(ids.size() * ChunkId::kSize);
  for (const ChunkId& id : ids) bytes.insert(bytes.end(), id.bytes().begin(), id.bytes().end());
  return bytes;
}

Result<std::vector<ChunkId>> parse_ids(ByteView body) {
  if (body.size() % ChunkId::kSize != 0 || body.size() > static_cast<std::size_t>(kIdListMax.count))
    return fail(ErrorKind::invalid,
                "a list of chunk ids must be a multiple of 32 bytes and at most " +
                    to_text(kIdListMax) + ", not " + std::to_string(body.size()) + " bytes");
  std::vector<ChunkId> ids;
  ids.reserve(body.size() / ChunkId::kSize);
  for (; !body.empty(); body = body.subspan(ChunkId::kSize))
    ids.push_back(*ChunkId::from_bytes(body.first(ChunkId::kSize)));
  return ids;
}

}  // namespace lamina::wire
