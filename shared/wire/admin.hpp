// What the administrator's programs and the origin say to each other: records of layers, sites,
// devices, tokens, snapshots and the audit log, and the few requests that change them.
//
// Plain values. Parse rules as in enrol.hpp. Times are milliseconds since 1970 (0: never).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/wire/node.hpp"

namespace lamina::wire {

// One version of a layer, as listed. The signed record itself is a binary body.
struct LayerInfo {
  LayerId id;
  std::string name;
  std::string version;
  std::string kind;  // "base", "app", "driver"
  std::string os_family;
  std::string distribution;
  std::string release;
  std::string architecture;
  std::int64_t created_ms = 0;
  std::int64_t published_ms = 0;
  std::int64_t files = 0;
  std::int64_t plain_bytes = 0;   // Of all file content.
  std::int64_t stored_bytes = 0;  // Of its packs.
  std::int64_t chunks = 0;
  std::int64_t packs = 0;
  // Among them, those that devices with certain earlier layers do not need. Absent: none.
  std::optional<std::int64_t> fresh_packs = std::nullopt;
  std::optional<std::int64_t> fresh_bytes = std::nullopt;
  // Written for these when it was published. Only in the answer to that.
  std::optional<std::int64_t> written_anew_bytes = std::nullopt;
  // What it does to a device beside its files (format::LayerRecord). Absent: nothing of the kind.
  std::optional<std::vector<std::string>> scripts = std::nullopt;  // Their names.
  std::optional<std::vector<std::string>> services = std::nullopt;
  std::optional<bool> needs_restart = std::nullopt;
  // What a device fetches that has an earlier version of the name, by that version: of those for
  // which there is an update. Only in the answer to publishing.
  std::optional<std::map<std::string, std::int64_t>> update_bytes = std::nullopt;
};
struct LayerList {
  std::vector<LayerInfo> layers;
};

// POST /v1/layers: 201.
struct PublishReply {
  LayerInfo layer;
};

// By which networks devices are known to be at a site: one is there when the origin sees it come
// from one of `publics` and its own address is in one of `subnets`.
struct SiteNetworks {
  std::vector<std::string> subnets;  // CIDR or address; each list at most kNetworksMax.
  std::vector<std::string> publics;
  bool automatic = false;  // Devices that are there are placed here by themselves.
  bool enforce = false;    // Devices placed by hand or token must be there too.
  bool operator==(const SiteNetworks&) const = default;
};
inline constexpr std::size_t kNetworksMax = 64;

struct SiteInfo {
  std::string name;
  std::string subnet;  // CIDR, or empty.
  std::int64_t devices = 0;
  std::optional<DeviceId> lease_holder;
  // false: no device is made the site's reflector by itself. Absent: true.
  std::optional<bool> appoint;
  std::optional<SiteNetworks> networks = std::nullopt;  // Absent: it has none.
  // All devices that hold a lease of the site, `lease_holder` first. Absent: that one alone.
  std::optional<std::vector<DeviceId>> lease_holders = std::nullopt;
  std::optional<int> reflectors = std::nullopt;  // How many it uses. Absent: 1.
  // Those that come before any other, as configured. Absent: none.
  std::optional<std::vector<DeviceId>> reflector_devices = std::nullopt;
  // "swarm" or "https": how its line is used. Absent: as its devices find out.
  std::optional<std::string> transport = std::nullopt;
};
struct SiteList {
  std::vector<SiteInfo> sites;
};
struct SiteRequest {  // POST /v1/sites
  std::string name;
  std::string subnet;
  std::optional<SiteNetworks> networks = std::nullopt;  // As POST /v1/sites/{name}/networks.
};

// What a site received within the last `days` days, today (UTC) included: `lan_bytes` from its own
// devices, each of which would have crossed the line without them, and `wan_bytes` over the line.
struct SiteSavings {
  std::string site;
  std::int64_t days = 0;
  std::int64_t lan_bytes = 0;
  std::int64_t wan_bytes = 0;
  // The most bits per second that one of its devices received over the line, between two polls that
  // were at least 10 s apart. What the line can carry is at least that. Absent: none was seen.
  std::optional<std::int64_t> wan_rate = std::nullopt;
};
struct SavingsList {  // GET /v1/savings: 7 and 28 days of every site.
  std::vector<SiteSavings> savings;
};

// Something that an operator should look at, as long as it lasts.
struct AlertInfo {
  std::string kind;    // "certificate-expiring", "disk-low", "device-stale", "reflector-down"
  std::string object;  // "origin", "certificate:NAME", "device:HEX", "site:NAME"
  std::int64_t since_ms = 0;
  std::string text;
};
struct AlertList {  // GET /v1/alerts
  std::vector<AlertInfo> alerts;
};

struct AppointRequest {  // POST /v1/sites/{name}/appoint
  bool appoint = true;
};
struct TransportRequest {  // POST /v1/sites/{name}/transport
  std::string transport;   // "auto", "swarm" or "https"
};

inline constexpr int kReflectorsMax = 4;  // That a site uses at a time.
inline constexpr int kReflectorDevicesMax = 16;
// POST /v1/sites/{name}/reflectors, answered with the SiteInfo. What is absent stays as it is; an
// empty list of devices: none come before others.
struct ReflectorsRequest {
  std::optional<int> count = std::nullopt;                      // From 1 to kReflectorsMax.
  std::optional<std::vector<DeviceId>> devices = std::nullopt;  // Of the site, each once.
};

// GET and PUT /v1/rules: all bandwidth rules, as shared/policy/bandwidth_rules.hpp describes them.
struct RuleSet {
  std::string csv;  // At most kMessageMax here; the rules' own bounds are tighter.
};

struct DeviceInfo {
  DeviceId id;
  DeviceStatus status = DeviceStatus::pending;
  std::string site;
  std::string host_name;
  std::string hardware_uuid;
  std::string node_version;
  std::string lan_address;
  std::map<std::string, std::string> attributes;
  std::int64_t enrolled_ms = 0;
  // Of the last poll; 0: not yet. After a restart of the origin up to an hour too old.
  std::int64_t seen_ms = 0;
  std::int64_t certificate_expires_ms = 0;
  std::uint64_t target_sequence = 0;
  std::uint64_t applied_sequence = 0;
  std::vector<std::string> target;  // "name:version", base first.
  std::vector<std::string> applied;
  std::optional<std::vector<std::string>> staged;  // For its cache only, until a rollout's wave.
  std::optional<std::string> unfit;                // Why it should not serve its site; as it said.
  std::int64_t missing_bytes = 0;
  std::optional<std::vector<LayerState>> layers;  // As it said in its last poll.
  std::optional<Report> last_report;        // Without its scripts: the transactions have them.
  std::optional<ByteCounts> bytes;          // As it said in its last poll; no number ever shrinks.
  std::optional<DiskSpace> disk;            // As it said in a poll since the origin started.
  std::optional<std::uint16_t> swarm_port;  // Where peers reach it; as it said in its last poll.
  std::optional<std::uint16_t> relay_port;  // Likewise for uploads.
  std::optional<std::string> public_address;  // From where its last poll came.
  // How it came to its site: "hand", "token" or "network". Absent: by hand or token.
  std::optional<std::string> placed;
  // Why the site is closed to it, or why it is in none, and the next step. Absent: it is not.
  std::optional<std::string> waiting;
  std::optional<ReflectorSettings> reflector;  // Absent: nobody settled anything.
  // The layers because of which it has to be restarted; as it said in its last poll.
  std::optional<std::vector<std::string>> restart_due = std::nullopt;
  // What its next apply enforces, and the target sequence that first asked for it. Absent: nothing.
  std::optional<std::string> enforce = std::nullopt;
  std::optional<std::uint64_t> enforce_number = std::nullopt;
  // How its CVD is kept: "archived" (kCvdArchived). Absent: as its policy says.
  std::optional<std::string> cvd = std::nullopt;
  // The device that has its CVD now, and that it is the same machine as or was replaced by. Absent:
  // none.
  std::optional<DeviceId> successor = std::nullopt;
  // Why it makes no snapshots now, and the next step. Absent: it makes them.
  std::optional<std::string> uploads_wait = std::nullopt;
  // true: layers are captured from it; sites, collections and rollouts leave it alone. Absent: no.
  std::optional<bool> reference = std::nullopt;
  // When it was taken out of service for good; its status is `rejected` then. Absent: it was not.
  std::optional<std::int64_t> decommissioned_ms = std::nullopt;
  // Which policy it has ("NAME VERSION, by ..."); only in answers.
  std::optional<std::string> policy = std::nullopt;
  std::optional<Hardware> hardware = std::nullopt;  // As it said. Absent: it did not yet.
  // The last word of an administrator. Absent: there was none.
  std::optional<Snooze> snooze = std::nullopt;
  // Until then it makes no snapshots by itself, as it said since the origin started; only in
  // answers. Absent: it does.
  std::optional<std::int64_t> snoozed_until_ms = std::nullopt;
};
// Its snapshots stay, whatever retention says, and none is added.
inline constexpr std::string_view kCvdArchived = "archived";
// GET /v1/devices: all of them. GET /v1/devices?after=ID: at most kDevicesPerPage, in the order of
// their ids, those that follow ID, or the first where it is empty; device_pages.hpp asks for all.
struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::optional<bool> more;  // Of a page: there are further ones.
};
inline constexpr std::size_t kDevicesPerPage = 2'000;
// GET /v1/devices/{id}/transactions: what the device reported, oldest first, at most the newest
// kTransactionsMax.
inline constexpr std::size_t kTransactionsMax = 200;
struct TransactionList {
  std::vector<Report> transactions;
};
struct PlaceRequest {  // POST /v1/devices/{id}/assign
  std::string site;    // Empty: by its network from now on.
};

