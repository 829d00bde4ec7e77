// Any bytes as a content: split and joined they are the same. And any bytes as streams of an ELF
// file: joining refuses them or gives as many bytes as it was told.
#include <algorithm>
#include <memory>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/codec/reader.hpp"
#include "shared/delta/streams.hpp"

using namespace lamina;

namespace {

void check_way_back(ByteView bytes, delta::Targets targets) {
  const auto contents = delta::SplitContents::of({delta::source_of(bytes)});
  LAMINA_ASSERT(contents.has_value());
  std::map<delta::StreamId, delta::Stream> streams;
  for (const auto& [id, size] : contents->sizes())
    streams[id] = {contents->gather(id, targets).value(), targets};
  const std::vector<delta::Part> parts = {{bytes.size(), contents->is_split(0)}};
  Buffer back;
  const auto joined =
      delta::join(parts, std::move(streams), [&](std::size_t, ByteView piece) -> Status {
        back.insert(back.end(), piece.begin(), piece.end());
        return Done{};
      });
  LAMINA_ASSERT(joined && std::ranges::equal(back, bytes));
}

// As check_way_back(), with streams that come in pieces of `length` bytes.
void check_in_pieces(ByteView bytes, delta::Targets targets, std::size_t length) {
  const auto contents = delta::SplitContents::of({delta::source_of(bytes)});
  LAMINA_ASSERT(contents.has_value());
  std::map<delta::StreamId, delta::Stream> streams;
  for (const auto& [id, size] : contents->sizes()) {
    const auto all = std::make_shared<const Buffer>(contents->gather(id, targets).value());
    streams[id] = {{}, targets, [all, length, at = std::size_t{0}](ByteView rest) mutable {
                     const auto piece =
                         ByteView(*all).subspan(at, std::min(length, all->size() - at));
                     at += piece.size();
                     Buffer joined = to_buffer(rest);
                     joined.insert(joined.end(), piece.begin(), piece.end());
                     return Result<Buffer>(std::move(joined));
                   }};
  }
  const std::vector<delta::Part> parts = {{bytes.size(), contents->is_split(0)}};
  Buffer back;
  const auto joined =
      delta::join(parts, std::move(streams), [&](std::size_t, ByteView piece) -> Status {
        back.insert(back.end(), piece.begin(), piece.end());
        return Done{};
      });
  LAMINA_ASSERT(joined && std::ranges::equal(back, bytes));
}

void join_anything(ByteView bytes) {
  Reader in(bytes);
  std::map<delta::StreamId, delta::Stream> streams;
  std::uint64_t size = 0;
  while (in.remaining() > 0 && !in.failed()) {
    const delta::StreamId id = in.u8();
    const auto targets = (in.u8() & 1) != 0 ? delta::Targets::places : delta::Targets::distances;
    const ByteView content = in.bytes(bytes.size());
    if (streams.contains(id)) return;
    streams[id] = {to_buffer(content), targets};
    size += content.size();
  }
  if (in.failed()) return;
  const std::vector<delta::Part> parts = {{size, true}};
  std::uint64_t emitted = 0;
  const auto joined =
      delta::join(parts, std::move(streams), [&](std::size_t, ByteView piece) -> Status {
        emitted += piece.size();
        return Done{};
      });
  if (joined) LAMINA_ASSERT(emitted == size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  check_way_back(bytes, delta::Targets::distances);
  check_way_back(bytes, delta::Targets::places);
  check_in_pieces(bytes, delta::Targets::places, 1 + size % 61);
  join_anything(bytes);
  return 0;
}
