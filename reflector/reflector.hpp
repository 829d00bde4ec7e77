// Reflector: a device's part in its site's swarm, and, while it holds the site's lease, the one
// fetch over the WAN for all of them.
//
// Two sessions. The LAN session is always on: it shares every joined layer with the peers that it
// was told to meet, and never knows an origin. The WAN session exists while the lease lasts: it
// dials the origin's seeders only, fetches what nobody at the site offers, and each piece that it
// verified is handed to the LAN session. Where no seeder can be reached the pieces come as ranges
// of packs from a PieceSource instead, and are handed over once they have the right hash. The boot
// clock is compared with the lease's end before anything else on every turn.
//
// Everything runs on the loop's thread; libtorrent's threads only post. Reading packs back and
// syncing happen in the loop's pool. The handler is called from the loop, never from inside a call
// to the reflector. Which torrent fetches what is in holdings.hpp, whether the lease lasts in
// shared/policy/lease_holder.hpp, which pieces cross the WAN in shared/policy/wan_pieces.hpp, how
// in shared/policy/wan_transport.hpp, and which ranges are asked for in ranges.hpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "shared/format/record.hpp"
#include "shared/net/loop.hpp"
#include "shared/policy/decision_log.hpp"
#include "shared/policy/wan_transport.hpp"
#include "shared/swarm/piece_source.hpp"
#include "shared/swarm/session.hpp"
#include "shared/wire/node.hpp"

namespace lamina::reflector {

// Some bytes of a layer came. At most one a second for each layer.
struct Progress {
  LayerId layer;
  Bytes missing;
};
// Every needed pack of the layer is on disk, read back, and durable; of packs that are needed in
// part those pieces are on disk.
struct LayerComplete {
  LayerId layer;
};
// Something stands in the way; what can be tried again is tried again after `retry_after`.
// `out_of_space`: make room. `corrupt`: a pack on disk proved broken and is fetched again.
struct Trouble {
  ErrorKind kind = ErrorKind::unavailable;
  std::string text;
};
// What the lease holder fetches comes another way over the WAN from now on.
struct TransportChanged {
  bool to_https = false;  // As ranges from the source; else from seeders.
};
using Event = std::variant<Progress, LayerComplete, Trouble, TransportChanged>;

class Reflector {
 public:
  struct Config {
    DeviceId device;
    std::string cache;   // Directory with packs/, trees/ and state/, made when missing.
    std::string listen;  // "10.0.0.5:8444"
    swarm::SwarmIdentity identity;
    int connections_max = 200;
    // Peers that a device without the lease dials; it is dialled by as many, and by the holder.
    // Each is told of every piece: eight cost a fifth more processor time with twenty devices.
    std::size_t dial_max = 5;
    BitRate wan_receive_max = {};  // 0: no limit.
    // For where no seeder can be reached; none: seeders only.
    std::shared_ptr<swarm::PieceSource> source = nullptr;
    policy::WanTransport::Limits transport = {};
    policy::DecisionLog* record = nullptr;  // Of whether and what it fetches; outlives this.
    Duration save_interval = std::chrono::seconds{2};
    Duration retry_after =
        std::chrono::seconds{10};  // After a disk error, or a disk that was full.
  };

  struct Lease {
    std::uint64_t epoch = 0;
    Buffer token;
    Instant expires;                   // Of the loop's clock.
    std::vector<std::string> seeders;  // "10.9.0.1:8444"
    // Of the device's own WAN budget, whose epochs are not those of the site's leases.
    bool by_budget = false;
    // What it fetches; other reflectors of the site fetch the rest.
    ShareSet shares = ShareSet::all();
    // Payload over the WAN from now on, up to this and less than one piece more; none: no bound.
    std::optional<Bytes> most = std::nullopt;
  };

  // What the layers cost so far, since the start.
  struct Sources {
    Bytes lan;     // Payload from peers of the site.
    Bytes origin;  // Payload from the origin's seeders.
    Bytes https;   // Payload from the source.
    Bytes sent;    // Payload to peers of the site.
  };

  // Payload of one connection with a peer of the site, since it was made.
  struct LanPeer {
    std::string connection;  // A name of its own: torrent and "address:port".
    std::string address;     // IP address.
    Bytes received;
    Bytes sent = {};
    bool is_whole = false;  // It has every piece of the torrent.
  };

  // How the site is served; may change while the reflector runs.
  struct Service {
    bool serves = true;                 // false: takes from peers and gives them nothing.
    int connections_max = 0;            // 0: as configured.
    std::vector<std::string> networks;  // CIDR: who may connect beside the peers.
    bool operator==(const Service&) const = default;
  };

  // `unavailable` when the address cannot be listened at; the kinds of os::make_directories().
  // The loop outlives the reflector.
  static Result<std::unique_ptr<Reflector>> start(net::Loop& loop, Config config,
                                                  std::function<void(const Event&)> on_event);
  // Cuts all connections and remembers the pieces on disk; blocks for that.
  ~Reflector();

  // Fetches what is missing of the layer's packs and shares them. The torrent must have exactly
  // these packs, else `invalid`. Those in `unneeded` are shared as far as they are on disk, and not
  // fetched: the layer is complete without them. Likewise what is not in `partly` of the packs that
  // are named there; nothing is read back of these, and their files may have holes. Peers are
  // dialled at once. Joined already: no effect.
  Status join(const LayerId& layer, const Buffer& torrent,
              const std::vector<format::DistributedPack>& packs,
              const std::set<PackId>& unneeded = {}, const swarm::PieceMap& partly = {});
  // Neither fetches nor shares the layer any more. Its packs stay on disk.
  void leave(const LayerId& layer);

  // All peers of the site that there are; others are cut off and shut out. Addresses that are none
  // are `invalid` and leave everything as it was.
  Status meet(const std::vector<wire::Peer>& peers);
  // From now on. `invalid` for a network that is none; nothing is changed then.
  Status configure(const Service& service);

  // The lease was granted or extended: the WAN session opens, or goes on with the new token.
  // A lease that has run out, or of an older epoch, is not acted on.
  Status lead(const Lease& lease);
  // Lost, or given back: the WAN session is cut off now.
  void resign();
  bool leads() const;
  // What is to come over the WAN of the lease's shares, as of the last look, at most a second ago.
  // None: no lease, or not looked at since the lease came or its shares changed.
  std::optional<Bytes> wan_left() const;
  // The most that is fetched over the WAN from now on, whatever the lease: takes effect within a
  // second, and the configured most still holds. 0: no limit but that.
  void limit_wan(BitRate most);

  // The rule of the site's administrators from now on; none: as found. One of the configuration
  // comes before it. Connections with seeders that it forbids are cut within a second.
  void use_transport(std::optional<policy::WanTransport::Kind> only);

  // A renewed certificate, for connections from now on.
  void use_identity(const swarm::SwarmIdentity& identity);

  Bytes missing(const LayerId& layer) const;  // 0 when not joined.
  // What was given to peers of the layer's torrent since it was joined; 0 when it is not.
  Bytes sent(const LayerId& layer) const;
  Sources sources() const;
  std::vector<LanPeer> lan_peers() const;  // Every connection of now.
  std::uint16_t port() const;              // For tests that listened at port 0.

 private:
  struct State;
  explicit Reflector(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace lamina::reflector
