// A delta frame against references of the sizes that it names. Whatever is accepted has the digest
// that it says, in the sizes that it says.
#include <span>

#include "shared/base/assert.hpp"
#include "shared/delta/frame.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kExpected = 1 << 20;  // What a manifest would let a frame have.
  const auto frame = std::as_bytes(std::span(data, size));
  const auto head = delta::FrameHead::parse(frame);
  if (!head) {
    LAMINA_ASSERT(!head.error().text().empty());
    return 0;
  }
  if (head->plain_size() > kExpected) return 0;
  std::uint64_t reference_bytes = 0;
  for (const auto& reference : head->references) reference_bytes += reference.size;
  if (reference_bytes > kExpected) return 0;
  std::vector<delta::Source> references;
  for (const auto& reference : head->references) {
    // The seeds' references: bytes that count up.
    Buffer bytes(static_cast<std::size_t>(reference.size));
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i % 251);
    references.push_back(delta::source_of(std::move(bytes)));
  }
  std::uint64_t emitted = 0;
  Sha256 digest;
  const auto decoded = delta::decode_frame(*head, to_buffer(frame), std::move(references),
                                           [&](std::size_t part, ByteView piece) -> Status {
                                             LAMINA_ASSERT(part < head->items.size());
                                             emitted += piece.size();
                                             digest.update(piece);
                                             return Done{};
                                           });
  LAMINA_ASSERT(emitted <= head->plain_size());
  if (decoded)
    LAMINA_ASSERT(emitted == head->plain_size() && digest.finish() == head->items_digest);
  return 0;
}
