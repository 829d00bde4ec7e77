// Relays: which snapshots the devices hold for others of their site, as they said in their polls.
//
// In memory only: relays say it again with every poll. One that has been silent for `memory` holds
// nothing any more. A relay speaks for its own site only. Loop thread only; the caller tells the
// time.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/units.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin {

class Relays {
 public:
  // As long as a silent member stays one of its site (Sites::Options::member_timeout).
  explicit Relays(Duration memory = std::chrono::seconds{150}) : memory_(memory) {}

  // What `relay` holds now, all of it.
  void reported(const DeviceId& relay, const std::string& site,
                std::vector<wire::RelayedSnapshot> held, Instant now);
  // The origin could not keep what the device handed over under this sequence.
  void refused(const DeviceId& device, std::uint64_t sequence) { refused_[device] = sequence; }

  // Of a snapshot that the origin has not: "refused", "at the site" or "unknown".
  std::string_view state_of(const DeviceId& device, const std::string& site,
                            const wire::HandedSnapshot& handed, Instant now) const;
  // What relays of the device's site hold for it; ascending relay ids.
  std::vector<wire::SnapshotAtSite> at_site(const DeviceId& device, const std::string& site,
                                            Instant now) const;

 private:
  struct Report {
    std::string site;
    Instant at;
    std::vector<wire::RelayedSnapshot> held;
  };

  Duration memory_;
  std::map<DeviceId, Report> reports_;             // By relay; none holds nothing.
  std::map<DeviceId, std::set<DeviceId>> relays_;  // By device.
  std::map<DeviceId, std::uint64_t> refused_;      // The last refused sequence.
};

}  // namespace lamina::origin
