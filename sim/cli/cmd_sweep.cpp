#include <charconv>
#include <cmath>
#include <sstream>

#include "shared/base/bytes.hpp"
#include "sim/cli/files.hpp"
#include "sim/cli/simulate.hpp"
#include "sim/report/markup.hpp"
#include "sim/report/sweep.hpp"
#include "sim/scenario/quantities.hpp"

namespace lamina::sim {
namespace {

constexpr std::size_t kVariantsMax = 1'000;

struct Axis {
  std::string path;
  std::vector<std::string> values;  // At least one.
};

constexpr int kStepsMax = 100;

// A number and what stands behind it: "10" and "Mbit".
struct Quantity {
  double number = 0;
  std::string_view unit;
};
std::optional<Quantity> quantity_of(std::string_view text) {
  Quantity quantity;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), quantity.number);
  if (error != std::errc() || !std::isfinite(quantity.number)) return std::nullopt;
  quantity.unit = text.substr(static_cast<std::size_t>(end - text.data()));
  return quantity;
}

// At most three digits behind the point, none that are 0.
std::string plain(double number) {
  std::string text = decimal(number, 3);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

// "10Mbit..50Mbit/5" is five values from the first to the last, as far from each other; any other
// text is one value.
Result<std::vector<std::string>> values_of(std::string_view text) {
  const auto dots = text.find("..");
  if (dots == text.npos) return std::vector<std::string>{std::string(text)};
  const auto slash = text.rfind('/');
  const auto low = quantity_of(text.substr(0, dots));
  const auto high = quantity_of(text.substr(dots + 2, slash - std::min(slash, dots + 2)));
  const auto steps = slash == text.npos || slash < dots
                         ? fail(ErrorKind::invalid, "no number of values")
                         : parse_count(text.substr(slash + 1), {2, kStepsMax});
  if (!low || !high || !steps || low->unit != high->unit || high->number <= low->number)
    return fail(ErrorKind::invalid,
                "'" + printable(text, 60) +
                    "' is no range such as 10Mbit..50Mbit/5: from the lower to the higher value, "
                    "in the same unit, and how many (2 to " +
                    std::to_string(kStepsMax) + ')');
  std::vector<std::string> values;
  for (std::int64_t i = 0; i < *steps; ++i)
    values.push_back(plain(low->number + (high->number - low->number) * static_cast<double>(i) /
                                             static_cast<double>(*steps - 1)) +
                     std::string(low->unit));
  return values;
}

Result<std::vector<Axis>> parse_axes(const std::vector<std::string>& texts) {
  std::vector<Axis> axes;
  std::size_t variants = 1;
  for (const std::string& text : texts) {
    const auto set = parse_set(text);
    if (!set) return fail(set.error());
    Axis axis{set->path, {}};
    for (std::string_view rest = set->value;;) {
      const auto comma = rest.find(',');
      auto values = values_of(rest.substr(0, comma));
      if (!values) return fail(std::move(values.error()).in("--set " + printable(text, 80)));
      axis.values.insert(axis.values.end(), values->begin(), values->end());
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
    variants *= axis.values.size();
    if (variants > kVariantsMax)
      return fail(ErrorKind::invalid,
                  "more than " + std::to_string(kVariantsMax) + " combinations: give fewer values");
    axes.push_back(std::move(axis));
  }
  return axes;
}

// The `number`-th combination; the last axis changes fastest.
std::vector<Override> combination(const std::vector<Axis>& axes, std::size_t number) {
  std::vector<Override> set(axes.size());
  for (std::size_t i = axes.size(); i-- > 0;) {
    set[i] = {axes[i].path, axes[i].values[number % axes[i].values.size()]};
    number /= axes[i].values.size();
  }
  return set;
}

std::size_t combinations(const std::vector<Axis>& axes) {
  std::size_t all = 1;
  for (const Axis& axis : axes) all *= axis.values.size();
  return all;
}

}  // namespace

cli::ExitCode run_sweep(const SweepOptions& options, Io& io) {
  const auto axes = parse_axes(options.simulation.set);
  if (!axes) return report(axes.error(), io);
  // All are read before the first is run: a mistake must not show up after an hour.
  std::vector<Scenario> scenarios;
  const std::size_t count = combinations(*axes);
  for (std::size_t i = 0; i < count; ++i) {
    auto scenario = load_for(options.simulation, combination(*axes, i));
    if (!scenario) return report(scenario.error(), io);
    scenarios.push_back(std::move(*scenario));
  }
  Sweep sweep{scenarios.front().name, {}, {}};
  for (const Axis& axis : *axes) sweep.keys.push_back(axis.path);
  for (std::size_t i = 0; i < count; ++i) {
    const RunResult result =
        run_shown(scenarios[i], {.threads = options.simulation.threads, .with_direct = false},
                  "variant " + std::to_string(i + 1) + " of " + std::to_string(count) + ": ", io);
    std::vector<std::string> values;
    for (const Override& one : combination(*axes, i)) values.push_back(one.value);
    sweep.variants.push_back(variant_of(std::move(values), result));
  }
  if (!options.directory.empty()) {
    std::ostringstream page;
    write_sweep_html(page, sweep);
    Status written = make_directory(options.directory);
    if (written) written = write_text_file(options.directory + "/sweep.html", page.view());
    if (!written) return report(written.error(), io);
  }
  if (options.as_json) {
    write_sweep_json(io.out, sweep);
    return cli::ok;
  }
  cli::write_table(io.out, sweep_rows(sweep));
  if (!options.directory.empty())
    io.out << "\nThe report: " << options.directory << "/sweep.html\n";
  return cli::ok;
}

}  // namespace lamina::sim
