// Buffers, views and hexadecimal text. Plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/result.hpp"

namespace lamina {

using Buffer = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

// The same bytes seen as another type; nothing is copied.
inline ByteView as_view(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Buffer to_buffer(ByteView bytes) { return Buffer(bytes.begin(), bytes.end()); }
inline Buffer to_buffer(std::string_view text) { return to_buffer(as_view(text)); }

// Gives the memory of a vector or text back, which `bytes = {}` does not: it assigns an empty list,
// and keeps the room for more.
template <class Container>
void release(Container& bytes) {
  bytes = Container();
}

// Lower-case hexadecimal, two digits a byte.
std::string to_hex(ByteView bytes);

// Accepts both cases. `invalid` when the length is odd or a character is no hex digit.
Result<Buffer> from_hex(std::string_view text);

// For messages and logs: printable ASCII as it is, everything else as \xNN, so that a hostile or
// non-UTF-8 name cannot break a terminal or a log line. At most `limit` source bytes, then "...".
std::string printable(std::string_view text, std::size_t limit = 512);

}  // namespace lamina
