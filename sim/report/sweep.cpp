#include "sim/report/sweep.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "shared/base/bytes.hpp"
#include "sim/report/charts.hpp"
#include "sim/report/markup.hpp"
#include "sim/report/page.hpp"
#include "sim/report/tables.hpp"

namespace lamina::sim {
namespace {

using json = nlohmann::ordered_json;

json maybe(const std::optional<Duration>& time) {
  return time ? json(*time / std::chrono::milliseconds(1)) : json(nullptr);
}

json record_of(const std::vector<std::string>& keys, const SweepVariant& variant) {
  json record{{"set", json::object()}, {"input_hash", variant.input_hash}};
  for (std::size_t i = 0; i < keys.size(); ++i) record["set"][keys[i]] = variant.values[i];
  record["waves"] = json::array();
  for (const SweepVariant::Wave& wave : variant.waves)
    record["waves"].push_back({{"name", wave.name},
                               {"devices", wave.devices},
                               {"done", wave.done},
                               {"p95_lowest_ms", maybe(wave.spread.p95.lowest)},
                               {"p95_median_ms", maybe(wave.spread.p95.median)},
                               {"p95_highest_ms", maybe(wave.spread.p95.highest)}});
  record["origin_wire_bytes"] = variant.totals.origin.count;
  record["origin_peak_bits_per_s"] = variant.totals.peak.bits_per_second;
  return record;
}

// What a variant's line says behind its values.
std::vector<std::string> figures_of(const SweepVariant& variant) {
  std::vector<std::string> figures;
  for (const SweepVariant::Wave& wave : variant.waves)
    figures.push_back(spread_text(wave.spread.p95));
  figures.push_back(std::to_string(variant.totals.done) + " of " +
                    std::to_string(variant.totals.devices));
  figures.push_back(to_text(variant.totals.origin));
  figures.push_back(to_text(variant.totals.peak));
  return figures;
}

void append(std::vector<std::string>& row, std::vector<std::string> more) {
  row.insert(row.end(), more.begin(), more.end());
}

}  // namespace

SweepVariant variant_of(std::vector<std::string> values, const RunResult& result) {
  SweepVariant variant{std::move(values), result.input_hash, {}, result.totals};
  for (std::size_t i = 0; i < result.waves.size(); ++i)
    variant.waves.push_back({result.waves[i].name, result.waves[i].devices, result.waves[i].done,
                             spread_of_wave(result, i)});
  return variant;
}

cli::Rows sweep_rows(const Sweep& sweep) {
  cli::Rows rows(1);
  for (const std::string& key : sweep.keys) rows[0].push_back(printable(key, 60));
  for (const SweepVariant::Wave& wave : sweep.variants.front().waves)
    rows[0].push_back(printable(wave.name, 60) + ": 95 % AFTER");
  append(rows[0], {"DONE", "FROM THE ORIGIN", "BUSIEST HOUR"});
  for (const SweepVariant& variant : sweep.variants) {
    std::vector<std::string> row;
    for (const std::string& value : variant.values) row.push_back(printable(value, 60));
    append(row, figures_of(variant));
    rows.push_back(std::move(row));
  }
  return rows;
}

void write_sweep_json(std::ostream& out, const Sweep& sweep) {
  json variants = json::array();
  for (const SweepVariant& variant : sweep.variants)
    variants.push_back(record_of(sweep.keys, variant));
  out << json{{"format", "lamina-sim-sweep"}, {"version", 1}, {"variants", std::move(variants)}}
             .dump(-1, ' ', false, json::error_handler_t::replace)
      << '\n';
}

void write_sweep_html(std::ostream& out, const Sweep& sweep) {
  begin_page(out, sweep.scenario);
  out << "<h1>" << escaped(sweep.scenario) << "</h1>\n<p class=\"about\">" << sweep.variants.size()
      << " variants, each with the same "
      << sweep.variants.front().waves.front().spread.p95.replicas << " seeds; lamina-sim "
      << LAMINA_VERSION << ".</p>\n";
  section(out, "When 95 % of each wave are done", [&] {
    out << sweep_chart(sweep)
        << "<p class=\"note\">Marks are medians over the replicas, bars reach from the lowest to "
           "the highest. A bar that reaches the upper edge: not all replicas got so far within "
           "the run. Times count from the wave's begin.</p>\n";
  });
  section(out, "The variants", [&] {
    std::vector<std::string> columns{"Variant#"};
    for (const std::string& key : sweep.keys) columns.push_back(escaped(key));
    for (const SweepVariant::Wave& wave : sweep.variants.front().waves)
      columns.push_back(escaped(wave.name) + ": 95 % after");
    append(columns, {"Done#", "From the origin#", "Busiest hour#"});
    HtmlTable table(out, columns);
    for (std::size_t i = 0; i < sweep.variants.size(); ++i) {
      std::vector<std::string> row{std::to_string(i + 1)};
      append(row, sweep.variants[i].values);
      append(row, figures_of(sweep.variants[i]));
      for (std::string& cell : row) cell = escaped(cell);
      table.row(row);
    }
  });
  end_page(out);
}

}  // namespace lamina::sim
