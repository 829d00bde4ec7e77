#include "shared/format/record.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <set>

#include "shared/base/assert.hpp"
#include "shared/hash/sha256.hpp"

namespace lamina::format {
namespace {

constexpr std::string_view kRecordMagic = "LMrc";
constexpr std::string_view kEnvelopeMagic = "LMsg";
constexpr std::uint8_t kVersion = 1;
constexpr std::string_view kDomain = "lamina record signature v1";

constexpr std::uint8_t kSharesVersion = 2;          // Of a lease that names its shares.
constexpr std::uint8_t kAudienceVersion = 2;        // Of a distribution that says who needs a pack.
constexpr std::uint8_t kUpdateVersion = 3;          // Of one with updates.
constexpr std::uint16_t kRecordChangesFeature = 1;  // Of a layer.
constexpr std::uint16_t kScriptsFeature = 2;        // Of a layer.
constexpr std::uint16_t kRunningFeature = 4;        // Of a layer.
constexpr std::uint16_t kEnforceFeature = 1;        // Of a target.
constexpr std::uint16_t kUnprotectedFeature = 1;    // Of a snapshot.
constexpr std::uint16_t kVolumesFeature = 2;        // Of a snapshot.
constexpr std::size_t kServiceNameMax = 255;        // systemd.unit(5)

// Who needs a pack of a distribution.
enum class Audience : std::uint8_t { everyone = 0, unless = 1, update = 2, unless_updated = 3 };

void write_head(RecordType type, Writer& out, std::uint8_t version = kVersion,
                std::uint16_t features = 0) {
  out.raw(as_view(kRecordMagic));
  out.u8(static_cast<std::uint8_t>(type));
  out.u8(version);
  out.u16(features);
}

std::string record_name(RecordType type) { return std::string(name_of(type)) + " record"; }

struct Head {
  std::uint8_t version = 0;    // From 1 to `newest`.
  std::uint16_t features = 0;  // All of them known.
};

Result<Head> check_head(RecordType type, ByteView bytes, Reader& in, std::uint8_t newest = kVersion,
                        std::uint16_t known_features = 0) {
  if (bytes.size() > kRecordMax)
    return fail(ErrorKind::invalid, record_name(type) + " is larger than 1 MiB");
  const bool magic = as_text(in.raw(4)) == kRecordMagic;
  const std::uint8_t found = in.u8();
  const std::uint8_t version = in.u8();
  const std::uint16_t features = in.u16();
  if (in.failed() || !magic) return fail(ErrorKind::corrupt, "not a " + record_name(type));
  if (found != static_cast<std::uint8_t>(type))
    return fail(ErrorKind::invalid, "a record of type " + std::to_string(found) +
                                        " stands where a " + record_name(type) + " is needed");
  if (version < kVersion || version > newest)
    return fail(ErrorKind::invalid, record_name(type) + " has version " + std::to_string(version) +
                                        "; this program reads version " +
                                        (newest == kVersion ? "1" : "1 to ") +
                                        (newest == kVersion ? "" : std::to_string(newest)));
  if (const int lacking = features & ~known_features; lacking != 0)
    return fail(ErrorKind::invalid, record_name(type) +
                                        " needs features that this program lacks (bits " +
                                        std::to_string(lacking) + "): install a newer version");
  return Head{version, features};
}

// The record once all its bytes are used; `value` was read with `in`.
template <class Record>
Result<Record> finish(RecordType type, const Reader& in, Record value, bool fits = true) {
  if (!in.finished())
    return fail(ErrorKind::corrupt,
                record_name(type) + " is cut off, has bytes too many, or breaks a limit");
  if (!fits) return fail(ErrorKind::invalid, record_name(type) + " holds a value out of range");
  return value;
}

void write_stack(const std::vector<LayerId>& stack, Writer& out) {
  out.varint(stack.size());
  for (const LayerId& id : stack) out.raw(id.bytes());
}

std::vector<LayerId> read_stack(Reader& in) {
  const std::uint64_t count = in.count(LayerId::kSize);
  if (count > kStackMax) in.set_failed();
  std::vector<LayerId> stack;
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) stack.push_back(in.id<LayerId>());
  return stack;
}

void write_time(WallTime time, Writer& out) { out.svarint(time.ns); }
WallTime read_time(Reader& in) { return {in.svarint()}; }

// An address is its length (0: none) and its bytes.
void write_address(const std::string& text, Writer& out) {
  std::array<std::byte, 16> bytes;
  std::size_t size = 0;
  if (!text.empty()) {
    if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1)
      size = 4;
    else if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1)
      size = 16;
    LAMINA_ASSERT(size > 0);
  }
  out.u8(static_cast<std::uint8_t>(size));
  out.raw(ByteView(bytes).first(size));
}

