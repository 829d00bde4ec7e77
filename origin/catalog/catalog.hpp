// The origin's registry: devices, sites, layers, assignments, tokens, CVD snapshots, lease epochs
// and the audit log.
//
// Every operation is one transaction of the Table, and every change appends its audit entry in the
// same transaction: nothing is changed unrecorded and nothing recorded that did not happen. The
// catalogue knows the time only by being told. One thread at a time.
//
// Failures: `not_found` names the missing thing, `refused` a rule that forbids the change,
// `invalid` a malformed name, `corrupt` a row that does not parse; the Table's own pass through.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "origin/catalog/members.hpp"
#include "origin/catalog/rehearsal_table.hpp"
#include "shared/base/units.hpp"
#include "shared/wire/admin.hpp"
#include "shared/wire/device_life.hpp"
#include "shared/wire/drivers.hpp"
#include "shared/wire/enrol.hpp"
#include "shared/wire/retention.hpp"
#include "shared/wire/rollout.hpp"
#include "shared/wire/seeder.hpp"

namespace lamina::origin {

// Who changes something and when; goes to the audit log.
struct Act {
  std::string actor;  // "admin:NAME", "device:HEX", "origin"
  WallTime now;
  // Whether the catalogue's change is a rehearsal: nothing else may change either.
  bool is_rehearsal = false;
};

// Keys of wire::kByteSources, or "other".
using BytesBySource = std::map<std::string, std::int64_t>;

class Catalog {
 public:
  explicit Catalog(Table& table) : table_(table) {}

  // While it lives, every operation checks all that it checks, answers as ever, and changes
  // nothing. One at a time.
  class Rehearsal {
   public:
    explicit Rehearsal(Catalog& catalog)
        : catalog_(catalog), changed_devices_(catalog.changed_devices_) {
      catalog_.table_.rehearse(true);
    }
    ~Rehearsal() {
      catalog_.table_.rehearse(false);
      catalog_.policies_.reset();
      catalog_.changed_devices_ = std::move(changed_devices_);
    }
    Rehearsal(const Rehearsal&) = delete;
    Rehearsal& operator=(const Rehearsal&) = delete;

   private:
    Catalog& catalog_;
    std::set<DeviceId> changed_devices_;
  };

  // --- tokens: only the SHA-256 of a secret is stored ---
  Result<wire::TokenReply> create_token(const Act& act, const wire::TokenRequest& request);
  Result<std::vector<wire::TokenInfo>> tokens() const;
  Status revoke_token(const Act& act, const std::string& name);
  // The name of the administrator token. `refused` alike for unknown, expired and enrol tokens, so
  // that an answer tells a guesser nothing.
  Result<std::string> check_admin(std::string_view secret, WallTime now) const;

  // Likewise of a token that opens the metrics: an administrator's or one of kind "metrics".
  Result<std::string> check_metrics(std::string_view secret, WallTime now) const;

  // --- seeders on machines of their own ---
  // The name of the token of kind "seeder". `refused` alike for all others.
  Result<std::string> check_seeder_token(std::string_view secret, WallTime now) const;
  // Registers a seeder under its token's name. One of that name with the same key is given as it
  // is, so that an answer that was lost may be asked for again; with another key it is `refused`.
  Result<wire::SeederInfo> join_seeder(WallTime now, std::string_view token,
                                       const std::string& key_fingerprint, DeviceId id);
  Result<wire::SeederInfo> seeder(const DeviceId& id) const;
  Result<std::string> seeder_key_fingerprint(const DeviceId& id) const;
  Result<std::vector<wire::SeederInfo>> seeders() const;
  Status seeder_certified(const Act& act, const DeviceId& id, std::int64_t expires_ms);
  // Also revokes the token of that name. Gives the id that it had.
  Result<DeviceId> remove_seeder(const Act& act, const std::string& name);

