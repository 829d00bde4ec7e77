// A manifest: one byte with the number of entries, two with the fence's length, the fence, then the
// bytes that stand for every other chunk. Whatever is read comes in strictly ascending path order.
#include <span>

#include "shared/base/assert.hpp"
#include "shared/format/manifest.hpp"
#include "shared/format/path.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Reader in(std::as_bytes(std::span(data, size)));
  format::ManifestRef ref;
  ref.entries = in.u8();
  const ByteView fence = in.raw(in.u16());
  if (in.failed()) return 0;
  const ByteView chunk = in.raw(in.remaining());
  ref.fence = {{ChunkId(), static_cast<std::uint32_t>(fence.size())}};
  int reads = 0;
  const format::ChunkSource source = [&](const format::ChunkRef& wanted) -> Result<Buffer> {
    if (++reads > 100) return fail(ErrorKind::unavailable, "enough");
    return to_buffer(wanted.id.is_none() ? fence : chunk);
  };
  auto reader = format::ManifestReader::open(ref, source);
  if (!reader) return 0;
  std::string previous;
  std::uint64_t count = 0;
  for (;;) {
    const auto entry = (*reader)->next();
    if (!entry) break;
    if (!*entry) {
      LAMINA_ASSERT(count == ref.entries);
      break;
    }
    LAMINA_ASSERT(count == 0 || format::compare_paths(previous, (*entry)->path) < 0);
    previous = (*entry)->path;
    ++count;
  }
  auto sought = format::ManifestReader::open(ref, source);
  if (!sought || !(*sought)->seek(previous)) return 0;
  const auto entry = (*sought)->next();
  LAMINA_ASSERT(!entry || !*entry || format::compare_paths((*entry)->path, previous) >= 0);
  return 0;
}
