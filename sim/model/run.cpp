#include "sim/model/run.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "shared/base/assert.hpp"
#include "sim/model/batch.hpp"
#include "sim/model/parallel.hpp"
#include "sim/report/tally.hpp"

namespace lamina::sim {
namespace {

// What one plan gave.
struct Computed {
  std::vector<SiteResult> sites;
  std::vector<LineResult> site_lines;        // Two for each site, down before up.
  std::vector<std::vector<Instant>> done;    // By wave, ascending.
  std::vector<std::vector<Instant>> failed;  // Likewise.
  std::vector<std::int64_t> wave_devices;
  std::vector<WaveTimes> times;
  // How long each group's line was full; empty: none was.
  std::vector<double> full_down, full_up;
};

// Of several plans that take about as long each.
class Progress {
 public:
  Progress(const std::function<void(double)>& told, int plans) : told_(told), plans_(plans) {}

  bool is_wanted() const { return static_cast<bool>(told_); }
  // Of the current plan.
  void tell(double share) {
    const double whole = (done_ + share) / plans_;
    if (!told_ || whole <= most_) return;  // A plan that was begun anew.
    most_ = whole;
    told_(whole);
  }
  void next_plan() {
    tell(1);
    ++done_;
  }

 private:
  const std::function<void(double)>& told_;
  int plans_;
  int done_ = 0;
  double most_ = 0;
};

class Computing {
 public:
  Computing(const Plan& plan, const RunOptions& options, Progress& progress)
      : plan_(plan), options_(options), progress_(progress) {}

  Computed compute() {
    start();
    const bool meet = plan_.scenario.rollout.admission || plan_.roaming.any();
    if (options_.together || meet || !compute_alone()) {
      start();
      compute_together();
    }
    finish();
    progress_.next_plan();
    return std::move(computed_);
  }

 private:
  void start() {
    const std::size_t sites = plan_.scenario.sites.size();
    computed_ = {};
    computed_.sites.resize(sites);
    computed_.site_lines.resize(2 * sites);
    computed_.done.resize(plan_.scenario.rollout.waves.size());
    computed_.failed.resize(plan_.scenario.rollout.waves.size());
  }

  void take(Batch& batch, std::size_t place, Index site) {
    const SiteRun& run = batch.site(place);
    computed_.sites[site] = run.result();
    computed_.site_lines[2 * site] = run.line(Direction::down);
    computed_.site_lines[2 * site + 1] = run.line(Direction::up);
  }
  // What the devices of a batch did until the end of the run.
  void take(const std::vector<Outcome>& outcomes) {
    for (const Outcome& outcome : outcomes) {
      if (outcome.at > plan_.end()) continue;
      (outcome.failed ? computed_.failed : computed_.done)[outcome.wave].push_back(outcome.at);
      if (outcome.failed) continue;
      SiteResult& site = computed_.sites[plan_.fleet.site_of(outcome.device)];
      ++site.done;
      site.finished = std::max(site.finished.value_or(outcome.at), outcome.at);
    }
  }

  bool compute_alone();
  void find_times();
  void compute_together();
  void finish();

