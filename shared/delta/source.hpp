// Where bytes come from: a file on disk, a member of an opened container, memory. The library reads
// through this alone and never opens anything. Values; as thread-safe as `read` is.
#pragma once

#include <functional>
#include <span>

#include "shared/base/bytes.hpp"

namespace lamina::delta {

struct Source {
  std::uint64_t size = 0;
  // Fills `into` from `offset` on; within the size, or it is the caller's mistake. An error means
  // that the content cannot be read, or is another one by now.
  std::function<Status(std::uint64_t offset, std::span<std::byte> into)> read;
};

// Bytes in memory, which must outlive the source.
Source source_of(ByteView bytes);
// The same, which live as long as the source.
Source source_of(Buffer&& bytes);

// The bytes [offset, offset + size). Precondition: within the source.
Result<Buffer> read_range(const Source& source, std::uint64_t offset, std::uint64_t size);
// All of them. `invalid` when there are more than `limit`.
Result<Buffer> read_all(const Source& source, std::uint64_t limit);

// Gives all bytes in order, piece by piece; errors of `take` are passed on.
Status read_pieces(const Source& source, const std::function<Status(ByteView piece)>& take);

}  // namespace lamina::delta
