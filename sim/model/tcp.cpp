#include "sim/model/tcp.hpp"

#include <algorithm>
#include <cmath>

#include "sim/engine/random.hpp"

namespace lamina::sim {
namespace {

// Linux: RTO is at least 200 ms above the round trip.
constexpr double kRtoAboveRtt = 0.2;
constexpr double kFirstWindow = 10 * kSegmentBytes;  // RFC 6928.

// J. Padhye, V. Firoiu, D. Towsley, J. Kurose, "Modeling TCP Throughput", SIGCOMM 1998, equation
// 32, for a receiver that acknowledges each segment (b = 1), as Linux does while it matters.
Rate padhye(double rtt, double loss) {
  const double rto = rtt + kRtoAboveRtt;
  const double per_segment =
      rtt * std::sqrt(2 * loss / 3) +
      rto * std::min(1.0, 3 * std::sqrt(3 * loss / 8)) * loss * (1 + 32 * loss * loss);
  return kSegmentBytes / per_segment;
}

}  // namespace

Rate tcp_cap(const Tcp& tcp, Duration rtt, double loss) {
  const double round = in_seconds(rtt);
  double cap = kInfinite;
  if (round > 0) cap = static_cast<double>(tcp.window.count) / round;
  // BBR does not take loss for congestion.
  if (loss > 0 && tcp.congestion != Congestion::bbr) cap = std::min(cap, padhye(round, loss));
  return cap * tcp.connections;
}

Duration start_delay(const Tcp& tcp, Duration rtt, Rate rate) {
  if (!(rate > 0) || !(rate < kInfinite)) return rtt;
  // One round to ask, and one for each doubling of the window up to what is on its way.
  const double on_the_way = rate / tcp.connections * in_seconds(rtt);
  const double doublings = portable_log(std::max(1.0, on_the_way / kFirstWindow)) / portable_log(2);
  return Duration(static_cast<std::int64_t>(static_cast<double>(rtt.count()) * (1 + doublings)));
}

}  // namespace lamina::sim
