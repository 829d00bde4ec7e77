// Api: what the origin answers to each request, and to whom.
//
// One door for each kind of caller, checked before anything else happens: a device by its client
// certificate and its status in the registry on every request, an administrator by a bearer token.
// What a request may do follows from the door, so a handler never checks again.
//
// Owns no socket and no clock: the caller hands in requests and the time, and calls wake() after
// every request and at next_change(). Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "origin/api/restores.hpp"
#include "origin/api/waiting_polls.hpp"
#include "origin/content/content.hpp"
#include "origin/monitor/monitor.hpp"
#include "origin/monitor/watch.hpp"
#include "origin/rollouts/rollouts.hpp"
#include "origin/sites/member_lists.hpp"
#include "origin/sites/placing.hpp"
#include "origin/sites/relays.hpp"
#include "origin/sites/seeders.hpp"
#include "origin/sites/sites.hpp"
#include "origin/sites/wanted_packs.hpp"
#include "shared/format/parcel.hpp"
#include "shared/net/certificates.hpp"
#include "shared/net/http.hpp"

namespace lamina::origin {

struct ApiKeys {
  net::KeyAndCertificate api_ca;
  net::KeyAndCertificate swarm_ca;
  PrivateKey target;
  std::vector<PublicKey> publishers;
  std::optional<BoxPrivateKey> relay = std::nullopt;  // None: no uploads through relays.
};

// A node that hears nothing for so long must not take an old target for a current one.
inline constexpr Duration kTargetLifetime = 90 * net::kDay;

class Api {
 public:
  // Called exactly once for each request, during handle() or later from wake().
  using Reply = std::function<void(net::Response)>;

  // Polls that wait at the same time; one more answers the oldest at once.
  static constexpr std::size_t kWaitingMax = 20'000;

  // Runs `work` on a worker thread and the call that it returns on the loop.
  using Offload = std::function<void(std::function<std::function<void()>()> work)>;

  // `catalog` and `sites` outlive this. Without content it answers for the registry only.
  Api(Catalog& catalog, Sites& sites, ApiKeys keys)
      : catalog_(catalog),
        sites_(sites),
        keys_(std::move(keys)),
        member_lists_(catalog, keys_.target),
        placing_(catalog),
        rollouts_(catalog, sites, [this](WallTime now, const std::optional<std::string>& budget) {
          return signer(now, budget);
        }) {}
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;
  // `content` outlives this and all offloaded work.
  void serve_content(Content& content, Offload offload) {
    content_ = &content;
    offload_ = std::move(offload);
  }
  // Without a monitor there is no /metrics. It outlives this.
  void serve_metrics(Monitor& monitor) { monitor_ = &monitor; }
  // Without a watch nothing becomes an alert. It outlives this.
  void serve_alerts(Watch& watch) { watch_ = &watch; }
  // Without it the audit log is shown, and not given page by page. It outlives this.
  void serve_audit(const AuditLog& audit) { audit_ = &audit; }
  // What looks at all of a CVD beside the catalogue. Without it nothing is proven or checked.
  struct Erasing {
    // (slow) On a worker thread; what it uses outlives all offloaded work.
    std::function<Result<wire::ErasureProof>(const DeviceId&)> prove;
    std::function<Result<wire::IntegrityReport>(const DeviceId&, bool read_data)> check_cvd;
    std::function<void()> begin;  // Something is to be erased.
  };
  void serve_erasures(Erasing erasing) { erasing_ = std::move(erasing); }
  // What seeders on machines of their own need. Without it none can join.
  struct Elsewhere {
    Seeders& seeders;  // Outlives this.
    PublicKey lease_key;
    std::vector<std::string> own;  // Addresses of the origin's own seeder.
  };
  void serve_seeders(Elsewhere elsewhere) { elsewhere_.emplace(std::move(elsewhere)); }
  // Packs of layers that are lost: who has them is asked from now on; call wake() afterwards.
  void want_packs(const WantedPacks::List& list, Moment moment);
  std::size_t wanted_packs() const { return wanted_.size(); }
  // The largest body that a request with this head may have, or why it may have none: known callers
  // only may send packs.
  Result<Bytes> admit(const net::Request& head, WallTime now) const;

