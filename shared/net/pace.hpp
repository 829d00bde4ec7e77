// Pace: how fast uploads flow together, and whether they may at all. It is changed while they run.
//
// A rate is one of the line: what the headers of packets and of TLS add to the bytes counts.
// Nothing is saved up for later, but for what timers are late. Plain state, told the time; one
// thread.
#pragma once

#include <optional>

#include "shared/base/units.hpp"

namespace lamina::net {

class Pace {
 public:
  // None: as fast as the line allows. {0}: not at all.
  void set(std::optional<BitRate> rate);
  bool is_stopped() const { return rate_ && rate_->bits_per_second <= 0; }

  // How many bytes are sent at a time, so that they flow evenly: at most `most`, at least 1 KiB.
  // Not to be called while stopped.
  Bytes step(Bytes most) const;
  // How long to wait before the next step; 0: it may be sent. Asked again after at most 1 s, for
  // the rate may have changed.
  Duration wait(Instant now) const;
  // So many bytes, at most 1 GiB, are sent.
  void spend(Bytes sent, Instant now);

 private:
  std::optional<BitRate> rate_;
  Instant next_{};  // Before which nothing is sent.
};

}  // namespace lamina::net
