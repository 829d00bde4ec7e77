#include "shared/policy/wan_pacing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace lamina::policy {
namespace {

// Near the target, so small that a change is seen before the next one is made: over kShown, 0.1
// fills or drains a queue by 14 ms, less than the target. What takes longer to show has smaller
// gains: so do slow lines, as the kernel smooths over eight acknowledgements.
constexpr double kGain = 0.1;
constexpr double kShown = 0.14;       // Seconds: an interval of 100 ms and a round trip of 40 ms.
constexpr double kPacket = 1500 * 8;  // Bits.
constexpr double kSmoothed = 8 * 2 * kPacket;  // Each is of two.
// Of the time that a peer waits with an acknowledgement (Linux: up to 40 ms), so much is taken off:
// more would hide others' queue at a trickle of some 100 kbit/s.
constexpr Duration kAckDelayed = std::chrono::milliseconds{15};
// A queue of twice the target is somebody else's, and the longer it is the faster we go.
constexpr double kGainBeyond = 0.3;
constexpr double kLeast = 0.6;
// With hardly a queue: from 128 kbit/s to 20 Mbit/s in 2.3 s.
constexpr double kGrowth = 0.25;
// How much of the allowed rate is used when the sender is not waiting for something else.
constexpr double kBusy = 0.5;
// After standing back, up to most of the usual rate: 0.6 s from a trickle.
constexpr double kReturn = 1.0;
constexpr double kReturned = 0.9;
// Less of what is allowed comes through when others take their share.
constexpr double kShareLost = 0.9;
// A share that is lost bit by bit: a queue of at least so much of the target, for so many
// decisions.
constexpr double kSqueezeQueue = 0.6;
constexpr int kSqueezed = 3;
constexpr double kForgetBest = 30;  // Seconds.
constexpr int kLately = 4;          // Decisions.
// A sender that was not looked at for so many intervals had nothing to send.
constexpr int kAway = 4;
// A queue that is empty for a moment suggests at most so much more than the line is known to give,
// and what is measured once counts up to that: acknowledgements that were held up come together,
// and a receiver that is busy leaves the queue empty. Before, our own rate filled the queue then,
// and it stood back for nobody (thirty devices on two cores: 2 to 5 s of 67 m). What a line gives
// is known after it was full for kFull decisions, on average over more of them, and doubted after
// kEmpty without a queue: by kDoubt more with each further one.
constexpr double kBeyondKnown = 1.1;
constexpr double kMeasured = 1.05;
constexpr int kFull = 4;
constexpr int kEmpty = 5;
constexpr double kDoubt = 0.15;
constexpr double kAverage = 0.125;
// Round trips that scatter are longer than the line's own by chance, on a radio link or a busy
// machine: where each scatters evenly by itself, by twice their mean deviation. On the laboratory's
// link they come together and deviate less: of 20 ms about 10 remain (m: `./dev lab jitter-8`).
constexpr int kJitter = 2;
// Round trips that deviate as much as they are longer come from a machine that stood still, at
// either end. Somebody else's queue deviates by a fourth of its length where it begins (m).
constexpr int kDoubtful = 2;

double seconds(Duration duration) { return static_cast<double>(duration.count()) / 1e9; }

}  // namespace

// Its median, from when it sends as it likes: a queue that grows is a deviation, too, for a moment,
// and single packets among somebody else's deviate more than their queue is long.
void WanPacing::note_jitter(Duration jitter) {
  if (back_until_ || is_crowded()) return;
  std::shift_right(jitters_.begin(), jitters_.end(), 1);
  jitters_.front() = jitter;
  auto sorted = jitters_;
  const auto middle = sorted.begin() + sorted.size() / 2;
  std::ranges::nth_element(sorted, middle);
  jitter_ = *middle;
}

