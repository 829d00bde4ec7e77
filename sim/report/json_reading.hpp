// What JSON files that are read back have in common: whole numbers within bounds, and what is
// wrong. nlohmann's own get() casts any number, and what is computed with a large one overflows.
#pragma once

#include <cstdint>
#include <string>

#include "shared/base/bytes.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

inline constexpr std::int64_t kCountMax = kBytesMax.count;     // Of bytes, of devices.
inline constexpr std::int64_t kTimeMsMax = 1'000'000'000'000;  // 31 years.

// From 0 to `most`. Throws Json::out_of_range, which quotes the value.
template <class Json>
std::int64_t count_in(const Json& value, std::int64_t most) {
  const bool is_small = value.is_number_integer() &&
                        (!value.is_number_unsigned() ||
                         value.template get<std::uint64_t>() <= static_cast<std::uint64_t>(most));
  const std::int64_t count = is_small ? value.template get<std::int64_t>() : -1;
  if (count >= 0 && count <= most) return count;
  const std::string said = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  throw Json::out_of_range::create(
      401, said.substr(0, 40) + " is no whole number from 0 to " + std::to_string(most), &value);
}

// What it says, without the library's own number.
template <class Exception>
requires requires(const Exception& error) { error.id; }
std::string text_of(const Exception& error) {
  const std::string text = error.what();
  const auto end = text.starts_with('[') ? text.find("] ") : text.npos;
  return printable(end == text.npos ? text : text.substr(end + 2), 300);
}

}  // namespace lamina::sim
