// Real sessions on loopback, with TLS and leases.
#include "shared/swarm/session.hpp"

#include <condition_variable>
#include <mutex>

#include "shared/net/certificates.hpp"
#include "shared/store/pack_writer.hpp"
#include "shared/swarm/seeder.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::swarm;
using namespace std::chrono_literals;
using tests::Scratch;

namespace {

SwarmIdentity identity_of(const net::KeyAndCertificate& ca) {
  const auto request = net::make_key_and_request().value();
  return {net::issue_swarm_certificate(ca, request.csr_pem, "test").value(), request.key_pem};
}

// A token is "site epoch seconds-from-now" in these tests; its signature is another test's
// business.
Buffer token(const std::string& site, std::uint64_t epoch, std::int64_t seconds) {
  const std::int64_t expires = os::system_clock().wall().ns + seconds * 1'000'000'000;
  return to_buffer(site + ' ' + std::to_string(epoch) + ' ' + std::to_string(expires));
}

Result<LeaseFacts> check_token(ByteView bytes) {
  const std::string text(as_text(bytes));
  char site[32];
  unsigned long long epoch = 0;
  long long expires = 0;
  if (std::sscanf(text.c_str(), "%31s %llu %lld", site, &epoch, &expires) != 3)
    return fail(ErrorKind::refused, "no token");
  return LeaseFacts{site, epoch, {expires}};
}

// Wakes the test when any session has something to say.
struct Bell {
  std::mutex mutex;
  std::condition_variable rung;
  bool ringing = false;

