// WanPacing decides how fast a seeder may send over one line, so that a layer takes what others
// leave: it keeps the queue before the line short, and gives way when somebody else fills it.
//
// A less-than-best-effort rate control in the manner of LEDBAT (RFC 6817), at the sender of an
// ordinary TCP connection: the kernel's round-trip times show the queue (what they grew above the
// smallest seen, less what they scatter), its acknowledged bytes the rate that the line gives. The
// next rate is that rate, a little more while the queue is shorter than the target and a little
// less while it is longer. Basing it on what was delivered, not on what was allowed before, is what
// keeps it from swinging. A queue of twice the target that lasts while our own share shrinks is
// somebody else's. Then we go down to a trickle and stay there for a while, because the other's
// congestion control, once it saw our queue, needs seconds to find out that the line is free
// (cubic, 40 ms: about 3 s to fill 20 Mbit/s m); without that it had 65 % of the line over 12 s
// instead of more than 80 % (m).
//
// Loss says nothing about the rate. But a line that loses packets while its queue is short needs a
// congestion control that does not take them for a full queue (bbr instead of cubic: 1.1 instead of
// 1.55 times the ideal time at 0.1 % m), which in turn costs every other line 2 % m.
//
// Deterministic; no clock, no I/O. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "shared/base/units.hpp"

namespace lamina::policy {

class WanPacing {
 public:
  struct Limits {
    // Of the queue. Below the buffers of ordinary routers, and below what one bulk TCP flow leaves
    // standing in them, which is how its presence is noticed (m: 20 to 60 ms at 20 Mbit/s).
    Duration target = std::chrono::milliseconds{20};
    BitRate floor = {128'000};
    // How long a smallest round trip is believed; then a new route may have a longer one.
    Duration base_window = std::chrono::minutes{10};
    // Between two decisions at least, and a round trip.
    Duration interval = std::chrono::milliseconds{100};
    // For so long a queue of others must last, and for so long afterwards nothing may be seen of
    // it. What is shorter is a machine that was busy for a moment, or a radio link.
    Duration others_last = std::chrono::milliseconds{150};
    // It is enough that packets are lost in it: others fill the line's buffer at once (m: 60 ms of
    // it in 100 ms), and what waits for more evidence takes part in the losses for a second or
    // more.
    Duration overflow_lasts = std::chrono::milliseconds{100};
    // So long after a loss in such a queue a share that becomes smaller is another's gain, too. And
    // so long after standing back such a loss says at once that they are there still; once in a
    // `base_window`, as a line that has become slower looks alike.
    Duration overflow_counts = std::chrono::milliseconds{2000};
    Duration stand_back = std::chrono::milliseconds{2000};
    // For so long at least when the queue overflowed: the other one lost packets as well, fills the
    // line again only after a while, and leaves no queue before. Cubic takes the third root of
    // 0.3 / 0.4 of its window (RFC 9438, 4.2): 3.7 s of 67 packets, which is 20 Mbit/s by 40 ms,
    // and most of it earlier. More makes a link that scatters by 60 ms begin too slowly (m).
    Duration after_overflow = std::chrono::milliseconds{3000};
    double trickle = 0.05;  // Of the usual rate.
    // Somebody whose window grows slowly takes the line bit by bit, and leaves the queue as short
    // as we keep it: less than so much of what the line gave within the last seconds, while there
    // is a queue all the same.
    double share_left = 0.75;
    // A queue that stays for so long while it stands back is looked into: for `probe_lasts` more is
    // sent, and if all of that arrives, nothing is lost, and the queue grows by less than half the
    // target, there is no queue, and round trips just take longer now (another route, a radio link,
    // a busy computer). Costs a transfer that is really there 1 % of the line.
    Duration probe_after = std::chrono::seconds{8};
    Duration probe_lasts = std::chrono::milliseconds{400};
    double probe = 0.25;  // Of the usual rate.
    // A connection's slow start fills the queue and loses packets by itself; for so long after the
    // first rate its traces are not taken for others.
    Duration settle = std::chrono::seconds{1};
    // So many packets lost without a queue, each within `lossy_window` of the one before, are no
    // chance.
    int lossy_after = 4;
    Duration lossy_window = std::chrono::seconds{10};
  };
  // All connections over the line together.
  struct Seen {
    Duration rtt{};         // Of those that send and were acknowledged lately; the smallest.
    Duration rtt_min{};     // The smallest ever of any.
    Duration jitter{};      // How far round trips were from `rtt` lately, on average.
    Bytes acked;            // Since the line was first seen; never less than before.
    std::int64_t lost = 0;  // Packets sent again, likewise.
    // Another line of the same seeder has a long queue now: both may be behind one bottleneck, the
    // seeder's own uplink perhaps, and each must not take the other for somebody else.
    bool is_among_ours = false;
    // The receiver takes less than the line gives, as under a bandwidth rule: what arrives, and
    // when it is acknowledged, says nothing about the line. A long queue is still others'.
    bool is_held = false;
    // It has nothing to send at the moment: what arrives is what was asked for, and round trips are
    // old, or of single packets, whose acknowledgements are delayed.
    bool is_idle = false;
  };
  struct Decision {
    std::optional<BitRate> rate;  // For all together; nothing: as fast as TCP likes.
    // The line is free again after it was not: a congestion control that remembers a slower line
    // had better begin anew.
    bool begin_anew = false;
    bool is_lossy = false;  // It loses packets without a queue.
    bool operator==(const Decision&) const = default;
  };

