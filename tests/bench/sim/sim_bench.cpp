// How long the simulator takes for a day of many sites, and how much memory: one line of JSON, or
// one for people.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/engine/rates.hpp"
#include "sim/model/run.hpp"
#include "tests/sim/model/big_scenario.hpp"
#include "tests/sim/model/small_scenario.hpp"

using namespace lamina;
using namespace lamina::sim;

namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  int sites = 10'000, threads = 1;
  double origin_gbit = 400;
  std::string mode_name = "swarm";
  bool together = false, as_json = false;
  CLI::App app{"A simulated day of sites with 100 devices each.\nexample: sim_bench --sites 1000"};
  app.add_option("--sites", sites, "how many")->check(CLI::Range(1, 50'000));
  app.add_option("--mode", mode_name, "direct, reflector or swarm");
  app.add_option("--origin", origin_gbit, "Gbit/s of the origin's line, each direction");
  app.add_option("--threads", threads)->check(CLI::Range(1, 64));
  app.add_flag("--together", together, "run all sites in one event loop");
  app.add_flag("--json", as_json, "one record on standard output");
  CLI11_PARSE(app, argc, argv);
  const auto mode = mode_named(mode_name);
  if (!mode) {
    std::cerr << "sim_bench: there is no mode '" << mode_name << "'\n";
    return 2;
  }

  Scenario scenario = testing::big_scenario(sites);
  scenario.rollout.mode = *mode;
  const auto bits = static_cast<std::int64_t>(origin_gbit * 1e9);
  scenario.origin = {.uplink = {bits}, .downlink = {bits}};
  const auto start = std::chrono::steady_clock::now();
  const RunResult result =
      run(scenario,
          {.threads = threads, .with_direct = false, .with_replicas = false, .together = together});
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const nlohmann::json record = {
      {"devices", devices_of(scenario)},
      {"sites", sites},
      {"mode", mode_name},
      {"wall_seconds", wall.count()},
      {"cpu_seconds", cpu_seconds()},
      {"rss_mb", static_cast<double>(usage.ru_maxrss) / 1000},
      {"done", result.totals.done},
      {"wan_down_tb", static_cast<double>(result.totals.wan_down.count) * 1e-12},
      {"wan_up_tb", static_cast<double>(result.totals.wan_up.count) * 1e-12},
      {"hash", testing::hash_of(result)}};
  if (as_json) {
    std::cout << record.dump() << '\n';
    return 0;
  }
  std::cout << record.dump(2) << '\n';
  for (const WaveResult& wave : result.waves) {
    std::cout << wave.name << ": " << wave.done << " of " << wave.devices << " done";
    const auto hours = [](const std::optional<Duration>& time) {
      return time ? std::to_string(in_seconds(*time) / 3600) + " h" : std::string("-");
    };
    std::cout << ", p50 " << hours(wave.completion.p50) << ", p95 " << hours(wave.completion.p95)
              << ", p99 " << hours(wave.completion.p99) << '\n';
  }
  return 0;
}
