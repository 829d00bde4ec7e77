#include "tests/sim/engine/tree_case.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "sim/engine/random.hpp"

namespace lamina::sim::testing {
namespace {

enum class Doing : std::uint8_t { begin, pause, resume, step };
struct Todo {
  std::int64_t at_ns = 0;
  Doing what = Doing::begin;
  std::uint32_t index = 0;
};

// All that happens from outside, by time.
std::vector<Todo> todo_of(const TreeCase& tree) {
  std::vector<Todo> todo;
  for (std::uint32_t i = 0; i < tree.flows.size(); ++i) {
    todo.push_back({tree.flows[i].start_ns, Doing::begin, i});
    for (const auto& [from, until] : tree.flows[i].pauses) {
      todo.push_back({from, Doing::pause, i});
      todo.push_back({until, Doing::resume, i});
    }
  }
  for (std::uint32_t i = 0; i < tree.steps.size(); ++i)
    todo.push_back({tree.steps[i].at_ns, Doing::step, i});
  std::ranges::stable_sort(todo, {}, &Todo::at_ns);
  return todo;
}

std::vector<std::uint32_t> groups_above(const TreeCase& tree, std::uint32_t site) {
  std::vector<std::uint32_t> groups{tree.sites[site].group};
  while (groups.back() != 0) groups.push_back(tree.groups[groups.back()].parent);
  return groups;
}

// A line as the slow way sees it: all are alike.
struct Line {
  double rate = 0;
  bool operator==(const Line&) const = default;
};

// All lines of a tree in one row, and the way of each flow through them.
struct Flat {
  explicit Flat(const TreeCase& tree) {
    for (const TrunkGroup& group : tree.groups) lines.push_back({group.line});
    for (const TreeSite& site : tree.sites) {
      first_of_site.push_back(lines.size());
      lines.push_back({site.line});
      for (const Rate rate : site.segments) lines.push_back({rate});
      caps.emplace_back();
      for (const SiteLines::Bundle& bundle : site.bundles) caps.back().push_back(bundle.cap);
    }
    for (const TreeFlow& flow : tree.flows) {
      std::vector<std::size_t> way;
      for (const std::uint32_t group : groups_above(tree, flow.site)) way.push_back(group);
      const std::size_t first = first_of_site[flow.site];
      way.push_back(first);
      way.push_back(first + 1 + tree.sites[flow.site].bundles[flow.bundle].segment);
      ways.push_back(way);
    }
  }
  void apply(const Step& step) {
    switch (step.kind) {
      case LineOf::group: lines[step.index].rate = step.rate; break;
      case LineOf::site: lines[first_of_site[step.index]].rate = step.rate; break;
      case LineOf::segment:
        lines[first_of_site[step.index] + 1 + step.part].rate = step.rate;
        break;
      case LineOf::cap: caps[step.index][step.part] = step.rate; break;
    }
  }