// What the line and its queue make of a round trip: a peer acknowledges two packets together, and
// the time of the first one counts.
Duration WanPacing::on_the_line(const Seen& seen) const {
  const Duration gap{static_cast<std::int64_t>(rate_ ? 1e9 * kPacket / *rate_ : 0)};
  return std::max(seen.rtt_min, seen.rtt - kJitter * jitter_ - std::min(gap, kAckDelayed));
}

void WanPacing::note_base(Duration rtt, Instant now) {
  if (!base_ || now - window_began_ >= limits_.base_window) {
    base_before_ = base_;
    base_ = rtt;
    window_began_ = now;
  }
  base_ = std::min(*base_, rtt);
}

void WanPacing::note_queue(Duration queue) {
  queue_ = queue;
  std::shift_right(queues_.begin(), queues_.end(), 1);
  queues_.front() = is_doubtful_ ? Duration{} : queue;
  standing_queue_ = *std::ranges::min_element(queues_);
}

// A loss counts when there was hardly a queue before it and after it.
void WanPacing::note_losses(std::int64_t lost, Duration queue, Instant now) {
  const std::int64_t more = lost - lost_;
  lost_ = lost;
  // Long without one: the line is another.
  if (lost_at_ && now - *lost_at_ > limits_.base_window) is_lossy_ = false;
  if (more > 0 && std::max(queue, queue_) >= 2 * limits_.target) overflowed_at_ = now;
  if (more <= 0 || std::max(queue, queue_) > limits_.target) return;
  if (!lost_at_ || now - *lost_at_ > limits_.lossy_window) lost_without_queue_ = 0;
  lost_at_ = now;
  ++lost_without_queue_;  // Several at once are one event.
  if (is_lossy_ || lost_without_queue_ < limits_.lossy_after) return;
  is_lossy_ = true;
  rated_ = now;  // Another congestion control starts, and looks for the line's end.
}

// The most of the last decisions: one that was measured too low, because a machine was busy for a
// moment, must not slow the line down.
double WanPacing::delivered_lately(double delivered) {
  std::shift_right(deliveries_.begin(), deliveries_.end(), 1);
  deliveries_.front() = delivered;
  return *std::max_element(deliveries_.begin(), deliveries_.begin() + kLately);
}

// Whether the queue has been somebody else's for a while.
bool WanPacing::sees_others(const Seen& seen, Instant now) {
  // Of acknowledgements that are held up, the rest comes at once.
  const bool is_held_up = std::exchange(acked_last_, seen.acked) == seen.acked;
  const bool is_settled = rate_ && now >= rated_ + limits_.settle;
  if (seen.is_among_ours || seen.is_idle || !is_settled) return crowd_.reset(), false;
  if (squeezed_ >= kSqueezed) return true;
  if (!is_crowded() || is_doubtful_) return crowd_.reset(), false;
  if (!crowd_) crowd_ = Crowd{now, seen.acked, *rate_};
  const Duration lasted = now - crowd_->since;
  if (overflowed(now) && *overflowed_at_ >= crowd_->since) {
    if (lasted >= limits_.overflow_lasts) return true;
    // Once: a line that has become slower is filled as well by whoever comes back to it.
    const bool is_just_back = back_ended_ && now - *back_ended_ <= limits_.overflow_counts;
    if (is_just_back && (!at_once_ || now - *at_once_ > limits_.base_window)) {
      at_once_ = now;
      return true;
    }
  }
  if (lasted < limits_.others_last || is_held_up) return false;
  // Acknowledgements that scatter are late with so much of it.
  const double late = seconds(std::min(kJitter * jitter_, lasted)) * *rate_;
  const double came =
      (static_cast<double>((seen.acked - crowd_->acked).count) * 8 + late) / seconds(lasted);
  return came < kShareLost * std::min(crowd_->rate, best_);
}

// Whether the line dropped packets lately because of a long queue.
bool WanPacing::overflowed(Instant now) const {
  return !is_lossy_ && overflowed_at_ && now - *overflowed_at_ <= limits_.overflow_counts;
}

