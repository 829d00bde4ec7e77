#include <nlohmann/json.hpp>

#include <cmath>
#include <map>

#include "shared/base/bytes.hpp"
#include "sim/cli/files.hpp"
#include "sim/cli/simulate.hpp"
#include "sim/import/measured.hpp"
#include "sim/report/markup.hpp"
#include "sim/report/result_json.hpp"

namespace lamina::sim {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t kSitesShown = 20;

// How much more the actual value is, as a share of the planned one; none: one of them is missing.
using Deviation = std::optional<double>;

Deviation deviation(std::optional<double> plan, std::optional<double> actual) {
  if (!plan || !actual || *plan <= 0) return std::nullopt;
  return *actual / *plan - 1;
}
template <class Time>
std::optional<double> seconds(const std::optional<Time>& time) {
  if (!time) return std::nullopt;
  if constexpr (std::is_same_v<Time, Instant>)
    return std::chrono::duration<double>(time->time_since_epoch()).count();
  else
    return std::chrono::duration<double>(*time).count();
}
std::optional<double> count(Bytes bytes) { return static_cast<double>(bytes.count); }

std::string text_of(const Deviation& deviation) {
  if (!deviation) return "-";
  return (*deviation < 0 ? "" : "+") + percent_text(*deviation);
}
json record_of(const Deviation& deviation) { return deviation ? json(*deviation) : json(nullptr); }

// Of the deviations that there are, the mean of their sizes.
class MeanSize {
 public:
  void add(const Deviation& deviation) {
    if (!deviation) return;
    sum_ += std::abs(*deviation);
    ++count_;
  }
  Deviation mean() const {
    return count_ == 0 ? std::nullopt : Deviation(sum_ / static_cast<double>(count_));
  }

