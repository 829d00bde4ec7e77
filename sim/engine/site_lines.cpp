#include "sim/engine/site_lines.hpp"

#include <algorithm>
#include <functional>

#include "shared/base/assert.hpp"
#include "sim/engine/water_level.hpp"

namespace lamina::sim {
namespace {

constexpr double kWatched = 0.01;  // Documented at watch().

// std::push_heap and pop_heap keep the greatest in front: the first end, then the lowest flow.
struct LaterFirst {
  template <class Entry>
  bool operator()(const Entry& a, const Entry& b) const {
    return a.end > b.end || (a.end == b.end && a.flow > b.flow);
  }
};

}  // namespace

SiteLines::SiteLines(Rate line, std::vector<Rate> segments, const std::vector<Bundle>& bundles,
                     std::uint32_t flows, Instant now)
    : line_(line), segments_(std::move(segments)), flows_(flows), now_(now) {
  LAMINA_ASSERT(!segments_.empty() && !bundles.empty() && bundles.size() <= kBundlesMax);
  segments_left_.resize(segments_.size());
  bundles_.resize(bundles.size());
  for (std::size_t i = 0; i < bundles.size(); ++i) {
    LAMINA_ASSERT(bundles[i].segment < segments_.size() && bundles[i].cap >= 0);
    static_cast<Bundle&>(bundles_[i]) = bundles[i];
    by_cap_.push_back(static_cast<std::uint8_t>(i));
  }
  next_by_clock_.fill(kInfinite);
  sort_by_cap();
}

void SiteLines::sort_by_cap() {
  std::ranges::sort(by_cap_, [this](std::uint8_t a, std::uint8_t b) {
    return bundles_[a].cap < bundles_[b].cap || (bundles_[a].cap == bundles_[b].cap && a < b);
  });
}

void SiteLines::touch(Instant now, const Feeds& feeds) {
  LAMINA_ASSERT(now >= now_);
  const double seconds = in_seconds(now - now_);
  for (State& bundle : bundles_) {
    if (bundle.count == 0) continue;
    const bool follows = bundle.held_by == HeldBy::above;
    const double got =
        follows ? feeds[bundle.priority].clock - clock_[bundle.priority] : bundle.rate * seconds;
    bundle.clock += got;
    carried_[bundle.priority] += got * bundle.count;
    bundle.seconds[static_cast<std::size_t>(bundle.held_by)] += seconds * bundle.count;
  }
  if (is_full_) full_seconds_ += seconds;
  now_ = now;
  for (int p = 0; p < kPriorities; ++p) clock_[p] = feeds[p].clock;
}

void SiteLines::add(std::uint32_t flow, std::uint32_t bundle, double bytes) {
  State& to = bundles_[bundle];
  LAMINA_ASSERT(!runs(flow) && bytes >= 0);
  if (to.count++ == 0) {
    to.clock = 0;
    to.heap.clear();
  }
  flows_[flow] = {to.clock + bytes, static_cast<std::uint16_t>(bundle)};
  to.heap.push_back({flows_[flow].end, flow});
  std::ranges::push_heap(to.heap, LaterFirst{});
}

double SiteLines::remove(std::uint32_t flow) {
  LAMINA_ASSERT(runs(flow));
  const double bytes = left(flow);
  State& from = bundles_[flows_[flow].bundle];
  flows_[flow].bundle = kNone;
  --from.count;
  // Stale entries stay in the heap until they come up, or are too many.
  if (from.heap.size() > 16 + 2 * std::size_t{from.count}) drop_stale(from);
  return std::max(0.0, bytes);
}

bool SiteLines::is_stale(const State& bundle, const Entry& entry) const {
  const Flow& flow = flows_[entry.flow];
  return flow.bundle != &bundle - bundles_.data() || flow.end != entry.end;
}

void SiteLines::drop_stale(State& bundle) {
  std::erase_if(bundle.heap, [&](const Entry& entry) { return is_stale(bundle, entry); });
  std::ranges::make_heap(bundle.heap, LaterFirst{});
}

double SiteLines::left(std::uint32_t flow) const {
  return flows_[flow].end - bundles_[flows_[flow].bundle].clock;
}

void SiteLines::set_line(Rate rate) { line_ = rate; }
void SiteLines::set_segment(std::uint32_t segment, Rate rate) { segments_[segment] = rate; }
void SiteLines::set_cap(std::uint32_t bundle, Rate cap) {
  if (bundles_[bundle].cap == cap) return;
  bundles_[bundle].cap = cap;
  sort_by_cap();
}

Rate SiteLines::rate(std::uint32_t bundle, const Feeds& feeds) const {
  const State& of = bundles_[bundle];
  return of.held_by == HeldBy::above ? feeds[of.priority].level : of.rate;
}

void SiteLines::finish(const Feeds& feeds, std::vector<std::uint32_t>& done) {
  for (std::uint32_t i = 0; i < bundles_.size(); ++i) {
    State& bundle = bundles_[i];
    // A flow that follows is measured by the feed's clock, and that is the coarser one.
    const double clock = bundle.held_by == HeldBy::above ? feeds[bundle.priority].clock : 0;
    const double slack = done_within(std::max(bundle.clock, clock), rate(i, feeds));
    while (bundle.count > 0) {
      const Entry first = bundle.heap.front();
      const bool stale = is_stale(bundle, first);
      if (!stale && first.end > bundle.clock + slack) break;
      std::ranges::pop_heap(bundle.heap, LaterFirst{});
      bundle.heap.pop_back();
      if (stale) continue;
      flows_[first.flow].bundle = kNone;
      --bundle.count;
      carried_[bundle.priority] -= bundle.clock - first.end;  // What the nanosecond had too much.
      done.push_back(first.flow);
    }
  }
}

void SiteLines::evaluate(const Feeds& feeds) {
  double line_left = line_;
  segments_left_ = segments_;
  is_full_ = false;
  for (int p = 0; p < kPriorities; ++p) share(static_cast<Priority>(p), feeds[p].level, line_left);
  schedule(feeds);
}

// Water levels from below: of each segment over the caps, then of the line over what the segments
// let through; then the level from above decides.
void SiteLines::share(Priority priority, double level, double& line_left) {
  std::array<Thirst, kBundlesMax> parts;
  std::array<std::uint8_t, kBundlesMax> bundle_of;
  std::size_t count = 0;
  Demand& demand = demand_[priority];
  demand = {};
  for (std::uint16_t segment = 0; segment < segments_.size(); ++segment) {
    const std::size_t first = count;
    for (const std::uint8_t i : by_cap_) {
      const State& bundle = bundles_[i];
      if (bundle.segment != segment || bundle.priority != priority || bundle.count == 0) continue;
      bundle_of[count] = i;
      parts[count++] = {bundle.cap, bundle.count};
    }
    const double level =
        water_level({parts.data() + first, count - first}, segments_left_[segment]);
    for (std::size_t k = first; k < count; ++k) {
      State& bundle = bundles_[bundle_of[k]];
      bundle.held_by = level < bundle.cap ? HeldBy::segment : HeldBy::cap;
      // Sorted into those of the segments before.
      const Thirst part{std::min(level, bundle.cap), bundle.count};
      const std::uint8_t i = bundle_of[k];
      std::size_t at = k;
      for (; at > 0 && parts[at - 1].limit > part.limit; --at) {
        parts[at] = parts[at - 1];
        bundle_of[at] = bundle_of[at - 1];
      }
      parts[at] = part;
      bundle_of[at] = i;
    }
  }
  if (count == 0) return;
  const double line_level = water_level({parts.data(), count}, line_left);

  double fixed = 0;
  for (std::size_t k = 0; k < count; ++k) {
    State& bundle = bundles_[bundle_of[k]];
    const double own = std::min(parts[k].limit, line_level);
    LAMINA_ASSERT(std::min(own, level) < kInfinite);  // Something on the way has an end.
    if (level <= own) {
      bundle.held_by = HeldBy::above;
      bundle.rate = level;
      demand.following += bundle.count;
      demand.up = std::min(demand.up, own);
      if (watches_ && level < kInfinite) {
        demand.up = std::min(demand.up, level * (1 + kWatched));
        demand.down = std::max(demand.down, level * (1 - kWatched));
      }
    } else {
      if (line_level < parts[k].limit) {
        bundle.held_by = HeldBy::site;
        is_full_ = true;
      }
      bundle.rate = own;
      fixed += own * bundle.count;
      demand.down = std::max(demand.down, own);
    }
    segments_left_[bundle.segment] =
        std::max(0.0, segments_left_[bundle.segment] - bundle.rate * bundle.count);
    line_left = std::max(0.0, line_left - bundle.rate * bundle.count);
  }
  demand.fixed = to_fixed(fixed);
}

void SiteLines::schedule(const Feeds& feeds) {
  next_by_time_ = kNever;
  next_by_clock_.fill(kInfinite);
  for (State& bundle : bundles_) {
    if (bundle.count == 0) continue;
    while (is_stale(bundle, bundle.heap.front())) {
      std::ranges::pop_heap(bundle.heap, LaterFirst{});
      bundle.heap.pop_back();
    }
    const double bytes = std::max(0.0, bundle.heap.front().end - bundle.clock);
    if (bundle.held_by == HeldBy::above) {
      double& next = next_by_clock_[bundle.priority];
      next = std::min(next, feeds[bundle.priority].clock + bytes);
    } else {
      next_by_time_ = std::min(next_by_time_, time_after(now_, bytes, bundle.rate));
    }
  }
}

}  // namespace lamina::sim