  WanPacing() : WanPacing(Limits()) {}
  explicit WanPacing(Limits limits) : limits_(limits) {}

  // The rate from now on. `now` must not be earlier than in the previous call; ten times a second
  // is often enough.
  Decision on(const Seen& seen, Instant now);

  // What round trips are longer than the smallest known by.
  Duration queue() const { return queue_; }
  bool is_crowded() const { return queue_ >= 2 * limits_.target; }
  bool stands_back() const { return back_until_.has_value(); }

 private:
  void note_jitter(Duration jitter);
  Duration on_the_line(const Seen& seen) const;
  void note_base(Duration rtt, Instant now);
  void note_queue(Duration queue);
  void note_losses(std::int64_t lost, Duration queue, Instant now);
  bool sees_others(const Seen& seen, Instant now);
  bool overflowed(Instant now) const;
  void note_squeeze(double lately, Instant now);
  void note_capacity();
  bool stand_back(const Seen& seen, Instant now);
  bool probe(const Seen& seen, Instant now);
  void decide(const Seen& seen, Instant now);
  double delivered_lately(double delivered);

  Limits limits_;
  // The smallest round trips of this window and of the one before.
  std::optional<Duration> base_;
  std::optional<Duration> base_before_;
  Instant window_began_{};
  Duration queue_{};
  bool is_doubtful_ = false;          // It is long, and what it was taken from deviates as much.
  std::array<Duration, 5> queues_{};  // The newest first.
  // The shortest of them: a bulk transfer's queue does not go away. Doubtful ones count as none.
  Duration standing_queue_{};
  std::array<Duration, 20> jitters_{};  // The newest first...
  Duration jitter_{};                   // ...and their median.
  std::optional<Instant> decided_;
  Bytes acked_;                          // As of the last decision...
  Bytes acked_last_;                     // ...and of the last call that looked for others.
  std::array<double, 10> deliveries_{};  // Of the last decisions, the newest first.
  std::size_t measured_ = 0;             // Of those, that there are.
  std::int64_t lost_ = 0;
  int lost_without_queue_ = 0;
  bool was_held_ = false;
  std::optional<Instant> lost_at_;
  bool is_lossy_ = false;
  std::optional<double> rate_;  // Bits per second.
  Instant rated_{};             // When there was one first, or the line was found to be lossy.
  struct Crowd {                // A queue of twice the target.
    Instant since;
    Bytes acked;      // Then.
    double rate = 0;  // That was allowed then.
  };
  std::optional<Crowd> crowd_;
  std::optional<Instant> overflowed_at_;  // When packets were lost in such a queue.
  double sustained_ = 0;                  // What was delivered over the last decisions.
  int full_ = 0;                          // Decisions in a row with half the target's queue...
  int empty_ = 0;                         // ...and with less.
  std::optional<double> capacity_;        // What the line gave while it was full.
  double best_ = 0;    // What was delivered, half of it forgotten every half a minute...
  Instant best_at_{};  // ...as of then.
  int squeezed_ = 0;   // Decisions in a row with much less than that, and a queue.
  std::optional<Instant> back_until_;  // While it stands back.
  std::optional<Instant> back_ended_;  // When it did so last.
  std::optional<Instant> at_once_;     // When it did so at the first loss after coming back.
  std::optional<double> usual_;        // The rate before that, while it is not reached again.
  struct Probe {
    Instant since;
    Bytes acked;  // Then, as the next ones.
    std::int64_t lost = 0;
    Duration queue{};
  };
  Instant probed_at_{};  // The end of the last one, or when it began to stand back.
  std::optional<Probe> probe_;
};

}  // namespace lamina::policy
