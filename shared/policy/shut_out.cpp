#include "shared/policy/shut_out.hpp"

#include <algorithm>

namespace lamina::policy {

std::optional<Duration> ShutOut::caught(const std::string& address, Instant now) {
  if (is_out(address, now)) return std::nullopt;
  Peer& peer = peers_[address];
  peer.length = peer.length == Duration{} ? limits_.first : std::min(2 * peer.length, limits_.most);
  peer.until = now + peer.length;
  return peer.length;
}

bool ShutOut::is_out(const std::string& address, Instant now) const {
  const auto peer = peers_.find(address);
  return peer != peers_.end() && now < peer->second.until;
}

}  // namespace lamina::policy
