#include "sim/report/tables.hpp"

#include <algorithm>
#include <numeric>

#include "shared/base/bytes.hpp"

namespace lamina::sim {
namespace {

Bytes carried_by(const LineResult& line) {
  return std::accumulate(line.hours.begin(), line.hours.end(), Bytes{});
}

// What its devices wait for longest; "-": for nothing.
std::string limit_text(const Waiting& waiting) {
  const auto longest = std::ranges::max_element(waiting);
  if (*longest == 0) return "-";
  return std::string(name_of(static_cast<Limit>(longest - waiting.begin())));
}

}  // namespace

std::string own_text(std::optional<Duration> own, const Spread<Duration>& spread) {
  const std::string range = range_text(spread);
  return time_text(own) + (range.empty() ? "" : " (" + range + ')');
}

std::string spread_text(const Spread<Duration>& spread) { return own_text(spread.median, spread); }

cli::Rows wave_rows(const RunResult& result) {
  cli::Rows rows{{"WAVE", "DEVICES", "DONE", "FAILED", "UNFINISHED", "50 % AFTER", "95 % AFTER",
                  "99 % AFTER", "ALL AFTER"}};
  for (std::size_t i = 0; i < result.waves.size(); ++i) {
    const WaveResult& wave = result.waves[i];
    const WaveSpread spread = spread_of_wave(result, i);
    const auto last = wave.ended ? std::optional(*wave.ended - *wave.began) : std::nullopt;
    rows.push_back(
        {printable(wave.name, 80), std::to_string(wave.devices), std::to_string(wave.done),
         std::to_string(wave.failed), std::to_string(wave.devices - wave.done - wave.failed),
         own_text(wave.completion.p50, spread.p50), own_text(wave.completion.p95, spread.p95),
         own_text(wave.completion.p99, spread.p99), time_text(last)});
  }
  return rows;
}

cli::Rows site_rows(const Scenario& scenario, const RunResult& result, std::size_t most) {
  struct Row {
    Index site;
    Bytes carried;
  };
  std::vector<Row> sites;
  for (Index site = 0; site < scenario.sites.size(); ++site)
    sites.push_back({site, carried_by(line_of_site(result, site, Direction::down))});
  std::ranges::stable_sort(sites, std::greater(), &Row::carried);
  if (sites.size() > most) sites.resize(most);
  cli::Rows rows{{"SITE", "DEVICES", "LINE", "OVER IT", "DONE", "LAST AT", "WAITS MOST FOR"}};
  for (const Row& row : sites) {
    const SiteResult& site = result.sites[row.site];
    const auto last =
        site.finished ? std::optional(site.finished->time_since_epoch()) : std::nullopt;
    rows.push_back({printable(scenario.sites[row.site].name, 80), std::to_string(site.devices),
                    to_text(scenario.sites[row.site].wan_down), to_text(row.carried),
                    std::to_string(site.done), time_text(last), limit_text(site.waiting)});
  }
  return rows;
}

}  // namespace lamina::sim
