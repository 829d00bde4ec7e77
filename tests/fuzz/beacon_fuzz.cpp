// A beacon: a datagram of anybody's. What is accepted writes back to the same bytes and keeps its
// limits.
#include <algorithm>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/format/beacon.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  const auto parsed = format::parse_beacon(input);
  if (!parsed) return 0;
  LAMINA_ASSERT(input.size() <= format::kBeaconMax);
  LAMINA_ASSERT(parsed->beacon.layers.size() <= format::kBeaconLayersMax);
  LAMINA_ASSERT(std::ranges::equal(format::encode(*parsed), input));
  return 0;
}
