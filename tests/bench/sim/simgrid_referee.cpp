// SimGrid and our engine on the same trees: when each flow ends, and how long it takes to know.
//
//   simgrid_referee --trees 20        random trees; exit code 1 if an end differs by 0.1 % or more
//   simgrid_referee --flows 10000     one origin with sites of 100 flows that all start at once
//
// SimGrid's CM02 without its corrections for TCP's windows and for acknowledgements shares lines
// max-min fair, as we do: what is left to differ is the computation.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <simgrid/s4u.hpp>
#include <string>

#include "sim/engine/random.hpp"
#include "tests/sim/engine/tree_case.hpp"

using namespace lamina::sim;
using namespace lamina::sim::testing;
namespace s4u = simgrid::s4u;

namespace {

constexpr double kToleranceShare = 1e-3;

// Several trees beside each other in one world: SimGrid has one for each process.
class World {
 public:
  explicit World(const std::vector<TreeCase>& trees) : trees_(trees) {
    zone_ = s4u::create_star_zone("world");
    origin_ = zone_->create_host("origin", 1e9);
    origin_->seal();
    // No link on the origin's side: of one that its flows do not share, SimGrid looks at all flows
    // again for each that it gives a rate, at every end.
    const std::vector<s4u::LinkInRoute> none;
    zone_->add_route(origin_->get_netpoint(), nullptr, nullptr, nullptr, none, true);
    ends.resize(trees.size());
    for (std::size_t i = 0; i < trees.size(); ++i) add(i);
    zone_->seal();
    for (std::size_t i = 0; i < trees.size(); ++i) start(i);
  }

  std::vector<std::vector<double>> ends;  // By tree and flow, once the engine ran.

 private:
  s4u::Link* link(const std::string& name, double rate, bool each) {
    s4u::Link* made = zone_->create_link(name, rate);
    made->set_latency(0);
    if (each) made->set_sharing_policy(s4u::Link::SharingPolicy::FATPIPE);
    made->seal();
    return made;
  }

  void add(std::size_t number) {
    const TreeCase& tree = trees_[number];
    ends[number].assign(tree.flows.size(), -1);
    hosts_.emplace_back();
    const std::string prefix = "t" + std::to_string(number);
    std::vector<s4u::Link*> groups;
    for (std::size_t i = 0; i < tree.groups.size(); ++i)
      groups.push_back(tree.groups[i].line < kInfinite
                           ? link(prefix + "g" + std::to_string(i), tree.groups[i].line, false)
                           : nullptr);
    for (std::size_t s = 0; s < tree.sites.size(); ++s) {
      const TreeSite& site = tree.sites[s];
      const std::string name = prefix + "s" + std::to_string(s);
      std::vector<s4u::LinkInRoute> above;
      for (std::uint32_t group = site.group;; group = tree.groups[group].parent) {
        if (groups[group]) above.emplace_back(groups[group]);
        if (group == 0) break;
      }
      above.emplace_back(link(name, site.line, false));
      std::vector<s4u::Link*> segments;
      for (std::size_t i = 0; i < site.segments.size(); ++i)
        segments.push_back(site.segments[i] < kInfinite
                               ? link(name + "l" + std::to_string(i), site.segments[i], false)
                               : nullptr);
      hosts_.back().emplace_back();
      for (std::size_t b = 0; b < site.bundles.size(); ++b) {
        const std::string host_name = name + "b" + std::to_string(b);
        std::vector<s4u::LinkInRoute> way = above;
        if (s4u::Link* segment = segments[site.bundles[b].segment]) way.emplace_back(segment);
        if (site.bundles[b].cap < kInfinite)
          way.emplace_back(link(host_name + "cap", site.bundles[b].cap, true));
        s4u::Host* host = zone_->create_host(host_name, 1e9);
        host->seal();
        zone_->add_route(host->get_netpoint(), nullptr, nullptr, nullptr, way, true);
        hosts_.back().back().push_back(host);
      }
    }
  }

