// Sites: who is up at each site right now, and who may fetch for it over the WAN.
//
// In memory only: members come back with their next poll. The decision is policy::SiteLease; this
// shell feeds it polls and renewals, records each new epoch in the catalogue before its token can
// be seen, and signs tokens. A member that stays silent past `member_timeout` is forgotten.
//
// Loop thread only. The caller tells the time: `now` for leases, `wall` for the expiry inside
// tokens; neither may go backwards for `now`.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "origin/catalog/catalog.hpp"
#include "origin/sites/seeders.hpp"
#include "shared/format/record.hpp"
#include "shared/hash/ed25519.hpp"
#include "shared/policy/bandwidth_rules.hpp"
#include "shared/policy/decision_log.hpp"
#include "shared/policy/reflector_role.hpp"
#include "shared/policy/site_lease.hpp"

namespace lamina::origin {

struct Moment {
  Instant now;
  WallTime wall;
};

class Sites {
 public:
  struct Options {
    std::vector<std::string> seeders;    // "ADDRESS:PORT", told to lease holders only.
    const Seeders* elsewhere = nullptr;  // Told too. Outlives this.
    policy::SiteLease::Limits lease;
    // Polls last at most 55 s; two of them and a little may fail.
    Duration member_timeout = std::chrono::seconds{150};
    // Members that come, go or move, and who holds the lease, are told to the others no more often:
    // when a branch is switched on, everybody would be told of everybody one by one.
    Duration tell_interval = std::chrono::seconds{1};
    policy::DecisionLog* record = nullptr;  // Of each site's lease; outlives this.
  };

  // `catalog` outlives this.
  Sites(Catalog& catalog, PrivateKey lease_key, Options options);

  // Takes in what an assigned device says in a poll. A device that was at another site leaves it.
  // Fails with the catalogue's errors.
  Status reported(const std::string& site, const DeviceId& device, const wire::PollRequest& poll,
                  Moment moment);
  // The holder keeps its lease or, wanting nothing more, gives it back. `refused` when the device
  // does not hold the site's lease in that epoch.
  Result<wire::LeaseReply> renewed(const std::string& site, const DeviceId& device,
                                   const wire::LeaseRequest& request, Moment moment);
  // Layers that the site may not fetch over its line for now; they replace those of the last call.
  // A device that lacks nothing else is no candidate for the lease, and gives it back.
  Status withhold(const std::string& site, std::set<LayerId> layers, Moment moment);
  // Whether any device of the site was heard of lately.
  bool is_up(const std::string& site) const;
  // Whether the device was heard of lately at that site.
  bool is_up(const std::string& site, const DeviceId& device, Moment moment) const;
  // What administrators let the device do; it is `active` until told otherwise. One that may not
  // lead loses the site's lease now; one that does not serve is dialled by nobody.
  Status set_mode(const DeviceId& device, policy::ReflectorMode mode, Moment moment);
  // Whether a device of the site gets its lease by itself. Off: a holder that was not named as a
  // reflector loses it now.
  Status set_appoint(const std::string& site, bool appoint, Moment moment);
  // How its devices use the line: "auto", "swarm" or "https". Told to all of them now.
  Status set_transport(const std::string& site, const std::string& transport, Moment moment);
  // How many devices fetch for the site at the same time, 1 to policy::SiteLease::kReflectorsMax,
  // and which come before all others, appointed or not.
  Status set_reflectors(const std::string& site, int count, std::set<DeviceId> named,
                        Moment moment);
  // The bandwidth rules of all sites from now on. Versions grow where the rules differ.
  void set_bandwidth_rules(policy::BandwidthRules rules);
  // Those of one site as CSV, for a device that holds others than the view's rules_version; empty:
  // there are none.
  std::string bandwidth_rules(const std::string& site) const;
  // A lease of the device's own, apart from its site's, for the WAN budget of target `sequence`.
  wire::LeaseView budget_lease(const DeviceId& device, std::uint64_t sequence, Moment moment) const;
  // Whether `token` lets a device of the site fetch bytes of packs now: signed here, for this
  // device, not run out, and of the lease that it holds, or of the WAN budget of `target`, its
  // newest. `refused` says what is wrong. Unlike a seeder, this knows a lease that was given back.
  Result<format::LeaseToken> check_token(ByteView token, const std::string& site,
                                         const DeviceId& device, std::uint64_t target,
                                         Moment moment) const;
  // The device was moved or rejected.
  Status left(const DeviceId& device, Moment moment);

  // Lets leases lapse and silent members go. Call at next_change().
  Status tick(Moment moment);
  std::optional<Instant> next_change() const;

  // What `device` may know of its site, without the text of its rules; the token and the seeders
  // only if it holds the lease.
  struct View {
    wire::SiteView site;
    std::optional<wire::LeaseView> lease;
  };
  View view(const std::string& site, const DeviceId& device, Moment moment) const;

