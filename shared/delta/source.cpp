#include "shared/delta/source.hpp"

#include <algorithm>
#include <memory>

#include "shared/base/assert.hpp"

namespace lamina::delta {
namespace {

constexpr std::uint64_t kPiece = 256 * 1024;

void copy(ByteView bytes, std::uint64_t offset, std::span<std::byte> into) {
  LAMINA_ASSERT(offset <= bytes.size() && into.size() <= bytes.size() - offset);
  std::ranges::copy(bytes.subspan(static_cast<std::size_t>(offset), into.size()), into.begin());
}

}  // namespace

Source source_of(ByteView bytes) {
  return {bytes.size(), [bytes](std::uint64_t offset, std::span<std::byte> into) -> Status {
            copy(bytes, offset, into);
            return Done{};
          }};
}

Source source_of(Buffer&& bytes) {
  const auto kept = std::make_shared<const Buffer>(std::move(bytes));
  return {kept->size(), [kept](std::uint64_t offset, std::span<std::byte> into) -> Status {
            copy(*kept, offset, into);
            return Done{};
          }};
}

Result<Buffer> read_range(const Source& source, std::uint64_t offset, std::uint64_t size) {
  LAMINA_ASSERT(offset <= source.size && size <= source.size - offset);
  Buffer bytes(static_cast<std::size_t>(size));
  if (size > 0)
    if (const auto read = source.read(offset, bytes); !read) return fail(read.error());
  return bytes;
}

Result<Buffer> read_all(const Source& source, std::uint64_t limit) {
  if (source.size > limit)
    return fail(ErrorKind::invalid, "content of " + std::to_string(source.size) +
                                        " bytes; at most " + std::to_string(limit) +
                                        " are read as a whole");
  return read_range(source, 0, source.size);
}

Status read_pieces(const Source& source, const std::function<Status(ByteView piece)>& take) {
  Buffer piece(static_cast<std::size_t>(std::min(kPiece, source.size)));
  for (std::uint64_t at = 0; at < source.size; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min(kPiece, source.size - at)));
    if (auto read = source.read(at, piece); !read) return read;
    if (auto taken = take(piece); !taken) return taken;
  }
  return Done{};
}

}  // namespace lamina::delta