  const Plan& plan_;
  const RunOptions& options_;
  Progress& progress_;
  std::optional<Waves> waves_;
  Computed computed_;
};

bool is_member(const Scenario& scenario, const std::vector<WaveTimes>& times, Index site) {
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (times[i] == WaveTimes{}) continue;
    const auto& members = scenario.rollout.waves[i].members;
    if (std::ranges::binary_search(members, site, {}, &Wave::Member::site)) return true;
  }
  return false;
}

// Each site for itself. When a wave begins follows from what devices of earlier ones did, and
// nothing that happens later changes that: so the sites of the waves that are known are run until
// the next wave's time is known, and again with that one.
void Computing::find_times() {
  waves_.emplace(plan_);
  Plan plan = plan_;
  plan.with_uploads = false;
  plan.bounded = false;
  const Groups groups(plan);
  const auto all_known = [&] {
    return std::ranges::all_of(waves_->times(),
                               [](const WaveTimes& times) { return times.begun != kNever; });
  };
  while (waves_->next() < plan.end()) {
    if (all_known()) return;
    if (!waves_->advance()) continue;
    if (all_known()) return;
    const std::vector<WaveTimes> times = waves_->times();
    std::vector<Index> sites;
    for (Index site = 0; site < plan.scenario.sites.size(); ++site)
      if (is_member(plan.scenario, times, site)) sites.push_back(site);
    std::vector<std::vector<Outcome>> outcomes(sites.size());
    std::vector<std::vector<Held>> held(sites.size());
    in_parallel(sites.size(), options_.threads, [&](std::size_t piece, std::size_t) {
      Batch batch(plan, groups, {sites[piece]}, times);
      batch.run(nullptr, nullptr);
      outcomes[piece] = std::move(batch.outcomes);
      held[piece] = std::move(batch.held);
    });
    // What comes to pass at that very moment may be told twice: that changes nothing.
    waves_->clear();
    for (const auto& list : outcomes)
      for (const Outcome& outcome : list)
        if (outcome.at >= waves_->now()) waves_->tell(outcome);
    for (const auto& list : held)
      for (const Held& item : list)
        if (item.at >= waves_->now()) waves_->tell(item);
  }
}

bool Computing::compute_alone() {
  find_times();
  Plan plan = plan_;
  plan.bounded = false;
  const Groups groups(plan);
  const Groups bounded(plan_);
  const auto threads = static_cast<std::size_t>(options_.threads);
  std::vector<DemandBound> bounds(threads, DemandBound(plan, bounded));
  const std::size_t sites = plan.scenario.sites.size();
  std::vector<std::vector<Outcome>> outcomes(threads);
  const std::size_t step = std::max<std::size_t>(sites / 100, 1);
  in_parallel(sites, options_.threads, [&](std::size_t piece, std::size_t worker) {
    const auto site = static_cast<Index>(piece);
    Batch batch(plan, groups, {site}, waves_->times());
    // What it takes counts where it hangs in the bounded plan.
    batch.run(nullptr, &bounds[worker]);
    take(batch, 0, site);
    outcomes[worker].insert(outcomes[worker].end(), batch.outcomes.begin(), batch.outcomes.end());
    // Pieces are taken in their order: what is before this one is done or under way.
    if (worker == 0 && piece % step == 0)
      progress_.tell(static_cast<double>(piece) / static_cast<double>(sites));
  });
  for (std::size_t i = 1; i < threads; ++i) bounds[0] += bounds[i];
  if (!bounds[0].fits()) return false;
  for (const auto& list : outcomes) take(list);
  return true;
}

void Computing::compute_together() {
  waves_.emplace(plan_);
  const Groups groups(plan_);
  std::vector<Index> sites(plan_.scenario.sites.size());
  std::iota(sites.begin(), sites.end(), Index{0});
  Batch batch(plan_, groups, sites, waves_->times());
  if (progress_.is_wanted()) batch.progress = [&](double share) { progress_.tell(share); };
  batch.run(&*waves_, nullptr);
  for (std::size_t place = 0; place < batch.count(); ++place)
    take(batch, place, static_cast<Index>(place));
  take(batch.outcomes);
  for (std::uint32_t group = 0; group < groups.down.size(); ++group)
    computed_.full_down.push_back(batch.down().full_seconds(group));
  for (std::uint32_t group = 0; group < groups.up.size(); ++group)
    computed_.full_up.push_back(batch.up().full_seconds(group));
}

void Computing::finish() {
  computed_.times = waves_->times();
  for (std::size_t wave = 0; wave < computed_.done.size(); ++wave) {
    std::ranges::sort(computed_.done[wave]);
    std::ranges::sort(computed_.failed[wave]);
    computed_.wave_devices.push_back(waves_->devices(wave));
  }
  for (SiteResult& site : computed_.sites)
    if (site.done < site.devices) site.finished.reset();
}

std::vector<WaveResult> wave_results(const Scenario& scenario, const Computed& computed) {
  std::vector<WaveResult> waves;
  for (std::size_t i = 0; i < computed.done.size(); ++i) {
    WaveResult wave{.name = scenario.rollout.waves[i].name, .devices = computed.wave_devices[i]};
    const Instant begun = computed.times[i].begun;
    const bool began = begun != kNever && begun < Instant(scenario.run.duration);
    tally(wave, computed.done[i], computed.failed[i], began ? std::optional(begun) : std::nullopt);
    waves.push_back(std::move(wave));
  }
  return waves;
}

// The lines above the sites carry what the sites below them do.
class LinesAbove {
 public:
  LinesAbove(const Plan& plan, const Computed& computed)
      : plan_(plan), computed_(computed), groups_(plan) {
    const std::size_t hours =
        computed.site_lines.empty() ? 0 : computed.site_lines.front().hours.size();
    down_.assign(groups_.down.size(), std::vector<Bytes>(hours));
    up_.assign(groups_.up.size(), std::vector<Bytes>(hours));
    for (Index site = 0; site < plan.scenario.sites.size(); ++site) {
      add(down_, groups_.down, groups_.site_down[site], computed.site_lines[2 * site].hours);
      add(up_, groups_.up, groups_.site_up[site], computed.site_lines[2 * site + 1].hours);
    }
  }

