#include "sim/report/run_result.hpp"

#include "shared/wire/node.hpp"

namespace lamina::sim {

static_assert(std::size(wire::kByteSources) == kSources);

std::string_view name_of(Source source) {
  return wire::kByteSources[static_cast<std::size_t>(source)];
}

std::string_view name_of(Limit limit) {
  switch (limit) {
    case Limit::offline: return "offline";
    case Limit::admission: return "admission";
    case Limit::reflector: return "reflector";
    case Limit::origin: return "origin";
    case Limit::region: return "region";
    case Limit::wan: return "wan";
    case Limit::rule: return "rule";
    case Limit::tcp: return "tcp";
    case Limit::lan: return "lan";
  }
  return "";
}

std::string_view name_of(LineKind kind) {
  switch (kind) {
    case LineKind::origin: return "origin";
    case LineKind::region: return "region";
    case LineKind::seeder: return "seeder";
    case LineKind::site: return "site";
  }
  return "";
}

std::string_view name_of(Direction direction) {
  return direction == Direction::down ? "down" : "up";
}

Percentiles percentiles_of(const std::vector<Instant>& done, std::int64_t devices, Instant began) {
  const auto after = [&](std::int64_t percent) -> std::optional<Duration> {
    const std::int64_t need = (devices * percent + 99) / 100;
    if (need == 0 || need > static_cast<std::int64_t>(done.size())) return std::nullopt;
    return done[static_cast<std::size_t>(need - 1)] - began;
  };
  return {after(50), after(95), after(99)};
}

BySource bytes_of(const RunResult& result) {
  BySource sum{};
  for (const SiteResult& site : result.sites)
    for (std::size_t i = 0; i < kSources; ++i) sum[i] += site.bytes[i];
  return sum;
}

Waiting waiting_of(const RunResult& result) {
  Waiting sum{};
  for (const SiteResult& site : result.sites)
    for (std::size_t i = 0; i < kLimits; ++i) sum[i] += site.waiting[i];
  return sum;
}

}  // namespace lamina::sim