std::string read_address(Reader& in) {
  const std::size_t size = in.u8();
  if (size == 0 || in.failed()) return {};
  const ByteView bytes = in.raw(size == 4 || size == 16 ? size : 0);
  if (bytes.empty()) {
    in.set_failed();
    return {};
  }
  char text[INET6_ADDRSTRLEN];
  LAMINA_ASSERT(inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text) !=
                nullptr);
  return text;
}

std::uint16_t read_port(Reader& in) { return static_cast<std::uint16_t>(in.varint(65535)); }

Buffer signed_message(RecordType type, ByteView record) {
  Writer out;
  out.text(kDomain);
  out.u8(static_cast<std::uint8_t>(type));
  out.bytes(record);
  return out.take();
}

}  // namespace

std::string_view name_of(RecordType type) {
  switch (type) {
    case RecordType::layer: return "layer";
    case RecordType::distribution: return "distribution";
    case RecordType::target: return "device target";
    case RecordType::lease: return "lease";
    case RecordType::snapshot: return "snapshot";
    case RecordType::members: return "member list";
  }
  return "unknown";
}

Status check_name(std::string_view name, std::string_view what) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const bool good = !name.empty() && name.size() <= kNameMax && alphanumeric(name.front()) &&
                    std::ranges::all_of(name, [&](char c) {
                      return alphanumeric(c) || c == '.' || c == '_' || c == '+' || c == '-';
                    });
  if (good) return Done{};
  return fail(ErrorKind::invalid,
              std::string(what) + " '" + printable(name, 80) +
                  "' must be 1 to 128 letters, digits or . _ + - and begin with a letter or digit");
}

std::string_view name_of(LayerKind kind) {
  switch (kind) {
    case LayerKind::base: return "base";
    case LayerKind::app: return "app";
    case LayerKind::driver: return "driver";
  }
  return "unknown";
}

Result<LayerKind> parse_layer_kind(std::string_view text) {
  for (const LayerKind kind : {LayerKind::base, LayerKind::app, LayerKind::driver})
    if (name_of(kind) == text) return kind;
  return fail(ErrorKind::invalid,
              "layer kind '" + printable(text, 40) + "' must be base, app or driver");
}

Status check_scripts(const std::vector<LayerScript>& scripts) {
  if (scripts.size() > kScriptsMax)
    return fail(ErrorKind::invalid,
                "a layer has at most " + std::to_string(kScriptsMax) + " scripts");
  std::size_t bytes = 0;
  std::set<std::string_view> names;
  for (const LayerScript& script : scripts) {
    const std::string what = "script '" + printable(script.name, 80) + "'";
    if (auto good = check_name(script.name, "script name"); !good) return good;
    if (!names.insert(script.name).second)
      return fail(ErrorKind::invalid, what + " is there twice");
    if (script.text.empty() || script.text.find('\0') != std::string::npos)
      return fail(ErrorKind::invalid, what + " is empty, or no text");
    if (script.limit == 0 || script.limit > kScriptLimitMax)
      return fail(ErrorKind::invalid, what + " must have between 1 s and 24 h to run");
    bytes += script.text.size();
    if (script.text.size() > kScriptBytesMax || bytes > kScriptsBytesMax)
      return fail(ErrorKind::invalid, what +
                                          " is too long: a script has at most 64 KiB, all of a "
                                          "layer 256 KiB");
  }
  return Done{};
}