  // --- devices ---
  // Spends one use of the token and registers the device in the same transaction: pending, or
  // assigned when the token names a site. `key_fingerprint`: SHA-256 of its public key, hex.
  Result<wire::DeviceInfo> enrol(WallTime now, const wire::EnrolRequest& request, DeviceId id,
                                 const std::string& key_fingerprint);
  Result<wire::DeviceInfo> device(const DeviceId& id) const;
  Result<std::vector<wire::DeviceInfo>> devices() const;
  // At most `most`, in the order of their ids: those that follow `after`; without it the first.
  Result<std::vector<wire::DeviceInfo>> devices_after(const std::optional<DeviceId>& after,
                                                      std::size_t most) const;
  Result<std::string> key_fingerprint(const DeviceId& id) const;
  // By hand. An empty site: by its networks from now on; it is in none until they say so.
  Status place_device(const Act& act, const DeviceId& id, const std::string& site);
  // The device is at `site` by its networks, or is back there.
  Status place_by_network(const Act& act, const DeviceId& id, const std::string& site);
  // It is at no site that it may be in; `why` is for people.
  Status keep_waiting(const Act& act, const DeviceId& id, const std::string& why);
  // Also takes the device's target away; only a new enrolment brings the machine back.
  Status reject_device(const Act& act, const DeviceId& id);
  Status certificate_issued(const Act& act, const DeviceId& id, std::int64_t expires_ms);
  // What a poll says about the device; written only when it differs, or when the last poll that was
  // written is an hour old. Bytes that the device has not said before are added to its site's. Not
  // audited. `public_address`: from where it came; empty: not known.
  Status note_poll(const DeviceId& id, const wire::PollRequest& poll, WallTime now,
                   const std::string& public_address = {});
  // Appends to the device's transactions; one that is among them already changes nothing.
  Status add_report(const Act& act, const DeviceId& id, const wire::Report& report);
  // Oldest first, at most the newest wire::kTransactionsMax.
  Result<std::vector<wire::Report>> transactions(const DeviceId& id) const;
  // The devices whose status, site or target may differ since the last call: what a waiting poll
  // answers. Every operation that changes one of these notes its devices here.
  std::set<DeviceId> take_changed_devices() { return std::exchange(changed_devices_, {}); }

  // --- reflectors ---
  // Changes what is settled about the device by one action. What is so already is no change.
  // `refused` where it does not fit, `not_found` for a peer that is none.
  Result<wire::ReflectorSettings> set_reflector(const Act& act, const DeviceId& id,
                                                const wire::ReflectorRequest& request);
  // The device carried out its commands up to number `newest`. Not audited: its reports are.
  Status note_commands_done(const DeviceId& id, std::uint64_t newest);

  // --- sites ---
  Status add_site(const Act& act, const wire::SiteRequest& request);
  Result<std::vector<wire::SiteInfo>> sites() const;
  Result<wire::SiteInfo> site(const std::string& name) const;
  // What each site received since its first device said so; no number ever shrinks.
  Result<std::map<std::string, BytesBySource>> site_bytes() const;
  // A device of the site received over its line this fast for a while. Written only when that is
  // more than was seen before on that day (UTC). Not audited.
  Status note_line_rate(const std::string& site, BitRate rate, WallTime now);
  // Of every site, for each of 7 and 28 days (UTC).
  Result<std::vector<wire::SiteSavings>> savings(WallTime now) const;
  Status set_appoint(const Act& act, const std::string& site, bool appoint);
  // `invalid` for a word that is none of "auto", "swarm" and "https".
  Status set_transport(const Act& act, const std::string& site, const std::string& transport);
  // Takes the place of those that it had. `invalid` names a subnet that is none; `refused` when the
  // site is to go by networks that it lacks.
  Status set_networks(const Act& act, const std::string& site, wire::SiteNetworks networks);
  // The signed member list that the site was given last; `not_found`: none yet. Not audited: what
  // it says is.
  Result<Buffer> member_list(const std::string& site) const;
  Status keep_member_list(const std::string& site, const Buffer& envelope);
  // `invalid` names what is out of range, or the device that is named twice or is none of the site.
  Result<wire::SiteInfo> set_reflectors(const Act& act, const std::string& site,
                                        const wire::ReflectorsRequest& request);

