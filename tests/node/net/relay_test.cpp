// Handing over, holding and passing on, over real TLS on loopback.
#include "node/net/relay.hpp"

#include "shared/net/https_client.hpp"
#include "shared/wire/protocol.hpp"
#include "tests/node/net/relay_site.hpp"
#include "tests/support/content.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace lamina::tests;
using namespace std::chrono_literals;
using Calls = std::vector<std::string>;

namespace {

struct Bench : RelaySite {
  Bench() { open(); }

  void open(Relay::Options options = {}) {
    relay.reset();
    relay = open_relay(bob, options);
    relay->meet({ann.peer()});
    connect();
  }
  void connect() { sender = ParcelSender::open(loop, to_relay(ann, bob, *relay->port())).value(); }

  Result<Bytes> send_pack(const Buffer& content) {
    const std::string path = scratch / "pack";
    REQUIRE(os::write_file(path, content));
    std::optional<Result<Bytes>> taken;
    sender->send_pack(path, [&](Result<Bytes> size) { taken = std::move(size); });
    run_until([&] { return taken.has_value(); });
    return std::move(*taken);
  }
  Result<Bytes> send_snapshot(const SnapshotId& snapshot, const Buffer& record) {
    std::optional<Result<Bytes>> taken;
    sender->send_snapshot(snapshot, record, [&](Result<Bytes> size) { taken = std::move(size); });
    run_until([&] { return taken.has_value(); });
    return std::move(*taken);
  }

  // A parcel of `device` as it goes over the wire, and whatever `change` does to it, straight to
  // the door.
  int put(const SiteDevice& device, const std::function<void(Buffer&)>& change,
          const SiteDevice* connected_as = nullptr) {
    format::ParcelHead head{.device = device.id, .sequence = 1, .box_size = 1000};
    const Buffer box = noise(1000, 3);
    head.box_digest = sha256(box);
    Buffer bytes = format::encode(format::ParcelFront{head, to_buffer("key"), to_buffer("proof")});
    bytes.insert(bytes.end(), box.begin(), box.end());
    change(bytes);
    const SiteDevice& as = connected_as != nullptr ? *connected_as : device;
    auto client = net::HttpsClient::create(loop, {.host = "127.0.0.1",
                                                  .port = *relay->port(),
                                                  .ca_pem = as.swarm.ca_pem,
                                                  .ca_fingerprint = {},
                                                  .certificate_pem = as.swarm.certificate_pem,
                                                  .key_pem = as.swarm.key_pem,
                                                  .peer = bob.id})
                      .value();
    std::optional<Result<net::Reply>> reply;
    client->send({.method = "PUT",
                  .target = "/v1/relay/parcels/" + format::parcel_id(head).hex(),
                  .content_type = std::string(wire::kBinary),
                  .body = std::string(as_text(bytes))},
                 [&](Result<net::Reply> got) { reply = std::move(got); });
    run_until([&] { return reply.has_value(); });
    return *reply ? (*reply)->status : 0;
  }

  std::size_t files_held() const {
    const std::string directory = bob.state.relay() + '/' + ann.id.hex();
    return os::exists(directory) ? os::list_directory(directory)->size() : 0;
  }