Status check_services(const std::vector<std::string>& services) {
  if (services.size() > kServicesMax)
    return fail(ErrorKind::invalid,
                "a layer names at most " + std::to_string(kServicesMax) + " services");
  std::set<std::string_view> names;
  for (const std::string& service : services) {
    const bool good = !service.empty() && service.size() <= kServiceNameMax &&
                      service.front() != '-' && std::ranges::all_of(service, [](char c) {
                        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                               (c >= '0' && c <= '9') ||
                               std::string_view(":-_.\\@").find(c) != std::string_view::npos;
                      });
    if (!good)
      return fail(ErrorKind::invalid, "service '" + printable(service, 80) +
                                          "' is no name of a unit, such as nginx.service");
    if (!names.insert(service).second)
      return fail(ErrorKind::invalid, "service '" + service + "' is there twice");
  }
  return Done{};
}

std::string_view name_of(Enforce enforce) {
  switch (enforce) {
    case Enforce::no: return "";
    case Enforce::keep_user_apps: return "keep-user-apps";
    case Enforce::remove_user_apps: return "remove-user-apps";
  }
  return "";
}

Result<Enforce> parse_enforce(std::string_view text) {
  for (const Enforce enforce : {Enforce::keep_user_apps, Enforce::remove_user_apps})
    if (name_of(enforce) == text) return enforce;
  return fail(ErrorKind::invalid,
              "layers are enforced with 'keep-user-apps' or 'remove-user-apps', not with '" +
                  printable(text, 40) + "'");
}

namespace {

void write_scripts(const std::vector<LayerScript>& scripts, Writer& out) {
  out.varint(scripts.size());
  for (const LayerScript& script : scripts) {
    out.text(script.name);
    out.varint(script.limit);
    out.text(script.text);
  }
}

Result<std::vector<LayerScript>> read_scripts(Reader& in) {
  const std::uint64_t count = in.count(3);
  if (count == 0 || count > kScriptsMax) in.set_failed();  // One way only to say "none".
  std::vector<LayerScript> scripts;
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
    LayerScript script;
    script.name = in.text(kNameMax);
    script.limit = static_cast<std::uint32_t>(in.varint(kScriptLimitMax));
    script.text = in.text(kScriptBytesMax);
    scripts.push_back(std::move(script));
  }
  if (!in.failed())
    if (auto good = check_scripts(scripts); !good) return fail(std::move(good.error()));
  return scripts;
}

void write_running(const RunningNeeds& running, Writer& out) {
  out.varint(running.services.size());
  for (const std::string& service : running.services) out.text(service);
  out.u8(running.restart ? 1 : 0);
}

Result<RunningNeeds> read_running(Reader& in) {
  RunningNeeds running;
  const std::uint64_t count = in.count(2);
  if (count > kServicesMax) in.set_failed();
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i)
    running.services.push_back(in.text(kServiceNameMax));
  const std::uint8_t restart = in.u8();
  running.restart = restart == 1;
  if (restart > 1 || running == RunningNeeds{}) in.set_failed();  // One way only to say "nothing".
  if (!in.failed())
    if (auto good = check_services(running.services); !good) return fail(std::move(good.error()));
  return running;
}

}  // namespace

Buffer encode(const LayerRecord& record) {
  Writer out;
  const bool has_needs = record.running != RunningNeeds{};
  write_head(RecordType::layer, out, kVersion,
             static_cast<std::uint16_t>((record.has_record_changes ? kRecordChangesFeature : 0) |
                                        (record.scripts.empty() ? 0 : kScriptsFeature) |
                                        (has_needs ? kRunningFeature : 0)));
  out.text(record.name);
  out.text(record.version);
  out.varint(record.revision);
  out.u8(static_cast<std::uint8_t>(record.kind));
  out.text(record.platform.os_family);
  out.text(record.platform.distribution);
  out.text(record.platform.release);
  out.text(record.platform.architecture);
  encode_manifest_ref(record.manifest, out);
  write_time(record.created, out);
  out.varint(record.capture_rules.size());
  for (const std::string& rule : record.capture_rules) out.text(rule);
  if (!record.scripts.empty()) write_scripts(record.scripts, out);
  if (has_needs) write_running(record.running, out);
  return out.take();
}