  // --- collections ---
  // `invalid` for a filter that does not parse or a list with a device twice, `not_found` names a
  // device that there is none of, `refused` when there is one of that name.
  Status add_collection(const Act& act, const wire::CollectionRequest& request);
  // Likewise; `refused` where devices are to be added to a filter.
  Status change_collection(const Act& act, const std::string& name,
                           const wire::CollectionRequest& request);
  Status remove_collection(const Act& act, const std::string& name);
  Result<std::vector<wire::CollectionInfo>> device_collections() const;
  Result<wire::CollectionDetail> collection(const std::string& name) const;

  // --- policies ---
  // Makes the policy, or its next version, and says which devices get it. What is so already is no
  // change. `invalid` names what is wrong with it.
  Result<wire::PolicyReply> set_policy(const Act& act, const wire::PolicyRequest& request);
  // `refused` while it is assigned.
  Status remove_policy(const Act& act, const std::string& name);
  // By itself, or to all in a collection; says whose policy is another one then. Without `policy`
  // the assignment is taken away: `not_found` where there is none.
  Result<wire::PolicyAssignReply> assign_policy(const Act& act,
                                                const wire::PolicyAssignRequest& request);
  Result<wire::PolicyList> policies() const;
  // `version` 0: the newest.
  Result<wire::PolicyInfo> policy(const std::string& name, std::uint64_t version = 0) const;
  Result<wire::PolicyVersions> policy_versions(const std::string& name) const;
  // The one that counts for the device; `held` is not filled in.
  Result<wire::DevicePolicy> policy_of(const wire::DeviceInfo& device) const;
  // The device makes no snapshots by itself for so long; 0 ends a snooze. `invalid` above
  // wire::kSnoozeMax.
  Result<wire::Snooze> snooze_device(const Act& act, const DeviceId& id, Duration duration);

  // --- bandwidth rules ---
  // As CSV, in its one form. Empty rules: the header line alone.
  Result<std::string> bandwidth_rules() const;
  // Takes the place of all rules. `invalid` names line and field; `not_found` a site that a rule
  // names and that does not exist; `refused` when the rules of one site exceed wire::kSiteRulesMax.
  Status set_bandwidth_rules(const Act& act, std::string_view csv);

  // --- leases ---
  // The newest epoch that was ever granted to the site; 0: none. It survives a restart, so that an
  // old holder's token stays old.
  Result<std::uint64_t> lease_epoch(const std::string& site) const;
  // Records and audits a grant, before its token is handed out. `refused` unless the epoch is a new
  // one.
  Status note_lease_epoch(const Act& act, const std::string& site, const DeviceId& device,
                          std::uint64_t epoch);

  // --- layers ---
  // `refused` unless the version is newer than every version of that name. Callers that prepare
  // long work ask first; add_layer asks again.
  Status check_new_version(const std::string& name, const std::string& version) const;
  Status add_layer(const Act& act, const wire::LayerInfo& layer,
                   const std::vector<ChunkId>& chunks);
  Result<std::vector<wire::LayerInfo>> layers() const;
  Result<wire::LayerInfo> layer(const LayerId& id) const;
  Result<wire::LayerInfo> layer(const std::string& name_and_version) const;
  // Takes a layer out of the catalogue; its version is never given again. `refused` names who needs
  // it: a device that has it in its target or staged, a rollout that is not over. What snapshots
  // rest on of it stays readable until they are gone too.
  Result<wire::LayerInfo> remove_layer(const Act& act, const LayerId& id);

  // --- driver layers ---
  // In the order in which they come to a stack.
  Result<wire::DriverRuleList> driver_rules() const;
  // Devices get what it says when they are assigned something next. `invalid` for a filter that
  // does not parse or an order out of range, `not_found` names a layer that there is none of,
  // `refused` for one of another kind.
  Status set_driver_rule(const Act& act, const wire::DriverRule& rule);
  // By the layer's name. Devices keep what they have until they are assigned something next.
  Status remove_driver_rule(const Act& act, const std::string& name);

