#include "shared/swarm/lease_extension.hpp"

#include <libtorrent/aux_/io.hpp>
#include <libtorrent/bdecode.hpp>
#include <libtorrent/entry.hpp>
#include <libtorrent/error_code.hpp>
#include <libtorrent/operations.hpp>
#include <libtorrent/peer_connection_handle.hpp>
#include <map>
#include <mutex>
#include <optional>

#include "shared/base/log.hpp"
#include "shared/swarm/lease_epochs.hpp"
#include "shared/swarm/plugins.hpp"

namespace lamina::swarm {

constexpr std::size_t kAddressesMax = 100'000;

struct LeaseGuard {
  LeaseGuard(CheckLease with, const os::Clock& on) : check(std::move(with)), clock(on) {}

  CheckLease check;
  const os::Clock& clock;
  LeaseEpochs epochs;
  // Of which site the newest valid lease from an address was; asked on other threads.
  std::mutex mutex;
  std::map<std::string, std::string> sites;

  void note(const std::string& address, const std::string& site) {
    const std::lock_guard lock(mutex);
    if (sites.size() >= kAddressesMax) sites.clear();  // They are shown again.
    sites[address] = site;
  }
};

namespace {

namespace lt = libtorrent;

const std::string kKey = "lamina_lease";
constexpr int kMessageId = 77;         // Ours, for messages to us: any number but 0.
constexpr char kExtendedMessage = 20;  // BEP 10.

Buffer bytes_of(lt::string_view text) {
  return to_buffer(std::string_view(text.data(), text.size()));
}

// The holder's end of one connection.
class ShowingPeer : public lt::peer_plugin {
 public:
  ShowingPeer(lt::peer_connection_handle peer, std::shared_ptr<const LeaseTicket> ticket)
      : peer_(std::move(peer)), ticket_(std::move(ticket)) {}

  void add_handshake(lt::entry& handshake) override {
    const auto [token, version] = ticket_->get();
    handshake["m"][kKey] = kMessageId;
    handshake[kKey] = std::string(as_text(token));
    shown_ = version;
  }

  bool on_extension_handshake(const lt::bdecode_node& handshake) override {
    const lt::bdecode_node messages = handshake.dict_find_dict("m");
    if (messages) message_id_ = static_cast<int>(messages.dict_find_int_value(kKey, 0));
    return true;
  }

  // Called about once a second.
  void tick() override {
    const auto [token, version] = ticket_->get();
    if (version == shown_ || message_id_ <= 0 || message_id_ > 255) return;
    const auto length = static_cast<std::uint32_t>(2 + token.size());
    std::string message;
    for (const int shift : {24, 16, 8, 0}) message += static_cast<char>(length >> shift & 0xff);
    message += kExtendedMessage;
    message += static_cast<char>(message_id_);
    message += as_text(token);
    peer_.send_buffer(message.data(), static_cast<int>(message.size()));
    shown_ = version;
  }

 private:
  lt::peer_connection_handle peer_;
  std::shared_ptr<const LeaseTicket> ticket_;
  std::uint64_t shown_ = 0;
  int message_id_ = 0;
};

class ShowingTorrent : public lt::torrent_plugin {
 public:
  explicit ShowingTorrent(std::shared_ptr<const LeaseTicket> ticket) : ticket_(std::move(ticket)) {}
  std::shared_ptr<lt::peer_plugin> new_connection(const lt::peer_connection_handle& peer) override {
    return std::make_shared<ShowingPeer>(peer, ticket_);
  }

 private:
  std::shared_ptr<const LeaseTicket> ticket_;
};

// The seeder's end of one connection.
class GuardedPeer : public lt::peer_plugin {
 public:
  GuardedPeer(lt::peer_connection_handle peer, std::shared_ptr<LeaseGuard> guard)
      : peer_(std::move(peer)), guard_(std::move(guard)), since_(guard_->clock.now()) {}

  void add_handshake(lt::entry& handshake) override { handshake["m"][kKey] = kMessageId; }

  bool on_extension_handshake(const lt::bdecode_node& handshake) override {
    take(bytes_of(handshake.dict_find_string_value(kKey)));
    return true;
  }

  bool on_extended(int length, int message, lt::span<const char> body) override {
    if (message != kMessageId) return false;
    if (length > static_cast<int>(kTokenMax)) {
      turn_away("its lease token is too long");
      return true;
    }
    // The body arrives in pieces; the last call has all of it.
    if (body.size() == length) take(bytes_of({body.data(), static_cast<std::size_t>(body.size())}));
    return true;
  }

  // "True" means that the request is dealt with: libtorrent then sends nothing.
  bool on_request(const lt::peer_request&) override {
    if (is_valid()) return false;
    turn_away("it asks without a valid lease");
    return true;
  }

  void tick() override {
    if (lease_ && !is_valid())
      turn_away("its lease has run out");
    else if (!lease_ && guard_->clock.now() - since_ > kTokenWithin)
      turn_away("it showed no lease");
  }

 private:
  bool is_valid() const {
    return lease_ && lease_->expires > guard_->clock.wall() && guard_->epochs.is_current(*lease_);
  }

  void take(const Buffer& token) {
    auto facts = guard_->check(token);
    if (!facts) return turn_away(facts.error().text());
    if (!guard_->epochs.see(*facts)) return turn_away("its lease is of an older epoch");
    lease_ = std::move(*facts);
    if (!is_valid()) return turn_away("its lease has run out");
    guard_->note(peer_.remote().address().to_string(), lease_->site);
  }

  void turn_away(const std::string& why) {
    if (turned_away_) return;
    turned_away_ = true;
    lease_.reset();
    log::warning("peer_turned_away",
                 {{"peer", peer_.remote().address().to_string()}, {"reason", why}});
    peer_.disconnect(
        lt::error_code(boost::system::errc::permission_denied, boost::system::generic_category()),
        lt::operation_t::bittorrent, lt::peer_connection_interface::failure);
  }

  lt::peer_connection_handle peer_;
  std::shared_ptr<LeaseGuard> guard_;
  Instant since_;
  std::optional<LeaseFacts> lease_;
  bool turned_away_ = false;
};

class GuardedTorrent : public lt::torrent_plugin {
 public:
  explicit GuardedTorrent(std::shared_ptr<LeaseGuard> guard) : guard_(std::move(guard)) {}
  std::shared_ptr<lt::peer_plugin> new_connection(const lt::peer_connection_handle& peer) override {
    return std::make_shared<GuardedPeer>(peer, guard_);
  }

 private:
  std::shared_ptr<LeaseGuard> guard_;
};

}  // namespace

std::shared_ptr<lt::torrent_plugin> show_lease(std::shared_ptr<const LeaseTicket> ticket) {
  return std::make_shared<ShowingTorrent>(std::move(ticket));
}

std::shared_ptr<LeaseGuard> make_lease_guard(CheckLease check, const os::Clock& clock) {
  return std::make_shared<LeaseGuard>(std::move(check), clock);
}

std::optional<std::string> site_at(LeaseGuard& guard, const std::string& address) {
  const std::lock_guard lock(guard.mutex);
  const auto found = guard.sites.find(address);
  return found == guard.sites.end() ? std::nullopt : std::optional(found->second);
}

std::shared_ptr<lt::torrent_plugin> demand_lease(std::shared_ptr<LeaseGuard> guard) {
  return std::make_shared<GuardedTorrent>(std::move(guard));
}

}  // namespace lamina::swarm
