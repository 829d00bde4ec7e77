// How a device serves its site: what administrators settle about it, what it says about it, and the
// listing of both.
//
// Plain values. Parse rules as in enrol.hpp; byte counts are bytes, none may be negative.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"

namespace lamina::wire {

// Commands that a device has not carried out yet, networks, and rejected peers, of one device.
inline constexpr std::size_t kReflectorCommandsMax = 16;
inline constexpr std::size_t kReflectorNetworksMax = 64;
inline constexpr std::size_t kReflectorRejectedMax = 1024;

// Carried out once, in the order of the numbers, which are the device's own and only grow.
struct ReflectorCommand {
  std::uint64_t number = 0;
  std::string what;  // "sync" or "rebuild"
  bool operator==(const ReflectorCommand&) const = default;
};

// What administrators settled about one device. In the catalogue, in the answers to polls of a
// device that holds another version, and on the device's disk.
struct ReflectorSettings {
  std::uint64_t version = 0;    // Grows with every change; 0: nobody settled anything.
  std::string mode = "active";  // "active", "suspended" or "disabled"; any other: as "active".
  std::optional<std::int64_t> connections = std::nullopt;  // With peers, at most. Absent: its own.
  std::optional<std::int64_t> cache_bytes = std::nullopt;  // Of its cache. Absent: its own limit.
  std::vector<std::string>
      networks;                    // CIDR; their devices may connect though no peer list has them.
  std::vector<DeviceId> rejected;  // Peers of the site that this device does not serve.
  std::vector<ReflectorCommand> commands;  // Not known to be carried out.
  std::uint64_t last_command = 0;          // The number of the newest one there ever was.
  bool operator==(const ReflectorSettings&) const = default;
};

// The packs on a device's disk.
struct CacheState {
  std::int64_t bytes = 0;
  std::int64_t limit_bytes = 0;  // 0: none but the disk.
  std::int64_t kept_bytes = 0;   // Of layers that its own target does not need.
  std::int64_t over_bytes = 0;   // What its own target needs beyond the limit.
  bool operator==(const CacheState&) const = default;
};

// Of the devices that are connected to this one now, and of what it gave.
struct ServingState {
  std::int64_t peers_connected = 0;
  std::int64_t peers_served = 0;   // It gave them something since they connected.
  std::int64_t peers_waiting = 0;  // They still lack content of a layer that this device shares.
  std::int64_t sent_bytes = 0;     // To peers, ever; a restart takes nothing back.
  bool operator==(const ServingState&) const = default;
};

// How much of a layer a device holds.
struct LayerWarmth {
  std::string layer;  // "name:version"
  std::string use;    // "target", "staged", or "kept" for the site.
  std::int64_t held_bytes = 0;
  std::int64_t size_bytes = 0;
};

// One device of a site as its reflector, or one that could be.
struct ReflectorInfo {
  DeviceId device;
  std::string host_name;
  std::string site;
  std::string role;            // "acting", "standby", "suspended", "disabled", "unfit" or "silent"
  std::string reason;          // Of "unfit"; else empty.
  std::int64_t seen_ms = 0;    // Its last poll, since 1970; 0: never.
  std::int64_t wan_bytes = 0;  // It fetched so much over the line, ever.
  bool settled = true;         // The device holds the newest settings.
  ReflectorSettings settings;
  std::optional<ServingState> serving = std::nullopt;  // Absent: not said since the origin started.
  std::optional<CacheState> cache = std::nullopt;
  std::vector<LayerWarmth> layers;
};
struct ReflectorList {  // GET /v1/reflectors, GET /v1/sites/{name}/reflectors
  std::vector<ReflectorInfo> reflectors;
};

// POST /v1/devices/{id}/reflector: answered with the ReflectorInfo. `accept` and `reject` need the
// peer; `configure` sets what is there and leaves the rest.
struct ReflectorRequest {
  // "suspend", "resume", "disable", "enable", "sync", "rebuild", "accept", "reject", "configure"
  std::string action;
  std::optional<DeviceId> peer = std::nullopt;
  std::optional<std::int64_t> connections = std::nullopt;           // 0: the device's own.
  std::optional<std::int64_t> cache_bytes = std::nullopt;           // 0: the device's own limit.
  std::optional<std::vector<std::string>> networks = std::nullopt;  // In the place of all.
};

std::string to_json(const ReflectorSettings& message);
std::string to_json(const ReflectorInfo& message);
std::string to_json(const ReflectorList& message);
std::string to_json(const ReflectorRequest& message);

Result<ReflectorSettings> parse_reflector_settings(std::string_view text);
Result<ReflectorInfo> parse_reflector_info(std::string_view text);
Result<ReflectorList> parse_reflector_list(std::string_view text);
Result<ReflectorRequest> parse_reflector_request(std::string_view text);

}  // namespace lamina::wire
