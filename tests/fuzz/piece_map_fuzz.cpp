// A piece map. One that is accepted writes back to the same bytes. The input is also parsed with a
// checksum that fits, because no mutation gets past a checksum by chance.
#include <algorithm>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/swarm/piece_map.hpp"
#include "tests/fuzz/sealed.hpp"

using namespace lamina;

namespace {

void read_map(ByteView input) {
  const auto map = swarm::parse_piece_map(input);
  if (map) LAMINA_ASSERT(std::ranges::equal(swarm::encode(*map), input));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  read_map(input);
  read_map(tests::with_own_checksum(input));
  return 0;
}