// Devices that an administrator means by one name: those listed, or those that a filter
// (shared/policy/device_filter.hpp) takes whenever an operation uses it; one of the two.
struct CollectionInfo {
  std::string name;
  std::optional<std::vector<DeviceId>> devices = std::nullopt;  // At most kCollectionMax.
  std::optional<std::string> filter = std::nullopt;
  std::int64_t changed_ms = 0;
};
inline constexpr std::size_t kCollectionMax = 10'000;
struct CollectionList {  // GET /v1/collections
  std::vector<CollectionInfo> collections;
};
// POST /v1/collections: `devices` or `filter`. POST /v1/collections/{name}: what takes their place,
// or what a list gets and loses.
struct CollectionRequest {
  std::string name;
  std::optional<std::vector<DeviceId>> devices = std::nullopt;
  std::optional<std::string> filter = std::nullopt;
  std::optional<std::vector<DeviceId>> add = std::nullopt;
  std::optional<std::vector<DeviceId>> remove = std::nullopt;
};
struct CollectionDetail {  // GET /v1/collections/{name}
  CollectionInfo collection;
  std::vector<DeviceId> members;  // Now, ascending; whatever their status.
};

// POST /v1/assignments: exactly one of site, collection and devices; layers as "name:version", base
// first; the last wins. An empty list takes every layer away.
struct AssignmentRequest {
  std::string site;
  std::vector<DeviceId> devices;
  std::vector<std::string> layers;
  // When a device that does not hold its site's lease may use the line: shared/format/wan_budget.
  // Absent: never.
  std::optional<std::string> wan_budget;
  // true: the layers are for the devices' caches only, beside the stack that they have; an empty
  // list takes what was staged away. Absent: false.
  std::optional<bool> stage = std::nullopt;
  // Its members that are in a site. Absent: none is meant.
  std::optional<std::string> collection = std::nullopt;
  // POST /v1/assignments/change, with `layers` empty: each device keeps the stack that it has,
  // without the layers of these names and with these, which take the place of another version or
  // come last.
  std::optional<std::vector<std::string>> add = std::nullopt;
  std::optional<std::vector<std::string>> remove = std::nullopt;
  // POST /v1/assignments/enforce, with no layers: "keep-user-apps" or "remove-user-apps"
  // (format::Enforce). Each device is made equal to the stack that it has.
  std::optional<std::string> enforce = std::nullopt;
};
struct AssignmentReply {
  std::vector<DeviceId> devices;  // Those that got a new target.
  std::int64_t accepted_ms = 0;
};

