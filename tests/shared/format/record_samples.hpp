// One record of each type, with fixed values: for golden bytes and error paths.
#pragma once

#include "shared/format/record.hpp"

namespace lamina::samples {

template <class Id>
Id id(unsigned char value) {
  std::array<std::byte, Id::kSize> bytes;
  bytes.fill(std::byte{value});
  return Id(bytes);
}

inline format::ManifestRef manifest_ref() {
  return {.fence = {{id<ChunkId>(0x11), 300}}, .entries = 5, .files = 3, .content_bytes = 70'000};
}
inline format::LayerRecord layer() {
  return {.name = "debian",
          .version = "1.0",
          .revision = 1,
          .kind = format::LayerKind::base,
          .platform = {"linux", "debian", "12", "x86_64"},
          .manifest = manifest_ref(),
          .created = {1'772'366'400'000'000'000},
          .capture_rules = {"identity", "logs"}};
}
inline format::LayerRecord layer_with_scripts() {
  format::LayerRecord record = layer();
  record.scripts = {{"10-defaults.sh", 600, "#!/bin/sh\nexit 0\n"}, {"20-more", 30, "true"}};
  record.running = {.services = {"nginx.service", "postgresql@15-main.service"}, .restart = true};
  return record;
}
inline format::DistributionRecord distribution() {
  return {.layer = id<LayerId>(0x22),
          .sequence = 1,
          .torrent = id<TorrentId>(0x33),
          .packs = {{id<PackId>(0x66), 4000, true},
                    {id<PackId>(0x44), 16'000'000, false},
                    {id<PackId>(0x55), 9'000'000, false}}};
}
inline format::DistributionRecord distribution_with_bases() {
  format::DistributionRecord record = distribution();
  record.packs[0].unless = {id<LayerId>(0x20)};
  record.packs[2].unless = {id<LayerId>(0x20), id<LayerId>(0x21)};
  return record;
}
inline format::DistributionRecord distribution_with_updates() {
  format::DistributionRecord record = distribution_with_bases();
  record.packs[1].unless_updated = {id<LayerId>(0x19)};
  record.packs[2].unless_updated = {id<LayerId>(0x19), id<LayerId>(0x21)};
  record.packs.push_back({id<PackId>(0x99), 700, false});
  record.packs.back().update_from = {id<LayerId>(0x19), id<LayerId>(0x21)};
  return record;
}
inline format::DeviceTarget target() {
  return {.device = id<DeviceId>(0x77),
          .sequence = 7,
          .issued = {1'772'366'400'000'000'000},
          .expires = {1'774'958'400'000'000'000},
          .stack = {id<LayerId>(0x22), id<LayerId>(0x23)},
          .budget = format::WanBudget::up_to,
          .budget_value = 10'000'000};
}
inline format::DeviceTarget enforcing_target() {
  format::DeviceTarget record = target();
  record.enforce = format::Enforce::remove_user_apps;
  record.enforce_number = 5;
  return record;
}
inline format::LeaseToken lease() {
  return {.site = "north",
          .device = id<DeviceId>(0x77),
          .epoch = 3,
          .expires = {1'772'366'405'000'000'000}};
}
inline format::SiteMembers members() {
  return {.site = "north",
          .sequence = 7,
          .issued = {1'772'366'400'000'000'000},
          .members = {{id<DeviceId>(0x77), "10.1.0.7", 8444, 8445},
                      {id<DeviceId>(0x78), "2001:db8::1", 8444, 0},
                      {id<DeviceId>(0x79), "", 0, 0}}};
}
inline format::LeaseToken lease_of_shares() {
  format::LeaseToken token = lease();
  token.shares = ShareSet::from_bits(0xa05);
  return token;
}
inline format::SnapshotRecord snapshot() {
  return {.device = id<DeviceId>(0x77),
          .sequence = 2,
          .parent = id<SnapshotId>(0x88),
          .created = {1'772'366'400'000'000'000},
          .reason = "interval",
          .manifest = manifest_ref(),
          .stack = {id<LayerId>(0x22)},
          .report = {{id<ChunkId>(0x99), 40}},
          .reported_paths = 1};
}
inline format::SnapshotRecord snapshot_of_policy() {
  format::SnapshotRecord record = snapshot();
  record.unprotected = {{"caches", {"{cache}", "srv/**/tmp"}, {"var/cache/keep"}},
                        {"images", {"**/*.iso"}, {}}};
  return record;
}
inline format::SnapshotRecord snapshot_of_volumes() {
  format::SnapshotRecord record = snapshot_of_policy();
  record.volumes = {"home", "srv/data", "srv/data/films", "srv/data-2"};
  return record;
}

}  // namespace lamina::samples
