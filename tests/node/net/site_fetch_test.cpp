// Signed data from the relay's door of another device, over real TLS on loopback.
#include "node/net/site_fetch.hpp"

#include "tests/node/net/relay_site.hpp"
#include "tests/support/ids.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace lamina::tests;

namespace {

struct Bench : RelaySite {
  Bench() {
    relay = open_relay(bob);
    relay->meet({ann.peer()});
    relay->hand_on([this](const std::string& path) -> Result<Relay::Handed> {
      const auto page = pages.find(path);
      if (page == pages.end()) return fail(ErrorKind::not_found, "nothing there");
      return Relay::Handed{to_buffer(page->second)};
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

TEST_CASE("site fetch: packs that were made at great cost come as files, all or none", "[node]") {
  Bench bench;
  const LayerId id;
  const auto a = tests::id_of<PackId>(1), b = tests::id_of<PackId>(2);
  const std::string directory = bench.scratch / "given";
  const auto costly = [&] {
    std::optional<Result<std::vector<std::string>>> got;
    bench.fetch.costly(bench.ann.swarm, bench.door(), id, directory,
                       [&](Result<std::vector<std::string>> paths) { got = std::move(paths); });
    bench.run_until([&] { return got.has_value(); });
    return std::move(*got);
  };
  CHECK(costly().error().kind() == ErrorKind::not_found);
  const std::string list = std::string(as_text(a.bytes())) + std::string(as_text(b.bytes()));
  bench.pages[costly_page(id)] = list;
  bench.pages[costly_page(id, a)] = "pack a";
  CHECK(costly().error().kind() == ErrorKind::not_found);
  bench.pages[costly_page(id, b)] = "pack b";
  const auto got = costly();
  REQUIRE(got);
  REQUIRE(got->size() == 2);
  CHECK(os::read_text(got->at(0)).value() == "pack a");
  CHECK(os::read_text(got->at(1)).value() == "pack b");
  bench.pages[costly_page(id)] = list.substr(1);
  CHECK(costly().error().kind() == ErrorKind::corrupt);
  bench.pages[costly_page(id)] = "";
  CHECK(costly().error().kind() == ErrorKind::corrupt);
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
