#include <libtorrent/peer_connection.hpp>
#include <libtorrent/peer_connection_handle.hpp>
#include <libtorrent/torrent_peer.hpp>
#include <vector>

#include "shared/swarm/plugins.hpp"

namespace lamina::swarm {
namespace {

namespace lt = libtorrent;

class Peer : public lt::peer_plugin {
 public:
  explicit Peer(lt::peer_connection_handle peer) : peer_(std::move(peer)) {}

  bool on_handshake(lt::span<const char>) override {
    is_through_ = true;
    set(false);
    return true;
  }
  // The next handshake with it needs the v2 info-hash.
  void on_disconnect(const lt::error_code&) override {
    is_through_ = false;
    set(true);
  }
  // It was named to libtorrent again, which remembers anew that it speaks v2.
  void named_again(const lt::tcp::endpoint& endpoint) {
    if (is_through_ && peer_.remote() == endpoint) set(false);
  }

 private:
  void set(bool speaks_v2) {
    if (const auto connection = peer_.native_handle())
      if (lt::torrent_peer* const peer = connection->peer_info_struct())
        peer->protocol_v2 = speaks_v2;
  }

  lt::peer_connection_handle peer_;
  bool is_through_ = false;
};

class Torrent : public lt::torrent_plugin {
 public:
  std::shared_ptr<lt::peer_plugin> new_connection(
      const lt::peer_connection_handle& handle) override {
    std::erase_if(peers_, [](const auto& peer) { return peer.expired(); });
    auto peer = std::make_shared<Peer>(handle);
    peers_.push_back(peer);
    return peer;
  }
  void on_add_peer(const lt::tcp::endpoint& endpoint, lt::peer_source_flags_t,
                   lt::add_peer_flags_t) override {
    for (const auto& weak : peers_)
      if (const auto peer = weak.lock()) peer->named_again(endpoint);
  }

 private:
  std::vector<std::weak_ptr<Peer>> peers_;
};

}  // namespace

std::shared_ptr<lt::torrent_plugin> forbid_hash_exchange() { return std::make_shared<Torrent>(); }

}  // namespace lamina::swarm
