// Records of every type and the envelope. What is accepted writes back to the same bytes; nothing
// is signed by a key that does not exist.
#include <algorithm>

#include <span>

#include "shared/base/assert.hpp"
#include "shared/format/record.hpp"

using namespace lamina;

namespace {

template <class Record>
void same_bytes(const Result<Record>& record, ByteView input) {
  if (record) LAMINA_ASSERT(std::ranges::equal(format::encode(*record), input));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  same_bytes(format::parse_layer(input), input);
  same_bytes(format::parse_distribution(input), input);
  same_bytes(format::parse_target(input), input);
  same_bytes(format::parse_lease(input), input);
  same_bytes(format::parse_snapshot(input), input);
  same_bytes(format::parse_members(input), input);
  for (int type = 1; type <= 6; ++type)
    LAMINA_ASSERT(!format::open_record(static_cast<format::RecordType>(type), input, {}));
  return 0;
}