  std::vector<LineResult> lines() const {
    const Scenario& scenario = plan_.scenario;
    std::vector<LineResult> lines;
    const auto add = [&](LineKind kind, Index index, Direction direction, std::uint32_t group,
                         BitRate rate) {
      const bool is_down = direction == Direction::down;
      const auto& full = is_down ? computed_.full_down : computed_.full_up;
      LineResult line{kind, index, direction, rate, (is_down ? down_ : up_)[group], {}};
      if (!full.empty()) line.saturated = Duration(std::llround(full[group] * 1e9));
      lines.push_back(line);
    };
    add(LineKind::origin, 0, Direction::down, groups_.origin, scenario.origin.uplink);
    add(LineKind::origin, 0, Direction::up, groups_.origin, scenario.origin.downlink);
    for (Index i = 0; i < scenario.regions.size(); ++i) {
      const Region& region = scenario.regions[i];
      if (!region.down && !region.up) continue;
      // A region with a seeder has a line down that nothing of the rollout crosses.
      if (region.down)
        add(LineKind::region, i, Direction::down, groups_.region_down[i], *region.down);
      if (region.up) add(LineKind::region, i, Direction::up, groups_.region_up[i], *region.up);
    }
    for (Index i = 0; i < scenario.regions.size(); ++i)
      if (scenario.regions[i].seeder)
        add(LineKind::seeder, i, Direction::down, groups_.seeder[i], *scenario.regions[i].seeder);
    return lines;
  }

 private:
  static void add(std::vector<std::vector<Bytes>>& sums, const std::vector<TrunkGroup>& groups,
                  std::uint32_t group, const std::vector<Bytes>& hours) {
    for (; group != 0; group = groups[group].parent)
      for (std::size_t hour = 0; hour < hours.size(); ++hour) sums[group][hour] += hours[hour];
  }

  const Plan& plan_;
  const Computed& computed_;
  Groups groups_;
  std::vector<std::vector<Bytes>> down_, up_;
};

// All of a plan that was computed.
struct Figures {
  Figures(const Plan& plan, const Computed& computed)
      : waves(wave_results(plan.scenario, computed)),
        lines_above(LinesAbove(plan, computed).lines()),
        totals(totals_of(plan.mode, waves, lines_above.front(), computed.site_lines,
                         plan.scenario.run.duration)) {}

  std::vector<WaveResult> waves;
  std::vector<LineResult> lines_above;
  Totals totals;
};

}  // namespace

RunResult run(const Scenario& scenario, const RunOptions& options) {
  LAMINA_ASSERT(options.threads >= 1);
  RunResult result;
  result.engine_version = LAMINA_VERSION;
  result.input_hash = scenario.input_hash;
  result.seed = scenario.run.seed;
  const int replicas = options.with_replicas ? scenario.run.replicas : 1;
  const bool with_direct = options.with_direct && scenario.rollout.mode != Mode::direct;
  Progress progress(options.progress, replicas + (with_direct ? 1 : 0));
  for (int i = 0; i < replicas; ++i) {
    const std::uint64_t seed = scenario.run.seed + static_cast<std::uint64_t>(i);
    const Fleet fleet(scenario, seed);
    const Roaming roaming(scenario, fleet);
    const Plan plan{
        .scenario = scenario, .fleet = fleet, .roaming = roaming, .mode = scenario.rollout.mode};
    Computed computed = Computing(plan, options, progress).compute();
    Figures figures(plan, computed);
    result.replicas.push_back(replica_of(seed, figures.waves, figures.totals));
    if (i > 0) continue;
    result.totals = figures.totals;
    result.waves = std::move(figures.waves);
    result.sites = std::move(computed.sites);
    result.lines = std::move(figures.lines_above);
    for (LineResult& line : computed.site_lines) result.lines.push_back(std::move(line));
    if (with_direct) {
      Plan direct = plan;
      direct.mode = Mode::direct;
      result.direct = Figures(direct, Computing(direct, options, progress).compute()).totals;
    }
  }
  return result;
}

}  // namespace lamina::sim