Result<LayerRecord> parse_layer(ByteView bytes) {
  Reader in(bytes);
  const auto head = check_head(RecordType::layer, bytes, in, kVersion,
                               kRecordChangesFeature | kScriptsFeature | kRunningFeature);
  if (!head) return fail(head.error());
  LayerRecord record;
  record.has_record_changes = (head->features & kRecordChangesFeature) != 0;
  record.name = in.text(kNameMax);
  record.version = in.text(kNameMax);
  record.revision = in.varint();
  const std::uint8_t kind = in.u8();
  record.kind = static_cast<LayerKind>(kind);
  record.platform.os_family = in.text(kNameMax);
  record.platform.distribution = in.text(kNameMax);
  record.platform.release = in.text(kNameMax);
  record.platform.architecture = in.text(kNameMax);
  record.manifest = decode_manifest_ref(in);
  record.created = read_time(in);
  const std::uint64_t rules = in.count(1);
  for (std::uint64_t i = 0; i < rules && !in.failed(); ++i)
    record.capture_rules.push_back(in.text(kNameMax));
  if ((head->features & kScriptsFeature) != 0) {
    auto scripts = read_scripts(in);
    if (!scripts) return fail(std::move(scripts.error()));
    record.scripts = std::move(*scripts);
  }
  if ((head->features & kRunningFeature) != 0) {
    auto running = read_running(in);
    if (!running) return fail(std::move(running.error()));
    record.running = std::move(*running);
  }
  if (!in.failed()) {
    if (auto good = check_name(record.name, "layer name"); !good)
      return fail(std::move(good.error()));
    if (auto good = check_name(record.version, "layer version"); !good)
      return fail(std::move(good.error()));
  }
  return finish(RecordType::layer, in, std::move(record), kind >= 1 && kind <= 3);
}

namespace {

// The layers that packs of the record name, ascending: its packs name them by their numbers here.
std::vector<LayerId> named_layers(const DistributionRecord& record) {
  std::set<LayerId> layers;
  for (const DistributedPack& pack : record.packs) {
    layers.insert(pack.unless.begin(), pack.unless.end());
    layers.insert(pack.unless_updated.begin(), pack.unless_updated.end());
    layers.insert(pack.update_from.begin(), pack.update_from.end());
  }
  return {layers.begin(), layers.end()};
}

bool has_updates(const DistributionRecord& record) {
  return std::ranges::any_of(record.packs, [](const DistributedPack& pack) {
    return !pack.update_from.empty() || !pack.unless_updated.empty();
  });
}

void write_audience(const DistributedPack& pack, const std::vector<LayerId>& layers, Writer& out) {
  const auto number = [&](const LayerId& layer) {
    return static_cast<std::uint64_t>(std::ranges::lower_bound(layers, layer) - layers.begin());
  };
  const auto list = [&](const std::vector<LayerId>& named) {
    out.varint(named.size());
    for (const LayerId& layer : named) out.varint(number(layer));
  };
  const Audience audience = !pack.update_from.empty()      ? Audience::update
                            : !pack.unless_updated.empty() ? Audience::unless_updated
                            : !pack.unless.empty()         ? Audience::unless
                                                           : Audience::everyone;
  out.u8(static_cast<std::uint8_t>(audience));
  if (audience == Audience::update) list(pack.update_from);
  if (audience == Audience::unless || audience == Audience::unless_updated) list(pack.unless);
  if (audience == Audience::unless_updated) list(pack.unless_updated);
}

// `invalid` for an audience that this program does not know.
Status read_audience(Reader& in, const std::vector<LayerId>& layers, std::uint8_t audience_max,
                     DistributedPack& pack) {
  const std::uint8_t byte = in.u8();
  if (in.failed()) return Done{};
  if (byte > audience_max)
    return fail(ErrorKind::invalid, "distribution record has a pack for audience " +
                                        std::to_string(byte) +
                                        ", which this program does not know: install a newer "
                                        "version");
  const auto list = [&](std::vector<LayerId>& named, bool may_be_empty) {
    const std::uint64_t count = in.count(1);
    if (count == 0 && !may_be_empty) in.set_failed();  // One way only to say it.
    for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
      const std::uint64_t number = in.varint();
      if (number < layers.size() && (named.empty() || named.back() < layers[number]))
        named.push_back(layers[number]);
      else
        in.set_failed();
    }
  };
  const auto audience = static_cast<Audience>(byte);
  if (audience == Audience::update) list(pack.update_from, false);
  if (audience == Audience::unless) list(pack.unless, false);
  if (audience == Audience::unless_updated) {
    list(pack.unless, true);
    list(pack.unless_updated, false);
  }
  return Done{};
}

}  // namespace

