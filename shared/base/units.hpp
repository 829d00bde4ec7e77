// Time that can only be told, bytes and rates.
//
// `Instant` is a point on a clock without now(): the event loop tells it in production, the event
// queue in the simulator. `WallTime` is calendar time, for logs, records and certificates only.
// Plain values; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "shared/base/result.hpp"

namespace lamina {

struct Timeline {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<Timeline, duration>;
  static constexpr bool is_steady = true;
};
using Duration = Timeline::duration;
using Instant = Timeline::time_point;

// Nanoseconds since 1970-01-01 UTC.
struct WallTime {
  std::int64_t ns = 0;
  auto operator<=>(const WallTime&) const = default;
};

// "2026-03-01T12:00:00Z"; for people and JSON.
std::string to_iso8601(WallTime time);

struct Bytes {
  std::int64_t count = 0;
  auto operator<=>(const Bytes&) const = default;
  Bytes& operator+=(Bytes other) { return count += other.count, *this; }
  friend Bytes operator+(Bytes a, Bytes b) { return {a.count + b.count}; }
  friend Bytes operator-(Bytes a, Bytes b) { return {a.count - b.count}; }
};

struct BitRate {
  std::int64_t bits_per_second = 0;
  auto operator<=>(const BitRate&) const = default;
};

constexpr Bytes operator""_KiB(unsigned long long n) {
  return {static_cast<std::int64_t>(n) << 10};
}
constexpr Bytes operator""_MiB(unsigned long long n) {
  return {static_cast<std::int64_t>(n) << 20};
}
constexpr Bytes operator""_GiB(unsigned long long n) {
  return {static_cast<std::int64_t>(n) << 30};
}

// "17.3 MiB", "812 B": for people.
std::string to_text(Bytes bytes);
// "20.0 Mbit/s": for people.
std::string to_text(BitRate rate);
// "2.5 s", "3 min 20 s": for people.
std::string to_text(Duration duration);

// "64 KiB", "16MiB", "2 GB" (powers of 1000), "1024" (bytes). `invalid` names the text.
Result<Bytes> parse_bytes(std::string_view text);
// "20 Mbit/s", "20Mbit", "512 kbit/s". `invalid` names the text.
Result<BitRate> parse_bit_rate(std::string_view text);
// "30 s", "5m", "2 h", "30 d", "250 ms". `invalid` names the text.
Result<Duration> parse_duration(std::string_view text);

}  // namespace lamina