// After note_squeeze(). Nothing is known of a line that was never full: there it may grow fast. On
// the way back to what it was before it stood back, an empty queue says nothing.
void WanPacing::note_capacity() {
  const bool is_full = 2 * queue_ >= limits_.target;
  full_ = is_full ? full_ + 1 : 0;
  empty_ = is_full || usual_ ? 0 : empty_ + 1;
  if (full_ >= kFull)
    capacity_ = capacity_ ? *capacity_ + kAverage * (sustained_ - *capacity_) : sustained_;
}

void WanPacing::note_squeeze(double lately, Instant now) {
  // What came over a second: acknowledgements that were held up for a moment and come
  // together are no faster line.
  measured_ = std::min(measured_ + 1, deliveries_.size());
  sustained_ =
      std::accumulate(deliveries_.begin(), deliveries_.end(), 0.0) / static_cast<double>(measured_);
  best_ = std::max(sustained_, best_ * std::exp2(-seconds(now - best_at_) / kForgetBest));
  best_at_ = now;
  const bool has_queue = static_cast<double>(standing_queue_.count()) >
                         kSqueezeQueue * static_cast<double>(limits_.target.count());
  const double left = overflowed(now) ? kShareLost : limits_.share_left;
  squeezed_ = has_queue && lately < left * best_ ? squeezed_ + 1 : 0;
}

// Whether that is over.
bool WanPacing::stand_back(const Seen& seen, Instant now) {
  if (standing_queue_ > limits_.target)
    back_until_ = std::max(*back_until_, now + limits_.stand_back);
  if (probe(seen, now)) back_until_ = now;
  if (now < *back_until_) return false;
  back_until_.reset();
  back_ended_ = now;
  probe_.reset();
  decided_ = now;
  acked_ = seen.acked;
  deliveries_ = {};
  measured_ = 0;
  return true;
}

// Whether the round trips are what they are without a queue.
bool WanPacing::probe(const Seen& seen, Instant now) {
  const auto floor = static_cast<double>(limits_.floor.bits_per_second);
  if (!probe_) {
    if (now - probed_at_ < limits_.probe_after) return false;
    probe_ = Probe{now, seen.acked, seen.lost, standing_queue_};
    rate_ = std::max(limits_.probe * *usual_, floor);
    return false;
  }
  // What is sent is acknowledged a round trip later.
  const Duration lasted = now - probe_->since;
  if (lasted < limits_.probe_lasts + seen.rtt) return false;
  const double came = static_cast<double>((seen.acked - probe_->acked).count) * 8;
  const bool all_came = came >= kShareLost * *rate_ * seconds(lasted - seen.rtt);
  const bool is_free = all_came && (is_lossy_ || seen.lost == probe_->lost) &&
                       standing_queue_ < probe_->queue + limits_.target / 2;
  const Duration shortest = on_the_line(seen);
  probe_.reset();
  probed_at_ = now;
  rate_ = std::max(limits_.trickle * *usual_, floor);
  if (!is_free) return false;
  base_ = shortest;
  base_before_.reset();
  window_began_ = now;
  note_queue({});
  return true;
}

