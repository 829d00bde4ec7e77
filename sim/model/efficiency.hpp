// How much of its upload rate a swarm of so many peers turns into downloads, between the points at
// which it was measured.
//
// Pure; any thread.
#pragma once

#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

// As Efficiency's comment says; (0, 1].
double swarm_efficiency(const Swarm& swarm, double peers, double pieces);

}  // namespace lamina::sim
