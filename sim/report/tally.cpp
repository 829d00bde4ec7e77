#include "sim/report/tally.hpp"

#include <algorithm>

namespace lamina::sim {
namespace {

std::vector<CurvePoint> curve_of(const std::vector<Instant>& done, Instant began) {
  std::vector<CurvePoint> curve{{began, 0}};
  // The total, and up to so many points before it that lie evenly in the count.
  const std::size_t points = std::min(done.size(), kCurvePointsMax - 1);
  for (std::size_t i = 1; i <= points; ++i) {
    const std::size_t count = done.size() * i / points;
    const CurvePoint point{done[count - 1], static_cast<std::int64_t>(count)};
    if (point.at == curve.back().at)
      curve.back().done = point.done;
    else
      curve.push_back(point);
  }
  return curve;
}

}  // namespace

void tally(WaveResult& wave, const std::vector<Instant>& done, const std::vector<Instant>& failed,
           std::optional<Instant> began) {
  wave.done = static_cast<std::int64_t>(done.size());
  wave.failed = static_cast<std::int64_t>(failed.size());
  if (!began) return;
  wave.began = began;
  if (wave.devices > 0 && wave.done + wave.failed == wave.devices) {
    wave.ended = began;
    for (const auto* list : {&done, &failed})
      if (!list->empty()) wave.ended = std::max(*wave.ended, list->back());
  }
  wave.completion = percentiles_of(done, wave.devices, *began);
  wave.curve = curve_of(done, *began);
}

Totals totals_of(Mode mode, std::span<const WaveResult> waves, const LineResult& origin,
                 std::span<const LineResult> sites, Duration run) {
  Totals totals{.mode = mode};
  for (const LineResult& line : sites)
    for (const Bytes bytes : line.hours)
      (line.direction == Direction::down ? totals.wan_down : totals.wan_up) += bytes;
  constexpr std::int64_t kBitsPerByte = 8;
  std::int64_t busiest = 0;
  const std::int64_t seconds = run / std::chrono::seconds{1};
  for (std::size_t hour = 0; hour < origin.hours.size(); ++hour) {
    totals.origin += origin.hours[hour];
    const std::int64_t length =
        std::min<std::int64_t>(3600, seconds - 3600 * static_cast<std::int64_t>(hour));
    if (length > 0) busiest = std::max(busiest, origin.hours[hour].count / length);
  }
  totals.peak = {busiest * kBitsPerByte};
  for (const WaveResult& wave : waves) {
    totals.devices += wave.devices;
    totals.done += wave.done;
  }
  if (totals.devices == 0 || totals.done < totals.devices) return totals;
  totals.finished = Instant{};  // Nobody failed: a wave ended with the last device that was done.
  for (const WaveResult& wave : waves)
    if (wave.ended && wave.devices > 0) totals.finished = std::max(*totals.finished, *wave.ended);
  return totals;
}

Replica replica_of(std::uint64_t seed, std::span<const WaveResult> waves, const Totals& totals) {
  Replica replica{.seed = seed, .totals = totals};
  for (const WaveResult& wave : waves)
    replica.waves.push_back({wave.done, wave.failed, wave.began, wave.completion});
  return replica;
}

}  // namespace lamina::sim
