// Records: what the parties of Lamina state to each other, in canonical bytes.
//
// Every record begins with magic, type, version and required-feature bits; a program refuses by
// name what it does not know. A *signed* record is an envelope: the record's bytes, the public key
// and an Ed25519 signature over a domain string, the type and the bytes, so that a signature made
// for one type never fits another. encode(parse(b)) == b: one record, one digest. See FORMAT.md,
// "Records". Values; any thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "shared/base/share_set.hpp"
#include "shared/base/units.hpp"
#include "shared/format/manifest.hpp"
#include "shared/format/protection.hpp"
#include "shared/hash/ed25519.hpp"

namespace lamina::format {

enum class RecordType : std::uint8_t {
  layer = 1,         // Signed by a publisher.
  distribution = 2,  // Signed by the origin's target key.
  target = 3,        // Signed by the origin's target key.
  lease = 4,         // Signed by the origin's lease key.
  snapshot = 5,      // Not signed: the device's TLS identity and the chunk ids vouch for it.
  members = 6,       // Signed by the origin's target key.
};
std::string_view name_of(RecordType type);

constexpr std::size_t kRecordMax = std::size_t{1} << 20;
constexpr std::size_t kNameMax = 128;     // Names of layers, sites, rules.
constexpr std::size_t kStackMax = 256;    // Layers on one device.
constexpr std::size_t kPacksMax = 16384;  // Of one layer: 256 GiB at 16 MiB a pack.
constexpr std::uint64_t kPackBytesMax = std::uint64_t{64} << 20;

// Whether `name` may name a layer, version, site or token: 1 to 128 characters of a-z A-Z 0-9 . _ +
// - that begin with a letter or digit.
Status check_name(std::string_view name, std::string_view what);

enum class LayerKind : std::uint8_t { base = 1, app = 2, driver = 3 };
std::string_view name_of(LayerKind kind);
Result<LayerKind> parse_layer_kind(std::string_view text);

// What a layer fits: an app layer only goes onto a base layer with the same four.
struct Platform {
  std::string os_family;     // "linux"
  std::string distribution;  // "debian"
  std::string release;       // "12": the major release.
  std::string architecture;  // "x86_64"
  bool operator==(const Platform&) const = default;
};

// A program that a layer brings: a device runs it as root in its volume after an apply that made
// the layer part of the stack.
struct LayerScript {
  std::string name;         // "10-defaults.sh": for reports.
  std::uint32_t limit = 0;  // Seconds; then it is killed. At least 1.
  std::string text;         // The kernel runs it by its first line "#!...", else sh does.
  bool operator==(const LayerScript&) const = default;
};
constexpr std::size_t kScriptsMax = 16;                         // Of one layer.
constexpr std::size_t kScriptBytesMax = std::size_t{64} << 10;  // Of one script.
constexpr std::size_t kScriptsBytesMax = std::size_t{256} << 10;
constexpr std::uint32_t kScriptLimitMax = 86400;

// What a running system has to do about an apply that brings a layer or takes it away.
struct RunningNeeds {
  // Units of the service manager ("nginx.service"): those that run are stopped before the swap and
  // started after it.
  std::vector<std::string> services;
  bool restart = false;  // The device is wholly on the new stack after a restart only.
  bool operator==(const RunningNeeds&) const = default;
};
constexpr std::size_t kServicesMax = 64;

// Content only; never changes. Its id is the SHA-256 of the signed envelope.
struct LayerRecord {
  std::string name;
  std::string version;
  std::uint64_t revision = 0;  // Rises with every version of a name: which of two is newer.
  LayerKind kind = LayerKind::base;
  Platform platform;
  ManifestRef manifest;
  WallTime created;
  std::vector<std::string> capture_rules;  // Names of the rules that left things out.
  // Some of its entries hold record changes: programs that cannot merge them refuse the layer.
  bool has_record_changes = false;
  // In their order. Programs that run none, or know no services, refuse a layer that has some.
  std::vector<LayerScript> scripts = {};
  RunningNeeds running = {};
  bool operator==(const LayerRecord&) const = default;
};

// `invalid` names what breaks a limit, is no name, or is there twice.
Status check_scripts(const std::vector<LayerScript>& scripts);
Status check_services(const std::vector<std::string>& services);

struct DistributedPack {
  PackId id;
  std::uint64_t size = 0;  // Bytes of the file.
  bool is_metadata = false;
  // Ascending. What the layer needs of the pack is in each of these layers too: a device that has
  // one of them whole does not need the pack.
  std::vector<LayerId> unless = {};
  // Ascending. What the layer needs of the pack is in each of these layers, taken together with the
  // update from it: a device with both does not need the pack.
  std::vector<LayerId> unless_updated = {};
  // Ascending. Not empty: the pack is no part of the layer's content but of the updates from these
  // layers (shared/update). Only a device that has one of them whole, and lacks packs that its
  // update stands for, has any use for it.
  std::vector<LayerId> update_from = {};
  bool operator==(const DistributedPack&) const = default;
};

// Whether every device that has the layer whole has the pack.
inline bool is_for_everyone(const DistributedPack& pack) {
  return pack.unless.empty() && pack.unless_updated.empty() && pack.update_from.empty();
}

// How to get a layer now. Replaceable: a new one has a higher sequence. A device that has no other
// layer needs all of these but those of updates.
struct DistributionRecord {
  LayerId layer;
  std::uint64_t sequence = 0;
  TorrentId torrent;
  std::vector<DistributedPack> packs;  // Metadata packs first; ascending ids within each group.
  bool operator==(const DistributionRecord&) const = default;
};

enum class WanBudget : std::uint8_t { never = 0, after = 1, up_to = 2 };

// How far a device is made equal to its stack where the layers did not change.
enum class Enforce : std::uint8_t {
  no = 0,
  keep_user_apps = 1,    // What is in no layer stays.
  remove_user_apps = 2,  // It goes, but for what is a device's own (shared/image/rules.hpp).
};
std::string_view name_of(Enforce enforce);             // "", "keep-user-apps", "remove-user-apps"
Result<Enforce> parse_enforce(std::string_view text);  // Of the two that enforce.

// What one device must have. A device refuses a sequence below the last it accepted.
struct DeviceTarget {
  DeviceId device;
  std::uint64_t sequence = 0;
  WallTime issued;
  WallTime expires;
  std::vector<LayerId> stack;  // Base first; the last wins.
  // For nodes that do not hold their site's lease: when they may dial the origin after all.
  WanBudget budget = WanBudget::never;
  std::uint64_t budget_value = 0;  // after: seconds; up_to: bytes; never: 0.
  // Layers to have in the cache and not to apply: a later target will name them.
  std::vector<LayerId> stage = {};
  // To be done once: by an apply of a device that has enforced no number as high. Programs that
  // cannot refuse the target.
  Enforce enforce = Enforce::no;
  std::uint64_t enforce_number = 0;  // 0 exactly when nothing is enforced.
  bool operator==(const DeviceTarget&) const = default;
};

// Lets its bearer fetch its shares from the origin's seeders for its site until it expires. A token
// for all shares is of version 1, one for some of them, never none, of version 2.
struct LeaseToken {
  std::string site;
  DeviceId device;
  std::uint64_t epoch = 0;
  WallTime expires;
  ShareSet shares = ShareSet::all();
  bool operator==(const LeaseToken&) const = default;
};

// A device of a site, as the origin knew it. One that was never heard of has no address.
struct SiteMember {
  DeviceId device;
  std::string address;           // IP address without a port, or empty.
  std::uint16_t port = 0;        // Of its swarm; 0: it shares nothing.
  std::uint16_t relay_port = 0;  // Where it takes uploads; 0: nowhere.
  bool operator==(const SiteMember&) const = default;
};

constexpr std::size_t kMembersMax = 4096;

// Who belongs to a site: what its devices go by while the origin cannot be reached. A device
// refuses one of the same site whose sequence is not higher than that of the last it accepted.
struct SiteMembers {
  std::string site;
  std::uint64_t sequence = 0;
  WallTime issued;
  std::vector<SiteMember> members;  // Ascending by device; each once.
  bool operator==(const SiteMembers&) const = default;
};

// Whether the list, in its order, has the device.
bool names(const SiteMembers& list, const DeviceId& device);

struct SnapshotRecord {
  DeviceId device;
  std::uint64_t sequence = 0;  // Rises with every snapshot of a device.
  SnapshotId parent;           // None for the first.
  WallTime created;
  std::string reason;  // "interval", "request", "before-apply", ...
  ManifestRef manifest;
  std::vector<LayerId> stack;    // What was applied when it was taken.
  std::vector<ChunkRef> report;  // Paths skipped, changed or unreadable: text, one per line.
  std::uint64_t reported_paths = 0;
  // What a policy left out of it, beside what no snapshot holds.
  std::vector<ProtectionRule> unprotected = {};
  // The places of the file systems that it holds beside the device's first one, in path order.
  std::vector<std::string> volumes = {};
  bool operator==(const SnapshotRecord&) const = default;
};

// Canonical bytes of a record, and the reverse. Errors name the record's type and what is wrong.
Buffer encode(const LayerRecord& record);
Buffer encode(const DistributionRecord& record);
Buffer encode(const DeviceTarget& record);
Buffer encode(const LeaseToken& record);
Buffer encode(const SnapshotRecord& record);
Buffer encode(const SiteMembers& record);  // Addresses must be IP addresses or empty.
Result<LayerRecord> parse_layer(ByteView bytes);
Result<DistributionRecord> parse_distribution(ByteView bytes);
Result<DeviceTarget> parse_target(ByteView bytes);
Result<LeaseToken> parse_lease(ByteView bytes);
Result<SnapshotRecord> parse_snapshot(ByteView bytes);
Result<SiteMembers> parse_members(ByteView bytes);

// The signed envelope of a record made by encode().
Buffer sign_record(RecordType type, ByteView record, const PrivateKey& key);

// The record's bytes, once the envelope is whole, of this type, signed by one of `trusted`, and the
// signature fits. `refused` for an untrusted key or a wrong signature, naming type and key.
struct SignedBytes {
  Buffer record;
  PublicKey signer;
};
Result<SignedBytes> open_record(RecordType type, ByteView envelope,
                                std::span<const PublicKey> trusted);

// The id of a layer: the SHA-256 of its signed envelope. Of a snapshot: of its record's bytes.
LayerId layer_id(ByteView envelope);
SnapshotId snapshot_id(ByteView record);

}  // namespace lamina::format