  // --- assignments ---
  // Signs the target of one device, with the sequence and the enforcement that stand in `device`;
  // called inside the transaction.
  using SignTarget = std::function<Result<Buffer>(const wire::DeviceInfo& device,
                                                  const std::vector<LayerId>& stack,
                                                  const std::vector<LayerId>& stage)>;
  // Every device gets its next target sequence; all of them or none. An enforcement stays in a
  // device's targets until it says that it has applied the first of them. `refused` for a stack
  // that does not fit together, a pending or rejected device, an empty site or collection.
  Result<wire::AssignmentReply> assign(const Act& act, const wire::AssignmentRequest& request,
                                       const SignTarget& sign);
  // Gives the newest version of a layer to every device in a site that has an older one assigned,
  // in its place. Devices that it does not fit stay as they are, and the reply says why.
  // `not_found` when there is no such layer.
  Result<wire::UpgradeReply> upgrade(const Act& act, const wire::UpgradeRequest& request,
                                     const SignTarget& sign);
  // The signed target bytes; `not_found` when nothing was ever assigned.
  Result<Buffer> target(const DeviceId& id) const;
  // May this device read this layer? Only if its target names or stages it: what it
  // says it has applied opens nothing.
  Result<bool> may_read_layer(const DeviceId& id, const LayerId& layer) const;

  // --- rollouts ---
  // A planned one. `refused` when there is one of that name or its layers do not fit together;
  // `not_found` names a layer, site or device that does not exist.
  Status add_rollout(const Act& act, const wire::RolloutInfo& rollout);
  Result<std::vector<wire::RolloutInfo>> rollouts() const;
  Result<std::vector<wire::RolloutDevice>> rollout_devices(const std::string& name) const;
  // Keeps what became of it, and audits `action` unless that is empty.
  Status note_rollout(const Act& act, const wire::RolloutInfo& rollout, const std::string& action,
                      const std::string& detail);
  // Not audited: the device's reports are.
  Status note_rollout_device(const std::string& rollout, const wire::RolloutDevice& device);
  // New targets for devices of a wave, their rows and the rollout's, in one transaction. Begun: the
  // rollout's layers become the stack; staged: they are for the cache. Sets the devices'
  // target_sequence. Fails as assign() does.
  enum class WaveStep { staged, begun };
  Status assign_wave(const Act& act, const wire::RolloutInfo& rollout, WaveStep step,
                     std::vector<wire::RolloutDevice>& devices, const SignTarget& sign);

  // --- CVDs ---
  // Which of `ids` neither the device's own CVD nor its own layers hold: what it has to send before
  // it commits a snapshot. What other devices hold does not matter: an answer about them would
  // betray their files. Nothing new rests on a layer that was removed. What it does not have to
  // send stays for the grace of a collection from now on (sweep_links).
  Result<std::vector<ChunkId>> lacks(const DeviceId& id, const std::vector<ChunkId>& ids);
  // Which of `ids` whoever may read the device's CVD may not read: as lacks(), but what is there of
  // layers that were removed is readable.
  Result<std::vector<ChunkId>> unreadable(const DeviceId& id,
                                          const std::vector<ChunkId>& ids) const;
  // `refused` when no more may come: the CVD is archived, or was erased. Then what came too late
  // goes with the rest.
  Status link_chunks(const DeviceId& id, const std::vector<ChunkId>& ids);
  // They are lost: the device is asked for them again.
  Status unlink_chunks(const Act& act, const DeviceId& id, const std::vector<ChunkId>& ids);
  Result<bool> cvd_has(const DeviceId& id, const ChunkId& chunk) const;
  // Sets the snapshot's number; a snapshot that is there already is returned as it is. `refused`
  // when the CVD is archived.
  Result<wire::SnapshotInfo> add_snapshot(const Act& act, const DeviceId& id,
                                          wire::SnapshotInfo snapshot);
  Result<std::vector<wire::SnapshotInfo>> snapshots(const DeviceId& id) const;
  // Also when it moved to another device with its CVD.
  Result<bool> has_snapshot(const DeviceId& id, const SnapshotId& snapshot) const;
  Result<std::optional<wire::SnapshotInfo>> newest_snapshot(const DeviceId& id) const;
  Result<std::vector<wire::CvdInfo>> cvds() const;
  // --- the ends of devices (shared/wire/device_life.hpp) ---
  // Out of service for good: the device leaves its site, target and collections. Archived: it stays
  // in the registry with its snapshots. Erased: no row of it is left but those of the erasure.
  Result<wire::DecommissionReply> decommission(const Act& act, const DeviceId& id,
                                               const wire::DecommissionRequest& request);
  // The archived CVD alone goes, as by an erasure; the device stays in service. `refused` unless it
  // is archived.
  Result<wire::DecommissionReply> delete_cvd(const Act& act, const DeviceId& id);
  Result<std::vector<wire::ErasureInfo>> erasures() const;
  Result<wire::ErasureInfo> erasure(const DeviceId& id) const;
  // What goes, or when it is gone: the chunks that only it had. Both ascending.
  struct ErasedContent {
    std::vector<ChunkId> chunks;
    std::vector<SnapshotId> snapshots;
  };
  Result<ErasedContent> erased_content(const DeviceId& id) const;
  // How many rows are the device's, by their kind; also those that there are none of.
  Result<std::map<std::string, std::uint64_t>> rows_of(const DeviceId& id) const;
  // Of the chunks that only it has, before the first of them goes. Not audited.
  Status note_erasure_begun(const DeviceId& id, Bytes plain);
  // Nothing is left of `erased`; others have `shared`. Together all that erased_content() gave:
  // `unavailable` when it is more by now.
  Status finish_erasure(WallTime now, const DeviceId& id, const std::vector<ChunkId>& erased,
                        const std::vector<ChunkId>& shared);

