#include "node/net/neighbours.hpp"

#include <algorithm>

namespace lamina::node {
namespace {

// From half of `most` to all of it.
Duration with_jitter(Duration most, std::uint64_t random) {
  const auto half = static_cast<std::uint64_t>(most.count() / 2);
  return most / 2 + Duration{static_cast<std::int64_t>(random % (half + 1))};
}

}  // namespace

bool Neighbours::take(Bucket& bucket, int size, Instant now) {
  const double passed = std::chrono::duration<double>(now - bucket.filled).count();
  bucket.left = std::min<double>(size, bucket.left + passed * size);
  bucket.filled = now;
  if (bucket.left < 1) return false;
  bucket.left -= 1;
  return true;
}

bool Neighbours::admit(const std::string& address, std::size_t size, Instant now) {
  if (size == 0 || size > format::kBeaconMax) return false;
  auto at = addresses_.find(address);
  if (at == addresses_.end()) {
    if (addresses_.size() >= limits_.addresses_max)
      std::erase_if(addresses_, [&](const auto& entry) {
        return now - entry.second.filled >= std::chrono::seconds{1};  // Full again by now.
      });
    if (addresses_.size() >= limits_.addresses_max) return false;
    const Bucket full{static_cast<double>(limits_.packets_of_address), now};
    at = addresses_.emplace(address, full).first;
  }
  // First its own: one address that floods takes nothing from the others.
  return take(at->second, limits_.packets_of_address, now) &&
         take(all_, limits_.packets_of_all, now);
}

Status Neighbours::judge(const format::Beacon& beacon, const format::SiteMembers& list) const {
  if (beacon.device == self_) return fail(ErrorKind::refused, "it is this device's own");
  if (beacon.site != list.site)
    return fail(ErrorKind::refused, "it is of site " + printable(beacon.site, 80));
  if (!format::names(list, beacon.device))
    return fail(ErrorKind::refused,
                "device " + beacon.device.short_hex() + " is none of site " + list.site);
  const auto seen = seen_.find(beacon.device);
  if (seen != seen_.end() && beacon.counter <= seen->second.counter)
    return fail(ErrorKind::refused,
                "an old one of device " + beacon.device.short_hex() + " was replayed");
  return Done{};
}

bool Neighbours::heard(const format::Beacon& beacon, const std::string& address, Instant now) {
  const auto [at, added] = seen_.try_emplace(beacon.device);
  Seen& seen = at->second;
  const bool moved =
      seen.address != address || seen.port != beacon.port || seen.relay_port != beacon.relay_port;
  seen = {address, beacon.port, beacon.relay_port, beacon.counter, beacon.layers, now};
  // It does not know yet where this device is.
  if (moved) send_by(now + limits_.answer_within);
  return added || moved;
}

void Neighbours::forget() { seen_.clear(); }

std::vector<wire::Peer> Neighbours::peers(const format::SiteMembers& list) const {
  std::vector<wire::Peer> found;
  for (const format::SiteMember& member : list.members) {
    if (member.device == self_) continue;
    wire::Peer peer{member.device, member.address, member.port, std::nullopt};
    std::uint16_t relay_port = member.relay_port;
    if (const auto seen = seen_.find(member.device); seen != seen_.end()) {
      peer.address = seen->second.address;
      peer.port = seen->second.port;
      relay_port = seen->second.relay_port;
    }
    if (relay_port != 0) peer.relay_port = relay_port;
    if (!peer.address.empty() && peer.port != 0) found.push_back(std::move(peer));
  }
  return found;
}

std::vector<wire::Peer> Neighbours::knowing(const LayerId& layer) const {
  std::vector<wire::Peer> whole, part;
  for (const auto& [device, seen] : seen_)
    for (const format::BeaconLayer& known : seen.layers)
      if (known.layer == layer && seen.relay_port != 0)
        (known.is_complete ? whole : part)
            .push_back({device, seen.address, seen.port, seen.relay_port});
  whole.insert(whole.end(), part.begin(), part.end());
  return whole;
}

void Neighbours::sent(Instant now, std::uint64_t random) {
  next_ = now + with_jitter(away_ ? limits_.every_away : limits_.every_home, random);
}

void Neighbours::set_away(bool away, Instant now, std::uint64_t random) {
  if (away == away_) return;
  away_ = away;
  if (away) send_by(now + with_jitter(limits_.answer_within, random));
}

bool Neighbours::expire(Instant now) {
  return std::erase_if(seen_, [&](const auto& entry) {
           return now - entry.second.at >= limits_.forget_after;
         }) > 0;
}

}  // namespace lamina::node
