#include "origin/sites/member_lists.hpp"

#include <algorithm>

#include "shared/base/log.hpp"

namespace lamina::origin {

void MemberLists::note(const wire::DeviceInfo& device) {
  if (is_loaded_) put(device);
}

void MemberLists::put(const wire::DeviceInfo& device) {
  const bool belongs = device.status == wire::DeviceStatus::assigned && !device.waiting;
  const auto place = places_.find(device.id);
  if (place != places_.end() && (!belongs || place->second != device.site)) forget(device.id);
  if (!belongs) return;
  format::SiteMember member{.device = device.id,
                            .address = device.lan_address,
                            .port = device.swarm_port.value_or(0),
                            .relay_port = device.relay_port.value_or(0)};
  places_[device.id] = device.site;
  Site& site = sites_[device.site];
  const auto [at, added] = site.members.try_emplace(device.id);
  if (!added && at->second == member) return;
  at->second = std::move(member);
  site.is_dirty = true;
}

void MemberLists::forget(const DeviceId& device) {
  const auto place = places_.find(device);
  if (place == places_.end()) return;
  Site& site = sites_.at(place->second);
  site.members.erase(device);
  site.is_dirty = true;
  places_.erase(place);
}

Status MemberLists::load() {
  auto devices = catalog_.devices();
  if (!devices) return fail(std::move(devices.error()));
  for (const wire::DeviceInfo& device : *devices) put(device);
  is_loaded_ = true;
  return Done{};
}

Result<std::optional<Buffer>> MemberLists::newer(const std::string& name, const DeviceId& device,
                                                 std::uint64_t known, Instant now, WallTime wall) {
  if (!is_loaded_)
    if (auto done = load(); !done) return fail(std::move(done.error()).in("listing the sites"));
  Site& site = sites_[name];
  const bool settled = !site.signed_at || now - *site.signed_at >= kSettle;
  if (site.is_dirty && settled)
    if (auto done = renew(name, site, now, wall); !done)
      return fail(std::move(done.error()).in("listing the devices of site " + name));
  if (site.issued.sequence == known || !format::names(site.issued, device)) return std::nullopt;
  return site.envelope;
}

std::uint64_t MemberLists::issued(const std::string& site) const {
  const auto at = sites_.find(site);
  return at == sites_.end() ? 0 : at->second.issued.sequence;
}

Status MemberLists::renew(const std::string& name, Site& site, Instant now, WallTime wall) {
  if (site.issued.sequence == 0) {
    auto kept = catalog_.member_list(name);
    if (!kept && kept.error().kind() != ErrorKind::not_found) return fail(std::move(kept.error()));
    if (kept) {
      const PublicKey key = key_.public_key();
      auto opened = format::open_record(format::RecordType::members, *kept, std::span(&key, 1));
      auto list = opened ? format::parse_members(opened->record)
                         : Result<format::SiteMembers>(fail(opened.error()));
      if (list) {
        site.issued = std::move(*list);
        site.envelope = std::move(*kept);
      } else {
        log::warning("member_list_unusable", {{"site", name}, {"error", list.error().text()}});
      }
    }
  }
  format::SiteMembers next{.site = name, .issued = wall};
  for (const auto& [device, member] : site.members) next.members.push_back(member);
  if (next.members.size() > format::kMembersMax) {
    log::warning("member_list_cut", {{"site", name}, {"devices", next.members.size()}});
    next.members.resize(format::kMembersMax);
  }
  site.signed_at = now;
  if (site.issued.sequence == 0 || site.issued.members != next.members) {
    const auto by_clock =
        static_cast<std::uint64_t>(std::max<std::int64_t>(wall.ns, 0)) / 1'000'000;
    next.sequence = std::max(site.issued.sequence + 1, by_clock);
    Buffer envelope = format::sign_record(format::RecordType::members, format::encode(next), key_);
    if (auto done = catalog_.keep_member_list(name, envelope); !done) return done;
    site.issued = std::move(next);
    site.envelope = std::move(envelope);
  }
  site.is_dirty = false;
  return Done{};
}

}  // namespace lamina::origin
