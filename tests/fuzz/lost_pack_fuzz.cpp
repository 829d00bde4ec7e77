// The note on a pack that was set aside. One that is accepted writes back to the same bytes. The
// input is also parsed with a checksum that fits, because no mutation gets past a checksum by
// chance.
#include <algorithm>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/store/lost_pack.hpp"
#include "tests/fuzz/sealed.hpp"

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
  read_note(tests::with_own_checksum(input));
  return 0;
}