  void handle(const net::Request& request, const Reply& reply, Moment moment);

  // Answers the waiting polls that have news or have waited long enough, lets leases lapse, and
  // looks after alerts.
  void wake(Moment moment);
  std::optional<Instant> next_change() const;

 private:
  using Answer = Result<net::Response>;

  Answer route(const net::Request& request, const Reply& reply, Moment moment, bool& later);

  Answer metrics(const net::Request& request, Moment moment) const;

  // origin/api/node_api.cpp
  Answer enrol(const net::Request& request, Moment moment);
  Answer node(const net::Request& request, const Reply& reply, Moment moment, bool& later);
  Answer poll(const wire::DeviceInfo& device, const net::Request& request, const Reply& reply,
              Moment moment, bool& later);
  Answer renew(const wire::DeviceInfo& device, const net::Request& request, Moment moment);
  Answer wan_budget(const wire::DeviceInfo& device, const net::Request& request, Moment moment);
  Answer swarm_certificate(const wire::DeviceInfo& device, const net::Request& request,
                           Moment moment);
  // The answer to a poll; none while there is nothing new. All that it looks at either changes its
  // site's version or is among Catalog::take_changed_devices, judged_uploads_ or may_be_asked_:
  // nothing else is looked at by wake(). A member list that is signed anew later comes with the
  // next poll.
  Result<std::optional<wire::PollReply>> news(const DeviceId& device, const wire::PollRequest& poll,
                                              wire::DeviceStatus known, bool now_or_never,
                                              Moment moment);

  // What a target that was signed here says; `corrupt` or `invalid` when it was not.
  Result<format::DeviceTarget> open_target(ByteView envelope) const;
  // Once the origin was restored: the target under a sequence above `seen`, which the device has.
  Status renew_target(const DeviceId& id, std::uint64_t seen, WallTime now);
  // The device's target; signed anew, with the same sequence, when it would not last long.
  Result<Buffer> lasting_target(const DeviceId& device, WallTime now) const;

  // origin/api/admin_api.cpp
  Answer admin(const net::Request& request, const Reply& reply, Moment moment, bool& later);
  // All that the catalogue answers; `parts` begin with "v1".
  Answer registry(const Act& act, const std::vector<std::string>& parts,
                  const net::Request& request, Moment moment);
  // origin/api/device_life_api.cpp: answers only where the path is one of its own.
  std::optional<Answer> device_life(const Act& act, const std::string& noun, const DeviceId& device,
                                    const std::string& verb, const net::Request& request,
                                    Moment moment);
  Result<wire::DecommissionReply> decommission(const Act& act, const DeviceId& device,
                                               const wire::DecommissionRequest& request,
                                               Moment moment);
  bool prove_erasure(const std::vector<std::string>& parts, const net::Request& request,
                     const Reply& reply);
  bool check_integrity(const Act& act, const std::vector<std::string>& parts,
                       const net::Request& request, const Reply& reply);
  Status left_service(const DeviceId& device, const std::string& why,
                      const std::vector<std::string>& sites, Moment moment);
  Answer assign(const Act& act, const net::Request& request);
  Answer remove_layer(const Act& act, const std::string& id);
  // Signs targets issued now. `invalid` when the budget is none.
  Answer upgrade(const Act& act, const net::Request& request);
  Result<Catalog::SignTarget> signer(WallTime now,
                                     const std::optional<std::string>& wan_budget) const;
  Answer set_rules(const Act& act, const net::Request& request);
  void add_holders(wire::SiteInfo& site) const;
  Result<std::vector<wire::DeviceInfo>> devices() const;
  Answer all_devices() const;
  Answer device_page(const std::string& after) const;
  // What the origin has, and what relays hold for it.
  Result<wire::SnapshotList> snapshots(const DeviceId& device, Moment moment) const;
  // Adds what only this process knows.
  Result<std::vector<wire::DeviceInfo>> completed(
      Result<std::vector<wire::DeviceInfo>> devices) const;
  Result<wire::DeviceInfo> complete(Result<wire::DeviceInfo> device) const;

