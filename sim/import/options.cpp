#include "sim/import/options.hpp"

#include <CLI/CLI.hpp>

#include "shared/base/bytes.hpp"
#include "sim/scenario/document.hpp"
#include "sim/scenario/quantities.hpp"

namespace lamina::sim {
namespace {

using namespace std::chrono_literals;

// Reads `text`, if there is any.
template <class T, class Parse, class... Bounds>
Status read(const char* option, const std::string& text, T& into, const Parse& parse,
            const Bounds&... bounds) {
  if (text.empty()) return Done{};
  auto parsed = parse(text, bounds...);
  if (!parsed) return fail(std::move(parsed.error()).in(option));
  into = *parsed;
  return Done{};
}

// As it stands in a scenario.
Result<Moment> parse_moment(const std::string& text) {
  Findings findings;
  const Value value = parse_document("start = " + text, "--start", findings);
  if (findings.empty() && value.table() != nullptr && value.table()->size() == 1)
    if (const Moment* moment = value.table()->front().value.moment()) return *moment;
  return fail(ErrorKind::invalid, '\'' + printable(text, 60) +
                                      "' is no date with its distance from UTC, such as "
                                      "2026-03-02T20:00:00+01:00");
}

}  // namespace

void add_import_options(CLI::App& app, ImportTexts& texts) {
  app.add_option("--start", texts.start, "when it begins: 2026-03-02T20:00:00+01:00; default: now");
  app.add_option("--duration", texts.duration, "how long to look at; default 7d");
  app.add_option("--line", texts.line,
                 "of sites whose line's rate nobody measured; default 20Mbit");
  app.add_option("--uplink", texts.uplink, "of the origin, to all sites; default 1Gbit");
  app.add_option("--silent-after", texts.silent_after,
                 "devices that were not heard of for longer are left out; default 7d");
}

Result<ImportOptions> parse_import_options(const ImportTexts& texts, WallTime now,
                                           Duration utc_offset) {
  Moment start{now, utc_offset / 1min * 1min};
  ImportOptions options;
  Status good = read("--start", texts.start, start, parse_moment);
  if (good)
    good = read("--duration", texts.duration, options.duration, parse_period,
                Range<Duration>{1min, kDurationMax});
  if (good) good = read("--line", texts.line, options.line, parse_rate, kLineRates);
  if (good) good = read("--uplink", texts.uplink, options.uplink, parse_rate, kLineRates);
  if (good)
    good = read("--silent-after", texts.silent_after, options.silent_after, parse_period,
                Range<Duration>{1min, 365 * 24h});
  if (!good) return fail(std::move(good.error()));
  options.start = start.time;
  options.utc_offset = start.utc_offset;
  options.now = now;
  return options;
}

}  // namespace lamina::sim