// POST /v1/assignments/upgrade: the newest version of a layer, wherever an older one is assigned.
struct UpgradeRequest {
  std::string name;
  std::optional<std::string> wan_budget = std::nullopt;  // As of an assignment.
};
struct UpgradeMove {
  std::vector<DeviceId> devices;    // With one stack in common.
  std::string from;                 // "firefox:1"
  std::vector<std::string> layers;  // What they get.
  // Why they stay as they are. Absent: they move.
  std::optional<std::string> refused = std::nullopt;
};
struct UpgradeReply {
  std::string to;  // "firefox:3"
  std::vector<UpgradeMove> moves;
};

struct TokenRequest {  // POST /v1/tokens
  std::string name;
  std::string kind;       // "admin", "enrol", or "metrics": opens GET /metrics only.
  std::int64_t uses = 0;  // Enrolments it is good for (enrol only, at least 1).
  std::int64_t ttl_ms = 0;
  std::string site;  // Enrol only: devices are placed there at once. Empty: pending.
  // Enrol only, for one use: the device gets the CVD of this one (device_life.hpp). Absent: none.
  std::optional<DeviceId> cvd = std::nullopt;
};
struct TokenReply {  // The only time that the secret is seen.
  std::string name;
  std::string secret;
  std::int64_t expires_ms = 0;
};
struct TokenInfo {
  std::string name;
  std::string kind;
  std::string site;
  std::int64_t created_ms = 0;
  std::int64_t expires_ms = 0;
  std::int64_t uses_left = 0;
  std::optional<DeviceId> cvd = std::nullopt;  // As it was asked for.
};
struct TokenList {
  std::vector<TokenInfo> tokens;
};

