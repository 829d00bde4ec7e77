// The changes of one file's records, as a layer holds them. What is accepted writes back to the
// same bytes.
#include <algorithm>
#include <cstdint>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/image/records/record_changes.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  if (const auto changes = image::parse_changes(input))
    LAMINA_ASSERT(std::ranges::equal(image::encode_changes(*changes), input));
  return 0;
}