Buffer encode(const DistributionRecord& record) {
  const std::vector<LayerId> layers = named_layers(record);
  Writer out;
  write_head(RecordType::distribution, out,
             has_updates(record) ? kUpdateVersion
             : layers.empty()    ? kVersion
                                 : kAudienceVersion);
  out.raw(record.layer.bytes());
  out.varint(record.sequence);
  out.raw(record.torrent.bytes());
  if (!layers.empty()) write_stack(layers, out);
  out.varint(record.packs.size());
  for (const DistributedPack& pack : record.packs) {
    out.raw(pack.id.bytes());
    out.varint(pack.size);
    out.u8(pack.is_metadata ? 1 : 0);
    if (!layers.empty()) write_audience(pack, layers, out);
  }
  return out.take();
}

Result<DistributionRecord> parse_distribution(ByteView bytes) {
  Reader in(bytes);
  const auto head = check_head(RecordType::distribution, bytes, in, kUpdateVersion);
  if (!head) return fail(head.error());
  const bool has_audiences = head->version >= kAudienceVersion;
  const auto audience_max = static_cast<std::uint8_t>(
      head->version == kUpdateVersion ? Audience::unless_updated : Audience::unless);
  DistributionRecord record;
  record.layer = in.id<LayerId>();
  record.sequence = in.varint();
  record.torrent = in.id<TorrentId>();
  std::vector<LayerId> layers;
  if (has_audiences) layers = read_stack(in);
  const std::uint64_t count = in.count(PackId::kSize + 2);
  if (count > kPacksMax) in.set_failed();
  bool ordered = true;
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
    DistributedPack pack;
    pack.id = in.id<PackId>();
    pack.size = in.varint(kPackBytesMax);
    const std::uint8_t metadata = in.u8();
    if (metadata > 1) in.set_failed();
    pack.is_metadata = metadata == 1;
    if (has_audiences)
      if (auto read = read_audience(in, layers, audience_max, pack); !read)
        return fail(std::move(read.error()));
    if (!record.packs.empty()) {
      const DistributedPack& last = record.packs.back();
      ordered =
          ordered && (last.is_metadata == pack.is_metadata ? last.id < pack.id : last.is_metadata);
    }
    record.packs.push_back(std::move(pack));
  }
  // The list is exactly the layers that packs name, in their order.
  const bool is_listed =
      in.failed() || (layers == named_layers(record) && (has_audiences == !layers.empty()) &&
                      has_updates(record) == (head->version == kUpdateVersion));
  return finish(RecordType::distribution, in, std::move(record), ordered && is_listed);
}

Buffer encode(const DeviceTarget& record) {
  Writer out;
  const bool enforces = record.enforce != Enforce::no;
  write_head(RecordType::target, out, kVersion, enforces ? kEnforceFeature : 0);
  out.raw(record.device.bytes());
  out.varint(record.sequence);
  write_time(record.issued, out);
  write_time(record.expires, out);
  write_stack(record.stack, out);
  out.u8(static_cast<std::uint8_t>(record.budget));
  out.varint(record.budget_value);
  if (enforces) {
    out.u8(static_cast<std::uint8_t>(record.enforce));
    out.varint(record.enforce_number);
  }
  if (!record.stage.empty()) write_stack(record.stage, out);
  return out.take();
}

