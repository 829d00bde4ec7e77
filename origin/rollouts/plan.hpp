// What makes a rollout's plan a good one, and what it says to the policy. Pure; any thread.
#pragma once

#include "shared/policy/rollout.hpp"
#include "shared/policy/wave_members.hpp"
#include "shared/wire/rollout.hpp"

namespace lamina::origin {

// Whether the plan can be a rollout as far as can be told without the catalogue. `invalid` names
// the wave (from 1) and what is wrong.
Status check_plan(const wire::RolloutRequest& plan);

// Of a plan that was checked.
std::vector<policy::WaveGates> gates_of(const wire::RolloutRequest& plan);
policy::WaveNames names_of(const wire::RolloutWave& wave);

// "wave 2 'shops'", for people.
std::string wave_text(const wire::RolloutRequest& plan, std::uint32_t wave);

}  // namespace lamina::origin
