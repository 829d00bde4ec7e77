#include "sim/cli/simulate.hpp"

#include "shared/base/bytes.hpp"
#include "shared/cli/progress.hpp"
#include "sim/cli/files.hpp"
#include "sim/scenario/quantities.hpp"

namespace lamina::sim {
namespace {

tl::unexpected<Error> wrong_target(const std::string& text, const std::string& why) {
  return fail(ErrorKind::invalid, "--target '" + printable(text, 80) + "': " + why);
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  return first == text.npos
             ? std::string()
             : std::string(text.substr(first, text.find_last_not_of(' ') - first + 1));
}

// "wave3": the third one; else the one of that name.
Result<std::size_t> wave_named(const std::string& name, const Scenario& scenario) {
  const auto& waves = scenario.rollout.waves;
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < waves.size(); ++i) {
    if (waves[i].name == name || name == "wave" + std::to_string(i + 1)) return i;
    names.emplace_back(waves[i].name);
  }
  return fail(ErrorKind::invalid, "there is no wave '" + printable(name, 80) +
                                      "'; they are wave1 to wave" + std::to_string(waves.size()) +
                                      suggestion(name, names));
}

Result<Target::Figure> figure_named(const std::string& name) {
  if (name == "p50") return Target::Figure::p50;
  if (name == "p95") return Target::Figure::p95;
  if (name == "p99") return Target::Figure::p99;
  return fail(ErrorKind::invalid, '\'' + printable(name, 80) + "' is none of p50, p95, p99");
}

}  // namespace

Result<Override> parse_set(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals == 0)
    return fail(ErrorKind::invalid, "--set '" + printable(text, 80) +
                                        "': KEY=VALUE is needed, such as origin.uplink=2Gbit");
  return Override{text.substr(0, equals), text.substr(equals + 1)};
}

Result<std::vector<Override>> parse_sets(const std::vector<std::string>& texts) {
  std::vector<Override> all;
  for (const std::string& text : texts) {
    auto one = parse_set(text);
    if (!one) return fail(std::move(one.error()));
    all.push_back(std::move(*one));
  }
  return all;
}

tl::expected<Scenario, Findings> load_for(const Simulation& simulation,
                                          const std::vector<Override>& overrides) {
  auto scenario = load_scenario_file(simulation.scenario, overrides);
  if (scenario && simulation.seeds > 0) scenario->run.replicas = simulation.seeds;
  return scenario;
}

RunResult run_shown(const Scenario& scenario, RunOptions options, const std::string& what,
                    Io& io) {
  cli::Progress progress(io.err, cli::stderr_is_terminal());
  options.progress = [&](double share) {
    progress.say(what + std::to_string(static_cast<int>(100 * share)) + " %");
  };
  return run(scenario, options);
}

Result<Target> parse_target(const std::string& text, const Scenario& scenario) {
  const auto less = text.find('<');
  const auto dot = text.rfind('.', less);
  if (less == text.npos || dot == text.npos)
    return wrong_target(text, "WAVE.FIGURE<TIME is needed, such as wave3.p95<8h");
  const auto wave = wave_named(trimmed(text.substr(0, dot)), scenario);
  if (!wave) return wrong_target(text, wave.error().text());
  const auto figure = figure_named(trimmed(text.substr(dot + 1, less - dot - 1)));
  if (!figure) return wrong_target(text, figure.error().text());
  const auto below =
      parse_period(trimmed(text.substr(less + 1)), {std::chrono::seconds(1), kDurationMax});
  if (!below) return wrong_target(text, below.error().text());
  return Target{*wave, *figure, *below};
}

Spread<Duration> figure_of(const RunResult& result, const Target& target) {
  const WaveSpread spread = spread_of_wave(result, target.wave);
  switch (target.figure) {
    case Target::Figure::p50: return spread.p50;
    case Target::Figure::p95: return spread.p95;
    case Target::Figure::p99: return spread.p99;
  }
  return {};
}

bool holds(const RunResult& result, const Target& target) {
  const Spread<Duration> spread = figure_of(result, target);
  return spread.highest && *spread.highest < target.below;
}

}  // namespace lamina::sim
