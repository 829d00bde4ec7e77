#include "shared/policy/wan_pacing.hpp"

#include <algorithm>

namespace lamina::policy {
namespace {

// Near the target, so small that a change is seen before the next one is made: over kShown, 0.1
// fills or drains a queue by 14 ms, less than the target. What takes longer to show has smaller
// gains.
constexpr double kGain = 0.1;
constexpr double kShown = 0.14;  // Seconds: an interval of 100 ms and a round trip of 40 ms.
// A queue of twice the target is somebody else's, and the longer it is the faster we go.
constexpr double kGainBeyond = 0.3;
constexpr double kLeast = 0.6;
// With hardly a queue: from 128 kbit/s to 20 Mbit/s in 2.3 s.
constexpr double kGrowth = 0.25;
// How much of the allowed rate is used when the sender is not waiting for something else.
constexpr double kBusy = 0.5;

double seconds(Duration duration) { return static_cast<double>(duration.count()) / 1e9; }

}  // namespace

void WanPacing::note_base(Duration rtt_min, Instant now) {
  if (!base_ || now - window_began_ >= limits_.base_window) {
    base_before_ = base_;
    base_ = rtt_min;
    window_began_ = now;
  }
  base_ = std::min(*base_, rtt_min);
}

// A loss counts when there was hardly a queue before it and after it.
void WanPacing::note_losses(std::int64_t lost, Duration queue, Instant now) {
  const std::int64_t more = lost - lost_;
  lost_ = lost;
  // Long without one: the line is another.
  if (lost_at_ && now - *lost_at_ > limits_.base_window) is_lossy_ = false;
  if (more <= 0 || std::max(queue, queue_) > limits_.target) return;
  if (!lost_at_ || now - *lost_at_ > limits_.lossy_window) lost_without_queue_ = 0;
  lost_at_ = now;
  ++lost_without_queue_;  // Several at once are one event.
  if (lost_without_queue_ >= limits_.lossy_after) is_lossy_ = true;
}

// The most of the last decisions: one that was measured too low, because a machine was busy for a
// moment, must not slow the line down.
double WanPacing::delivered_lately(double delivered) {
  deliveries_[next_delivery_] = delivered;
  next_delivery_ = (next_delivery_ + 1) % deliveries_.size();
  return *std::ranges::max_element(deliveries_);
}

WanPacing::Decision WanPacing::on(const Seen& seen, Instant now) {
  const auto current = [this] {
    return rate_ ? std::optional(BitRate{static_cast<std::int64_t>(*rate_)}) : std::nullopt;
  };
  if (seen.rtt <= Duration{} || seen.rtt_min <= Duration{} ||
      (decided_ && now - *decided_ < std::max(limits_.interval, seen.rtt)))
    return {current(), false, is_lossy_};
  note_base(seen.rtt_min, now);
  const Duration base = base_before_ ? std::min(*base_, *base_before_) : *base_;
  const Duration queue = std::max(Duration{}, seen.rtt - base);
  note_losses(seen.lost, queue, now);
  queue_ = queue;
  const Bytes came = seen.acked - acked_;
  acked_ = seen.acked;
  if (!decided_) return decided_ = now, Decision{current(), false, is_lossy_};
  const double delivered = static_cast<double>(came.count) * 8 / seconds(now - *decided_);
  decided_ = now;
  const double lately = delivered_lately(delivered);

  const double target = seconds(limits_.target);
  const double rtt = seconds(seen.rtt);
  const double calm = std::min(1.0, kShown / (std::max(seconds(limits_.interval), rtt) + rtt));
  const double over = seconds(queue_) / target - 1;  // -1: no queue, 0: as long as it should be.
  bool begin_anew = false;
  if (over >= 0) {
    const double next = over <= 1
                            ? lately * (1 - calm * kGain * over)
                            : delivered * std::max(kLeast, 1 - kGain - kGainBeyond * (over - 1));
    rate_ = std::max(next, static_cast<double>(limits_.floor.bits_per_second));
    if (over > 1) lowest_ = std::min(lowest_.value_or(*rate_), *rate_);
  } else if (rate_) {
    // A packet or two are no measure: then anything that came counts as busy.
    const double packets = *rate_ * seconds(std::max(limits_.interval, seen.rtt)) / (8 * 1500);
    const bool is_busy = packets < 8 ? came.count > 0 : delivered > kBusy * *rate_;
    if (over < -0.75) {
      if (is_busy) rate_ = std::max(*rate_, delivered) * (1 + calm * kGrowth);
    } else if (is_busy) {
      rate_ = std::max(over < -0.5 ? *rate_ : 0, lately * (1 - calm * kGain * over));
    }
    if (lowest_ && over < -0.5 && *rate_ > 2 * *lowest_) {
      lowest_.reset();
      begin_anew = true;
    }
  }
  return {current(), begin_anew, is_lossy_};
}

}  // namespace lamina::policy
