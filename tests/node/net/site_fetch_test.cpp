// Signed data from the relay's door of another device, over real TLS on loopback.
#include "node/net/site_fetch.hpp"

#include "tests/node/net/relay_site.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace lamina::tests;

namespace {

struct Bench : RelaySite {
  Bench() {
    relay = open_relay(bob);
    relay->meet({ann.peer()});
    relay->hand_on([this](const std::string& path) -> Result<Buffer> {
      const auto page = pages.find(path);
      if (page == pages.end()) return fail(ErrorKind::not_found, "nothing there");
      return to_buffer(page->second);
    });
  }
  wire::Peer door() const { return bob.peer(relay->port()); }

  Result<Buffer> members(const SwarmIdentity& identity) {
    std::optional<Result<Buffer>> got;
    fetch.members(identity, door(), [&](Result<Buffer> bytes) { got = std::move(bytes); });
    run_until([&] { return got.has_value(); });
    return std::move(*got);
  }
  Result<LayerEnvelopes> layer(const LayerId& id) {
    std::optional<Result<LayerEnvelopes>> got;
    fetch.layer(ann.swarm, door(), id,
                [&](Result<LayerEnvelopes> parts) { got = std::move(parts); });
    run_until([&] { return got.has_value(); });
    return std::move(*got);
  }

  SiteDevice ann = make_device(1), bob = make_device(2), eve = make_device(3);
  std::unique_ptr<Relay> relay;
  std::map<std::string, std::string> pages;
  SiteFetch fetch{loop};
};

}  // namespace

TEST_CASE("site fetch: a device of the site gets the member list, others do not", "[node]") {
  Bench bench;
  CHECK(bench.members(bench.ann.swarm).error().kind() == ErrorKind::not_found);
  bench.pages[std::string(kMembersPage)] = "the list";
  CHECK(bench.members(bench.ann.swarm).value() == to_buffer("the list"));
  // Of the same swarm, but not of this site.
  CHECK(bench.members(bench.eve.swarm).error().kind() == ErrorKind::refused);
}

TEST_CASE("site fetch: a layer comes with all its parts, or not at all", "[node]") {
  Bench bench;
  const LayerId id;
  bench.pages[layer_page(id, "record")] = "record";
  bench.pages[layer_page(id, "distribution")] = "distribution";
  CHECK(bench.layer(id).error().kind() == ErrorKind::not_found);
  bench.pages[layer_page(id, "torrent")] = "torrent";
  const auto got = bench.layer(id);
  REQUIRE(got);
  CHECK(got->record == to_buffer("record"));
  CHECK(got->distribution == to_buffer("distribution"));
  CHECK(got->torrent == to_buffer("torrent"));
}

TEST_CASE("site fetch: a door that is shut is an error soon", "[node]") {
  Bench bench;
  const wire::Peer gone = bench.door();
  bench.relay.reset();
  std::optional<Result<Buffer>> got;
  bench.fetch.members(bench.ann.swarm, gone, [&](Result<Buffer> bytes) { got = std::move(bytes); });
  bench.run_until([&] { return got.has_value(); });
  CHECK(got->error().kind() == ErrorKind::unavailable);
}
