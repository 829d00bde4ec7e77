// Any file as a container: what opens proven closes to the same bytes, and opens to the same
// members unproven.
#include <algorithm>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/delta/container.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Buffer file = to_buffer(std::as_bytes(std::span(data, size)));
  const auto unproven = delta::open_unproven(file);
  const auto opened = delta::open_proven(file, {});
  if (!opened) return 0;
  LAMINA_ASSERT(unproven && unproven->members.size() == opened->members.size() &&
                unproven->skeleton == opened->skeleton);
  for (std::size_t i = 0; i < opened->members.size(); ++i)
    LAMINA_ASSERT(std::ranges::equal(opened->members[i].bytes, unproven->members[i].bytes));
  Buffer back;
  const auto closed = delta::close_container(
      opened->recipe, opened->skeleton,
      [&](std::size_t index) -> Result<Buffer> { return to_buffer(opened->members[index].bytes); },
      {},
      [&](ByteView piece) -> Status {
        back.insert(back.end(), piece.begin(), piece.end());
        return Done{};
      });
  LAMINA_ASSERT(closed && back == file);
  return 0;
}
