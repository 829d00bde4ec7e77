// LayerSwarm: what the service needs of the site's swarm. The reflector's library is behind it
// (node/cmd_run.cpp), a fake in tests.
//
// Called on the loop's thread; events come from the loop, never from inside a call.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "node/net/layer_files.hpp"
#include "shared/policy/wan_transport.hpp"
#include "shared/swarm/piece_source.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

class LayerSwarm {
 public:
  struct Progress {
    LayerId layer;
    Bytes missing;
  };
  struct Complete {  // All that is needed is on disk; packs that are, whole, read back and durable.
    LayerId layer;
  };
  struct Trouble {  // It goes on trying by itself.
    ErrorKind kind = ErrorKind::unavailable;
    std::string text;
  };
  struct TransportChanged {  // How what is fetched crosses the WAN from now on.
    bool to_https = false;   // From the origin's API; else from its seeders. At first: seeders.
  };
  using Event = std::variant<Progress, Complete, Trouble, TransportChanged>;
  using OnEvent = std::function<void(const Event&)>;

  struct Lease {
    std::uint64_t epoch = 0;
    Buffer token;
    Instant expires;
    std::vector<std::string> seeders;  // "ADDRESS:PORT"
    bool by_budget = false;            // Of the device's WAN budget, not of its site.
    ShareSet shares = ShareSet::all();
    std::optional<Bytes> most;  // Of payload over the line from now on; none: no bound.
  };
  // Payload since the start.
  struct Sources {
    Bytes lan;
    Bytes origin;  // From its seeders...
    Bytes https;   // ...and over its API.
    Bytes sent;

    Bytes over_wan() const { return origin + https; }
  };
  // Payload of one connection with a peer of the site, since it was made.
  struct PeerBytes {
    std::string connection;  // A name of its own.
    std::string address;     // IP address of the peer.
    Bytes received;
    Bytes sent = {};
    bool is_whole = false;  // The peer has all of the layer.
  };
  // How the site is served.
  struct Serving {
    bool serves = true;                 // false: takes from peers and gives them nothing.
    int connections_max = 0;            // 0: as configured.
    std::vector<std::string> networks;  // CIDR: who may connect beside the peers.
  };
  struct Identity {
    std::string certificate_pem;
    std::string key_pem;
  };

  virtual ~LayerSwarm() = default;

  // What `leaning` does not need is given if it is here, and not fetched.
  virtual Status join(const LayerFiles& layer, const Leaning& leaning) = 0;
  virtual void leave(const LayerId& layer) = 0;
  virtual Status meet(const std::vector<wire::Peer>& peers) = 0;
  virtual Status configure(const Serving& serving) = 0;
  virtual Status lead(const Lease& lease) = 0;
  virtual void resign() = 0;
  // What is to come over the WAN of the lease's shares; none: no lease, or not known yet.
  virtual std::optional<Bytes> wan_left() const = 0;
  // The most that is fetched over the WAN from now on; 0: no limit.
  virtual void limit_wan(BitRate most) = 0;
  // The site's rule about the line from now on; none: as found.
  virtual void use_transport(std::optional<policy::WanTransport::Kind> only) = 0;
  virtual void use_identity(const Identity& identity) = 0;
  virtual Sources sources() const = 0;
  // Of one layer to peers, since it was joined; 0 when it is not.
  virtual Bytes sent(const LayerId& layer) const = 0;
  // Every connection of now.
  virtual std::vector<PeerBytes> lan_peers() const = 0;
};

// Called once the device has a certificate of the swarm. `ranges`: for where no seeder can be
// reached.
using StartSwarm = std::function<Result<std::unique_ptr<LayerSwarm>>(
    const LayerSwarm::Identity& identity, std::shared_ptr<swarm::PieceSource> ranges,
    LayerSwarm::OnEvent on_event)>;

}  // namespace lamina::node
