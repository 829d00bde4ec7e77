#include "sim/report/result_metrics.hpp"

#include "shared/metrics/exposition.hpp"
#include "sim/report/figures.hpp"

namespace lamina::sim {
namespace {

using metrics::Samples;

std::int64_t seconds(Duration time) { return time / std::chrono::seconds(1); }

void add_waves(metrics::Exposition& out, const RunResult& result) {
  Samples devices;
  Samples times;
  for (const WaveResult& wave : result.waves) {
    const auto count = [&](const char* state, std::int64_t number) {
      devices[{{"wave", wave.name}, {"state", state}}] = number;
    };
    count("done", wave.done);
    count("failed", wave.failed);
    count("unfinished", wave.devices - wave.done - wave.failed);
    const auto time = [&](const char* quantile, std::optional<Duration> reached) {
      if (reached) times[{{"wave", wave.name}, {"quantile", quantile}}] = seconds(*reached);
    };
    time("0.5", wave.completion.p50);
    time("0.95", wave.completion.p95);
    time("0.99", wave.completion.p99);
  }
  out.gauge("lamina_sim_wave_devices", "Devices of a wave at the end of the run.",
            std::move(devices));
  out.gauge("lamina_sim_wave_completion_seconds",
            "Since the wave began, until this share of its devices was done; missing: not reached.",
            std::move(times));
}

void add_lines(metrics::Exposition& out, const Scenario& scenario, const RunResult& result) {
  Samples bytes;
  Samples saturated;
  for (const LineResult& line : result.lines) {
    const metrics::Labels labels{{"line", name_of_line(line, scenario)},
                                 {"kind", std::string(name_of(line.kind))},
                                 {"direction", std::string(name_of(line.direction))}};
    std::int64_t sum = 0;
    for (const Bytes hour : line.hours) sum += hour.count;
    bytes[labels] = sum;
    saturated[labels] = seconds(line.saturated);
  }
  out.counter("lamina_sim_line_bytes_total", "Bytes on the wire.", std::move(bytes));
  out.gauge("lamina_sim_line_saturated_seconds", "How long the line was the bottleneck.",
            std::move(saturated));
}

}  // namespace

std::string result_metrics(const Scenario& scenario, const RunResult& result) {
  metrics::Exposition out;
  out.gauge("lamina_build_info", "1; the labels say what runs.",
            {{{{"program", "lamina-sim"}, {"version", result.engine_version}}, 1}});
  Samples bytes;
  Samples devices;
  std::int64_t all = 0;
  std::int64_t behind = 0;
  for (std::size_t i = 0; i < result.sites.size(); ++i) {
    const Site& site = scenario.sites[i];
    const SiteResult& of = result.sites[i];
    for (std::size_t source = 0; source < kSources; ++source)
      bytes[{{"site", site.name}, {"source", std::string(name_of(static_cast<Source>(source)))}}] =
          of.bytes[source].count;
    devices[{{"site", site.name}}] = site.devices;
    all += site.devices;
    behind += of.devices - of.done;
  }
  out.counter("lamina_site_bytes_total",
              "Bytes of layers that the devices of a site received, by where they came from.",
              std::move(bytes));
  out.gauge("lamina_site_devices", "Devices that are placed in a site.", std::move(devices));
  out.gauge("lamina_devices", "Registered devices by status.", {{{{"status", "assigned"}}, all}});
  out.gauge("lamina_devices_behind", "Devices that have not applied their newest target.",
            {{{}, behind}});
  add_waves(out, result);
  add_lines(out, scenario, result);
  return out.text();
}

}  // namespace lamina::sim
