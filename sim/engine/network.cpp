#include "sim/engine/network.hpp"

#include <algorithm>
#include <utility>

#include "shared/base/assert.hpp"

namespace lamina::sim {
namespace {

std::vector<std::uint32_t> groups_of(const std::vector<Network::Site>& sites) {
  std::vector<std::uint32_t> groups;
  groups.reserve(sites.size());
  for (const Network::Site& site : sites) groups.push_back(site.group);
  return groups;
}

}  // namespace

Network::Network(const std::vector<TrunkGroup>& groups, std::vector<Site> sites,
                 std::function<void(std::uint32_t)> moved, Instant now)
    : sites_(std::move(sites)),
      trunks_{Trunk(groups, groups_of(sites_), now), Trunk(groups, groups_of(sites_), now)},
      ends_(sites_.size(), kNever),
      moved_(std::move(moved)),
      now_(now) {
  for (const TrunkGroup& group : groups) {
    group_lines_.push_back(group.line);
    is_coupled_ |= group.line < kInfinite;
  }
  moved_by_trunk_ = [this](std::uint32_t site) {
    open(site);
    share(site);
    if (moved_) moved_(site);
  };
}

Instant Network::next() const {
  Instant first = ends_.empty() ? kNever : ends_.top_key();
  if (is_coupled_)
    for (const Trunk& trunk : trunks_) first = std::min(first, trunk.next());
  return first;
}

std::uint32_t Network::next_site() const {
  const Instant first = next();
  if (is_coupled_)
    for (const Trunk& trunk : trunks_)
      if (trunk.next() == first && first < ends_.top_key()) return trunk.next_site();
  return ends_.top();
}

bool Network::is_due(std::uint32_t site) const {
  if (ends_.key(site) <= now_) return true;
  if (is_coupled_)
    for (const Trunk& trunk : trunks_)
      if (trunk.next() <= now_ && trunk.next_site() == site) return true;
  return false;
}

void Network::advance(Instant now) {
  LAMINA_ASSERT(now >= now_);
  now_ = now;
  if (is_coupled_)
    for (Trunk& trunk : trunks_) trunk.advance(now);
}

Feeds Network::feeds(std::uint32_t site) const {
  if (!is_coupled_) return {};
  return {trunks_[kForeground].feed(site), trunks_[kBackground].feed(site)};
}

SiteLines& Network::open(std::uint32_t site) {
  sites_[site].lines.touch(now_, feeds(site));
  return sites_[site].lines;
}

void Network::finish(std::uint32_t site, std::vector<std::uint32_t>& done) {
  sites_[site].lines.finish(feeds(site), done);
}

void Network::share(std::uint32_t site) {
  SiteLines& lines = sites_[site].lines;
  lines.evaluate(feeds(site));
  ends_.set(site, lines.next_by_time());
  if (!is_coupled_) return;
  for (int p = 0; p < kPriorities; ++p) {
    const auto priority = static_cast<Priority>(p);
    trunks_[p].set_site(site, lines.demand(priority), lines.next_by_clock(priority));
  }
}

void Network::close(std::uint32_t site) { share(site); }

void Network::set_group(std::uint32_t group, Rate line) {
  LAMINA_ASSERT(is_coupled_ || line == kInfinite);
  group_lines_[group] = line;
}

void Network::settle() {
  if (!is_coupled_) return;
  for (std::uint32_t group = 0; group < group_lines_.size(); ++group)
    trunks_[kForeground].set_line(group, group_lines_[group]);
  trunks_[kForeground].settle(moved_by_trunk_);
  // Foreground that fills a line leaves nothing, whatever its sites do below: where the level is 0,
  // what the sites' own lines have left does not matter.
  for (std::uint32_t group = 0; group < group_lines_.size(); ++group)
    trunks_[kBackground].set_line(
        group, std::max(0.0, group_lines_[group] - trunks_[kForeground].used(group)));
  trunks_[kBackground].settle(moved_by_trunk_);
}

Rate Network::rate(std::uint32_t site, std::uint32_t bundle) const {
  return sites_[site].lines.rate(bundle, feeds(site));
}

Rate Network::used(std::uint32_t group) const {
  return trunks_[kForeground].used(group) + trunks_[kBackground].used(group);
}

double Network::carried(std::uint32_t group) const {
  return trunks_[kForeground].carried(group) + trunks_[kBackground].carried(group);
}

}  // namespace lamina::sim
