#include "sim/report/charts.hpp"

#include <algorithm>
#include <numeric>

#include "sim/report/figures.hpp"
#include "sim/report/markup.hpp"

namespace lamina::sim {
namespace {

using std::chrono::hours;

// In units of the view box; about pixels on a screen.
constexpr double kWidth = 900;
constexpr double kLeft = 60;   // For what is written beside an axis.
constexpr double kRight = 30;  // Half of the last hour's name.
constexpr double kPlot = kWidth - kLeft - kRight;
constexpr double kCurveHeight = 260;
constexpr double kRow = 14;  // Of the heat map.
constexpr double kNames = 160;
constexpr double kBar = 240;

// Told apart also by people who see few colours (Okabe and Ito 2008), and on paper by the dashes.
constexpr std::array<const char*, 6> kWaveColours = {"#0072b2", "#d55e00", "#009e73",
                                                     "#cc79a7", "#56b4e9", "#e69f00"};
constexpr std::array<const char*, 4> kDashes = {"none", "8 3", "3 3", "10 3 2 3"};
constexpr std::array<const char*, kLimits> kLimitColours = {"#bbbbbb", "#e69f00", "#cc79a7",
                                                            "#000000", "#56b4e9", "#d55e00",
                                                            "#f0e442", "#0072b2", "#009e73"};

std::string svg(double width, double height, const std::string& label, const std::string& inside) {
  return "<svg viewBox=\"0 0 " + decimal(width, 0) + ' ' + decimal(height, 0) +
         "\" role=\"img\" aria-label=\"" + escaped(label) + "\">" + inside + "</svg>\n";
}

std::string line(double x1, double y1, double x2, double y2, const char* kind) {
  return "<line x1=\"" + decimal(x1, 1) + "\" y1=\"" + decimal(y1, 1) + "\" x2=\"" +
         decimal(x2, 1) + "\" y2=\"" + decimal(y2, 1) + "\" class=\"" + kind + "\"/>";
}

std::string words(double x, double y, const char* anchor, std::string_view text) {
  return "<text x=\"" + decimal(x, 1) + "\" y=\"" + decimal(y, 1) + "\" text-anchor=\"" + anchor +
         "\">" + escaped(text) + "</text>";
}

std::string box(double x, double y, double width, double height, std::string_view colour) {
  return "<rect x=\"" + decimal(x, 2) + "\" y=\"" + decimal(y, 1) + "\" width=\"" +
         decimal(width, 2) + "\" height=\"" + decimal(height, 1) + "\" fill=\"" +
         std::string(colour) + "\"/>";
}

// Between two marks of the time axis: no more than a dozen of them.
Duration tick_of(Duration run) {
  for (const int step : {1, 2, 3, 6, 12, 24, 48})
    if (run <= hours(12 * step)) return hours(step);
  return hours(96);
}

double x_of(Instant at, Duration run) {
  return kLeft + kPlot * std::chrono::duration<double>(at.time_since_epoch()).count() /
                     std::chrono::duration<double>(run).count();
}

std::string time_axis(const Run& run, double top, double bottom) {
  std::string marks;
  const Duration tick = tick_of(run.duration);
  for (Duration at{0}; at <= run.duration; at += tick) {
    const double x = x_of(Instant{at}, run.duration);
    marks += line(x, top, x, bottom, "grid");
    marks += words(x, bottom + 14, "middle", clock_text(Instant{at}, run));
  }
  return marks;
}

// Stairs: between two points of the curve nothing is known to happen.
std::string stairs(const WaveResult& wave, Duration run, double top, double bottom) {
  const auto y_of = [&](std::int64_t done) {
    return bottom - (bottom - top) * static_cast<double>(done) / static_cast<double>(wave.devices);
  };
  std::string path;
  for (const CurvePoint& point : wave.curve) {
    const std::string x = decimal(x_of(point.at, run), 1);
    const std::string y = decimal(y_of(point.done), 1);
    path += path.empty() ? 'M' + x + ' ' + y : 'H' + x + 'V' + y;
  }
  return path;
}

// White, yellow, red, dark: the more, the darker, on paper too.
std::string heat_colour(double use) {
  struct Stop {
    double at, red, green, blue;
  };
  constexpr std::array<Stop, 5> stops = {{{0, 255, 255, 255},
                                          {0.25, 254, 227, 145},
                                          {0.5, 254, 153, 41},
                                          {0.8, 204, 76, 2},
                                          {1, 102, 37, 6}}};
  std::size_t i = 1;
  while (i + 1 < stops.size() && use > stops[i].at) ++i;
  const Stop& from = stops[i - 1];
  const Stop& to = stops[i];
  const double t = (use - from.at) / (to.at - from.at);
  const auto part = [&](double a, double b) { return decimal(a + (b - a) * t, 0); };
  return "rgb(" + part(from.red, to.red) + ',' + part(from.green, to.green) + ',' +
         part(from.blue, to.blue) + ')';
}

std::vector<Index> fullest_sites(const RunResult& result, std::size_t most) {
  const auto fullest = [&](Index site) {
    const LineResult& down = line_of_site(result, site, Direction::down);
    const auto busiest = busiest_hour(down);
    return busiest ? static_cast<double>(busiest->bytes.count) /
                         static_cast<double>(down.rate.bits_per_second)
                   : 0.0;
  };
  std::vector<Index> sites(result.sites.size());
  std::iota(sites.begin(), sites.end(), Index{0});
  most = std::min(most, sites.size());
  std::ranges::partial_sort(sites, sites.begin() + static_cast<std::ptrdiff_t>(most), {},
                            [&](Index site) { return std::pair(-fullest(site), site); });
  sites.resize(most);
  return sites;
}

}  // namespace

std::string completion_chart(const Scenario& scenario, const RunResult& result) {
  const double top = 10;
  const double bottom = top + kCurveHeight;
  const Duration run = scenario.run.duration;
  std::string inside = time_axis(scenario.run, top, bottom);
  for (const auto& [share, name] :
       {std::pair(0.0, "0 %"), {0.5, "p50"}, {0.95, "p95"}, {1.0, "100 %"}}) {
    const double y = bottom - kCurveHeight * share;
    inside += line(kLeft, y, kLeft + kPlot, y, "grid") + words(kLeft - 6, y + 4, "end", name);
  }
  double legend = bottom + 34;
  for (std::size_t i = 0; i < result.waves.size(); ++i) {
    const WaveResult& wave = result.waves[i];
    const std::string style = std::string(" stroke=\"") + kWaveColours[i % kWaveColours.size()] +
                              "\" stroke-dasharray=\"" + kDashes[i % kDashes.size()] +
                              "\" class=\"curve\"/>";
    if (wave.devices > 0 && !wave.curve.empty())
      inside += "<path d=\"" + stairs(wave, run, top, bottom) + '"' + style;
    inside += "<path d=\"M" + decimal(kLeft, 1) + ' ' + decimal(legend - 4, 1) + "H" +
              decimal(kLeft + 40, 1) + '"' + style + words(kLeft + 48, legend, "start", wave.name);
    legend += 16;
  }
  return svg(kWidth, legend, "Devices of each wave that are done, over time", inside);
}

std::string heat_map(const Scenario& scenario, const RunResult& result, std::size_t most) {
  const std::vector<Index> sites = fullest_sites(result, most);
  const double plot = kWidth - kNames - kRight;
  const Duration run = scenario.run.duration;
  std::string inside;
  double y = 18;
  for (const Index site : sites) {
    const LineResult& down = line_of_site(result, site, Direction::down);
    inside += words(kNames - 6, y + kRow - 3, "end", scenario.sites[site].name);
    const double cell = plot / static_cast<double>(std::max<std::size_t>(down.hours.size(), 1));
    inside += box(kNames, y, plot, kRow - 1, "#fff");
    for (std::size_t hour = 0; hour < down.hours.size(); ++hour)
      if (down.hours[hour].count > 0)
        inside += box(kNames + cell * static_cast<double>(hour), y, cell, kRow - 1,
                      heat_colour(use_of(down, hour, run)));
    y += kRow;
  }
  const Duration tick = tick_of(run);
  for (Duration at{0}; at <= run; at += tick) {
    // A run's last hour may be short, but has a whole cell.
    const auto whole = static_cast<double>((run + hours(1) - Duration{1}) / Duration(hours(1)));
    const double x = kNames + plot * static_cast<double>(at / Duration(hours(1))) / whole;
    inside +=
        line(x, 14, x, y, "grid") + words(x, 11, "middle", clock_text(Instant{at}, scenario.run));
  }
  y += 10;
  double x = kNames;
  for (const int percent : {0, 25, 50, 75, 100}) {
    inside += box(x, y, 24, kRow, heat_colour(percent / 100.0)) +
              words(x + 28, y + kRow - 3, "start", std::to_string(percent) + " %");
    x += 80;
  }
  return svg(kWidth, y + kRow + 6, "Use of the sites' lines by hour", inside);
}

std::string sweep_chart(const Sweep& sweep) {
  const double top = 10;
  const double bottom = top + kCurveHeight;
  Duration most = hours(1);
  for (const SweepVariant& variant : sweep.variants)
    for (const SweepVariant::Wave& wave : variant.waves)
      for (const auto& time :
           {wave.spread.p95.lowest, wave.spread.p95.median, wave.spread.p95.highest})
        most = std::max(most, time.value_or(most));
  const auto y_of = [&](Duration time) {
    return bottom - kCurveHeight * std::chrono::duration<double>(time).count() /
                        std::chrono::duration<double>(most).count();
  };
  std::string inside;
  const Duration tick = tick_of(most);
  for (Duration at{0}; at <= most; at += tick)
    inside += line(kLeft, y_of(at), kLeft + kPlot, y_of(at), "grid") +
              words(kLeft - 6, y_of(at) + 4, "end", std::to_string(at / hours(1)) + " h");

  const std::size_t variants = sweep.variants.size();
  const double cell = kPlot / static_cast<double>(variants);
  // Of one key the values, of several the numbers of the table's lines.
  const std::size_t labels_apart = (variants + 14) / 15;
  for (std::size_t i = 0; i < variants; i += labels_apart)
    inside += words(kLeft + cell * (static_cast<double>(i) + 0.5), bottom + 14, "middle",
                    sweep.keys.size() == 1 ? sweep.variants[i].values[0] : std::to_string(i + 1));
  const std::size_t waves = sweep.variants.front().waves.size();
  double legend = bottom + 34;
  for (std::size_t wave = 0; wave < waves; ++wave) {
    const char* colour = kWaveColours[wave % kWaveColours.size()];
    const double part = (static_cast<double>(wave) + 1) / (static_cast<double>(waves) + 1);
    for (std::size_t i = 0; i < variants; ++i) {
      if (wave >= sweep.variants[i].waves.size()) continue;
      const Spread<Duration>& p95 = sweep.variants[i].waves[wave].spread.p95;
      if (!p95.lowest) continue;
      const double x = kLeft + cell * (static_cast<double>(i) + part);
      const double high = p95.highest ? y_of(*p95.highest) : top;
      inside += box(x - 1, high, 2, y_of(*p95.lowest) - high, colour);
      if (p95.median) inside += box(x - 4, y_of(*p95.median) - 2, 8, 4, colour);
    }
    inside += box(kLeft, legend - 8, 24, 8, colour) +
              words(kLeft + 30, legend, "start", sweep.variants.front().waves[wave].name);
    legend += 16;
  }
  return svg(kWidth, legend, "When 95 % of each wave are done, by variant", inside);
}

std::string limit_bar(const std::array<double, kLimits>& shares) {
  std::string inside;
  double x = 0;
  for (std::size_t i = 0; i < kLimits; ++i) {
    const double width = kBar * shares[i];
    if (shares[i] > 0) inside += box(x, 0, width, 12, kLimitColours[i]);
    x += width;
  }
  return "<svg class=\"bar\" viewBox=\"0 0 " + decimal(kBar, 0) + " 12\">" + inside + "</svg>";
}

std::string limit_key(Limit limit) {
  return "<svg class=\"key\" viewBox=\"0 0 12 12\">" +
         box(0, 0, 12, 12, kLimitColours[static_cast<std::size_t>(limit)]) + "</svg>";
}

std::string share_bar(double share) {
  return "<svg class=\"bar\" viewBox=\"0 0 " + decimal(kBar, 0) + " 12\">" +
         box(0, 0, kBar * std::clamp(share, 0.0, 1.0), 12, kWaveColours[0]) + "</svg>";
}

}  // namespace lamina::sim
