#include "origin/sites/relays.hpp"

namespace lamina::origin {

void Relays::reported(const DeviceId& relay, const std::string& site,
                      std::vector<wire::RelayedSnapshot> held, Instant now) {
  if (const auto before = reports_.find(relay); before != reports_.end()) {
    for (const wire::RelayedSnapshot& snapshot : before->second.held) {
      const auto at = relays_.find(snapshot.device);
      if (at == relays_.end()) continue;
      at->second.erase(relay);
      if (at->second.empty()) relays_.erase(at);
    }
    reports_.erase(before);
  }
  if (held.empty()) return;
  for (const wire::RelayedSnapshot& snapshot : held) relays_[snapshot.device].insert(relay);
  reports_[relay] = {site, now, std::move(held)};
}

std::string_view Relays::state_of(const DeviceId& device, const std::string& site,
                                  const wire::HandedSnapshot& handed, Instant now) const {
  if (const auto at = refused_.find(device); at != refused_.end() && at->second == handed.sequence)
    return "refused";
  for (const wire::SnapshotAtSite& held : at_site(device, site, now))
    if (held.id == handed.snapshot) return "at the site";
  return "unknown";
}

std::vector<wire::SnapshotAtSite> Relays::at_site(const DeviceId& device, const std::string& site,
                                                  Instant now) const {
  std::vector<wire::SnapshotAtSite> found;
  const auto relays = relays_.find(device);
  if (relays == relays_.end()) return found;
  for (const DeviceId& relay : relays->second) {
    const Report& report = reports_.at(relay);
    if (report.site != site || now - report.at >= memory_) continue;
    const std::int64_t since_ms = (now - report.at).count() / 1'000'000;
    for (const wire::RelayedSnapshot& held : report.held)
      if (held.device == device)
        found.push_back({held.snapshot, relay, held.bytes, held.age_ms + since_ms});
  }
  return found;
}

}  // namespace lamina::origin