Result<DeviceTarget> parse_target(ByteView bytes) {
  Reader in(bytes);
  const auto head = check_head(RecordType::target, bytes, in, kVersion, kEnforceFeature);
  if (!head) return fail(head.error());
  DeviceTarget record;
  record.device = in.id<DeviceId>();
  record.sequence = in.varint();
  record.issued = read_time(in);
  record.expires = read_time(in);
  record.stack = read_stack(in);
  const std::uint8_t budget = in.u8();
  record.budget = static_cast<WanBudget>(budget);
  record.budget_value = in.varint();
  bool fits = budget <= 2;
  if ((head->features & kEnforceFeature) != 0) {
    const std::uint8_t enforce = in.u8();
    record.enforce = static_cast<Enforce>(enforce);
    record.enforce_number = in.varint();
    fits = fits && (enforce == 1 || enforce == 2) && record.enforce_number > 0;
  }
  if (!in.failed() && in.remaining() > 0) {
    record.stage = read_stack(in);
    if (record.stage.empty()) in.set_failed();  // One way only to say "none".
  }
  return finish(RecordType::target, in, std::move(record), fits);
}

Buffer encode(const LeaseToken& record) {
  Writer out;
  write_head(RecordType::lease, out, record.shares.is_all() ? kVersion : kSharesVersion);
  out.text(record.site);
  out.raw(record.device.bytes());
  out.varint(record.epoch);
  write_time(record.expires, out);
  if (!record.shares.is_all()) {
    out.u8(ShareSet::kCount);
    out.u16(static_cast<std::uint16_t>(record.shares.bits()));
  }
  return out.take();
}

Result<LeaseToken> parse_lease(ByteView bytes) {
  Reader in(bytes);
  const auto head = check_head(RecordType::lease, bytes, in, kSharesVersion);
  if (!head) return fail(head.error());
  LeaseToken record;
  record.site = in.text(kNameMax);
  record.device = in.id<DeviceId>();
  record.epoch = in.varint();
  record.expires = read_time(in);
  bool fits = true;
  if (head->version == kSharesVersion) {
    const std::uint8_t count = in.u8();
    const std::uint16_t bits = in.u16();
    if (!in.failed() && count != ShareSet::kCount)
      return fail(ErrorKind::invalid, "lease record divides the pieces into " +
                                          std::to_string(count) + " shares; this program knows " +
                                          std::to_string(ShareSet::kCount));
    record.shares = ShareSet::from_bits(bits);
    // Some of them, and only shares that there are.
    fits = !record.shares.empty() && !record.shares.is_all() && record.shares.bits() == bits;
  }
  return finish(RecordType::lease, in, std::move(record), fits);
}

Buffer encode(const SnapshotRecord& record) {
  Writer out;
  std::uint16_t features = 0;
  if (!record.unprotected.empty()) features |= kUnprotectedFeature;
  if (!record.volumes.empty()) features |= kVolumesFeature;
  write_head(RecordType::snapshot, out, kVersion, features);
  out.raw(record.device.bytes());
  out.varint(record.sequence);
  out.raw(record.parent.bytes());
  write_time(record.created, out);
  out.text(record.reason);
  encode_manifest_ref(record.manifest, out);
  write_stack(record.stack, out);
  encode_chunk_refs(record.report, out);
  out.varint(record.reported_paths);
  if (!record.unprotected.empty()) encode(record.unprotected, out);
  if (!record.volumes.empty()) encode(record.volumes, out);
  return out.take();
}

Result<SnapshotRecord> parse_snapshot(ByteView bytes) {
  Reader in(bytes);
  const auto head =
      check_head(RecordType::snapshot, bytes, in, kVersion, kUnprotectedFeature | kVolumesFeature);
  if (!head) return fail(head.error());
  SnapshotRecord record;
  record.device = in.id<DeviceId>();
  record.sequence = in.varint();
  record.parent = in.id<SnapshotId>();
  record.created = read_time(in);
  record.reason = in.text(kNameMax);
  record.manifest = decode_manifest_ref(in);
  record.stack = read_stack(in);
  record.report = decode_chunk_refs(in, kRecordMax / ChunkId::kSize);
  record.reported_paths = in.varint();
  bool fits = true;
  if ((head->features & kUnprotectedFeature) != 0) {
    record.unprotected = decode_protection_rules(in);
    fits = !record.unprotected.empty();
  }
  if ((head->features & kVolumesFeature) != 0) record.volumes = decode_volumes(in);
  return finish(RecordType::snapshot, in, std::move(record), fits);
}

