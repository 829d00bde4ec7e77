// The front of a parcel. What is accepted writes back to the same bytes and keeps its limits.
#include <algorithm>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/format/parcel.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  const auto parsed = format::parse_parcel(input);
  if (!parsed) return 0;
  LAMINA_ASSERT(parsed->size <= input.size() && parsed->size <= format::kParcelFrontMax);
  LAMINA_ASSERT(parsed->front.head.box_size <= format::kParcelBoxMax);
  LAMINA_ASSERT(std::ranges::equal(format::encode(parsed->front), input.first(parsed->size)));
  return 0;
}
