#include "origin/rollouts/plan.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kWavesMax = 100;
constexpr int kSitesMax = 10'000;
constexpr std::int64_t kSoakMaxMs = std::int64_t{30} * 24 * 3600 * 1000;

Status check_percent(const char* what, int percent, int least) {
  if (percent >= least && percent <= 100) return Done{};
  return fail(ErrorKind::invalid, std::string(what) + " must be from " + std::to_string(least) +
                                      " to 100 %, not " + std::to_string(percent));
}

Status check_wave(const wire::RolloutWave& wave) {
  if (wave.sites.empty() && wave.devices.empty() && wave.shares.empty())
    return fail(ErrorKind::invalid, "it names no site, no device and no share of a site");
  for (const wire::RolloutShare& share : wave.shares)
    if (auto good = check_percent("a share", share.percent, 1); !good) return good;
  if (auto good = check_percent("warm", wave.warm_percent, 0); !good) return good;
  if (auto good = check_percent("success", wave.success_percent, 0); !good) return good;
  if (auto good = check_percent("failure", wave.failure_percent, 0); !good) return good;
  if (wave.soak_ms < 0 || wave.soak_ms > kSoakMaxMs)
    return fail(ErrorKind::invalid, "soak must be at most 30 days");
  return Done{};
}

}  // namespace

Status check_plan(const wire::RolloutRequest& plan) {
  if (plan.layers.empty()) return fail(ErrorKind::invalid, "a rollout needs layers");
  if (plan.waves.empty() || plan.waves.size() > kWavesMax)
    return fail(ErrorKind::invalid, "a rollout needs 1 to " + std::to_string(kWavesMax) + " waves");
  if (plan.sites_at_once < 1 || plan.sites_at_once > kSitesMax)
    return fail(ErrorKind::invalid, "sites_at_once must be from 1 to " + std::to_string(kSitesMax));
  for (std::uint32_t i = 0; i < plan.waves.size(); ++i)
    if (auto good = check_wave(plan.waves[i]); !good)
      return fail(std::move(good.error()).in(wave_text(plan, i)));
  return Done{};
}

std::vector<policy::WaveGates> gates_of(const wire::RolloutRequest& plan) {
  std::vector<policy::WaveGates> gates;
  for (const wire::RolloutWave& wave : plan.waves)
    gates.push_back({.warm_percent = wave.warm_percent,
                     .success_percent = wave.success_percent,
                     .failure_percent = wave.failure_percent,
                     .soak = std::chrono::milliseconds{wave.soak_ms}});
  return gates;
}

policy::WaveNames names_of(const wire::RolloutWave& wave) {
  policy::WaveNames names{.sites = wave.sites, .devices = wave.devices, .shares = {}};
  for (const wire::RolloutShare& share : wave.shares)
    names.shares.push_back({share.site, share.percent});
  return names;
}

std::string wave_text(const wire::RolloutRequest& plan, std::uint32_t wave) {
  const std::string& name = plan.waves[wave].name;
  return "wave " + std::to_string(wave + 1) +
         (name.empty() ? "" : " '" + printable(name, 60) + "'");
}

}  // namespace lamina::origin
