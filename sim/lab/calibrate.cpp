#include "sim/lab/calibrate.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "sim/lab/request.hpp"
#include "sim/model/run.hpp"

namespace lamina::sim {
namespace {

constexpr double kSecondsMost = 120;  // Of any delay.
constexpr int kHalvings = 40;         // Of what a factor may be: far below a millisecond.

Duration seconds(double count) { return Duration(std::llround(count * 1e9)); }

bool is_direct(const Scenario& scenario) {
  return scenario.rollout.mode == Mode::direct ||
         std::ranges::any_of(scenario.sites, [](const Site& s) { return s.reflectors == 0; });
}
bool has_slow_ports(const Scenario& scenario) {
  return std::ranges::any_of(scenario.sites, [](const Site& s) { return s.lan < s.wan_down; });
}
bool is_plain(const Scenario& scenario) {
  return !is_direct(scenario) && !has_slow_ports(scenario) && scenario.rules.empty() &&
         scenario.deaths.empty();
}

RunResult simulated(const Scenario& scenario) {
  return run(scenario, {.with_direct = false, .with_replicas = false});
}

using Figure = std::optional<Duration> (*)(const RunResult&);
std::optional<Duration> half(const RunResult& result) {
  return result.waves.front().completion.p50;
}
// Of those that are done: a device that died is not.
std::optional<Duration> last(const RunResult& result) {
  const WaveResult& wave = result.waves.front();
  if (!wave.began || wave.curve.size() < 2) return std::nullopt;
  return wave.curve.back().at - *wave.began;
}

// The value from `low` to `high` with which the simulation's figure is the measured one; the
// figure only grows, or only falls. The nearer end where none does; none: there is no such figure.
template <class Set>
std::optional<double> fitted(const MeasuredRun& run, Scenario scenario, Figure figure, double low,
                             double high, const Set& set) {
  const auto measured = figure(run.measured);
  if (!measured) return std::nullopt;
  const auto excess = [&](double value) -> std::optional<Duration> {
    set(scenario, value);
    const auto found = figure(simulated(scenario));
    return found ? std::optional(*found - *measured) : std::nullopt;
  };
  // Not reached within the run: later than any measured.
  const auto is_late = [&](double value) {
    return excess(value).value_or(Duration::max()) > Duration(0);
  };
  const bool late_at_high = is_late(high);
  if (late_at_high == is_late(low)) {
    const auto at_low = excess(low), at_high = excess(high);
    if (!at_low || !at_high) return at_low ? low : high;
    return std::chrono::abs(*at_low) <= std::chrono::abs(*at_high) ? low : high;
  }
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (is_late(middle) == late_at_high ? high : low) = middle;
  }
  return (low + high) / 2;
}

// What is known of the factors so far, put into a scenario.
class Fit {
 public:
  explicit Fit(const std::vector<MeasuredRun>& runs) : runs_(runs) {}

  Calibration all() {
    of_goodput();
    found_.start_takes = of(is_plain, half, kSecondsMost,
                            [](Scenario& s, double x) { s.rollout.start_takes = seconds(x); });
    found_.rules_take =
        of([](const Scenario& s) { return !s.rules.empty() && !is_direct(s); }, half, kSecondsMost,
           [](Scenario& s, double x) { s.rollout.rules_take = seconds(x); });
    found_.takeover = of([](const Scenario& s) { return !s.deaths.empty(); }, last, kSecondsMost,
                         [](Scenario& s, double x) {
                           for (ReflectorDeaths& death : s.deaths) death.takeover = seconds(x);
                         });
    found_.unevenness =
        of(is_direct, half, 0.9, [](Scenario& s, double x) { s.tcp.unevenness = x; });
    of_efficiency();
    return std::move(found_);
  }

 private:
  Scenario with_found(Scenario scenario) const {
    if (found_.goodput) scenario.tcp.goodput = found_.goodput->mean;
    if (found_.start_takes) scenario.rollout.start_takes = seconds(found_.start_takes->mean);
    if (found_.rules_take) scenario.rollout.rules_take = seconds(found_.rules_take->mean);
    return scenario;
  }

  void of_goodput() {
    std::vector<double> values;
    for (const MeasuredRun& run : runs_) {
      if (!is_plain(run.scenario) || run.measured.totals.wan_down.count <= 0) continue;
      const auto content = static_cast<double>(lab_content(run.scenario).count) *
                           static_cast<double>(run.scenario.sites.size());
      values.push_back(content / static_cast<double>(run.measured.totals.wan_down.count));
    }
    if (!values.empty()) found_.goodput = factor_of(values);
  }

  template <class Tells, class Set>
  std::optional<Factor> of(const Tells& tells, Figure figure, double most, const Set& set) const {
    std::vector<double> values;
    for (const MeasuredRun& run : runs_) {
      if (!tells(run.scenario)) continue;
      if (const auto value = fitted(run, with_found(run.scenario), figure, 0, most, set))
        values.push_back(*value);
    }
    return values.empty() ? std::nullopt : std::optional(factor_of(values));
  }

  void of_efficiency() {
    std::map<std::pair<int, int>, std::vector<double>> values;
    for (const MeasuredRun& run : runs_) {
      if (!has_slow_ports(run.scenario) || is_direct(run.scenario)) continue;
      const auto value =
          fitted(run, with_found(run.scenario), half, 0.01, 1, [](Scenario& s, double x) {
            s.swarm.efficiency = {{1, 1, x}};
          });
      const auto piece = run.scenario.swarm.piece.count;
      const auto pieces = (lab_content(run.scenario).count + piece - 1) / piece;
      if (value)
        values[{static_cast<int>(run.scenario.sites.front().devices), static_cast<int>(pieces)}]
            .push_back(*value);
    }
    for (const auto& [at, etas] : values)
      found_.efficiency.push_back({at.first, at.second, factor_of(etas)});
  }

  const std::vector<MeasuredRun>& runs_;
  Calibration found_;
};

}  // namespace

Calibration calibrate(const std::vector<MeasuredRun>& runs) { return Fit(runs).all(); }

}  // namespace lamina::sim