  void start(std::size_t number) {
    const TreeCase& tree = trees_[number];
    for (std::size_t i = 0; i < tree.flows.size(); ++i) {
      const TreeFlow& flow = tree.flows[i];
      s4u::Host* to = hosts_[number][flow.site][flow.bundle];
      double* end = &ends[number][i];
      s4u::Actor::create("flow", origin_, [this, flow, to, end] {
        s4u::this_actor::sleep_until(static_cast<double>(flow.start_ns) * 1e-9);
        s4u::Comm::sendto(origin_, to, static_cast<std::uint64_t>(flow.bytes));
        *end = s4u::Engine::get_clock();
      });
    }
  }

  const std::vector<TreeCase>& trees_;
  s4u::NetZone* zone_ = nullptr;
  s4u::Host* origin_ = nullptr;
  std::vector<std::vector<std::vector<s4u::Host*>>> hosts_;  // By tree, site and bundle.
};

// What SimGrid has too: no second priority, no pauses, no steps.
TreeCase plain(TreeCase tree) {
  for (TreeSite& site : tree.sites)
    for (SiteLines::Bundle& bundle : site.bundles) bundle.priority = kForeground;
  for (TreeFlow& flow : tree.flows) flow.pauses.clear();
  tree.steps.clear();
  return tree;
}

TreeCase wide_tree(int flows) {
  const Random random(1);
  TreeCase tree;
  tree.groups[0].line = 0.4 * 2.5e6 * flows / 100;
  for (int i = 0; i < flows; ++i) {
    const auto entity = static_cast<std::uint64_t>(i);
    if (i % 100 == 0)
      tree.sites.push_back({0, 2.5e6 * (0.5 + random.uniform(entity, 1)), {kInfinite}, {{}}});
    tree.flows.push_back({static_cast<std::uint32_t>(i / 100), 0,
                          std::floor(1e8 * (0.2 + 1.6 * random.uniform(entity, 2)))});
  }
  return tree;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  int trees = 20, flows = 0;
  CLI::App app{"Our engine beside SimGrid.\nexample: simgrid_referee --trees 20"};
  app.add_option("--trees", trees, "how many random trees")->check(CLI::Range(1, 200));
  app.add_option("--flows", flows, "one tree of so many flows instead")
      ->check(CLI::Range(100, 30'000));
  CLI11_PARSE(app, argc, argv);

  std::vector<TreeCase> cases;
  if (flows > 0)
    cases.push_back(wide_tree(flows));
  else
    for (int i = 1; i <= trees; ++i)
      cases.push_back(plain(random_tree(static_cast<std::uint64_t>(i))));

  auto start = std::chrono::steady_clock::now();
  std::vector<TreeEnds> ours;
  for (const TreeCase& tree : cases) ours.push_back(run_engine(tree, flows == 0));
  const double our_seconds = seconds_since(start);

  std::string program = argv[0], quiet = "--log=root.thres:warning";
  std::vector<char*> arguments{program.data(), quiet.data(), nullptr};
  int count_of_arguments = 2;
  s4u::Engine engine(&count_of_arguments, arguments.data());
  for (const char* setting :
       {"network/model:CM02", "network/TCP-gamma:0", "network/crosstraffic:0",
        "network/bandwidth-factor:1", "network/latency-factor:1", "network/weight-S:0",
        "contexts/stack-size:64", "maxmin/precision:1e-9"})
    s4u::Engine::set_config(setting);
  start = std::chrono::steady_clock::now();
  World world(cases);
  engine.run();
  const double their_seconds = seconds_since(start);

  double worst = 0;
  std::size_t count = 0;
  for (std::size_t t = 0; t < cases.size(); ++t)
    for (std::size_t i = 0; i < cases[t].flows.size(); ++i) {
      ++count;
      const double error =
          std::fabs(ours[t].seconds[i] - world.ends[t][i]) / std::max(1e-9, world.ends[t][i]);
      if (error >= kToleranceShare)
        std::cerr << "tree " << t + 1 << ", flow " << i << ": " << ours[t].seconds[i]
                  << " s, SimGrid " << world.ends[t][i] << " s\n";
      worst = std::max(worst, error);
    }
  std::cout << nlohmann::json{{"flows", count},
                              {"worst_error", worst},
                              {"our_seconds", our_seconds},
                              {"simgrid_seconds", their_seconds}}
                   .dump()
            << '\n';
  return worst < kToleranceShare ? 0 : 1;
}
