// Uploads that come through a relay, in process: what is kept, and what a relay cannot do.
#include "shared/net/key_signature.hpp"
#include "tests/origin/api/content_bench.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace lamina::tests;
using format::ParcelHead;
using format::ParcelKind;

namespace {

struct Parcel {
  std::string id;
  std::string bytes;
  std::size_t front = 0;  // Bytes before the box.
};

Parcel pack_up(ParcelHead head, std::string_view content, const BoxPublicKey& recipient,
               const std::string& key_pem) {
  Buffer box;
  auto sealer = BoxSealer::create(recipient, format::box_context(head), [&](ByteView bytes) {
    box.insert(box.end(), bytes.begin(), bytes.end());
    return Status(Done{});
  });
  REQUIRE(sealer->update(as_view(content)));
  REQUIRE(sealer->finish());
  head.box_size = box.size();
  head.box_digest = sha256(box);
  const auto proof = net::sign_with_key(key_pem, format::signed_bytes(head)).value();
  const Buffer front = format::encode(format::ParcelFront{head, proof.public_key, proof.signature});
  return {format::parcel_id(head).hex(), std::string(as_text(front)) + std::string(as_text(box)),
          front.size()};
}

struct Bench : ContentBench {
  Parcel pack_parcel(const DeviceId& device, std::uint64_t sequence = 1) {
    return pack_up({.device = device, .sequence = sequence}, pack().second, relay_key.public_key(),
                   device_keys.at(device));
  }
  SnapshotId snapshot_id(const DeviceId& device, std::uint64_t sequence = 1) const {
    return format::snapshot_id(as_view(snapshot(device, sequence)));
  }
  Parcel snapshot_parcel(const DeviceId& device, std::uint64_t sequence = 1) {
    return pack_up({.device = device,
                    .sequence = sequence,
                    .number = 1,
                    .kind = ParcelKind::snapshot,
                    .snapshot = snapshot_id(device, sequence)},
                   snapshot(device, sequence), relay_key.public_key(), device_keys.at(device));
  }
  net::Response put(const Parcel& parcel) {
    return device(bob, "PUT", "/v1/node/relay/parcels/" + parcel.id, parcel.bytes);
  }
  std::string state_of(const Parcel& parcel) {
    const auto response = put(parcel);
    REQUIRE(response.status == 200);
    return wire::parse_parcel_reply(response.body)->state;
  }
  wire::PollReply poll(const DeviceId& id, std::optional<wire::HandedSnapshot> handed,
                       std::vector<wire::RelayedSnapshot> relayed = {}) {
    wire::PollRequest request;
    request.handed = handed;
    if (!relayed.empty()) request.relayed = std::move(relayed);
    const auto response = device(id, "POST", "/v1/node/poll", wire::to_json(request));
    REQUIRE(response.status == 200);
    return wire::parse_poll_reply(response.body).value();
  }
  bool lacks_everything(const DeviceId& id) {
    return device(id, "POST", "/v1/node/cvd/lacks", ids()).body == ids();
  }

  DeviceId ann = enrol("ann");
  DeviceId bob = enrol("bob");
};

}  // namespace

TEST_CASE("relay api: packs and snapshot of a device are kept as if it had sent them", "[origin]") {
  Bench bench;
  CHECK(bench.state_of(bench.pack_parcel(bench.ann)) == "taken");
  CHECK(bench.device(bench.ann, "POST", "/v1/node/cvd/lacks", bench.ids()).body.empty());
  CHECK(bench.lacks_everything(bench.bob));
  CHECK(bench.state_of(bench.snapshot_parcel(bench.ann)) == "kept");
  const auto known = bench.catalog.snapshots(bench.ann).value();
  REQUIRE(known.size() == 1);
  CHECK(known[0].id == bench.snapshot_id(bench.ann));
  CHECK(bench.content->snapshot_record(known[0].id).value() ==
        to_buffer(bench.snapshot(bench.ann)));
  CHECK(bench.catalog.snapshots(bench.bob)->empty());
}

TEST_CASE("relay api: what comes twice counts once", "[origin]") {
  Bench bench;
  const Parcel pack = bench.pack_parcel(bench.ann);
  const Parcel snapshot = bench.snapshot_parcel(bench.ann);
  CHECK(bench.state_of(pack) == "taken");
  CHECK(bench.state_of(pack) == "taken");
  CHECK(bench.state_of(snapshot) == "kept");
  CHECK(bench.state_of(snapshot) == "kept");
  CHECK(bench.state_of(pack) == "superseded");
  // The same snapshot by another parcel: the device had sent it again.
  CHECK(bench.state_of(bench.snapshot_parcel(bench.ann)) == "kept");
  CHECK(bench.catalog.snapshots(bench.ann)->size() == 1);
  CHECK(bench.content->cvds().files().list()->size() == 1);
}