  std::vector<Line> lines;  // Groups; then for each site its line and its segments.
  std::vector<std::size_t> first_of_site;
  std::vector<std::vector<double>> caps;  // By site and bundle.
  std::vector<std::vector<std::size_t>> ways;
};

// That a share of the lines is max-min fair. `rates` of flows that do not run are negative.
std::string why_not_fair(const TreeCase& tree, const Flat& flat, const std::vector<double>& rates) {
  const std::size_t count = flat.lines.size();
  std::vector<double> sum(count, 0);
  std::vector<std::array<double, kPriorities>> most(count, {0, 0}), used(count, {0, 0});
  const auto priority_of = [&](std::size_t i) {
    return tree.sites[tree.flows[i].site].bundles[tree.flows[i].bundle].priority;
  };
  for (std::size_t i = 0; i < rates.size(); ++i) {
    if (rates[i] < 0) continue;
    for (const std::size_t line : flat.ways[i]) {
      sum[line] += rates[i];
      used[line][priority_of(i)] += rates[i];
      most[line][priority_of(i)] = std::max(most[line][priority_of(i)], rates[i]);
    }
  }
  for (std::size_t line = 0; line < count; ++line)
    if (sum[line] > flat.lines[line].rate * (1 + 1e-9) + 1e-3)
      return "line " + std::to_string(line) + " carries " + std::to_string(sum[line]) + " of " +
             std::to_string(flat.lines[line].rate);
  for (std::size_t i = 0; i < rates.size(); ++i) {
    if (rates[i] < 0) continue;
    const TreeFlow& flow = tree.flows[i];
    const Priority priority = priority_of(i);
    bool fair = rates[i] >= flat.caps[flow.site][flow.bundle] * (1 - 1e-9);
    for (const std::size_t line : flat.ways[i]) {
      double load = used[line][kForeground];
      if (priority == kBackground) load += used[line][kBackground];
      fair |= load >= flat.lines[line].rate * (1 - 1e-9) - 1e-3 &&
              rates[i] >= most[line][priority] * (1 - 1e-9) - 1e-3;
    }
    if (!fair)
      return "flow " + std::to_string(i) + " could have more than " + std::to_string(rates[i]);
  }
  return {};
}

}  // namespace

TreeCase random_tree(std::uint64_t number) {
  const Random random(number);
  std::uint64_t drawn = 0;
  const auto draw = [&] { return random.uniform(0, 1, drawn++); };
  const auto upto = [&](int most) { return static_cast<std::uint32_t>(draw() * most); };
  const auto rate = [&](double low, double high) {
    return low * portable_exp(draw() * portable_log(high / low));
  };
  const auto moment = [&] { return static_cast<std::int64_t>(draw() * 400e9); };

  TreeCase tree;
  if (draw() < 0.8) tree.groups[0].line = rate(3e5, 3e7);
  const std::uint32_t regions = upto(4);
  for (std::uint32_t i = 1; i <= regions; ++i)
    tree.groups.push_back({upto(static_cast<int>(i)), draw() < 0.3 ? kInfinite : rate(3e5, 1e7)});
  const std::uint32_t sites = 1 + upto(6);
  for (std::uint32_t i = 0; i < sites; ++i) {
    TreeSite site{upto(static_cast<int>(tree.groups.size())), rate(2e5, 1e7), {}, {}};
    const std::uint32_t segments = 1 + upto(3);
    for (std::uint32_t s = 0; s < segments; ++s)
      site.segments.push_back(draw() < 0.4 ? kInfinite : rate(1e5, 5e6));
    const std::uint32_t bundles = 1 + upto(6);
    for (std::uint32_t b = 0; b < bundles; ++b)
      site.bundles.push_back({static_cast<std::uint16_t>(upto(static_cast<int>(segments))),
                              draw() < 0.3 ? kBackground : kForeground,
                              draw() < 0.2 ? kInfinite : rate(5e4, 3e6)});
    tree.sites.push_back(site);
  }
  const std::uint32_t flows = 1 + upto(30);
  for (std::uint32_t i = 0; i < flows; ++i) {
    TreeFlow flow;
    flow.site = upto(static_cast<int>(sites));
    flow.bundle = upto(static_cast<int>(tree.sites[flow.site].bundles.size()));
    flow.bytes = std::floor(rate(1e6, 1e9));
    flow.start_ns = draw() < 0.4 ? 0 : moment();
    std::int64_t from = flow.start_ns;
    while (draw() < 0.25) {
      const std::int64_t pause = from + 1 + moment() / 8;
      from = pause + 1 + moment() / 8;
      flow.pauses.emplace_back(pause, from);
    }
    tree.flows.push_back(flow);
  }
  const std::uint32_t steps = upto(6);
  for (std::uint32_t i = 0; i < steps; ++i) {
    Step step{moment(), static_cast<LineOf>(upto(4)), 0, 0, rate(1e5, 1e7)};
    if (step.kind == LineOf::group) {
      step.index = upto(static_cast<int>(tree.groups.size()));
      if (tree.groups[0].line == kInfinite) continue;
    } else {
      step.index = upto(static_cast<int>(sites));
      const TreeSite& site = tree.sites[step.index];
      step.part = upto(static_cast<int>(step.kind == LineOf::segment ? site.segments.size()
                                                                     : site.bundles.size()));
    }
    if (draw() < 0.3) {  // It stands still, and comes back.
      Step still = step;
      still.rate = 0;
      step.at_ns += 1 + moment() / 4;
      tree.steps.push_back(still);
    }
    tree.steps.push_back(step);
  }
  return tree;
}

TreeEnds run_engine(const TreeCase& tree, bool checked) {
  std::vector<Network::Site> sites;
  std::vector<std::vector<std::uint32_t>> flow_of(tree.sites.size());  // By site: of each name.
  std::vector<std::uint32_t> name_of(tree.flows.size());
  for (std::uint32_t i = 0; i < tree.flows.size(); ++i) {
    name_of[i] = static_cast<std::uint32_t>(flow_of[tree.flows[i].site].size());
    flow_of[tree.flows[i].site].push_back(i);
  }
  for (std::uint32_t i = 0; i < tree.sites.size(); ++i) {
    const TreeSite& site = tree.sites[i];
    sites.push_back({site.group, SiteLines(site.line, site.segments, site.bundles,
                                           static_cast<std::uint32_t>(flow_of[i].size()))});
  }
  Network network(tree.groups, std::move(sites));
  Flat flat(tree);

  TreeEnds ends;
  ends.seconds.assign(tree.flows.size(), -1);
  ends.ns.assign(tree.flows.size(), -1);
  std::vector<double> left(tree.flows.size());
  for (std::size_t i = 0; i < left.size(); ++i) left[i] = tree.flows[i].bytes;
  const auto todo = todo_of(tree);
  std::size_t next = 0;
  std::vector<std::uint32_t> done;
  const auto end_at = [&](std::uint32_t site) {
    done.clear();
    network.open(site);
    network.finish(site, done);
    for (const std::uint32_t name : done) {
      const std::uint32_t flow = flow_of[site][name];
      ends.ns[flow] = network.now().time_since_epoch().count();
      ends.seconds[flow] = static_cast<double>(ends.ns[flow]) * 1e-9;
    }
    network.close(site);
  };
  const auto apply = [&](const Todo& item) {
    if (item.what == Doing::step) {
      const Step& step = tree.steps[item.index];
      flat.apply(step);
      if (step.kind == LineOf::group) return network.set_group(step.index, step.rate);
      SiteLines& lines = network.open(step.index);
      if (step.kind == LineOf::site) lines.set_line(step.rate);
      if (step.kind == LineOf::segment) lines.set_segment(step.part, step.rate);
      if (step.kind == LineOf::cap) lines.set_cap(step.part, step.rate);
      return network.close(step.index);
    }
    const TreeFlow& flow = tree.flows[item.index];
    if (ends.ns[item.index] >= 0) return;
    SiteLines& lines = network.open(flow.site);
    if (item.what == Doing::pause)
      left[item.index] = lines.remove(name_of[item.index]);
    else
      lines.add(name_of[item.index], flow.bundle, left[item.index]);
    network.close(flow.site);
  };
  const auto check = [&] {
    std::vector<double> rates(tree.flows.size(), -1);
    for (std::size_t i = 0; i < rates.size(); ++i)
      if (network.lines(tree.flows[i].site).runs(name_of[i]))
        rates[i] = network.rate(tree.flows[i].site, tree.flows[i].bundle);
    const std::string why = why_not_fair(tree, flat, rates);
    if (ends.broken.empty() && !why.empty())
      ends.broken =
          "at " + std::to_string(network.now().time_since_epoch().count()) + " ns: " + why;
  };

  for (;;) {
    const Instant end = network.next();
    const Instant due = next < todo.size() ? Instant(Duration(todo[next].at_ns)) : kNever;
    if (end == kNever && due == kNever) break;
    network.advance(std::min(end, due));
    if (end <= due) {
      end_at(network.next_site());
    } else {
      for (; next < todo.size() && Instant(Duration(todo[next].at_ns)) == due; ++next)
        apply(todo[next]);
    }
    network.settle();
    if (checked) check();
  }
  for (std::uint32_t site = 0; site < tree.sites.size(); ++site)
    ends.site_bytes.push_back(network.lines(site).carried(kForeground) +
                              network.lines(site).carried(kBackground));
  for (std::uint32_t group = 0; group < tree.groups.size(); ++group)
    ends.group_bytes.push_back(network.carried(group));
  return ends;
}

TreeEnds run_slowly(const TreeCase& tree) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  Flat flat(tree);
  const std::size_t count = tree.flows.size();
  TreeEnds ends;
  ends.seconds.assign(count, -1);
  std::vector<double> left(count), rates(count, 0);
  std::vector<bool> runs(count, false);
  for (std::size_t i = 0; i < count; ++i) left[i] = tree.flows[i].bytes;