bool names(const SiteMembers& list, const DeviceId& device) {
  return std::ranges::binary_search(list.members, device, {}, &SiteMember::device);
}

Buffer encode(const SiteMembers& record) {
  Writer out;
  write_head(RecordType::members, out);
  out.text(record.site);
  out.varint(record.sequence);
  write_time(record.issued, out);
  out.varint(record.members.size());
  for (const SiteMember& member : record.members) {
    out.raw(member.device.bytes());
    write_address(member.address, out);
    out.varint(member.port);
    out.varint(member.relay_port);
  }
  return out.take();
}

Result<SiteMembers> parse_members(ByteView bytes) {
  Reader in(bytes);
  if (auto good = check_head(RecordType::members, bytes, in); !good)
    return fail(std::move(good.error()));
  SiteMembers record;
  record.site = in.text(kNameMax);
  record.sequence = in.varint();
  record.issued = read_time(in);
  const std::uint64_t count = in.count(DeviceId::kSize + 3);
  if (count > kMembersMax) in.set_failed();
  bool ordered = true;
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
    SiteMember member;
    member.device = in.id<DeviceId>();
    member.address = read_address(in);
    member.port = read_port(in);
    member.relay_port = read_port(in);
    ordered = ordered && (record.members.empty() || record.members.back().device < member.device);
    record.members.push_back(std::move(member));
  }
  return finish(RecordType::members, in, std::move(record), ordered);
}

Buffer sign_record(RecordType type, ByteView record, const PrivateKey& key) {
  const Signature signature = key.sign(signed_message(type, record));
  Writer out;
  out.raw(as_view(kEnvelopeMagic));
  out.u8(static_cast<std::uint8_t>(type));
  out.u8(kVersion);
  out.u16(0);
  out.bytes(record);
  out.raw(key.public_key().bytes());
  out.raw(signature);
  return out.take();
}

Result<SignedBytes> open_record(RecordType type, ByteView envelope,
                                std::span<const PublicKey> trusted) {
  Reader in(envelope);
  const std::string what = "signed " + record_name(type);
  const bool magic = as_text(in.raw(4)) == kEnvelopeMagic;
  const std::uint8_t found = in.u8();
  const std::uint8_t version = in.u8();
  const std::uint16_t features = in.u16();
  const ByteView record = in.bytes(kRecordMax);
  SignedBytes opened{to_buffer(record), in.id<PublicKey>()};
  const ByteView signature_bytes = in.raw(64);
  if (!in.finished() || !magic) return fail(ErrorKind::corrupt, "not a " + what);
  if (found != static_cast<std::uint8_t>(type))
    return fail(ErrorKind::invalid, "a signed record of type " + std::to_string(found) +
                                        " stands where a " + what + " is needed");
  if (version != kVersion || features != 0)
    return fail(ErrorKind::invalid, what + " needs a newer version of this program (version " +
                                        std::to_string(version) + ", features " +
                                        std::to_string(features) + ")");
  if (std::ranges::find(trusted, opened.signer) == trusted.end())
    return fail(ErrorKind::refused, what + " is signed by key " + opened.signer.short_hex() +
                                        ", which is not trusted here");
  Signature signature;
  std::ranges::copy(signature_bytes, signature.begin());
  if (!verify(opened.signer, signed_message(type, record), signature))
    return fail(ErrorKind::refused,
                what + " has a signature that does not fit key " + opened.signer.short_hex());
  return opened;
}

LayerId layer_id(ByteView envelope) { return digest<LayerId>(envelope); }
SnapshotId snapshot_id(ByteView record) { return digest<SnapshotId>(record); }

}  // namespace lamina::format
