// Lists of ids as binary bodies: 32 bytes each, nothing between them.
#pragma once

#include <vector>

#include "shared/base/ids.hpp"

namespace lamina::wire {

Buffer to_bytes(const std::vector<ChunkId>& ids);

// `invalid` when the length is no multiple of 32 or exceeds kIdListMax.
Result<std::vector<ChunkId>> parse_ids(ByteView body);

}  // namespace lamina::wire