  // origin/api/seeder_api.cpp
  struct SeederCertificates {
    std::string own;
    std::string swarm;
  };
  struct Listing {  // All layers that there are.
    std::uint64_t version = 0;
    std::vector<LayerId> layers;
  };
  Answer join_seeder(const net::Request& request, Moment moment);
  Answer seeder(const net::Request& request, const Reply& reply, Moment moment, bool& later);
  Answer renew_seeder(const wire::SeederInfo& seeder, const net::Request& request, Moment moment);
  Answer poll_seeder(const wire::SeederInfo& seeder, const net::Request& request, Moment moment);
  Result<SeederCertificates> certify(const wire::SeederInfo& seeder, const std::string& csr_pem,
                                     const std::string& swarm_csr_pem, WallTime now);
  Result<const Listing*> listing();
  Result<wire::SeederList> seeders(Moment moment);
  Status remove_seeder(const Act& act, const std::string& name);

  // origin/api/reflector_api.cpp
  Answer reflectors(const std::string& site, Moment moment) const;  // Of one site; empty: of all.
  Answer reflector(Result<wire::DeviceInfo> device, Moment moment) const;
  Answer set_reflector(const Act& act, const DeviceId& id, const net::Request& request,
                       Moment moment);
  Result<std::vector<wire::ReflectorInfo>> reflector_infos(std::vector<wire::DeviceInfo> devices,
                                                           Moment moment) const;
  // What a poll says of it, before its site hears of the poll.
  Status note_reflector(const wire::DeviceInfo& device, const wire::PollRequest& poll,
                        Moment moment);

  // origin/api/rollout_api.cpp: `parts` begin with "v1", "rollouts".
  Answer rollouts(const Act& act, const std::vector<std::string>& parts,
                  const net::Request& request, Moment moment);
  // What a device says, for the rollouts that it takes part in. A failure is logged: it must not
  // keep the device from its answer.
  void tell_rollouts(const std::function<Status(Rollouts&)>& tell, Moment moment);

  // origin/api/content_api.cpp: answers later, or not at all when the path is none of its own.
  void send_chunks(std::vector<format::ChunkRef> refs, const Reply& reply);
  bool layer_content(const Act& act, const std::vector<std::string>& parts,
                     const net::Request& request, const Reply& reply);
  bool cvd_content(const Act& act, const std::vector<std::string>& parts,
                   const net::Request& request, const Reply& reply, Moment moment);
  // A read of a CVD: noted by itself, or counted for the restore that the request names.
  Status note_read(const Act& act, const DeviceId& device, const net::Request& request,
                   const std::string& detail, const std::vector<format::ChunkRef>& refs,
                   Moment moment);
  bool restores(const Act& act, const DeviceId& device, const std::vector<std::string>& parts,
                const net::Request& request, const Reply& reply, Moment moment);
  Status note_restore(const RunningRestore& restore, const std::string& end, Moment moment);
  bool node_content(const wire::DeviceInfo& device, const net::Request& request, const Reply& reply,
                    Moment moment);
  // A range of a pack of a layer that the device may read, on its lease.
  Answer pack_range(const wire::DeviceInfo& device, const LayerId& layer, const std::string& pack,
                    const net::Request& request, Moment moment);
  // Whether the layer's distribution has the pack.
  Result<bool> has_pack(const LayerId& layer, const PackId& pack);
  Result<UpdateWish> updates_wished(const format::LayerRecord& record, const net::Request& request);
  void publish(const Act& act, Buffer envelope, const net::Request& request, const Reply& reply);
  void keep_layer(const Act& act, Publication publication, const Reply& reply);
  void commit_snapshot(const DeviceId& device, Buffer record, const Reply& reply, Moment moment);
  void take_layer_pack(const Act& act, const net::Request& request, const PackId& id,
                       const Reply& reply);
  // Devices whose waiting polls bring them what is wanted, at the next wake().
  void look_for_holders(Moment moment);
  // A pack that the origin lost, from a device that was asked for it.
  Answer take_wanted_pack(const wire::DeviceInfo& device, const std::string& layer,
                          const std::string& pack, const net::Request& request, const Reply& reply,
                          Moment moment, bool& later);
  // What the device has to send: what its CVD and layers lack, and what of it was lost.
  Result<std::vector<ChunkId>> lacks(const DeviceId& device, const std::vector<ChunkId>& ids);
  void take_cvd_pack(const DeviceId& device, const net::Request& request, const PackId& id,
                     const Reply& reply);