  // --- CVDs that rest, and that move (shared/wire/device_life.hpp) ---
  // Or goes on with it, unless the device is decommissioned (`refused`). As it is already: no
  // change.
  Status archive_cvd(const Act& act, const DeviceId& id, bool archived);
  // `refused` for a device that is not in service.
  Status set_reference(const Act& act, const DeviceId& id, bool reference);
  // All snapshots of `from` become snapshots of `into`, in one time line, in the order in which
  // they were made; numbers begin at 1 again. The layers that they rest on go with them. `refused`
  // unless the CVD of `from` is archived and `into` takes uploads.
  Result<wire::MoveReply> reassign_cvd(const Act& act, const DeviceId& from,
                                       const wire::MoveRequest& request);
  // Likewise of a device in service, which is taken out of it; `into` takes its place in
  // collections. `refused` where their hardware UUIDs differ, unless forced.
  Result<wire::MoveReply> merge_device(const Act& act, const DeviceId& from,
                                       const wire::MoveRequest& request);
  // How many CVDs moved into that of the device: who saw another number knows an older CVD.
  Result<std::uint64_t> cvd_moves(const DeviceId& id) const;
  Result<std::vector<wire::CvdProposal>> proposals() const;

  // --- quotas ---
  // Of a device, or of a collection's members together. `invalid` for a rule that says nothing or
  // warns above its hard level.
  Status set_quota(const Act& act, const wire::QuotaRequest& request);
  Result<std::vector<wire::QuotaStanding>> quotas() const;
  // Has the devices wait whose hard level is reached, and the others go on:
  // DeviceInfo::uploads_wait. Looks at all devices, where there is a quota at all; writes what
  // differs.
  Status apply_quotas(const Act& act);

  // --- retention: which snapshots are kept ---
  // Of `device`, or of all devices that have no rule of their own; none: that rule is taken away.
  // `invalid` for a rule that says nothing or is out of range.
  Status set_retention(const Act& act, const std::optional<DeviceId>& device,
                       const std::optional<wire::RetentionRule>& rule);
  Result<wire::RetentionSettings> retention() const;
  // What the device's rule says of its snapshots, and unless `dry_run` those that it does not keep
  // are removed from the catalogue. With `snapshot` that one is, whatever the rule says. `refused`
  // without a rule, and for the newest snapshot: it is never removed.
  Result<wire::ForgetReply> forget_snapshots(const Act& act, const DeviceId& id,
                                             const wire::ForgetRequest& request);
  // Every chunk that a layer, or what a device sent of its own, needs. A chunk of several comes as
  // often.
  struct ChunkNeed {
    ChunkId chunk;
    std::optional<LayerId> layer;  // One of the two.
    std::optional<DeviceId> device;
  };
  Status for_each_need(const std::function<void(const ChunkNeed&)>& visit) const;