struct CvdInfo {
  DeviceId device;
  std::string host_name;
  std::int64_t snapshots = 0;
  std::int64_t newest_ms = 0;
  std::optional<std::string> state = std::nullopt;  // As DeviceInfo::cvd.
};
struct CvdList {
  std::vector<CvdInfo> cvds;
};
struct SnapshotInfo {
  SnapshotId id;
  std::uint64_t number = 0;  // 1, 2, 3... within the CVD.
  std::int64_t created_ms = 0;
  std::string reason;  // "schedule", "before-apply", "request"...
  std::int64_t files = 0;
  std::int64_t plain_bytes = 0;
};
// A snapshot that a relay of the device's site holds: the origin has it not yet, or not all of it.
struct SnapshotAtSite {
  SnapshotId id;
  DeviceId relay;
  std::int64_t bytes = 0;
  std::int64_t age_ms = 0;
};
struct SnapshotList {
  std::vector<SnapshotInfo> snapshots;  // Protected: the origin has all of each.
  std::optional<std::vector<SnapshotAtSite>> at_site = std::nullopt;  // Absent: none.
};

// One link of the audit chain: hash = SHA-256(previous hash, canonical line).
struct AuditEntry {
  std::uint64_t number = 0;
  std::int64_t time_ms = 0;
  std::string actor;   // "admin:NAME", "device:HEX", "origin"
  std::string action;  // "layer.publish", "cvd.read"...
  std::string object;
  std::string detail;
  std::string hash;  // 64 hex digits.
};
struct AuditList {
  std::vector<AuditEntry> entries;
  bool intact = true;  // The whole chain was recomputed and fits.
  std::string head;    // Hash of the newest entry.
};

struct Health {  // GET /health
  std::string version;
  int protocol = 0;
};

