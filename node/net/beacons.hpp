// Beacons: this device says on its LAN where it is, and hears the others of its site.
//
// What counts is decided by Neighbours; here are the socket, the keys and the timer. A device
// without a swarm certificate or a member list is silent and deaf. The counter of its beacons goes
// on over restarts (STATE/net/beacon-counter). Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "node/net/neighbours.hpp"
#include "node/net/relay.hpp"
#include "node/net/site_memory.hpp"
#include "shared/net/lan_datagrams.hpp"

namespace lamina::node {

class Beacons {
 public:
  struct Options {
    std::uint16_t port = 0;  // UDP, the same on every device of a site.
    bool only_loopback = false;
    Neighbours::Limits limits = {};
    Duration open_again = std::chrono::seconds{30};  // A port that could not be opened.
    // Of certificates that ran out, or are not valid yet: nobody gets new ones without the origin.
    Duration certificate_slack = std::chrono::hours{24};
  };
  // What a beacon says beside site and list.
  struct Said {
    std::uint16_t port = 0;
    std::uint16_t relay_port = 0;
    std::vector<format::BeaconLayer> layers;
  };
  struct Calls {
    std::function<Said()> say;
    std::function<void()> found;  // peers() are others than before.
    // A device that takes calls has a newer member list than this one.
    std::function<void(const wire::Peer&)> newer_list;
  };

  // What the references name outlives the object.
  Beacons(net::Loop& loop, const StateDirectory& state, const DeviceId& device,
          const SiteMemory& memory, Options options, Calls calls);
  ~Beacons();

  // The swarm's certificate is there, or is a new one.
  void use_identity(SwarmIdentity identity);
  // There is something new to say, which others wait for.
  void tell();
  // Whether the origin is away.
  void set_away(bool away);

  // The devices of the site, where they were heard last, else where the list has them.
  std::vector<wire::Peer> peers() const;
  // Who was heard, takes calls and knows the layer.
  std::vector<wire::Peer> knowing(const LayerId& layer) const;
  std::size_t heard() const;  // Devices, lately.

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lamina::node
