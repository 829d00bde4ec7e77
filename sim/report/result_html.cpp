#include "sim/report/result_html.hpp"

#include <algorithm>
#include <numeric>

#include "sim/report/charts.hpp"
#include "sim/report/figures.hpp"
#include "sim/report/markup.hpp"
#include "sim/report/page.hpp"

namespace lamina::sim {
namespace {

constexpr std::size_t kLinesShown = 20;
constexpr std::size_t kSitesShown = 40;

std::string moment_text(std::optional<Instant> at, const Run& run) {
  return at ? clock_text(*at, run) : "not reached";
}

// The value of the run itself, and below it the range over all.
std::string with_range(std::optional<Duration> time, const Spread<Duration>& spread) {
  const std::string range = range_text(spread);
  return escaped(time_text(time)) +
         (range.empty() ? "" : "<br/><small>" + escaped(range) + "</small>");
}

void write_head(std::ostream& out, const Scenario& scenario, const RunResult& result) {
  const Run& run = scenario.run;
  out << "<h1>" << escaped(scenario.name) << "</h1>\n<p class=\"about\">" << scenario.sites.size()
      << " sites, " << devices_of(scenario) << " devices, mode " << name_of(scenario.rollout.mode)
      << ". From " << to_iso8601(run.start) << ", for " << to_text(run.duration)
      << "; times are those of the planner's zone, where it begins at "
      << clock_text(Instant{}, run) << ". Seed " << result.seed << ", " << result.replicas.size()
      << (result.replicas.size() == 1 ? " replica" : " replicas") << "; lamina-sim "
      << escaped(result.engine_version) << ", input "
      << escaped(result.input_hash.empty() ? "not from files" : result.input_hash.substr(0, 16))
      << ".</p>\n";
}

void write_waves(std::ostream& out, const Scenario& scenario, const RunResult& result) {
  {
    HtmlTable table(out, {"Wave", "Devices#", "Done#", "Failed#", "Unfinished#", "Begins",
                          "Half done after", "95 % after", "99 % after"});
    for (std::size_t i = 0; i < result.waves.size(); ++i) {
      const WaveResult& wave = result.waves[i];
      const WaveSpread spread = spread_of_wave(result, i);
      table.row({escaped(wave.name), std::to_string(wave.devices), std::to_string(wave.done),
                 std::to_string(wave.failed),
                 std::to_string(wave.devices - wave.done - wave.failed),
                 moment_text(wave.began, scenario.run), with_range(wave.completion.p50, spread.p50),
                 with_range(wave.completion.p95, spread.p95),
                 with_range(wave.completion.p99, spread.p99)});
    }
  }
  out << completion_chart(scenario, result);
  out << "<p class=\"note\">Times count from the begin of the wave, over all its devices. Large: "
         "the "
         "run with the scenario's own seed; small: the range over all replicas. When a single "
         "device is done cannot be said: how much of a line it gets is not predictable.</p>\n";
}

void write_totals(std::ostream& out, const Scenario& scenario, const RunResult& result) {
  const Totals& plan = result.totals;
  const auto ratio = [](Bytes before, Bytes after) {
    if (after.count <= 0) return std::string("-");
    return decimal(static_cast<double>(before.count) / static_cast<double>(after.count), 1) +
           " times";
  };
  const bool compares = result.direct && plan.mode != Mode::direct;
  std::vector<std::string> columns{"", "This plan (" + std::string(name_of(plan.mode)) + ")#"};
  if (compares) columns.insert(columns.end(), {"Every device for itself#", "As much#"});
  HtmlTable table(out, columns);
  const auto row = [&](const char* what, const std::function<std::string(const Totals&)>& of,
                       const std::string& factor) {
    std::vector<std::string> cells{what, of(plan)};
    if (compares) cells.insert(cells.end(), {of(*result.direct), factor});
    table.row(cells);
  };
  const Totals none;
  const Totals& direct = compares ? *result.direct : none;
  row(
      "Out of the origin", [](const Totals& t) { return to_text(t.origin); },
      ratio(direct.origin, plan.origin));
  row(
      "Over the sites' lines", [](const Totals& t) { return to_text(t.wan_down); },
      ratio(direct.wan_down, plan.wan_down));
  row(
      "The origin's busiest hour", [](const Totals& t) { return to_text(t.peak); }, "");
  row(
      "Devices done",
      [](const Totals& t) { return std::to_string(t.done) + " of " + std::to_string(t.devices); },
      "");
  row(
      "The last one", [&](const Totals& t) { return moment_text(t.finished, scenario.run); }, "");
}

// The two largest shares, in words: on paper a bar may have no colours.
std::string largest_limits(const std::array<double, kLimits>& shares) {
  std::array<std::size_t, kLimits> order{};
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) { return shares[i]; });
  std::string text;
  for (const std::size_t i : {order[0], order[1]})
    if (shares[i] > 0)
      text += (text.empty() ? "" : ", ") + std::string(name_of(static_cast<Limit>(i))) + ' ' +
              percent_text(shares[i]);
  return text;
}