  SiteDevice ann = make_device(1);
  SiteDevice bob = make_device(2);
  std::unique_ptr<Relay> relay;
  std::unique_ptr<ParcelSender> sender;
  const Buffer pack = noise(400'000, 1);
  const Buffer record = to_buffer("a record");
  const SnapshotId snapshot = format::snapshot_id(record);
};

}  // namespace

TEST_CASE("relay: what is taken is durable and unreadable; passed on in order, then forgotten",
          "[node]") {
  Bench bench;
  const auto taken = bench.send_pack(bench.pack);
  REQUIRE(taken);
  CHECK(bench.files_held() == 1);
  CHECK(bench.relay->held() == *taken);
  CHECK(bench.relay->snapshots().empty());
  CHECK(bench.changes == 0);
  REQUIRE(bench.send_snapshot(bench.snapshot, bench.record));
  CHECK(bench.changes == 1);
  REQUIRE(bench.relay->snapshots().size() == 1);
  const auto listed = bench.relay->snapshots()[0];
  CHECK(listed.device == bench.ann.id);
  CHECK(listed.snapshot == bench.snapshot);
  CHECK(listed.bytes == bench.relay->held().count);
  CHECK(bench.calls.empty());
  const std::string directory = bench.bob.state.relay() + '/' + bench.ann.id.hex();
  const std::vector<std::string> names = os::list_directory(directory).value();
  for (const std::string& name : names) {
    const Buffer held = os::read_file(directory + '/' + name, 1 << 20).value();
    CHECK(std::ranges::search(held, ByteView(bench.pack).first(32)).empty());
    CHECK(std::ranges::search(held, bench.record).empty());
  }
  CHECK(os::list_directory(bench.ann.state.outgoing())->empty());

  bench.relay->set_line(true, false);
  bench.run_until([&] { return bench.relay->held().count == 0; });
  CHECK(bench.calls == Calls{"parcel", "parcel"});
  CHECK(bench.contents.at(0) == bench.pack);
  CHECK(bench.contents.at(1) == bench.record);
  CHECK(bench.heads.at(1).snapshot == bench.snapshot);
  CHECK(bench.heads.at(1).number == 1);
  CHECK(bench.files_held() == 0);
  CHECK(bench.changes == 2);
}

TEST_CASE("relay: killed before it passes on, it has everything when it comes back", "[node]") {
  Bench bench;
  REQUIRE(bench.send_pack(bench.pack));
  REQUIRE(bench.send_snapshot(bench.snapshot, bench.record));
  const Bytes held = bench.relay->held();
  // What it was receiving when it died is not there any more, and was never answered for.
  REQUIRE(os::write_file(bench.bob.state.relay() + "/incoming/half", as_view("half")));
  bench.open();
  CHECK(os::list_directory(bench.bob.state.relay() + "/incoming")->empty());
  CHECK(bench.relay->held() == held);
  REQUIRE(bench.relay->snapshots().size() == 1);
  CHECK(bench.relay->snapshots()[0].snapshot == bench.snapshot);
  bench.relay->set_line(true, false);
  bench.run_until([&] { return bench.relay->held().count == 0; });
  CHECK(bench.contents.at(0) == bench.pack);
  CHECK(bench.contents.at(1) == bench.record);
}

TEST_CASE("relay: keeps a parcel until the origin has answered for it", "[node]") {
  Bench bench;
  SECTION("unavailable: again") {
    bench.broken_calls = 3;
    REQUIRE(bench.send_snapshot(bench.snapshot, bench.record));
    bench.relay->set_line(true, false);
    bench.run_until([&] { return bench.relay->held().count == 0; });
    CHECK(bench.calls == Calls(4, "parcel"));
    CHECK(bench.contents.size() == 1);
  }
  SECTION("refused: given up") {
    bench.refusal = "superseded by another";
    REQUIRE(bench.send_snapshot(bench.snapshot, bench.record));
    bench.relay->set_line(true, false);
    bench.run_until([&] { return bench.relay->held().count == 0; });
    CHECK(bench.calls == Calls{"parcel"});
  }
  SECTION("while it fetches a layer: later") {
    bench.open({.listen_address = {}, .waited_max = 200ms});
    bench.relay->set_line(true, true);
    const Instant start = bench.loop.now();
    REQUIRE(bench.send_snapshot(bench.snapshot, bench.record));
    bench.run_until([&] { return bench.relay->held().count == 0; });
    CHECK(bench.loop.now() - start >= 200ms);
  }
  SECTION("the layer is complete: now") {
    bench.relay->set_line(true, true);
    REQUIRE(bench.send_snapshot(bench.snapshot, bench.record));
    CHECK(bench.calls.empty());
    bench.relay->set_line(true, false);
    bench.run_until([&] { return bench.relay->held().count == 0; });
  }
}

TEST_CASE("relay: what comes twice is held once", "[node]") {
  Bench bench;
  const auto nothing = [](Buffer&) {};
  CHECK(bench.put(bench.ann, nothing) == 201);
  const Bytes held = bench.relay->held();
  CHECK(bench.put(bench.ann, nothing) == 201);
  CHECK(bench.relay->held() == held);
  CHECK(bench.files_held() == 1);
}

TEST_CASE("relay: changed, cut off and foreign parcels are not taken", "[node]") {
  Bench bench;
  CHECK(bench.put(bench.ann, [](Buffer& b) { b.back() ^= std::byte{1}; }) == 422);
  CHECK(bench.put(bench.ann, [](Buffer& b) { b[20] ^= std::byte{1}; }) == 403);
  CHECK(bench.put(bench.ann, [](Buffer& b) { b[8 + 16] ^= std::byte{2}; }) == 400);
  CHECK(bench.put(bench.ann, [](Buffer& b) { b.pop_back(); }) == 422);
  CHECK(bench.put(bench.ann, [](Buffer& b) { b.push_back(std::byte{0}); }) == 422);
  CHECK(bench.put(bench.ann, [](Buffer& b) { b.resize(30); }) == 422);
  const SiteDevice eve = bench.make_device(3);
  bench.relay->meet({bench.ann.peer(), eve.peer()});
  CHECK(bench.put(
            bench.ann, [](Buffer&) {}, &eve) == 403);
  CHECK(bench.relay->held().count == 0);
  CHECK(bench.files_held() == 0);
  CHECK(os::list_directory(bench.bob.state.relay() + "/incoming")->empty());
}

TEST_CASE("relay: the door is open for the devices of the site only", "[node]") {
  Bench bench;
  SECTION("not for another site's") {
    bench.relay->meet({});
    CHECK(bench.send_pack(bench.pack).error().kind() == ErrorKind::refused);
  }
  SECTION("not for one without the swarm's certificate") {
    const auto stranger = net::make_ca("stranger").value();
    const auto key = net::make_key_and_request().value();
    bench.ann.swarm.certificate_pem =
        net::issue_swarm_certificate(stranger, key.csr_pem, bench.ann.id.hex()).value();
    bench.ann.swarm.key_pem = key.key_pem;
    bench.connect();
    CHECK_FALSE(bench.send_pack(bench.pack));
  }
  SECTION("and the guest speaks to nobody else in its place") {
    const SiteDevice eve = bench.make_device(3);
    auto options = bench.to_relay(bench.ann, eve, *bench.relay->port());
    bench.sender = ParcelSender::open(bench.loop, options).value();
    CHECK(bench.send_pack(bench.pack).error().kind() == ErrorKind::refused);
  }
  CHECK(bench.relay->held().count == 0);
}

TEST_CASE("relay: holds no more than it may, and says so", "[node]") {
  Bench bench;
  const auto limited = [](RelaySpool::Limits limits) {
    return Relay::Options{.listen_address = {}, .limits = limits};
  };
  SECTION("for one device") {
    bench.open(limited({.device_max = 500_KiB}));
    REQUIRE(bench.send_pack(bench.pack));
    const auto refused = bench.send_pack(bench.pack);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind() == ErrorKind::out_of_space);
    CHECK_THAT(refused.error().text(), Catch::Contains("for one device"));
    // Once it is passed on there is room again.
    bench.relay->set_line(true, false);
    bench.run_until([&] { return bench.relay->held().count == 0; });
    CHECK(bench.send_pack(bench.pack));
  }
  SECTION("for one device, by number") {
    bench.open(limited({.device_parcels_max = 1}));
    REQUIRE(bench.send_pack(bench.pack));
    CHECK(bench.send_snapshot(bench.snapshot, bench.record).error().kind() ==
          ErrorKind::out_of_space);
  }
  SECTION("in all") {
    bench.open(limited({.total_max = 100_KiB}));
    CHECK(bench.send_pack(bench.pack).error().kind() == ErrorKind::out_of_space);
    CHECK(bench.send_snapshot(bench.snapshot, bench.record));
  }
  SECTION("on the disk") {
    bench.open(limited({.space_reserve = Bytes{std::int64_t{1} << 60}}));
    CHECK(bench.send_snapshot(bench.snapshot, bench.record).error().kind() ==
          ErrorKind::out_of_space);
  }
  CHECK(os::list_directory(bench.bob.state.relay() + "/incoming")->empty());
}

TEST_CASE("relay: what the origin did not take for long is given up", "[node]") {
  Bench bench;
  REQUIRE(bench.send_snapshot(bench.snapshot, bench.record));
  RelaySpool spool =
      RelaySpool::open(bench.bob.state.relay(), {}, bench.loop.now(), net::Loop::wall_now())
          .value();
  CHECK(spool.expire(bench.loop.now() + 6 * 24h) == 0);
  CHECK(spool.expire(bench.loop.now() + 7 * 24h) == 1);
  CHECK(spool.size().count == 0);
  CHECK(bench.files_held() == 0);
}
