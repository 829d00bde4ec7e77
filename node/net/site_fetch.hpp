// SiteFetch: what another device of the site has, fetched from its relay's door: signed data of the
// catalogue, which need not cross the line again, and may not be able to; and packs that it made of
// an update at great cost.
//
// What comes is whatever the other one sends: the caller verifies it, as if a stranger had sent it.
// Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "node/net/layer_files.hpp"
#include "node/net/relay.hpp"

namespace lamina::node {

// The paths below a relay's door. The answer is the bytes, or 404.
inline constexpr std::string_view kMembersPage = "/v1/site/members";
std::string layer_page(const LayerId& layer, const char* part);  // "record", "distribution", ...
// The packs of a layer that were made at great cost (Rebuilt::costly), and one of them.
std::string costly_page(const LayerId& layer);
std::string costly_page(const LayerId& layer, const PackId& pack);
// What this device hands on for such a path: `not_found` when it has nothing there, or not yet;
// `refused` when it will have no costly packs of the layer, which is here whole in another way.
Result<Relay::Handed> site_page(const StateDirectory& state, const TrustedKeys& keys,
                                const Buffer& members, const std::string& path);

class SiteFetch {
 public:
  template <class T>
  using Then = std::function<void(Result<T>)>;

  explicit SiteFetch(net::Loop& loop) : loop_(loop) {}

  // By this device, whose certificate it shows. `then` is called once, from the loop.
  void members(const SwarmIdentity& identity, const wire::Peer& from, Then<Buffer> then);
  void layer(const SwarmIdentity& identity, const wire::Peer& from, const LayerId& layer,
             Then<LayerEnvelopes> then);
  // Its costly packs of the layer, as files in `directory`, which is made anew; their paths.
  void costly(const SwarmIdentity& identity, const wire::Peer& from, const LayerId& layer,
              const std::string& directory, Then<std::vector<std::string>> then);

 private:
  net::Loop& loop_;
};

}  // namespace lamina::node
