#include "sim/scenario/scenario.hpp"

#include <algorithm>
#include <numeric>

namespace lamina::sim {
namespace {

// The one of `all` whose name it is.
template <class Kinds>
auto named(const Kinds& all, std::string_view name) {
  const auto at = std::ranges::find_if(all, [&](auto kind) { return name_of(kind) == name; });
  return at == std::end(all) ? std::nullopt : std::make_optional(*at);
}

}  // namespace

std::string_view name_of(Mode mode) {
  switch (mode) {
    case Mode::direct: return "direct";
    case Mode::reflector: return "reflector";
    case Mode::swarm: return "swarm";
  }
  return "";
}

std::optional<Mode> mode_named(std::string_view name) { return named(kModes, name); }

std::string_view name_of(Congestion congestion) {
  switch (congestion) {
    case Congestion::reno: return "reno";
    case Congestion::cubic: return "cubic";
    case Congestion::bbr: return "bbr";
  }
  return "";
}

std::optional<Congestion> congestion_named(std::string_view name) {
  return named(kCongestions, name);
}

std::int64_t devices_of(const Scenario& scenario) {
  return std::accumulate(scenario.sites.begin(), scenario.sites.end(), std::int64_t{0},
                         [](std::int64_t sum, const Site& site) { return sum + site.devices; });
}

}  // namespace lamina::sim
