// Relay: this device as a relay of its site. Other devices hand their parcels over at its door; it
// passes them on to the origin when nothing else needs the line, and then forgets them.
//
//   PUT /v1/relay/parcels/{id}   a parcel, over TLS with the swarm's certificates at both ends
//       -> 201 once it is durable here; 507 when there is no room; 403 for devices of other sites
//   GET /v1/site/...             signed data that this device hands on (site_fetch.hpp)
//
// It cannot read what it holds, and the origin takes nothing from it that the device did not sign.
// Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/net/origin_link.hpp"
#include "node/net/relay_spool.hpp"
#include "shared/net/loop.hpp"
#include "shared/policy/retry.hpp"

namespace lamina::node {

// The swarm's certificates, PEM.
struct SwarmIdentity {
  std::string certificate_pem;
  std::string key_pem;
  std::string ca_pem;
};

class Relay {
 public:
  struct Options {
    std::string listen_address;
    std::uint16_t port = 0;  // 0: any.
    RelaySpool::Limits limits = {};
    // While this device fetches a layer for its site, parcels wait for so long at most.
    Duration waited_max = std::chrono::minutes{10};
    policy::Backoff backoff = {};
  };

  // `on_change` is called from the loop when a snapshot has come or gone. What the references name
  // outlives the object.
  static Result<std::unique_ptr<Relay>> open(net::Loop& loop, const std::string& directory,
                                             OriginLink& origin, Options options,
                                             std::function<void()> on_change);
  ~Relay();

  // Opens the door, or opens it anew with another certificate; connections end.
  Status open_door(const SwarmIdentity& identity);
  std::optional<std::uint16_t> port() const;  // None: the door is closed.

  // What this device hands on to others of its site, by path; without it, nothing.
  struct Handed {
    Buffer bytes;
    std::string file = {};  // Its path, instead of the bytes.
  };
  using Page = std::function<Result<Handed>(const std::string& path)>;
  void hand_on(Page page);
  // Who may hand over: the devices of the site.
  void meet(const std::vector<wire::Peer>& peers);
  // Whether the origin answers, and whether this device fetches a layer over the line.
  void set_line(bool origin_reachable, bool leads);

  std::vector<wire::RelayedSnapshot> snapshots() const;
  Bytes held() const;

 private:
  struct State;
  explicit Relay(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace lamina::node
