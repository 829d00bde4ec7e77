// What TCP gets out of a line by itself: the bound by window, round trip and loss, and what the
// start of a transfer costs. Formulas and their errors: sim/MODEL.md, "TCP".
//
// Pure functions; any thread.
#pragma once

#include "sim/engine/rates.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

// Payload of a full Ethernet frame with TCP timestamps.
inline constexpr double kSegmentBytes = 1448;

// The most that one fetch gets, all its connections together, in content a second.
Rate tcp_cap(const Tcp& tcp, Duration rtt, double loss);

// How much later a transfer at `rate` (content) ends because it starts slowly.
Duration start_delay(const Tcp& tcp, Duration rtt, Rate rate);

}  // namespace lamina::sim
