// Scenarios of a few devices, made by hand: a value that tests change, and what they ask of it.
#pragma once

#include <string>

#include "sim/model/run.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim::testing {

inline constexpr BitRate operator""_Mbit(unsigned long long n) {
  return {static_cast<std::int64_t>(n) * 1'000'000};
}

// `sites` sites with `devices` wired devices each, always up, without loss, delay or overhead:
// 20 Mbit/s, a LAN of 1 Gbit/s; one part of 1 GB; one wave with everybody, at the start.
inline Scenario small_scenario(int sites, int devices) {
  Scenario scenario;
  scenario.name = "small";
  scenario.origin = {.uplink = {1'000'000'000'000}, .downlink = {1'000'000'000'000}};
  scenario.presences = {{.name = "always"}};
  scenario.mixes = {{.name = "all", .kinds = {{}}}};
  scenario.content.parts = {{.name = "delta", .bytes = {1'000'000'000}}};
  scenario.content.versions = {{.name = "old", .parts = 1}};
  for (int i = 0; i < sites; ++i) {
    Site site;
    // Names ascend as indices do.
    site.name = "site-" + std::to_string(10'000 + i);
    site.devices = devices;
    site.wan_down = site.wan_up = 20_Mbit;
    site.lan = 1000_Mbit;
    site.wireless = 300_Mbit;
    scenario.sites.push_back(site);
  }
  Wave wave{.name = "all", .gates = {.success_percent = 0, .failure_percent = 100}};
  for (int i = 0; i < sites; ++i) wave.members.push_back({.site = static_cast<Index>(i)});
  scenario.rollout.waves = {wave};
  scenario.tcp.goodput = 1;
  scenario.uploads.per_day = {0};
  return scenario;
}

inline RunResult run_alone(const Scenario& scenario) {
  return run(scenario, {.with_direct = false, .with_replicas = false});
}

inline double seconds_of(const std::optional<Instant>& instant) {
  return instant ? static_cast<double>(instant->time_since_epoch().count()) * 1e-9 : -1;
}

inline Bytes sum_of(const BySource& bytes) {
  Bytes sum;
  for (const Bytes of : bytes) sum += of;
  return sum;
}

// All that a run says, as one number.
std::uint64_t hash_of(const RunResult& result);

}  // namespace lamina::sim::testing