  // origin/api/policy_api.cpp
  Answer policies(const Act& act, const std::vector<std::string>& parts,
                  const net::Request& request);
  Result<wire::DevicePolicy> policy_of(const DeviceId& id) const;
  Answer snooze(const Act& act, const DeviceId& id, const net::Request& request);
  // What of its policy and snooze is news to the device; whether it is to be told at once.
  Result<bool> tell_policy(const wire::DeviceInfo& device, const wire::PollRequest& poll,
                           wire::PollReply& reply, Moment moment);

  // origin/api/relay_api.cpp
  struct JudgedParcel {
    std::string key_fingerprint;  // Of the device that it is from.
    std::string state;            // Not empty: nothing is to be done with it.
  };
  void take_parcel(const DeviceId& relay, const std::string& id, const net::Request& request,
                   const Reply& reply, Moment moment);
  Result<JudgedParcel> judge_parcel(const format::ParcelHead& head) const;
  void keep_parcel(const DeviceId& relay, const format::ParcelHead& head,
                   const std::string& content, const PackId& pack, const Reply& reply,
                   Moment moment);
  std::string handed_state(const wire::DeviceInfo& device, const wire::HandedSnapshot& handed,
                           Moment moment) const;

  Catalog& catalog_;
  Sites& sites_;
  Relays relays_;
  ApiKeys keys_;
  MemberLists member_lists_;
  std::map<DeviceId, std::uint64_t> members_told_;  // Sequences that were sent at once.
  struct Told {
    std::string what;  // A policy's id and a snooze's number.
    Instant at;
  };
  std::map<DeviceId, Told> told_;  // What was sent at once.
  Placing placing_;
  Rollouts rollouts_;
  Content* content_ = nullptr;
  Offload offload_;
  Monitor* monitor_ = nullptr;
  Watch* watch_ = nullptr;
  const AuditLog* audit_ = nullptr;
  std::optional<Erasing> erasing_;
  std::optional<Elsewhere> elsewhere_;
  std::optional<Listing> listing_;  // None: to be read again.
  WaitingPolls waiting_;
  std::set<DeviceId> judged_uploads_;  // Their waiting polls may have news of what relays brought.
  WantedPacks wanted_;
  std::set<DeviceId> may_be_asked_;  // Their waiting polls may have news of wanted_.
  Restores restores_;
  std::map<DeviceId, std::uint64_t> budgets_;  // Audited: target sequences of budgets in use.
  struct Seen {
    std::int64_t ms = 0;
    std::optional<wire::DiskSpace> disk;
    std::optional<wire::CacheState> cache = std::nullopt;
    std::optional<wire::ServingState> serving = std::nullopt;
    std::optional<std::uint64_t> settings_version = std::nullopt;
    std::vector<LayerId> kept = {};
    std::optional<std::string> policy = std::nullopt;  // The id of the one that it keeps to.
    std::int64_t snoozed_until_ms = 0;
  };
  std::map<DeviceId, Seen> seen_;  // The last poll of each device since the start.
  // Audited: the token's site and epoch under which a device fetches ranges of packs.
  std::map<DeviceId, std::string> range_leases_;
  std::map<LayerId, std::set<PackId>> layer_packs_;  // Of layers that ranges were asked of.
};

}  // namespace lamina::origin