std::string to_json(const LayerInfo& message);
std::string to_json(const LayerList& message);
std::string to_json(const PublishReply& message);
std::string to_json(const SiteInfo& message);
std::string to_json(const SiteList& message);
std::string to_json(const SiteSavings& message);
std::string to_json(const SavingsList& message);
std::string to_json(const AlertInfo& message);
std::string to_json(const AlertList& message);
std::string to_json(const SiteRequest& message);
std::string to_json(const SiteNetworks& message);
std::string to_json(const AppointRequest& message);
std::string to_json(const TransportRequest& message);
std::string to_json(const ReflectorsRequest& message);
std::string to_json(const RuleSet& message);
std::string to_json(const DeviceInfo& message);
std::string to_json(const DeviceList& message);
std::string to_json(const TransactionList& message);
std::string to_json(const PlaceRequest& message);
std::string to_json(const CollectionInfo& message);
std::string to_json(const CollectionList& message);
std::string to_json(const CollectionRequest& message);
std::string to_json(const CollectionDetail& message);
std::string to_json(const AssignmentRequest& message);
std::string to_json(const AssignmentReply& message);
std::string to_json(const UpgradeRequest& message);
std::string to_json(const UpgradeReply& message);
std::string to_json(const TokenRequest& message);
std::string to_json(const TokenReply& message);
std::string to_json(const TokenInfo& message);
std::string to_json(const TokenList& message);
std::string to_json(const CvdList& message);
std::string to_json(const SnapshotInfo& message);
std::string to_json(const SnapshotList& message);
std::string to_json(const AuditEntry& message);
std::string to_json(const AuditList& message);
std::string to_json(const Health& message);

Result<LayerInfo> parse_layer_info(std::string_view text);
Result<LayerList> parse_layer_list(std::string_view text);
Result<PublishReply> parse_publish_reply(std::string_view text);
Result<SiteInfo> parse_site_info(std::string_view text);
Result<SiteList> parse_site_list(std::string_view text);
Result<SavingsList> parse_savings_list(std::string_view text);
Result<AlertInfo> parse_alert_info(std::string_view text);
Result<AlertList> parse_alert_list(std::string_view text);
Result<SiteRequest> parse_site_request(std::string_view text);
Result<SiteNetworks> parse_site_networks(std::string_view text);
Result<AppointRequest> parse_appoint_request(std::string_view text);
Result<TransportRequest> parse_transport_request(std::string_view text);
Result<ReflectorsRequest> parse_reflectors_request(std::string_view text);
Result<RuleSet> parse_rule_set(std::string_view text);
Result<DeviceInfo> parse_device_info(std::string_view text);
Result<DeviceList> parse_device_list(std::string_view text);
Result<TransactionList> parse_transaction_list(std::string_view text);
Result<PlaceRequest> parse_place_request(std::string_view text);
Result<CollectionInfo> parse_collection_info(std::string_view text);
Result<CollectionList> parse_collection_list(std::string_view text);
Result<CollectionRequest> parse_collection_request(std::string_view text);
Result<CollectionDetail> parse_collection_detail(std::string_view text);
Result<AssignmentRequest> parse_assignment_request(std::string_view text);
Result<AssignmentReply> parse_assignment_reply(std::string_view text);
Result<UpgradeRequest> parse_upgrade_request(std::string_view text);
Result<UpgradeReply> parse_upgrade_reply(std::string_view text);
Result<TokenRequest> parse_token_request(std::string_view text);
Result<TokenReply> parse_token_reply(std::string_view text);
Result<TokenInfo> parse_token_info(std::string_view text);
Result<TokenList> parse_token_list(std::string_view text);
Result<CvdList> parse_cvd_list(std::string_view text);
Result<SnapshotInfo> parse_snapshot_info(std::string_view text);
Result<SnapshotList> parse_snapshot_list(std::string_view text);
Result<AuditEntry> parse_audit_entry(std::string_view text);
Result<AuditList> parse_audit_list(std::string_view text);
Result<Health> parse_health(std::string_view text);

}  // namespace lamina::wire