  // How every site that was heard of since the start stands.
  struct Standing {
    std::string site;
    std::int64_t members = 0;  // Devices that polled lately.
    Bytes missing;             // The most that one of them said it lacks.
    bool appoint = true;
    std::int64_t holders = 0;  // Of its leases.
  };
  std::vector<Standing> standings() const;
  // Leases since the start, of all sites.
  struct Tally {
    std::int64_t granted = 0;
    std::int64_t done = 0;      // Given back.
    std::int64_t lapsed = 0;    // Not renewed in time.
    std::int64_t left = 0;      // Their holder was moved, rejected or silent.
    std::int64_t unfit = 0;     // Their holder should not serve any more.
    std::int64_t replaced = 0;  // Another comes before their holder.
  };
  const Tally& tally() const { return tally_; }

  // The sites of which there is news for somebody since the last call: is_news() says for whom.
  std::set<std::string> take_changed();
  // Whether the peers of that version are those of now.
  bool has_same_peers(const std::string& site, std::uint64_t version) const;
  // Whether a device that knows `version` of its site is to be told now what the view says.
  bool is_news(const std::string& site, const DeviceId& device, std::uint64_t version) const;
  // All that hold a lease of the site, the oldest lease first.
  std::vector<DeviceId> lease_holders(const std::string& site) const;

 private:
  // What others are to have for a member that needs it and may not fetch it over the line.
  struct SiteNeeds {
    std::set<LayerId> fresh;  // Layers with all of their packs.
    std::set<wire::UpdateOf> updates;
    bool operator==(const SiteNeeds&) const = default;
  };
  struct Member {
    std::string address;
    std::uint16_t port = 0;
    std::optional<std::uint16_t> relay_port;
    Instant seen;
    std::vector<wire::Want> wants;
    SiteNeeds needs;  // Of a member that may not lead.
    bool unfit = false;
    // Its bytes over the line as it said them, at the poll since which their rate is taken.
    std::optional<wire::ByteCounts> counted;
    Instant counted_at;
  };
  struct Site {
    policy::SiteLease lease;
    std::uint64_t version = 0;
    std::uint64_t peers_version = 0;  // The last one that others than holders of leases changed.
    std::uint64_t told_version = 0;   // What every member may know of it by now.
    std::optional<Instant> told_at;   // When that was of members or the lease.
    std::optional<Instant> tell_due;  // As it stands in tell_due_.
    bool appoint = true;
    std::optional<std::string> transport;  // None: as they find out.
    std::string rules;                     // CSV; empty: none.
    std::uint64_t rules_version = 0;       // 0: none.
    // Of each holder, the newest that is in the catalogue: its token may be shown.
    std::map<DeviceId, std::uint64_t> recorded_epochs;
    std::set<DeviceId> named;  // Reflectors, by the administrator.
    std::map<DeviceId, Member> members;
    std::set<LayerId> withheld;
    std::optional<Instant> lease_due;  // As it stands in lease_due_.
  };

  // Whom a lease holder dials for these layers.
  std::vector<std::string> seeders_for(const std::string& name, const std::set<LayerId>& layers,
                                       Moment moment) const;
  // What makes a member of the site a candidate.
  policy::SiteLease::Reported report_of(const Site& site, const DeviceId& device,
                                        const Member& member) const;
  policy::ReflectorMode mode_of(const DeviceId& device) const;
  static bool is_eligible(const Site& site, const DeviceId& device);
  bool may_lead(const Site& site, const DeviceId& device) const;
  // Which packs others must have for the member.
  void note_needs(const std::string& name, Site& site, const DeviceId& device, Member& member);
  Result<Site*> open(const std::string& name, Moment moment);
  void changed(const std::string& name, Site& site);  // Told to everybody now.
  void members_changed(const std::string& name, Site& site, Instant now);
  void leases_changed(const std::string& name, Site& site, Instant now);
  void tell(const std::string& name, Site& site);
  // Whether they differ from those that the site had.
  bool take_rules(const std::string& name, Site& site) const;
  void seen(const DeviceId& device, Member& member, Instant now);
  Status note_rate(const std::string& name, Member& member, const wire::ByteCounts& bytes,
                   Moment moment);
  void forget(Site& site, const DeviceId& device);
  Status carry_out(const std::string& name, Site& site, const policy::SiteLease::Event& event,
                   Moment moment);
  // Before the token of a holder's epoch can be seen; recorded already: no effect.
  Status record_epoch(const std::string& name, Site& site, const DeviceId& device,
                      std::uint64_t epoch, ShareSet shares, Moment moment);
  // Every member says again what it lacks.
  Status report_all(const std::string& name, Site& site, Moment moment);
  std::optional<wire::LeaseView> lease_view(const std::string& name, const Site& site,
                                            const DeviceId& device, Moment moment) const;

  Catalog& catalog_;
  PrivateKey lease_key_;
  Options options_;
  policy::BandwidthRules rules_;
  std::map<std::string, Site> sites_;
  std::map<DeviceId, std::string> places_;
  std::map<DeviceId, policy::ReflectorMode> modes_;  // Only those that are not active.
  std::set<std::string> changed_;
  Tally tally_;
  // When something happens by itself, in order of time: each request asks for the first of them.
  std::set<std::pair<Instant, std::string>> lease_due_;  // A lease runs out.
  std::set<std::pair<Instant, std::string>> tell_due_;   // A change is told to everybody.
  std::set<std::pair<Instant, DeviceId>> last_seen_;     // Of every member.
};

}  // namespace lamina::origin
