// The note on a pack that was set aside. One that is accepted writes back to the same bytes. The
// input is also parsed with a checksum that fits, because no mutation gets past a checksum by
// chance.
#include <algorithm>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/codec/writer.hpp"
#include "shared/hash/xxh3.hpp"
#include "shared/store/lost_pack.hpp"

using namespace lamina;

namespace {

void read_note(ByteView input) {
  const auto note = parse_lost_pack(input);
  if (note) LAMINA_ASSERT(std::ranges::equal(encode(*note), input));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  read_note(input);
  Writer sealed;
  sealed.raw(input.first(size - std::min<std::size_t>(size, 8)));
  sealed.u64(xxh3(sealed.view()));
  read_note(sealed.view());
  return 0;
}