TEST_CASE("relay api: an old parcel that a relay kept back is superseded", "[origin]") {
  Bench bench;
  const Parcel old_pack = bench.pack_parcel(bench.ann, 3);
  const Parcel old_snapshot = bench.snapshot_parcel(bench.ann, 3);
  const auto [id, bytes] = bench.pack();
  REQUIRE(bench.device(bench.ann, "PUT", "/v1/node/cvd/packs/" + id.hex(), bytes).status == 201);
  REQUIRE(bench.device(bench.ann, "POST", "/v1/node/cvd/snapshots", bench.snapshot(bench.ann, 4))
              .status == 201);
  CHECK(bench.state_of(old_pack) == "superseded");
  CHECK(bench.state_of(old_snapshot) == "superseded");
  CHECK(bench.catalog.snapshots(bench.ann)->size() == 1);
  CHECK(bench.state_of(bench.snapshot_parcel(bench.ann, 5)) == "kept");
}

TEST_CASE("relay api: a snapshot that lacks chunks is refused, and the device hears of it",
          "[origin]") {
  Bench bench;
  const wire::HandedSnapshot handed{bench.snapshot_id(bench.ann), 1};
  CHECK(bench.poll(bench.ann, handed).handed == "unknown");
  const auto response = bench.put(bench.snapshot_parcel(bench.ann));
  const auto reply = wire::parse_parcel_reply(response.body).value();
  CHECK(reply.state == "refused");
  CHECK_THAT(reply.text, Catch::Contains("lacking"));
  CHECK(bench.poll(bench.ann, handed).handed == "refused");
  CHECK(bench.poll(bench.ann, wire::HandedSnapshot{bench.snapshot_id(bench.ann, 2), 2}).handed ==
        "unknown");
}

TEST_CASE("relay api: changed, cut off and extended parcels are refused", "[origin]") {
  Bench bench;
  const Parcel good = bench.pack_parcel(bench.ann);
  const auto refused = [&](const char* what, const Parcel& parcel) {
    CAPTURE(what);
    CHECK(bench.state_of(parcel) == "refused");
  };
  Parcel bad = good;
  for (const std::size_t at :
       {good.front - 3, good.front + 10, good.front + 100, good.bytes.size() - 1}) {
    CAPTURE(at);
    bad.bytes[at] = static_cast<char>(bad.bytes[at] ^ 1);
    refused("a changed byte", bad);
    bad = good;
  }
  for (const std::size_t size :
       {std::size_t{3}, std::size_t{40}, good.front, good.front + 40, good.bytes.size() - 1}) {
    CAPTURE(size);
    bad.bytes.resize(size);
    refused("cut off", bad);
    bad = good;
  }
  bad.bytes += 'x';
  refused("extended", bad);
  bad = good;
  bad.id[0] = bad.id[0] == '0' ? '1' : '0';
  refused("under another id", bad);
  CHECK(bench.lacks_everything(bench.ann));
  CHECK(bench.state_of(good) == "taken");
}

TEST_CASE("relay api: a relay gains nothing by another's box or another's name", "[origin]") {
  Bench bench;
  const Parcel anns = bench.pack_parcel(bench.ann);
  const auto parsed = format::parse_parcel(as_view(anns.bytes)).value();
  SECTION("ann's box under bob's own head: its context does not fit") {
    ParcelHead head = parsed.front.head;
    head.device = bench.bob;
    const auto proof =
        net::sign_with_key(bench.device_keys.at(bench.bob), format::signed_bytes(head)).value();
    const Buffer front =
        format::encode(format::ParcelFront{head, proof.public_key, proof.signature});
    CHECK(bench.state_of({format::parcel_id(head).hex(),
                          std::string(as_text(front)) + anns.bytes.substr(parsed.size)}) ==
          "refused");
    CHECK(bench.lacks_everything(bench.bob));
  }
  SECTION("bob's content in ann's name: not signed by her key") {
    const Parcel forged = pack_up({.device = bench.ann, .sequence = 1}, bench.pack().second,
                                  bench.relay_key.public_key(), bench.device_keys.at(bench.bob));
    CHECK(bench.state_of(forged) == "refused");
    CHECK(bench.lacks_everything(bench.ann));
  }
  SECTION("ann's pack as a part of another snapshot") {
    ParcelHead head = parsed.front.head;
    head.sequence = 9;
    const Buffer front =
        format::encode(format::ParcelFront{head, parsed.front.public_key, parsed.front.signature});
    CHECK(bench.state_of({format::parcel_id(head).hex(),
                          std::string(as_text(front)) + anns.bytes.substr(parsed.size)}) ==
          "refused");
  }
  SECTION("a record in ann's parcel that is not ann's") {
    ParcelHead head{.device = bench.ann,
                    .sequence = 1,
                    .kind = ParcelKind::snapshot,
                    .snapshot = bench.snapshot_id(bench.bob)};
    CHECK(bench.state_of(pack_up(head, bench.snapshot(bench.bob), bench.relay_key.public_key(),
                                 bench.device_keys.at(bench.ann))) == "refused");
    head.snapshot = bench.snapshot_id(bench.ann, 7);
    CHECK(bench.state_of(pack_up(head, bench.snapshot(bench.ann, 7), bench.relay_key.public_key(),
                                 bench.device_keys.at(bench.ann))) == "refused");
    CHECK(bench.catalog.snapshots(bench.ann)->empty());
  }
  SECTION("of a device that was rejected, or never enrolled") {
    ParcelHead head{.device = DeviceId::parse(std::string(32, 'e')).value(), .sequence = 1};
    CHECK(bench.state_of(pack_up(head, "x", bench.relay_key.public_key(),
                                 bench.device_keys.at(bench.ann))) == "refused");
    REQUIRE(bench.catalog.reject_device({"test", {1}}, bench.ann));
    CHECK(bench.state_of(anns) == "refused");
  }
}

