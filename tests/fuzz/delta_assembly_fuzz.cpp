// An assembly as it is inside of its compression: what is accepted writes back to the same bytes.
#include <span>

#include "shared/base/assert.hpp"
#include "shared/codec/zstd.hpp"
#include "shared/codec/zstd_program.hpp"
#include "shared/delta/update.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMost = 1 << 20;
  const auto plain = std::as_bytes(std::span(data, size));
  static ZstdCompressor compressor(1);
  const auto assembly = delta::read_assembly(compressor.compress(plain), kMost);
  if (!assembly) {
    LAMINA_ASSERT(!assembly.error().text().empty());
    return 0;
  }
  const auto again = zstd_decode_any(delta::write_assembly(*assembly), kMost);
  LAMINA_ASSERT(again && *again == to_buffer(plain));
  return 0;
}