WanPacing::Decision WanPacing::on(const Seen& seen, Instant now) {
  bool begin_anew = false;
  if (seen.rtt > Duration{} && seen.rtt_min > Duration{}) {
    note_jitter(seen.jitter);
    const Duration shortest = on_the_line(seen);
    // The smallest of all is from before there was a queue of ours.
    note_base(base_ ? shortest : seen.rtt_min, now);
    const Duration base = base_before_ ? std::min(*base_, *base_before_) : *base_;
    const Duration queue = std::max(Duration{}, shortest - base);
    note_losses(seen.lost, queue, now);
    is_doubtful_ = queue > limits_.target && kDoubtful * seen.jitter > queue;
    note_queue(queue);
    if (back_until_) {
      begin_anew = stand_back(seen, now);
    } else if (sees_others(seen, now)) {
      usual_ = std::max({usual_.value_or(0), *rate_, best_});
      rate_ =
          std::max(limits_.trickle * *usual_, static_cast<double>(limits_.floor.bits_per_second));
      back_until_ = now + (overflowed(now) ? limits_.after_overflow : limits_.stand_back);
      probed_at_ = now;
      crowd_.reset();
      squeezed_ = 0;
    } else if (!decided_ || now - *decided_ >= std::max(limits_.interval, seen.rtt)) {
      decide(seen, now);
    }
  }
  const auto rate =
      rate_ ? std::optional(BitRate{static_cast<std::int64_t>(*rate_)}) : std::nullopt;
  return {rate, begin_anew, is_lossy_};
}

void WanPacing::decide(const Seen& seen, Instant now) {
  const Bytes came = seen.acked - acked_;
  // A machine that stands still, or went away: the line gives what it gave.
  if (came == Bytes{} && rate_) {
    squeezed_ = 0;
    return;
  }
  acked_ = seen.acked;
  const auto before = std::exchange(decided_, now);
  if (!before) return;
  const Duration interval = std::max(limits_.interval, seen.rtt);
  const bool was_away = now - *before > kAway * interval;
  // Let go, the connection fills the queue as at its start.
  if (std::exchange(was_held_, seen.is_held) && !seen.is_held) rated_ = now;
  // What arrives, and when, is the receiver's doing, or a machine's that stands still; or nothing
  // was asked for.
  if ((seen.is_held || is_doubtful_ || seen.is_idle || was_away) && rate_) {
    squeezed_ = 0;
    best_at_ = now;
    return;
  }
  const double delivered = static_cast<double>(came.count) * 8 / seconds(now - *before);
  const double most = delivered_lately(delivered);
  note_squeeze(most, now);
  const bool is_settled = rate_ && now >= rated_ + limits_.settle;
  note_capacity();
  const double known =
      is_settled && capacity_ ? *capacity_ : std::numeric_limits<double>::infinity();
  const double lately = std::min(most, kMeasured * known);
  const double target = seconds(limits_.target);
  const auto floor = static_cast<double>(limits_.floor.bits_per_second);
  const double rtt = seconds(seen.rtt);
  const double smoothed = kSmoothed / std::max(lately, floor);
  const double calm = std::min(1.0, kShown / (seconds(interval) + rtt + smoothed));
  const double over = seconds(queue_) / target - 1;  // -1: no queue, 0: as long as it should be.
  if (over >= 0) {
    const double next = over <= 1 ? lately * (1 - calm * kGain * over)
                                  : std::min(delivered, lately) *
                                        std::max(kLeast, 1 - kGain - kGainBeyond * (over - 1));
    if (!rate_) rated_ = now;
    rate_ = std::max(next, floor);
    usual_.reset();  // The queue says what the line gives now.
  } else if (rate_) {
    // A packet or two are no measure: then anything that came counts as busy.
    const double packets = *rate_ * seconds(interval) / (8 * 1500);
    const bool is_busy = packets < 8 ? came.count > 0 : delivered > kBusy * *rate_;
    if (!is_busy) return;
    if (usual_ && *rate_ >= kReturned * *usual_) usual_.reset();
    if (usual_)
      rate_ = std::min(*rate_ * (1 + calm * kReturn), *usual_);
    else if (over < -0.75) {
      if (capacity_ && empty_ >= kEmpty) *capacity_ *= 1 + calm * kDoubt;
      rate_ = std::max(*rate_, std::min(kBeyondKnown * known, *rate_ * (1 + calm * kGrowth)));
    } else
      rate_ = std::max(over < -0.5 ? *rate_ : floor, lately * (1 - calm * kGain * over));
  }
}

}  // namespace lamina::policy
