#include "origin/sites/seeders.hpp"

#include <algorithm>

#include "shared/hash/xxh3.hpp"

namespace lamina::origin {
namespace {

std::int64_t ms(WallTime time) { return time.ns / 1'000'000; }

}  // namespace

void Seeders::polled(const DeviceId& id, const std::string& address, wire::SeederPollRequest poll,
                     Instant now, WallTime wall) {
  Seeder& seeder = all_[id];
  seeder.address = address;
  seeder.holds = {poll.holds.begin(), poll.holds.end()};
  seeder.said = std::move(poll);
  seeder.said.holds.clear();
  seeder.seen = now;
  seeder.seen_wall = wall;
}

bool Seeders::is_up(const Seeder& seeder, Instant now, WallTime wall) const {
  return now - seeder.seen < limits_.silent_after && seeder.said.certificate_expires_ms > ms(wall);
}

bool Seeders::is_up(const DeviceId& id, Instant now, WallTime wall) const {
  const auto at = all_.find(id);
  return at != all_.end() && is_up(at->second, now, wall);
}

void Seeders::complete(wire::SeederInfo& info, std::int64_t listed, Instant now,
                       WallTime wall) const {
  info.layers_listed = listed;
  const auto at = all_.find(info.id);
  if (at == all_.end()) {
    info.state = info.certificate_expires_ms <= ms(wall) ? "certificate-expired" : "silent";
    return;
  }
  const Seeder& seeder = at->second;
  const wire::SeederPollRequest& said = seeder.said;
  info.address = seeder.address;
  info.version = said.version;
  info.trouble = said.trouble;
  info.layers = static_cast<std::int64_t>(seeder.holds.size());
  info.held_bytes = said.held_bytes;
  info.missing_bytes = said.missing_bytes;
  info.connections = said.connections;
  info.sent_bytes = said.sent_bytes;
  info.seen_ms = ms(seeder.seen_wall);
  info.certificate_expires_ms = said.certificate_expires_ms;
  if (said.certificate_expires_ms <= ms(wall))
    info.state = "certificate-expired";
  else if (!is_up(seeder, now, wall))
    info.state = "silent";
  else if (!said.trouble.empty())
    info.state = "trouble";
  else
    info.state =
        said.missing_bytes > 0 || said.unread > 0 || info.layers < listed ? "mirroring" : "up";
}

std::vector<std::string> Seeders::told(const std::vector<std::string>& own, const std::string& site,
                                       const std::set<LayerId>& layers, Instant now,
                                       WallTime wall) const {
  std::vector<std::string> list = own;
  for (const auto& [id, seeder] : all_) {
    if (!is_up(seeder, now, wall)) continue;
    const bool holds = std::ranges::any_of(
        layers, [&](const LayerId& layer) { return seeder.holds.contains(layer); });
    if (holds || layers.empty()) list.push_back(seeder.address);
  }
  if (list.empty()) return list;
  const auto first = static_cast<std::ptrdiff_t>(xxh3(as_view(site)) % list.size());
  std::rotate(list.begin(), list.begin() + first, list.end());
  if (list.size() > limits_.told_max) list.resize(limits_.told_max);
  return list;
}

}  // namespace lamina::origin
