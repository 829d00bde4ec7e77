// Neighbours: the devices of the site that this one heard on the LAN, by their beacons.
//
// A plain state machine: packets and the time in, decisions out; node/net/beacons.cpp has the
// socket and the keys. What a stranger can cost is bounded before any signature is looked at: the
// size of a packet, packets a second from one address and from all, addresses remembered. A beacon
// counts when it is of the site of the signed member list, from a device that the list names, newer
// than the last one of that device, and signed with its swarm certificate.
//
// Not thread-safe; all calls come from one event loop; `now` never goes back.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "shared/base/units.hpp"
#include "shared/format/beacon.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

class Neighbours {
 public:
  struct Limits {
    Duration every_away = std::chrono::seconds{3};     // Between own beacons without the origin...
    Duration every_home = std::chrono::minutes{1};     // ...and with it.
    Duration answer_within = std::chrono::seconds{1};  // A device that was not heard before.
    // Heard no more for so long: its address is again the one that the list has.
    Duration forget_after = std::chrono::minutes{10};
    // Packets of one address and of all addresses: a bucket of so many, filled again in a second.
    int packets_of_address = 8;
    int packets_of_all = 200;
    std::size_t addresses_max = 512;
  };

  Neighbours(Limits limits, DeviceId self, Instant now)
      : limits_(limits), self_(self), all_{static_cast<double>(limits.packets_of_all), now} {}

  // Whether a packet from `address` is looked at; most are refused under a flood.
  bool admit(const std::string& address, std::size_t size, Instant now);
  // Whether a beacon may count, its signature aside: `refused` says why not.
  Status judge(const format::Beacon& beacon, const format::SiteMembers& list) const;
  // A beacon that was judged and whose signature fits. True: the device is new, or elsewhere.
  bool heard(const format::Beacon& beacon, const std::string& address, Instant now);
  // Another site, or none: nobody of the old one is a neighbour.
  void forget();

  // The devices of the list, where they were heard last, else where the list has them.
  std::vector<wire::Peer> peers(const format::SiteMembers& list) const;
  // Whoever was heard, takes calls and knows the layer: those that hold all of it first.
  std::vector<wire::Peer> knowing(const LayerId& layer) const;
  std::size_t size() const { return seen_.size(); }

  // Own beacons: one is due at next_sending(); sent() plans the following one. `random` is uniform
  // in 64 bits: devices that start together must not speak together for ever.
  Instant next_sending() const { return next_; }
  void sent(Instant now, std::uint64_t random);
  // This device has what others may want: its next beacon is due now.
  void tell(Instant now) { send_by(now); }
  // Whether the origin is away; the next beacon is due soon when that changes.
  void set_away(bool away, Instant now, std::uint64_t random);
  bool is_away() const { return away_; }
  // Drops whom nobody heard for long. True: somebody was.
  bool expire(Instant now);

 private:
  struct Bucket {
    double left = 0;
    Instant filled{};
  };
  struct Seen {
    std::string address;
    std::uint16_t port = 0;
    std::uint16_t relay_port = 0;
    std::uint64_t counter = 0;
    std::vector<format::BeaconLayer> layers;
    Instant at{};
  };

  static bool take(Bucket& bucket, int size, Instant now);
  void send_by(Instant at) { next_ = std::min(next_, at); }

  Limits limits_;
  DeviceId self_;
  Bucket all_;
  std::map<std::string, Bucket> addresses_;
  std::map<DeviceId, Seen> seen_;
  bool away_ = false;
  Instant next_{};  // The first one at once.
};

}  // namespace lamina::node
