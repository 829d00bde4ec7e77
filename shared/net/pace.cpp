#include "shared/net/pace.hpp"

#include <algorithm>

namespace lamina::net {
namespace {

using namespace std::chrono_literals;

constexpr Duration kStep = 25ms;
constexpr Duration kLate = 100ms;  // What a timer may be late without costing speed.
constexpr Duration kWaitMax = 1s;
constexpr Bytes kLeast = 1_KiB;
// Of packets of 1500 bytes: IPv4, TCP and its time stamps leave 1448. Each step is a TLS record.
constexpr std::int64_t kPacket = 1500;
constexpr std::int64_t kPayload = 1448;
constexpr std::int64_t kRecord = 22;
constexpr std::int64_t kRecordMax = 16'384;

// What `sent` costs on the line.
std::int64_t line_bits(Bytes sent) {
  const std::int64_t records = (sent.count + kRecordMax - 1) / kRecordMax;
  return (sent.count + records * kRecord) * 8 * kPacket / kPayload;
}

}  // namespace

void Pace::set(std::optional<BitRate> rate) {
  if (rate == rate_) return;
  rate_ = rate;
  next_ = {};  // The wait was reckoned with the old rate.
}

Bytes Pace::step(Bytes most) const {
  if (!rate_) return most;
  // Fits for every rate that is one.
  const Bytes even{rate_->bits_per_second / 8 / (1s / kStep)};
  return std::min(most, std::max(kLeast, even));
}

Duration Pace::wait(Instant now) const {
  if (!rate_ || next_ <= now) return {};
  return std::min<Duration>(next_ - now, kWaitMax);
}

void Pace::spend(Bytes sent, Instant now) {
  if (!rate_ || is_stopped()) return;
  // 1 GiB fits.
  const Duration takes{line_bits(sent) * 1'000'000'000 / rate_->bits_per_second};
  next_ = std::max(next_, now - kLate) + takes;
}

}  // namespace lamina::net