  std::function<void()> ringer() {
    return [this] {
      const std::lock_guard lock(mutex);
      ringing = true;
      rung.notify_all();
    };
  }
};

struct Site {
  Site() {
    const auto files = PackFiles::open(scratch / "layers", PackFiles::Access::write).value();
    std::vector<TorrentPack> torrent_packs;
    PackWriter writer(files, {.level = 1, .pack_bytes = 1 << 20},
                      [&](const format::PackSummary& pack) -> Status {
                        packs.insert(pack.id);
                        size += pack.size;
                        torrent_packs.push_back({pack.id, pack.size, pack.block_hashes});
                        return Done{};
                      });
    for (std::uint64_t i = 0; i < 60; ++i) {
      const Buffer chunk = tests::noise(100'000, i);
      REQUIRE(writer.add(tests::ref_of(chunk), chunk, ContentClass::compressed));
    }
    REQUIRE(writer.finish());
    auto made = make_torrent(torrent_packs, ca.certificate_pem);
    REQUIRE(made);
    torrent = std::move(*made);
    REQUIRE(os::make_directories(scratch / "torrents"));
    REQUIRE(os::write_file(scratch / ("torrents/" + torrent.id.hex() + ".torrent"), torrent.bytes));
    auto started = Seeder::start({.layers = scratch / "layers",
                                  .torrents = scratch / "torrents",
                                  .listen = "127.0.0.1:0",
                                  .identity = identity_of(ca),
                                  .check_lease = check_token,
                                  .clock = &os::system_clock()},
                                 bell.ringer());
    if (!started) FAIL(started.error().text());
    seeder.emplace(std::move(*started));
    REQUIRE(seeder->rescan());
    REQUIRE(seeder->torrents() == 1);
  }

  std::string seeder_address() const { return "127.0.0.1:" + std::to_string(seeder->port()); }

  std::unique_ptr<Session> wan(const std::string& name, std::optional<Buffer> lease,
                               const net::KeyAndCertificate& issuer) {
    auto ticket = std::make_shared<LeaseTicket>();
    if (lease) ticket->set(*lease);
    REQUIRE(os::make_directories(scratch / (name + "/packs")));
    auto session = Session::start({.kind = Session::Kind::wan,
                                   .directory = scratch / name,
                                   .identity = identity_of(issuer),
                                   .ticket = lease ? ticket : nullptr},
                                  bell.ringer());
    if (!session) FAIL(session.error().text());
    REQUIRE((*session)->add(torrent.bytes, {}, packs));
    REQUIRE((*session)->connect(torrent.id, seeder_address()));
    return std::move(*session);
  }

  // Takes events until `done` says so, or half a minute has passed.
  bool run(Session& session, const std::function<bool(const Event&)>& done) {
    const Instant end = os::system_clock().now() + 30s;
    while (os::system_clock().now() < end) {
      for (const Event& event : session.take_events())
        if (done(event)) return true;
      std::unique_lock lock(bell.mutex);
      bell.rung.wait_for(lock, 500ms, [&] { return bell.ringing; });
      bell.ringing = false;
    }
    return false;
  }

  bool fetch_all(Session& session) {
    std::size_t pieces = 0;
    for (const PackId& pack : packs)
      pieces += (os::read_file(scratch / ("layers/packs/" + pack.hex()), 1 << 24)->size() +
                 kPieceSize - 1) /
                kPieceSize;
    return run(session, [&](const Event& event) {
      if (std::holds_alternative<PieceVerified>(event)) --pieces;
      return pieces == 0;
    });
  }

  bool turned_away(Session& session) {
    return run(session, [](const Event& event) { return std::holds_alternative<PeerLeft>(event); });
  }

  Scratch scratch;
  net::KeyAndCertificate ca = net::make_ca("swarm").value();
  std::set<PackId> packs;
  std::uint64_t size = 0;
  TorrentFile torrent;
  Bell bell;
  std::optional<Seeder> seeder;
};

}  // namespace

TEST_CASE("swarm: a lease holder fetches every pack from the seeder, byte by byte", "[swarm]") {
  Site site;
  const auto session = site.wan("holder", token("north", 1, 60), site.ca);
  REQUIRE(site.fetch_all(*session));
  for (const PackId& pack : site.packs)
    CHECK(identify(site.scratch / ("holder/packs/" + pack.hex()))->id == pack);
  const auto sent = static_cast<double>(site.seeder->sent().count);
  CHECK(sent < 1.02 * static_cast<double>(site.size));
}

TEST_CASE("swarm: without a valid lease or certificate nobody gets a byte", "[swarm]") {
  Site site;
  SECTION("no lease") {
    const auto session = site.wan("x", std::nullopt, site.ca);
    CHECK(site.turned_away(*session));
  }
  SECTION("a lease that has run out") {
    const auto session = site.wan("x", token("north", 1, -1), site.ca);
    CHECK(site.turned_away(*session));
  }
  SECTION("bytes that are no lease") {
    const auto session = site.wan("x", to_buffer("hello"), site.ca);
    CHECK(site.turned_away(*session));
  }
  SECTION("a certificate of another authority") {
    const auto other = net::make_ca("other");
    REQUIRE(other);
    const auto session = site.wan("x", token("north", 1, 60), *other);
    CHECK(site.turned_away(*session));
  }
  CHECK(site.seeder->sent().count == 0);
}

TEST_CASE("swarm: an older epoch of a site is refused once a newer one was seen", "[swarm]") {
  Site site;
  const auto newer = site.wan("newer", token("north", 2, 60), site.ca);
  REQUIRE(site.fetch_all(*newer));
  const auto sent = site.seeder->sent();
  const auto older = site.wan("older", token("north", 1, 60), site.ca);
  CHECK(site.turned_away(*older));
  CHECK(site.seeder->sent() == sent);
  // Another site's lease is its own matter.
  const auto south = site.wan("south", token("south", 1, 60), site.ca);
  CHECK(site.fetch_all(*south));
}

TEST_CASE("swarm: devices share what one of them has", "[swarm]") {
  Site site;
  const auto lan = [&](const std::string& name, const Session::Held& held,
                       const std::string& directory) {
    auto session = Session::start({.kind = Session::Kind::lan,
                                   .listen = "127.0.0.1:0",
                                   .directory = directory,
                                   .identity = identity_of(site.ca)},
                                  site.bell.ringer());
    if (!session) FAIL(session.error().text());
    REQUIRE(os::make_directories(directory + "/packs"));
    REQUIRE((*session)->allow_only({"127.0.0.1"}));
    REQUIRE((*session)->add(site.torrent.bytes, held, site.packs));
    CAPTURE(name);
    return std::move(*session);
  };
  const auto first = lan("first", {.complete = site.packs, .partial = {}}, site.scratch / "layers");
  const auto second = lan("second", {}, site.scratch / "second");
  REQUIRE(second->connect(site.torrent.id, "127.0.0.1:" + std::to_string(first->port())));
  REQUIRE(site.fetch_all(*second));
  for (const PackId& pack : site.packs)
    CHECK(identify(site.scratch / ("second/packs/" + pack.hex()))->id == pack);
  CHECK(second->traffic(site.torrent.id).received.count >= static_cast<std::int64_t>(site.size));

  // A piece that came over the WAN is handed to the LAN session.
  const auto third = lan("third", {}, site.scratch / "third");
  second->read_piece(site.torrent.id, *site.packs.begin(), 0);
  std::optional<PieceRead> read;
  REQUIRE(site.run(*second, [&](const Event& event) {
    if (const auto* piece = std::get_if<PieceRead>(&event)) read = *piece;
    return read.has_value();
  }));
  third->add_piece(site.torrent.id, read->pack, read->piece, read->bytes);
  CHECK(site.run(*third, [&](const Event& event) {
    const auto* verified = std::get_if<PieceVerified>(&event);
    return verified != nullptr && verified->pack == read->pack && verified->piece == read->piece;
  }));
}

TEST_CASE("swarm: a layer of a single pack is fetched into packs/ too", "[swarm]") {
  Site site;
  const PackId pack = *site.packs.begin();
  const auto files = PackFiles::open(site.scratch / "layers", PackFiles::Access::read).value();
  auto made = make_torrent({{pack, files.size_of(pack).value(), files.block_hashes(pack).value()}},
                           site.ca.certificate_pem);
  REQUIRE(made);
  site.torrent = std::move(*made);
  site.packs = {pack};
  REQUIRE(os::write_file(site.scratch / "torrents/single.torrent", site.torrent.bytes));
  REQUIRE(site.seeder->rescan());
  REQUIRE(site.seeder->torrents() == 2);
  const auto session = site.wan("single", token("north", 1, 60), site.ca);
  REQUIRE(site.fetch_all(*session));
  CHECK(identify(site.scratch / ("single/packs/" + pack.hex()))->id == pack);
}

TEST_CASE("swarm: a port in use is a clear error", "[swarm]") {
  Site site;
  const auto again = Session::start({.kind = Session::Kind::lan,
                                     .listen = site.seeder_address(),
                                     .directory = site.scratch.path(),
                                     .identity = identity_of(site.ca)},
                                    [] {});
  REQUIRE_FALSE(again);
  CHECK(again.error().kind() == ErrorKind::unavailable);
  CHECK(again.error().text().find(site.seeder_address()) != std::string::npos);
  CHECK_FALSE(Session::start({.listen = "nonsense"}, [] {}));
}