  const auto cap_of = [&](std::size_t i) {
    return flat.caps[tree.flows[i].site][tree.flows[i].bundle];
  };
  const auto fill = [&] {
    std::vector<double> rest;
    for (const Line& line : flat.lines) rest.push_back(line.rate);
    for (const Priority priority : {kForeground, kBackground}) {
      std::vector<std::size_t> open;
      for (std::size_t i = 0; i < count; ++i)
        if (runs[i] &&
            tree.sites[tree.flows[i].site].bundles[tree.flows[i].bundle].priority == priority)
          open.push_back(i);
      double level = 0;
      while (!open.empty()) {
        std::vector<int> crossing(rest.size(), 0);
        for (const std::size_t i : open)
          for (const std::size_t line : flat.ways[i]) ++crossing[line];
        double rise = kInf;
        for (std::size_t line = 0; line < rest.size(); ++line)
          if (crossing[line] > 0) rise = std::min(rise, rest[line] / crossing[line]);
        for (const std::size_t i : open) rise = std::min(rise, cap_of(i) - level);
        level += rise;
        std::vector<bool> full(rest.size(), false);
        for (std::size_t line = 0; line < rest.size(); ++line) {
          if (crossing[line] == 0) continue;
          full[line] = rest[line] / crossing[line] <= rise * (1 + 1e-12) + 1e-9;
          rest[line] = full[line] ? 0 : rest[line] - rise * crossing[line];
        }
        std::erase_if(open, [&](std::size_t i) {
          rates[i] = level;
          return cap_of(i) <= level * (1 + 1e-12) + 1e-9 ||
                 std::ranges::any_of(flat.ways[i], [&](std::size_t line) { return full[line]; });
        });
      }
    }
  };

  const auto todo = todo_of(tree);
  std::size_t next = 0;
  double now = 0;
  for (;;) {
    fill();
    double end = kInf;
    for (std::size_t i = 0; i < count; ++i)
      if (runs[i] && rates[i] > 1e-6) end = std::min(end, now + left[i] / rates[i]);
    const double due = next < todo.size() ? static_cast<double>(todo[next].at_ns) * 1e-9 : kInf;
    if (end == kInf && due == kInf) return ends;
    const double then = std::min(end, due);
    for (std::size_t i = 0; i < count; ++i) {
      if (!runs[i]) continue;
      left[i] -= rates[i] * (then - now);
      if (left[i] > 1e-5 + rates[i] * 1e-10) continue;
      runs[i] = false;
      ends.seconds[i] = then;
    }
    now = then;
    for (; next < todo.size() && due == then && todo[next].at_ns * 1e-9 <= due; ++next) {
      const Todo& item = todo[next];
      if (item.what == Doing::step)
        flat.apply(tree.steps[item.index]);
      else if (ends.seconds[item.index] < 0)
        runs[item.index] = item.what != Doing::pause;
    }
  }
}

}  // namespace lamina::sim::testing
