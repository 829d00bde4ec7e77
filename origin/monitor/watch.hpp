// Watch looks now and then at what alerts are about, and keeps them in catalogue and audit log.
//
// What begins and ends is decided by policy::Alerts; this feeds it what catalogue, sites, the
// origin's certificates and its disk say. An alert that the catalogue could not take (its disk is
// full) is logged at once, and kept with the next look that can. Loop thread only; the caller tells
// the time.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "origin/catalog/audit_log.hpp"
#include "origin/sites/sites.hpp"
#include "shared/policy/alerts.hpp"

namespace lamina::origin {

class Watch {
 public:
  struct Options {
    std::map<std::string, WallTime> certificates;   // The origin's own: when each ends.
    std::function<Result<wire::DiskSpace>()> disk;  // Of the data directory.
    const Seeders* seeders = nullptr;               // Those elsewhere. Outlives this.
    const AuditLog* audit = nullptr;                // Outlives this.
    policy::Alerts::Limits limits = {};
    Duration sites_every = std::chrono::seconds{5};
    Duration devices_every = std::chrono::seconds{60};
    // The head of the audit log goes to the program's log, and so to whoever collects that.
    Duration audit_every = std::chrono::hours{1};
    // Devices poll within a minute: what a site does is not known before.
    Duration sites_known_after = std::chrono::seconds{150};
  };

  // Goes on with the alerts that the catalogue holds. `catalog` and `sites` outlive this. Fails
  // with the catalogue's errors.
  static Result<Watch> open(Catalog& catalog, const Sites& sites, Options options, Moment moment);

  // All devices with what only this process knows of them.
  using Devices = std::function<Result<std::vector<wire::DeviceInfo>>()>;
  // Looks at what is due at `moment`, and keeps what is new. Fails with the catalogue's errors.
  Status look(Moment moment, const Devices& devices);
  Instant next_change() const { return std::min({next_sites_, next_devices_, next_audit_}); }

 private:
  Watch(Catalog& catalog, const Sites& sites, Options options, std::set<policy::Alerts::Key> active,
        Moment moment);
  void look_at_sites(Moment moment);
  Status look_at_seeders(Moment moment);
  void look_at_origin(Moment moment);
  Status look_at_devices(Moment moment, const Devices& devices);
  // `devices`: the objects of those that take uploads.
  void look_at_quotas(const std::vector<wire::QuotaStanding>& quotas,
                      const std::set<std::string>& devices, Moment moment);
  // Objects of that kind which are none any more have no alerts.
  void end_absent(std::string_view prefix, const std::set<std::string>& present, Moment moment);
  void feed(const policy::Alerts::Fact& fact, Moment moment);
  Status tell_audit_head();
  Status keep();

  struct Change {
    policy::Alerts::Action action;
    WallTime at;
  };

  Catalog& catalog_;
  const Sites& sites_;
  Options options_;
  policy::Alerts alerts_;
  Instant started_;
  Instant next_sites_;
  Instant next_devices_;
  Instant next_audit_;
  AuditHead told_head_;
  std::deque<Change> unkept_;  // In the order in which they happened.
};

}  // namespace lamina::origin
