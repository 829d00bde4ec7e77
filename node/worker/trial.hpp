// Trial: the first starts of the machine from a volume that was changed while nothing ran from it.
// Kept beside the applied stack until the origin knows how it ended. Plain values.
#pragma once

#include <string>

#include "shared/base/bytes.hpp"
#include "shared/base/result.hpp"

namespace lamina::node {

struct Trial {
  enum class Stage : std::uint8_t {
    switching = 1,  // The volume is being changed, and the kernel for it is made ready.
    trying = 2,     // The machine starts from it.
    returning = 3,  // It did not come up: the volume goes back to what it was.
    ended = 4,      // It came up, or is what it was again.
  };
  Stage stage = Stage::switching;
  bool is_revert = false;      // It is a revert that is tried: there is no way back from it.
  std::uint64_t sequence = 0;  // Of the target that counts once the volume is changed.
  std::uint8_t starts = 0;     // That were begun while it was tried.
  std::string trouble = {};    // Why it was not changed, or went back; empty: it came up.
  bool operator==(const Trial&) const = default;
};
Buffer encode(const Trial& trial);
Result<Trial> parse_trial(ByteView bytes);

}  // namespace lamina::node
