// A layer on disk with its torrent, identities of a swarm, and leases whose tokens are plain text.
#pragma once

#include <cstdio>
#include <optional>

#include "shared/format/record.hpp"
#include "shared/net/certificates.hpp"
#include "shared/store/pack_writer.hpp"
#include "shared/swarm/seeder.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

namespace lamina::tests {

inline swarm::SwarmIdentity identity_of(const net::KeyAndCertificate& ca) {
  const auto request = net::make_key_and_request().value();
  return {net::issue_swarm_certificate(ca, request.csr_pem, "test").value(), request.key_pem};
}

// A token is "site epoch expiry device shares" in these tests; its signature is another test's
// business. `device`: a number of it; 0: each epoch has one of its own.
inline Buffer token(const std::string& site, std::uint64_t epoch, Duration lasts,
                    unsigned device = 0, ShareSet shares = ShareSet::all()) {
  const std::int64_t expires = os::system_clock().wall().ns + lasts.count();
  const std::uint64_t who = device == 0 ? 1000 + epoch : device;
  return to_buffer(site + ' ' + std::to_string(epoch) + ' ' + std::to_string(expires) + ' ' +
                   std::to_string(who) + ' ' + std::to_string(shares.bits()));
}

inline Result<swarm::LeaseFacts> check_token(ByteView bytes) {
  const std::string text(as_text(bytes));
  char site[32];
  unsigned long long epoch = 0;
  long long expires = 0;
  unsigned device = 0, shares = 0;
  if (std::sscanf(text.c_str(), "%31s %llu %lld %u %u", site, &epoch, &expires, &device, &shares) !=
      5)
    return fail(ErrorKind::refused, "no token");
  std::array<std::byte, DeviceId::kSize> id{};
  id[14] = static_cast<std::byte>(device >> 8);
  id[15] = static_cast<std::byte>(device);
  return swarm::LeaseFacts{site, DeviceId(id), epoch, {expires}, ShareSet::from_bits(shares)};
}

// Packs of noise in <scratch>/layers, their torrent in <scratch>/torrents.
struct SwarmLayer {
  std::vector<format::DistributedPack> packs;
  std::set<PackId> ids;
  std::uint64_t size = 0;
  swarm::TorrentFile torrent;

  static SwarmLayer make(const Scratch& scratch, const net::KeyAndCertificate& ca,
                         std::uint64_t chunks, std::uint64_t seed = 0) {
    SwarmLayer layer;
    const auto files = PackFiles::open(scratch / "layers", PackFiles::Access::write).value();
    std::vector<swarm::TorrentPack> torrent_packs;
    PackWriter writer(files, {.level = 1, .frame_bytes = 1 << 20, .pack_bytes = 1 << 20},
                      [&](const format::PackSummary& pack) -> Status {
                        layer.packs.push_back({pack.id, pack.size, false});
                        layer.ids.insert(pack.id);
                        layer.size += pack.size;
                        torrent_packs.push_back({pack.id, pack.size, pack.block_hashes});
                        return Done{};
                      });
    for (std::uint64_t i = 0; i < chunks; ++i) {
      const Buffer chunk = noise(100'000, seed + i);
      REQUIRE(writer.add(ref_of(chunk), chunk, ContentClass::compressed));
    }
    REQUIRE(writer.finish());
    auto made = swarm::make_torrent(torrent_packs, ca.certificate_pem);
    REQUIRE(made);
    layer.torrent = std::move(*made);
    REQUIRE(os::make_directories(scratch / "torrents"));
    REQUIRE(os::write_file(scratch / ("torrents/" + layer.torrent.id.hex() + ".torrent"),
                           layer.torrent.bytes));
    return layer;
  }
};

inline swarm::Seeder start_seeder(const Scratch& scratch, const net::KeyAndCertificate& ca,
                                  std::function<void()> notify, BitRate send_max = {},
                                  const std::string& listen = "127.0.0.1:0") {
  auto seeder = swarm::Seeder::start({.layers = scratch / "layers",
                                      .torrents = scratch / "torrents",
                                      .listen = listen,
                                      .identity = identity_of(ca),
                                      .check_lease = check_token,
                                      .send_max = send_max,
                                      .clock = &os::system_clock()},
                                     std::move(notify));
  if (!seeder) FAIL(seeder.error().text());
  REQUIRE(seeder->rescan());
  return std::move(*seeder);
}

}  // namespace lamina::tests
