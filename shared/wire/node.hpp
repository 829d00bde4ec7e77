// What an enrolled device and the origin say to each other: the poll that carries targets, peers
// and the site's lease; the lease's renewal; reports; snapshots.
//
// Plain values. Parse rules as in enrol.hpp. Durations are milliseconds, wall times milliseconds
// since 1970, byte counts bytes; none may be negative.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/share_set.hpp"
#include "shared/wire/policy.hpp"
#include "shared/wire/reflector.hpp"

namespace lamina::wire {

enum class DeviceStatus { pending, assigned, rejected };
std::string_view name_of(DeviceStatus status);

// A layer that the device has to fetch and how much of it is missing (stored bytes of packs).
struct Want {
  LayerId layer;
  std::int64_t missing_bytes = 0;
  // true: some of them are in packs that it would not need with an earlier layer. Absent: none.
  std::optional<bool> fresh = std::nullopt;
  // Some are of the layer's update from this one (all zeros: from nothing). Absent: none.
  std::optional<LayerId> update = std::nullopt;
  bool operator==(const Want&) const = default;
};

// The packs by which a layer is updated from another one; all zeros: from nothing.
struct UpdateOf {
  LayerId layer;
  LayerId from;
  auto operator<=>(const UpdateOf&) const = default;
};

// How a layer of the device's target stands: `reason` says where its bytes come from or what it
// waits for, as in docs/operator.md, "Who may use the line".
struct LayerState {
  LayerId layer;
  std::string reason;
  std::int64_t missing_bytes = 0;
  bool operator==(const LayerState&) const = default;
};

// The sources that bytes of layers are counted under: from the other devices of the site, from the
// one of them that holds its lease, from the origin's seeders on the site's lease and on the
// device's WAN budget, from the API's port instead of a seeder, and those that the device had.
inline constexpr std::string_view kByteSources[] = {"lan-peer",        "reflector",
                                                    "origin-by-lease", "origin-by-budget",
                                                    "origin-by-https", "local-cache"};

// What a device received by source since `since_ms`, when it began to count. Each number only
// grows, and what is said here is on the device's disk: a restart takes nothing back.
struct ByteCounts {
  std::int64_t since_ms = 0;
  std::map<std::string, std::int64_t> by_source;  // Keys of kByteSources; at most 16.
  bool operator==(const ByteCounts&) const = default;
};

bool is_over_line(std::string_view source);
// What came over the site's line in all; the largest number stands for more.
std::int64_t over_line(const std::map<std::string, std::int64_t>& by_source);

// Of the file system that holds the device's cache.
struct DiskSpace {
  std::int64_t free_bytes = 0;
  std::int64_t total_bytes = 0;
  bool operator==(const DiskSpace&) const = default;
};

// What a machine is made of, as Linux tells it: for people and for the filters of collections and
// driver layers. Nothing else follows from it.
struct Hardware {
  // Of its firmware (SMBIOS): "sys_vendor", "product_name"... (/sys/class/dmi/id); at most kDmiMax.
  std::map<std::string, std::string> dmi;
  // Of the devices on its PCI buses "VENDOR:DEVICE/VENDOR:DEVICE/CLASS" in hex, as in
  // "8086:15d7/17aa:2245/020000": its own, of its subsystem, its class. Ascending, each once.
  std::vector<std::string> pci;
  bool operator==(const Hardware&) const = default;
};
inline constexpr std::size_t kDmiMax = 16;
inline constexpr std::size_t kPciMax = 512;

// A snapshot of another device that this one holds for the origin, all parcels of it.
struct RelayedSnapshot {
  DeviceId device;
  SnapshotId snapshot;
  std::uint64_t sequence = 0;
  std::int64_t bytes = 0;   // Of the parcels that the origin has not taken yet.
  std::int64_t age_ms = 0;  // Since it was taken.
  bool operator==(const RelayedSnapshot&) const = default;
};

// What the device handed to a relay and does not know yet to be at the origin.
struct HandedSnapshot {
  SnapshotId snapshot;
  std::uint64_t sequence = 0;
};

// POST /v1/node/poll. Answered at once when something differs from what the device knows, else
// when it changes, else after wait_ms.
struct PollRequest {
  std::uint64_t target_sequence = 0;   // The newest target the device holds; 0: none.
  std::uint64_t applied_sequence = 0;  // The last target it applied; 0: none.
  std::uint64_t site_version = 0;      // As in the last reply; 0: none.
  // It keeps the peers of that version: they need not be said again. Absent: it does not.
  std::optional<bool> keeps_peers = std::nullopt;
  std::vector<LayerId> applied;  // The applied stack, base first.
  std::vector<Want> wants;
  std::string lan_address;       // Where peers of the site reach it: an IP address, or empty.
  std::uint16_t swarm_port = 0;  // 0: not listening.
  std::int64_t wait_ms = 0;      // 0: answer at once; at most kPollWaitMaxMs.
  std::string node_version;
  std::optional<std::vector<LayerState>> layers = std::nullopt;  // Of the target. Absent: not said.
  std::optional<std::uint64_t> rules_version = std::nullopt;     // It holds. Absent: none.
  std::optional<ByteCounts> bytes = std::nullopt;                // Absent: not said.
  std::optional<DiskSpace> disk = std::nullopt;                  // Absent: not said.
  // Why it should not fetch for its site and serve it (shared/policy/eligibility.hpp). Absent: it
  // may.
  std::optional<std::string> unfit = std::nullopt;
  // Where peers of the site hand their uploads over. Absent: nowhere.
  std::optional<std::uint16_t> relay_port = std::nullopt;
  std::optional<std::vector<RelayedSnapshot>> relayed = std::nullopt;
  std::optional<HandedSnapshot> handed = std::nullopt;
  // The sequence of the signed member list that it holds. Absent: it wants none.
  std::optional<std::uint64_t> members_sequence = std::nullopt;
  std::optional<std::uint64_t> settings_version = std::nullopt;  // Of ReflectorSettings it holds.
  std::optional<std::uint64_t> command_done = std::nullopt;      // Its newest ReflectorCommand.
  std::optional<CacheState> cache = std::nullopt;                // Absent: not said.
  std::optional<ServingState> serving = std::nullopt;            // Absent: not said.
  // Whole layers in its cache that its target does not name: it shares them all the same.
  std::optional<std::vector<LayerId>> kept = std::nullopt;
  // The layers ("NAME VERSION") because of which it has to be restarted. Absent: it need not.
  std::optional<std::vector<std::string>> restart_due = std::nullopt;
  // The id of the policy that it keeps to; "": the factory rules alone. Absent: it knows no
  // policies.
  std::optional<std::string> policy = std::nullopt;
  std::optional<Snooze> snooze = std::nullopt;      // As it is now. Absent: it knows none.
  std::optional<Hardware> hardware = std::nullopt;  // Absent: as it said before.
  // Whether it makes no snapshots because of PollReply::uploads_wait. Absent: it knows no such.
  std::optional<bool> uploads_wait = std::nullopt;
};

struct Peer {
  DeviceId device;
  std::string address;  // IP address without a port.
  std::uint16_t port = 0;
  std::optional<std::uint16_t> relay_port = std::nullopt;  // It takes uploads there.
  // false: it may connect, and gives nothing: nobody dials it. Absent: true.
  std::optional<bool> serves = std::nullopt;
  bool operator==(const Peer&) const = default;
};

constexpr std::size_t kFreshMax = 1024;
struct SiteView {
  std::string name;
  std::uint64_t version = 0;  // Grows with every change of members, addresses or lease.
  std::vector<Peer> peers;    // The other members that listen; never the asking device.
  // true: they are those of the version that the device said it knows, and left out. Only for one
  // that keeps them.
  std::optional<bool> same_peers = std::nullopt;
  // false: no device gets the site's lease by itself. Absent: true.
  std::optional<bool> appoint = std::nullopt;
  // Names the bandwidth rules of the site; a change of them is a change of `version` too. Absent:
  // there are none.
  std::optional<std::uint64_t> rules_version = std::nullopt;
  // The rules as CSV (shared/policy/bandwidth_rules.hpp), at most kSiteRulesMax; only when the
  // device said that it holds others.
  std::optional<std::string> rules = std::nullopt;
  // Layers that the site may not fetch over its line yet: other sites of their rollout come first.
  std::optional<std::vector<LayerId>> withheld = std::nullopt;
  // Layers that the asking device is to have with all of their packs, also those that it does not
  // need itself: a device of the site needs them and may not fetch over the line.
  // At most kFreshMax.
  std::optional<std::vector<LayerId>> fresh = std::nullopt;
  // Likewise, updates whose packs it is to have. At most kFreshMax.
  std::optional<std::vector<UpdateOf>> updates = std::nullopt;
  // How its line is used, by an administrator's rule: "swarm" or "https". Absent, or a word that
  // the device does not know: as it finds out.
  std::optional<std::string> transport = std::nullopt;
};

// Who may fetch over the WAN for the site. Token, expiry, seeders and shares are for a holder only.
struct LeaseView {
  DeviceId holder;  // The asking device if it holds a lease of the site, else another that does.
  std::uint64_t epoch = 0;
  Buffer token;                      // Signed lease token; empty for everybody else.
  std::int64_t expires_in_ms = 0;    // From the moment of the reply.
  std::vector<std::string> seeders;  // "ADDRESS:PORT"
  // What the token lets the device fetch. Absent: all shares.
  std::optional<ShareSet> shares = std::nullopt;
  // All that hold a lease of the site, `holder` among them. Absent: `holder` alone.
  std::optional<std::vector<DeviceId>> holders = std::nullopt;
};
// Of a view that says it or not.
std::vector<DeviceId> holders_of(const LeaseView& lease);

// A pack of a layer that the origin lost: whoever has it sends it, with
// PUT /v1/node/layers/{layer}/packs/{pack}.
struct WantedPack {
  LayerId layer;
  PackId pack;
  bool operator==(const WantedPack&) const = default;
};
inline constexpr std::size_t kWantedPacksMax = 8;  // In one answer.

struct PollReply {
  DeviceStatus status = DeviceStatus::pending;
  std::optional<Buffer> target;    // The signed device target, when newer than the known one.
  std::optional<SiteView> site;    // Of an assigned device.
  std::optional<LeaseView> lease;  // While somebody holds it.
  std::int64_t server_time_ms = 0;
  std::int64_t next_wait_ms = 0;  // wait_ms the origin would like in the next poll.
  std::optional<Buffer> relay_key = std::nullopt;  // What parcels are sealed for: X25519, 32 bytes.
  // What administrators settled about the device; when it holds another version.
  std::optional<ReflectorSettings> reflector = std::nullopt;
  // Of the handed snapshot: "protected", "at the site", "refused" or "unknown".
  std::optional<std::string> handed = std::nullopt;
  // The signed member list of the site (format::SiteMembers), when it is another than the known.
  std::optional<Buffer> members = std::nullopt;
  // Why the device is in no site now, and the next step. Absent: it is in one.
  std::optional<std::string> waiting = std::nullopt;
  // What the device is asked to send; it has all of these layers. Absent: nothing.
  std::optional<std::vector<WantedPack>> wanted_packs = std::nullopt;
  std::optional<Policy> policy = std::nullopt;  // When the device keeps to another.
  std::optional<Snooze> snooze = std::nullopt;  // An administrator's word that is news to it.
  // Why the origin takes no snapshots of the device now, and the next step. Absent: it takes them.
  std::optional<std::string> uploads_wait = std::nullopt;
  // true: the origin does not know the device's hardware. Absent: it does.
  std::optional<bool> wants_hardware = std::nullopt;
};

// POST /v1/node/lease, by the holder, each second. `refused` (403) when the epoch is not current.
struct LeaseRequest {
  std::uint64_t epoch = 0;
  std::vector<Want> wants;  // What is still missing. Empty: the transfer is done, drop the lease.
  // What the device still has to fetch of its shares over the WAN. Absent: not known.
  std::optional<std::int64_t> left_bytes = std::nullopt;
};
struct LeaseReply {
  std::optional<LeaseView> lease;  // None when it was given back.
};

// POST /v1/node/wan-budget, each second while it lasts: a device that does not hold its site's
// lease uses the budget of its newest target. Answered with a LeaseReply whose lease is the
// device's own, or `refused` with the reason (403).
struct BudgetRequest {
  std::uint64_t target_sequence = 0;
};

// How a script of a layer ended on a device.
struct ScriptEnd {
  std::string layer;  // "NAME VERSION"
  std::string name;
  int code = 0;                             // 128 + the signal's number when a signal ended it.
  std::optional<bool> late = std::nullopt;  // true: its time was over, and it was killed.
  // Why it could not be started; `code` means nothing then. Absent: it was.
  std::optional<std::string> trouble = std::nullopt;
  std::string output;  // Of both streams, printable, the first kScriptOutputMax bytes.
  bool is_good() const { return code == 0 && !late.value_or(false) && !trouble; }
  bool operator==(const ScriptEnd&) const = default;
};
inline constexpr std::size_t kScriptOutputMax = 2000;
inline constexpr std::size_t kScriptEndsMax = 64;  // Of a report.

// POST /v1/node/report: one transaction on the device and its counts.
struct Report {
  std::string operation;  // "fetch", "apply", "revert", "snapshot"
  std::vector<LayerId> layers;
  std::uint64_t target_sequence = 0;
  std::int64_t started_ms = 0;
  std::int64_t finished_ms = 0;
  bool ok = false;
  std::string text;  // The error when not ok, else remarks; at most 4 KiB.
  // Of an apply: what the device received since the one before it, by kByteSources, and in
  // "local-cache" what it had of the stack already. At most 16.
  std::map<std::string, std::int64_t> bytes_by_source;
  std::map<std::string, std::int64_t> counts;  // "files", "verified"...; at most 32.
  // Of an apply: the scripts that ran after it, in their order. Absent: none did.
  std::optional<std::vector<ScriptEnd>> scripts = std::nullopt;
};

// POST /v1/node/cvd/snapshots answers 201 with this, or 409 with the missing ids (binary).
struct SnapshotReply {
  SnapshotId snapshot;
};

// PUT /v1/node/relay/parcels/{id}, by a relay. With this answer the parcel is the relay's no more;
// with any other it keeps it and tries again.
struct ParcelReply {
  std::string state;  // "taken", "kept" (the snapshot), "superseded" or "refused".
  std::string text;   // Why it was refused.
};

std::string to_json(const LayerState& message);
std::string to_json(const ByteCounts& message);
std::string to_json(const PollRequest& message);
std::string to_json(const PollReply& message);
std::string to_json(const LeaseRequest& message);
std::string to_json(const LeaseReply& message);
std::string to_json(const BudgetRequest& message);
std::string to_json(const Report& message);
std::string to_json(const SnapshotReply& message);
std::string to_json(const ParcelReply& message);

Result<ByteCounts> parse_byte_counts(std::string_view text);
Result<PollRequest> parse_poll_request(std::string_view text);
Result<PollReply> parse_poll_reply(std::string_view text);
Result<LeaseRequest> parse_lease_request(std::string_view text);
Result<LeaseReply> parse_lease_reply(std::string_view text);
Result<BudgetRequest> parse_budget_request(std::string_view text);
Result<Report> parse_report(std::string_view text);
Result<SnapshotReply> parse_snapshot_reply(std::string_view text);
Result<ParcelReply> parse_parcel_reply(std::string_view text);

}  // namespace lamina::wire