 private:
  double sum_ = 0;
  std::size_t count_ = 0;
};

struct WavePair {
  const Outcome::Wave* plan = nullptr;
  const Outcome::Wave* actual = nullptr;
  Deviation p50, p95, p99;
};
struct SitePair {
  const Outcome::Site* plan = nullptr;
  const Outcome::Site* actual = nullptr;
  Deviation finished, from_origin;
};
struct Comparison {
  std::vector<WavePair> waves;
  std::vector<SitePair> sites;            // Of the plan, as far as the other has them.
  std::vector<std::string> only_planned;  // Waves and sites.
  std::vector<std::string> only_actual;
  Deviation wan_down;        // Wire, over all lines.
  Deviation finished_error;  // Mean of the sizes over all sites.
  Deviation from_origin_error;
};

template <class One>
std::map<std::string, const One*> by_name(const std::vector<One>& all) {
  std::map<std::string, const One*> found;
  for (const One& one : all) found.emplace(one.name, &one);
  return found;
}

// Calls `pair` for what both have, by name; notes what only one has.
template <class One, class Pair>
void match(const std::vector<One>& plan, const std::vector<One>& actual, const char* kind,
           Comparison& comparison, const Pair& pair) {
  auto others = by_name(actual);
  for (const One& one : plan) {
    const auto other = others.find(one.name);
    if (other == others.end()) {
      comparison.only_planned.push_back(std::string(kind) + one.name);
      continue;
    }
    pair(one, *other->second);
    others.erase(other);
  }
  for (const auto& [name, one] : others) comparison.only_actual.push_back(kind + name);
}

Comparison compare(const Outcome& plan, const Outcome& actual) {
  Comparison all;
  match(plan.waves, actual.waves, "wave ", all, [&](const auto& a, const auto& b) {
    const Percentiles& x = a.completion;
    const Percentiles& y = b.completion;
    all.waves.push_back({&a, &b, deviation(seconds(x.p50), seconds(y.p50)),
                         deviation(seconds(x.p95), seconds(y.p95)),
                         deviation(seconds(x.p99), seconds(y.p99))});
  });
  MeanSize finished, from_origin;
  match(plan.sites, actual.sites, "site ", all, [&](const auto& a, const auto& b) {
    all.sites.push_back({&a, &b, deviation(seconds(a.finished), seconds(b.finished)),
                         deviation(count(a.from_origin), count(b.from_origin))});
    finished.add(all.sites.back().finished);
    from_origin.add(all.sites.back().from_origin);
  });
  all.wan_down = deviation(count(plan.wan_down), count(actual.wan_down));
  all.finished_error = finished.mean();
  all.from_origin_error = from_origin.mean();
  return all;
}

// Sites by the size of their worse deviation, the largest first.
std::vector<SitePair> worst(const Comparison& all) {
  std::vector<SitePair> sites = all.sites;
  std::ranges::stable_sort(sites, {}, [](const SitePair& site) {
    return -std::max(std::abs(site.finished.value_or(0)), std::abs(site.from_origin.value_or(0)));
  });
  if (sites.size() > kSitesShown) sites.resize(kSitesShown);
  return sites;
}

void print_names(const char* what, const std::vector<std::string>& names, std::ostream& out) {
  if (names.empty()) return;
  out << '\n'
      << what << ' ' << names.size() << ", such as " << printable(names.front(), 100) << '\n';
}

void print(const Comparison& all, std::ostream& out) {
  cli::Rows waves{{"WAVE", "FIGURE", "PLAN", "ACTUAL", "ERROR"}};
  for (const WavePair& wave : all.waves) {
    const std::string name = printable(wave.plan->name, 80);
    const Percentiles& plan = wave.plan->completion;
    const Percentiles& actual = wave.actual->completion;
    waves.push_back(
        {name, "done",
         std::to_string(wave.plan->done) + " of " + std::to_string(wave.plan->devices),
         std::to_string(wave.actual->done) + " of " + std::to_string(wave.actual->devices), ""});
    waves.push_back({name, "p50", time_text(plan.p50), time_text(actual.p50), text_of(wave.p50)});
    waves.push_back({name, "p95", time_text(plan.p95), time_text(actual.p95), text_of(wave.p95)});
    waves.push_back({name, "p99", time_text(plan.p99), time_text(actual.p99), text_of(wave.p99)});
  }
  cli::write_table(out, waves);
  out << '\n';
  cli::Rows sites{{"SITE", "LINE: PLAN", "ACTUAL", "ERROR", "FINISHED: PLAN", "ACTUAL", "ERROR"}};
  const auto at = [](const std::optional<Instant>& finished) {
    return time_text(finished ? std::optional(finished->time_since_epoch()) : std::nullopt);
  };
  for (const SitePair& site : worst(all))
    sites.push_back({printable(site.plan->name, 80), to_text(site.plan->from_origin),
                     to_text(site.actual->from_origin), text_of(site.from_origin),
                     at(site.plan->finished), at(site.actual->finished), text_of(site.finished)});
  cli::write_table(out, sites);
  out << "\nOver the lines: " << text_of(all.wan_down) << " bytes.\nOver " << all.sites.size()
      << " sites the mean size of the error is "
      << (all.from_origin_error ? percent_text(*all.from_origin_error) : "-") << " of the bytes, "
      << (all.finished_error ? percent_text(*all.finished_error) : "-") << " of the time.\n";
  print_names("Only in the plan:", all.only_planned, out);
  print_names("Only in what happened:", all.only_actual, out);
}

json record_of(const Comparison& all) {
  json waves = json::array();
  for (const WavePair& wave : all.waves)
    waves.push_back({{"name", wave.plan->name},
                     {"p50_error", record_of(wave.p50)},
                     {"p95_error", record_of(wave.p95)},
                     {"p99_error", record_of(wave.p99)}});
  json sites = json::array();
  for (const SitePair& site : all.sites)
    sites.push_back({{"name", site.plan->name},
                     {"bytes_error", record_of(site.from_origin)},
                     {"finished_error", record_of(site.finished)}});
  return {{"format", "lamina-sim-compare"},
          {"version", 1},
          {"waves", std::move(waves)},
          {"sites", std::move(sites)},
          {"wan_down_wire_error", record_of(all.wan_down)},
          {"bytes_error_mean_size", record_of(all.from_origin_error)},
          {"finished_error_mean_size", record_of(all.finished_error)},
          {"only_planned", all.only_planned},
          {"only_actual", all.only_actual}};
}

Result<Outcome> read_outcome(const std::string& path) {
  const auto text = read_text_file(path, kResultMax);
  if (!text) return fail(text.error());
  auto outcome = parse_outcome(*text);
  if (outcome) return outcome;
  auto measured = parse_measured(*text);
  if (measured) return measured;
  return fail(ErrorKind::invalid, path + ": " + outcome.error().text() +
                                      "; nor is it a rollout as `lamina --json rollout show` " +
                                      "prints it: " + measured.error().text());
}

}  // namespace

cli::ExitCode run_compare(const CompareOptions& options, Io& io) {
  const auto plan = read_outcome(options.plan);
  if (!plan) return report(plan.error(), io);
  const auto actual = read_outcome(options.actual);
  if (!actual) return report(actual.error(), io);
  const Comparison all = compare(*plan, *actual);
  if (options.as_json)
    io.out << record_of(all).dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
  else
    print(all, io.out);
  return cli::ok;
}

}  // namespace lamina::sim
