// The head of an update: what is accepted writes back to the same bytes.
#include <span>

#include "shared/base/assert.hpp"
#include "shared/update/update_head.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto head = update::read_head(bytes);
  if (!head) {
    LAMINA_ASSERT(!head.error().text().empty());
    return 0;
  }
  LAMINA_ASSERT(update::write_head(*head) == to_buffer(bytes));
  return 0;
}