TEST_CASE("relay api: a snapshot is unknown, at the site, protected", "[origin]") {
  Bench bench;
  const wire::HandedSnapshot handed{bench.snapshot_id(bench.ann), 1};
  const std::string list = "/v1/cvds/" + bench.ann.hex() + "/snapshots";
  CHECK(bench.poll(bench.ann, handed).handed == "unknown");
  CHECK_FALSE(bench.poll(bench.ann, std::nullopt).handed);
  CHECK(bench.poll(bench.ann, handed).relay_key == to_buffer(bench.relay_key.public_key().bytes()));

  bench.poll(bench.bob, std::nullopt, {{bench.ann, handed.snapshot, 1, 5000, 60'000}});
  CHECK(bench.poll(bench.ann, handed).handed == "at the site");
  auto seen = wire::parse_snapshot_list(bench.admin("GET", list).body).value();
  CHECK(seen.snapshots.empty());
  REQUIRE(seen.at_site);
  CHECK(seen.at_site->at(0).id == handed.snapshot);
  CHECK(seen.at_site->at(0).relay == bench.bob);
  CHECK(seen.at_site->at(0).age_ms == 60'000);

  CHECK(bench.state_of(bench.pack_parcel(bench.ann)) == "taken");
  CHECK(bench.state_of(bench.snapshot_parcel(bench.ann)) == "kept");
  // The relay still lists it: it has not heard the answer.
  CHECK(bench.poll(bench.ann, handed).handed == "protected");
  seen = wire::parse_snapshot_list(bench.admin("GET", list).body).value();
  CHECK(seen.snapshots.size() == 1);
  CHECK_FALSE(seen.at_site);
}

TEST_CASE("relay api: the poll that waits already brings the news", "[origin]") {
  Bench bench;
  wire::PollRequest request;
  request.site_version = bench.poll(bench.ann, std::nullopt).site->version;
  request.wait_ms = 50'000;
  std::optional<net::Response> answer;
  net::Request waiting{.method = "POST", .path = "/v1/node/poll", .body = wire::to_json(request)};
  waiting.headers.add(std::string(wire::kProtocolHeader), "1");
  waiting.peer.device = bench.ann;
  const Moment moment{Instant{std::chrono::seconds{1}}, {1'000'000'000}};
  bench.api.handle(
      waiting, [&](net::Response response) { answer = std::move(response); }, moment);
  bench.api.wake(moment);
  REQUIRE_FALSE(answer);
  bench.poll(bench.ann, wire::HandedSnapshot{bench.snapshot_id(bench.ann), 1});
  bench.api.wake(moment);
  CHECK_FALSE(answer);
  CHECK(bench.state_of(bench.pack_parcel(bench.ann)) == "taken");
  CHECK(bench.state_of(bench.snapshot_parcel(bench.ann)) == "kept");
  bench.api.wake(moment);
  REQUIRE(answer);
  CHECK(wire::parse_poll_reply(answer->body)->handed == "protected");
}

TEST_CASE("relay api: bodies of a parcel's size are for assigned devices", "[origin]") {
  Bench bench;
  net::Request head{.method = "PUT", .path = "/v1/node/relay/parcels/x"};
  CHECK(bench.api.admit(head, {1}).value() == wire::kMessageMax);
  head.peer.device = bench.bob;
  CHECK(bench.api.admit(head, {1}).value().count >
        static_cast<std::int64_t>(format::kParcelBoxMax));
}
