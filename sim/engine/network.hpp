// Network moves flows of many bytes from the origin to the devices of many sites, or back: one
// direction of the whole tree, shared max-min fair, exact, with two priorities.
//
//   origin (group 0) ── region (group) ── site line ── segment ── bundle of flows
//
// It does not know why flows begin. The caller owns the time: it asks for next(), advances to that
// moment or to an earlier one of its own, opens the sites where something changes, changes them,
// closes them, and settles.
//
//   network.advance(when);
//   SiteLines& lines = network.open(site);
//   lines.add(flow, bundle, bytes);
//   network.close(site);
//   network.settle();
//
// If no group has a bound, sites do not touch each other, and a site's events are the same, bit by
// bit, whether it runs in a network of its own or with the others. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "sim/engine/site_lines.hpp"
#include "sim/engine/trunk.hpp"

namespace lamina::sim {

class Network {
 public:
  struct Site {
    std::uint32_t group = 0;
    SiteLines lines;
  };

  // All sites idle at `now`. `moved`, if given, is told each site whose rates changed because of
  // what happened elsewhere: it was opened and closed by the network itself.
  Network(const std::vector<TrunkGroup>& groups, std::vector<Site> sites,
          std::function<void(std::uint32_t site)> moved = {}, Instant now = Instant{});
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  Instant now() const { return now_; }
  // When the next flow ends if nothing else happens; kNever: none does.
  Instant next() const;
  // Where; only if next() is not kNever.
  std::uint32_t next_site() const;

  // Not earlier than now() and not later than next().
  void advance(Instant now);
  // Brings the site's lines to now(), ready to be changed.
  SiteLines& open(std::uint32_t site);
  // Takes the flows out that are done; between open() and close(). Their names are added to `done`.
  void finish(std::uint32_t site, std::vector<std::uint32_t>& done);
  void close(std::uint32_t site);
  void set_group(std::uint32_t group, Rate line);
  // After the last close() or set_group() of this moment.
  void settle();

  // The site's lines as of its last open().
  const SiteLines& lines(std::uint32_t site) const { return sites_[site].lines; }
  Feeds feeds(std::uint32_t site) const;
  Rate rate(std::uint32_t site, std::uint32_t bundle) const;
  // When a flow of this site ends that does not follow the levels above.
  Instant next_of(std::uint32_t site) const { return ends_.key(site); }
  // Whether a flow of this site ends now().
  bool is_due(std::uint32_t site) const;
  Rate used(std::uint32_t group) const;
  // Which group's line holds foreground flows of this site back; 0 also where none does.
  std::uint32_t full_group(std::uint32_t site) const {
    return trunks_[kForeground].full_group(site);
  }
  // How long the group's line was full with foreground flows, as of now().
  double full_seconds(std::uint32_t group) const {
    return trunks_[kForeground].full_seconds(group);
  }
  // Bytes over the group's line, as of now(). Only counted where some group has a bound.
  double carried(std::uint32_t group) const;

 private:
  void share(std::uint32_t site);

  std::vector<Site> sites_;
  std::vector<Rate> group_lines_;
  std::array<Trunk, kPriorities> trunks_;
  IndexedHeap<Instant> ends_;  // By site.
  std::function<void(std::uint32_t)> moved_, moved_by_trunk_;
  Instant now_;
  bool is_coupled_ = false;  // Some group has a bound.
};

}  // namespace lamina::sim
