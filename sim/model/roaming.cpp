#include "sim/model/roaming.hpp"

#include <algorithm>

namespace lamina::sim {

Roaming::Roaming(const Scenario& scenario, const Fleet& fleet) : guests_(scenario.sites.size()) {
  const auto roams = [&](const Presence& presence) { return presence.roaming > 0; };
  if (scenario.sites.size() < 2 || std::ranges::none_of(scenario.presences, roams)) return;
  const auto sites = static_cast<Index>(scenario.sites.size());
  for (Index home = 0; home < sites; ++home) {
    const std::int64_t start = local_start_ns(scenario.run.start, scenario.sites[home].utc_offset);
    const std::vector<DrawnDevice> devices = fleet.site(home);
    for (std::size_t i = 0; i < devices.size(); ++i) {
      const std::uint64_t device = fleet.first_device(home) + i;
      const PresenceOf presence(scenario.presences[devices[i].presence], fleet.random(), device,
                                start, {.sites = sites, .home = home, .at = home});
      presence.for_each_host(Instant(scenario.run.duration), [&](Index host) {
        std::vector<Guest>& guests = guests_[host];
        if (!guests.empty() && guests.back().device == device) return;
        guests.push_back({device, home, devices[i]});
        any_ = true;
      });
    }
  }
}

}  // namespace lamina::sim
