// Numbers of files in a list, each as its difference to the one before: they mostly ascend.
#pragma once

#include <cstdint>

#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"

namespace lamina::delta {

// `before`: the number that was written or read last, 0 at first.
inline void write_file_number(Writer& out, std::uint32_t number, std::int64_t& before) {
  out.svarint(std::int64_t{number} - before);
  before = number;
}

// `in` has failed, and 0 is returned, when it is no number of a file.
inline std::uint32_t read_file_number(Reader& in, std::int64_t& before) {
  const std::int64_t step = in.svarint();
  // Differences beyond any number of a file must not overflow.
  if (step > UINT32_MAX || step < -std::int64_t{UINT32_MAX}) in.set_failed();
  if (in.failed()) return 0;
  before += step;
  if (before < 0 || before > UINT32_MAX) in.set_failed();
  return in.failed() ? 0 : static_cast<std::uint32_t>(before);
}

}  // namespace lamina::delta
