#include <nlohmann/json.hpp>

#include "shared/base/bytes.hpp"
#include "shared/policy/site_lease.hpp"
#include "sim/cli/simulate.hpp"

namespace lamina::sim {
namespace {

using json = nlohmann::ordered_json;

// What may be varied: more of it never makes a rollout slower, as far as is known.
enum class Kind { rate, count };
struct Variable {
  const char* path;
  Kind kind;
  int most = 0;  // Of a count, from 1.
};
constexpr Variable kVariables[] = {
    {"site.cap", Kind::rate},
    {"site.wan_down", Kind::rate},
    {"origin.uplink", Kind::rate},
    {"site.reflectors", Kind::count, policy::SiteLease::kReflectorsMax},
    {"rollout.sites_at_once", Kind::count, 10'000}};

// Rates of two digits, 100 kbit/s, 110 kbit/s to 99 Gbit/s: nobody orders a line of 17.3 Mbit/s.
constexpr int kRatesPerDecade = 90;
constexpr int kDecades = 6;
std::string rate_text(int index) {
  std::int64_t kbit = 10 + index % kRatesPerDecade;
  for (int decade = 0; decade <= index / kRatesPerDecade; ++decade) kbit *= 10;
  if (kbit % 1'000'000 == 0) return std::to_string(kbit / 1'000'000) + "Gbit";
  return kbit % 1000 == 0 ? std::to_string(kbit / 1000) + "Mbit" : std::to_string(kbit) + "kbit";
}

// Value number `index`, ascending from 0.
std::string value_text(const Variable& variable, int index) {
  return variable.kind == Kind::rate ? rate_text(index) : std::to_string(index + 1);
}
int values_of(const Variable& variable) {
  return variable.kind == Kind::rate ? kRatesPerDecade * kDecades : variable.most;
}

const Variable* variable_named(const std::string& name) {
  for (const Variable& variable : kVariables)
    if (variable.path == name) return &variable;
  return nullptr;
}

// One value that was tried.
struct Try {
  std::string value;
  Spread<Duration> figure;
  bool holds = false;
};

class Search {
 public:
  Search(const SolveOptions& options, const Variable& variable, std::vector<Override> set, Io& io)
      : options_(options), variable_(variable), set_(std::move(set)), io_(io) {}

  // Runs value number `index`; whether the target holds with it. nullopt: findings() says why not.
  std::optional<bool> holds_with(int index) {
    std::vector<Override> set = set_;
    set.push_back({variable_.path, value_text(variable_, index)});
    const auto scenario = load_for(options_.simulation, set);
    if (!scenario) return findings_ = scenario.error(), std::nullopt;
    const auto target = parse_target(options_.target, *scenario);
    if (!target) return error_ = target.error(), std::nullopt;
    const RunResult result =
        run_shown(*scenario, {.threads = options_.simulation.threads, .with_direct = false},
                  options_.vary + '=' + set.back().value + ": ", io_);
    tries_.push_back({set.back().value, figure_of(result, *target), holds(result, *target)});
    return tries_.back().holds;
  }

  const std::vector<Try>& tries() const { return tries_; }
  cli::ExitCode report_failure(Io& io) const {
    return error_ ? report(*error_, io) : report(findings_, io);
  }

 private:
  const SolveOptions& options_;
  const Variable& variable_;
  std::vector<Override> set_;
  Io& io_;
  std::vector<Try> tries_;
  Findings findings_;
  std::optional<Error> error_;
};

std::string unknown_variable(const std::string& name) {
  std::vector<std::string_view> known;
  for (const Variable& variable : kVariables) known.emplace_back(variable.path);
  return "--vary '" + printable(name, 80) + "' is none that can be solved for" +
         suggestion(name, known) + "; `lamina-sim sweep --set` tries any other";
}

json maybe(const std::optional<Duration>& time) {
  return time ? json(*time / std::chrono::milliseconds(1)) : json(nullptr);
}

void print(const SolveOptions& options, const std::vector<Try>& tries, const std::string& answer,
           std::ostream& out) {
  if (options.as_json) {
    json records = json::array();
    for (const Try& one : tries)
      records.push_back({{"value", one.value},
                         {"holds", one.holds},
                         {"lowest_ms", maybe(one.figure.lowest)},
                         {"median_ms", maybe(one.figure.median)},
                         {"highest_ms", maybe(one.figure.highest)}});
    out << json{{"format", "lamina-sim-solve"},
                {"version", 1},
                {"target", options.target},
                {"vary", options.vary},
                {"answer", answer.empty() ? json(nullptr) : json(answer)},
                {"tries", std::move(records)}}
               .dump(-1, ' ', false, json::error_handler_t::replace)
        << '\n';
    return;
  }
  cli::Rows rows{{printable(options.vary, 60), printable(options.target, 60), "FIGURE"}};
  for (const Try& one : tries)
    rows.push_back({one.value, one.holds ? "holds" : "-", spread_text(one.figure)});
  cli::write_table(out, rows);
  out << '\n'
      << (answer.empty() ? "It holds with no value that was tried: something else is in the way."
                         : options.vary + '=' + answer + " is enough, in every replica.")
      << '\n';
}

}  // namespace

cli::ExitCode run_solve(const SolveOptions& options, Io& io) {
  const Variable* variable = variable_named(options.vary);
  if (variable == nullptr)
    return report(Error(ErrorKind::invalid, unknown_variable(options.vary)), io);
  const auto set = parse_sets(options.simulation.set);
  if (!set) return report(set.error(), io);

  Search search(options, *variable, *set, io);
  int most = values_of(*variable) - 1;
  const auto possible = search.holds_with(most);
  if (!possible) return search.report_failure(io);
  if (!*possible) {
    print(options, search.tries(), "", io.out);
    return cli::failed;
  }
  // It holds with `most`; all below `least` it does not.
  for (int least = 0; least < most;) {
    const int middle = least + (most - least) / 2;
    const auto holds = search.holds_with(middle);
    if (!holds) return search.report_failure(io);
    if (*holds)
      most = middle;
    else
      least = middle + 1;
  }
  print(options, search.tries(), value_text(*variable, most), io.out);
  return cli::ok;
}

}  // namespace lamina::sim
