// Beacon: what a device says of itself on its LAN, in one datagram, so that the devices of its site
// find it while the origin cannot be reached.
//
// The body is signed with the key of the device's swarm certificate, which comes with it: a
// receiver needs nothing but the swarm CA and the signed member list. Canonical bytes:
// encode(parse(b)) == b. See FORMAT.md, "Beacon". Plain values; any thread.
#pragma once

#include <string>
#include <vector>

#include "shared/format/record.hpp"

namespace lamina::format {

constexpr std::size_t kBeaconMax = 1400;  // Of a datagram: fits a frame of Ethernet whole.
constexpr std::size_t kBeaconLayersMax = 12;

struct BeaconLayer {
  LayerId layer;
  bool is_complete = false;
  bool operator==(const BeaconLayer&) const = default;
};

struct Beacon {
  std::string site;
  DeviceId device;
  // Only grows for a device, over its restarts too: an older beacon is a replay.
  std::uint64_t counter = 0;
  std::uint16_t port = 0;           // Of its swarm.
  std::uint16_t relay_port = 0;     // Where it takes uploads; 0: nowhere.
  std::uint64_t list_sequence = 0;  // Of the member list that it holds.
  std::vector<BeaconLayer> layers;  // The first of those that it holds or fetches.
  bool operator==(const Beacon&) const = default;
};

struct SignedBeacon {
  Beacon beacon;
  Buffer certificate;  // X.509, DER.
  Buffer signature;    // ECDSA with SHA-256 over signed_bytes(beacon), DER.
  bool operator==(const SignedBeacon&) const = default;
};

// What is signed: a domain of its own, and the body.
Buffer signed_bytes(const Beacon& beacon);
Buffer encode(const SignedBeacon& beacon);
// `corrupt` or `invalid`; proves nothing.
Result<SignedBeacon> parse_beacon(ByteView datagram);

}  // namespace lamina::format