void write_limits(std::ostream& out, const Scenario& scenario, const RunResult& result) {
  const auto shares = shares_of(waiting_of(result));
  if (waiting_of(result) == Waiting{}) {
    out << "<p>Nobody waited, or it is not known: what was measured does not say.</p>\n";
  } else {
    HtmlTable table(out, {"", "Devices wait for", "Share#", ""});
    for (std::size_t i = 0; i < kLimits; ++i) {
      if (shares[i] <= 0) continue;
      const auto limit = static_cast<Limit>(i);
      table.row({limit_key(limit),
                 escaped(meaning_of(limit)) + " (" + escaped(name_of(limit)) + ')',
                 percent_text(shares[i]), share_bar(shares[i])});
    }
  }
  const std::vector<Index> slowest = slowest_sites(result, kSitesShown);
  out << "<p class=\"note\">Share of the time that devices of a begun wave spend without their "
         "content. Below, the "
      << slowest.size() << " sites that finish last.</p>\n";
  HtmlTable table(out, {"Site", "Devices#", "Done#", "Last device", "What it waits for"});
  for (const Index i : slowest) {
    const SiteResult& site = result.sites[i];
    const auto of_site = shares_of(site.waiting);
    table.row({escaped(scenario.sites[i].name), std::to_string(site.devices),
               std::to_string(site.done), moment_text(site.finished, scenario.run),
               limit_bar(of_site) + "<br/><small>" + largest_limits(of_site) + "</small>"});
  }
}

void write_lines(std::ostream& out, const Scenario& scenario, const RunResult& result) {
  const auto fullest = most_saturated(result, kLinesShown);
  if (fullest.empty()) {
    out << "<p>No line was ever full.</p>\n";
  } else {
    HtmlTable table(out, {"Line", "", "Rate#", "Bottleneck for#", "Busiest hour", "Used in it#"});
    for (const std::size_t i : fullest) {
      const LineResult& line = result.lines[i];
      const auto busiest = busiest_hour(line);
      const Instant at{busiest ? Duration(std::chrono::hours(busiest->hour)) : Duration{0}};
      table.row({escaped(name_of_line(line, scenario)), std::string(name_of(line.direction)),
                 to_text(line.rate), to_text(line.saturated),
                 busiest ? clock_text(at, scenario.run) : "",
                 busiest ? percent_text(use_of(line, busiest->hour, scenario.run.duration)) : ""});
    }
  }
  out << "<p class=\"note\">A line that others use, or that a rule bounds, is a bottleneck before "
         "it "
         "is used up.</p>\n"
      << heat_map(scenario, result, kSitesShown)
      << "<p class=\"note\">What the rollout takes of the sites' lines, of their whole rate, for "
         "the "
      << std::min(kSitesShown, result.sites.size()) << " sites with the fullest hour.</p>\n";
}

void write_sources(std::ostream& out, const RunResult& result) {
  const BySource bytes = bytes_of(result);
  const double all = std::accumulate(bytes.begin(), bytes.end(), 0.0, [](double sum, Bytes more) {
    return sum + static_cast<double>(more.count);
  });
  HtmlTable table(out, {"From", "Bytes#", "Share#", ""});
  for (std::size_t i = 0; i < kSources; ++i) {
    if (bytes[i].count == 0) continue;
    const double share = static_cast<double>(bytes[i].count) / all;
    table.row({std::string(name_of(static_cast<Source>(i))), to_text(bytes[i]), percent_text(share),
               share_bar(share)});
  }
}

}  // namespace

void write_result_html(std::ostream& out, const Scenario& scenario, const RunResult& result) {
  begin_page(out, scenario.name);
  write_head(out, scenario, result);
  if (!scenario.assumptions.empty())
    section(out, "What was taken for granted", [&] {
      out << "<ul>\n";
      for (const std::string& one : scenario.assumptions)
        out << "<li>" << escaped(one) << "</li>\n";
      out << "</ul>\n";
    });
  section(out, "When the waves are done", [&] { write_waves(out, scenario, result); });
  section(out, "What devices wait for", [&] { write_limits(out, scenario, result); });
  section(out, "What it does to the lines", [&] { write_lines(out, scenario, result); });
  section(out, "With and without the sites' own devices",
          [&] { write_totals(out, scenario, result); });
  section(out, "Where the content comes from", [&] { write_sources(out, result); });
  end_page(out);
}

}  // namespace lamina::sim
