// A sequence of entries. Each one that is accepted writes back to the bytes it was read from.
#include <algorithm>

#include <span>

#include "shared/base/assert.hpp"
#include "shared/format/entry.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  Reader in(input);
  std::string previous;
  while (in.remaining() > 0) {
    const std::size_t start = in.offset();
    const auto entry = format::decode_entry(in, previous);
    if (!entry) {
      LAMINA_ASSERT(!entry.error().text().empty());
      return 0;
    }
    Writer out;
    format::encode_entry(*entry, previous, out);
    LAMINA_ASSERT(std::ranges::equal(out.view(), input.subspan(start, in.offset() - start)));
    previous = entry->path;
  }
  return 0;
}