  // --- garbage ---
  // Of chunks that a device sent: rows looked at, found unneeded and kept for the grace, removed.
  struct SweptLinks {
    std::uint64_t links = 0;
    std::uint64_t unneeded = 0;
    std::uint64_t removed = 0;
  };
  // Of the device's own chunks those that `is_needed` does not say are noted as unneeded, and
  // removed when they were `grace` ago. Many small transactions: each leaves what was linked or
  // told of since it was looked at. `dry_run`: only counts. Not audited: it changes nothing that
  // anybody can see.
  Result<SweptLinks> sweep_links(const DeviceId& id,
                                 const std::function<bool(const ChunkId&)>& is_needed, WallTime now,
                                 Duration grace, bool dry_run);
  // Of layers that were removed those that still have chunks, or had.
  Result<std::vector<LayerId>> removed_layers() const;
  // How many of these the device's snapshots, which need what `is_needed` says, rest on no more: it
  // gives up its part in them. `removed` is from before the snapshots were listed: one that was
  // committed since rests on none of these, but may on a layer that was removed after it. `moves`
  // is cvd_moves() from before that, too: nothing is given up when it is another by now.
  Result<std::uint64_t> release_layers(const DeviceId& id, const std::vector<LayerId>& removed,
                                       const std::function<bool(const ChunkId&)>& is_needed,
                                       bool dry_run, std::uint64_t moves = 0);
  // Forgets the chunks of removed layers in which no device has a part; says how many.
  Result<std::uint64_t> sweep_removed_layers(bool dry_run);
  // Every chunk of layers, or sent by devices, whose id begins with this byte; ascending, once.
  Result<std::vector<ChunkId>> needed_by_layers(std::uint8_t first) const;
  Result<std::vector<ChunkId>> needed_by_devices(std::uint8_t first) const;
  // A collection that came to its end, and of how many bytes of packs it freed the disk. Kept for
  // kCollectionsKept, the newest of all for ever.
  struct CollectionNote {
    WallTime at;
    Bytes removed;
  };
  static constexpr Duration kCollectionsKept = std::chrono::hours{60 * 24};
  Status note_collection(const CollectionNote& note);
  Result<std::vector<CollectionNote>> collections() const;  // Oldest first.

  // --- alerts ---
  // Begin and end are audited. An alert that is active already is replaced; to end one that is not
  // active is no error.
  Status begin_alert(const Act& act, const wire::AlertInfo& alert);
  Status end_alert(const Act& act, const std::string& kind, const std::string& object);
  Result<std::vector<wire::AlertInfo>> alerts() const;  // The active ones, by kind and object.

  // --- after a restore ---
  // The catalogue is that of a backup, and what was given out since is not known. From now on new
  // target sequences, lease epochs, and versions and commands of reflectors begin at `act.now` in
  // milliseconds: above all that were given out one by one before, also after an earlier restore.
  Status note_restored(const Act& act, std::int64_t made_ms);
  // For a device that knows of target sequence `seen`, which is newer than the catalogue's, as
  // after a restore: its target as the catalogue has it, under a new sequence. Nothing is changed
  // when it is not newer, in a catalogue that was never restored, and for a device without a
  // target.
  using SignAnew = std::function<Result<Buffer>(const Buffer& envelope, std::uint64_t sequence)>;
  Status renew_target(const Act& act, const DeviceId& id, std::uint64_t seen, const SignAnew& sign);

  // --- audit ---
  // For reads that must leave a trace; changes audit themselves.
  Status audit(const Act& act, const std::string& action, const std::string& object,
               const std::string& detail);
  // The last `limit` entries, oldest first, after recomputing the whole chain.
  Result<wire::AuditList> audit_log(std::size_t limit) const;

 private:
  Result<const PolicyBook*> policy_book() const;
  Result<std::map<DeviceId, std::string>> change_policies(Rows& rows,
                                                          const std::function<Status()>& change);

  RehearsalTable table_;
  mutable std::optional<PolicyBook> policies_;  // None: to be read again.
  std::set<DeviceId> changed_devices_;
};

}  // namespace lamina::origin
