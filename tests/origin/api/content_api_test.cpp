// The calls that carry content, in process: who may put, commit and read what.
#include "shared/store/patch_writer.hpp"
#include "shared/wire/restore.hpp"
#include "tests/origin/api/content_bench.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace lamina::tests;

namespace {

constexpr Moment kNow{Instant{std::chrono::seconds{1}}, {1'000'000'000}};

struct Bench : ContentBench {
  // What was captured becomes layer os:1.0, and the stack of these devices.
  LayerId publish_and_assign(const PackId& id, const std::string& bytes,
                             const std::vector<DeviceId>& devices) {
    const LayerId layer = publish(id, bytes);
    REQUIRE(catalog.assign({"test", {1}}, {.devices = devices, .layers = {"os:1.0"}},
                           [](const wire::DeviceInfo&, const std::vector<LayerId>&,
                              const std::vector<LayerId>&) { return to_buffer("target"); }));
    return layer;
  }
};

}  // namespace

TEST_CASE("content api: a device's pack, snapshot and restore", "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  CHECK(bench.device(ann, "POST", "/v1/node/cvd/lacks", bench.ids()).body == bench.ids());

  // Nothing is there: the answer names what is missing, the manifest's own chunks first.
  auto reply = bench.device(ann, "POST", "/v1/node/cvd/snapshots", bench.snapshot(ann));
  CHECK(reply.status == 409);
  CHECK(reply.body.size() == 32 * bench.captured.result.manifest.fence.size());

  const auto [id, bytes] = bench.pack();
  CHECK(bench.device(ann, "PUT", "/v1/node/cvd/packs/" + std::string(64, 'a'), bytes).status ==
        422);
  REQUIRE(bench.device(ann, "PUT", "/v1/node/cvd/packs/" + id.hex(), bytes).status == 201);
  CHECK(bench.device(ann, "POST", "/v1/node/cvd/lacks", bench.ids()).body.empty());
  reply = bench.device(ann, "POST", "/v1/node/cvd/snapshots", bench.snapshot(ann));
  REQUIRE(reply.status == 201);
  const auto snapshot = wire::parse_snapshot_reply(reply.body)->snapshot;

  const std::string cvd = "/v1/cvds/" + ann.hex();
  CHECK(bench.admin("GET", cvd + "/snapshots/" + snapshot.hex() + "/record").body ==
        bench.snapshot(ann));
  Writer refs;
  format::encode_chunk_refs({ref_of(bench.captured.chunks.begin()->second)}, refs);
  const auto gathered = bench.admin("POST", cvd + "/chunks", std::string(as_text(refs.view())));
  REQUIRE(gathered.status == 200);
  REQUIRE(os::write_file(bench.scratch / "got", as_view(gathered.body)));
  PackSet set;
  REQUIRE(set.add(bench.scratch / "got", "got"));
  set.seal();
  CHECK(set.has(bench.captured.chunks.begin()->first));
  std::size_t reads = 0;
  const auto log = bench.catalog.audit_log(100).value();
  for (const auto& entry : log.entries) reads += entry.action == "cvd.read" ? 1 : 0;
  CHECK(reads == 2);
}

TEST_CASE("content api: a restore is one transaction of the audit log, not its reads", "[origin]") {
  ContentBench bench;
  const DeviceId ann = bench.enrol("ann");
  const auto [id, bytes] = bench.pack();
  REQUIRE(bench.device(ann, "PUT", "/v1/node/cvd/packs/" + id.hex(), bytes).status == 201);
  const auto committed = bench.device(ann, "POST", "/v1/node/cvd/snapshots", bench.snapshot(ann));
  const auto snapshot = wire::parse_snapshot_reply(committed.body)->snapshot;
  const std::string cvd = "/v1/cvds/" + ann.hex();
  const auto entries = [&](const std::string& action) {
    std::vector<std::string> details;
    const auto log = bench.catalog.audit_log(100).value();
    for (const auto& entry : log.entries)
      if (entry.action == action) details.push_back(entry.detail);
    return details;
  };
  const auto begin = [&](const SnapshotId& of) {
    return bench.admin("POST", cvd + "/restores",
                       wire::to_json(wire::RestoreRequest{of, "path=etc"}));
  };
  const auto read = [&](const std::string& restore) {
    Writer refs;
    format::encode_chunk_refs({ref_of(bench.captured.chunks.begin()->second)}, refs);
    net::Request request{
        .method = "POST", .path = cvd + "/chunks", .body = std::string(as_text(refs.view()))};
    request.headers.add("Authorization", "Bearer " + bench.token);
    request.headers.add(std::string(wire::kRestoreHeader), restore);
    CHECK(bench.ask(std::move(request)).status == 200);
  };
  CHECK(begin(SnapshotId()).status == 404);
  const std::string restore = wire::parse_restore_reply(begin(snapshot).body)->restore;
  CHECK(entries("cvd.restore").size() == 1);  // Before anything was read.
  for (int i = 0; i < 3; ++i) read(restore);
  CHECK(entries("cvd.read").empty());
  read("of nobody");
  CHECK(entries("cvd.read").size() == 1);
  const auto end = wire::to_json(wire::RestoreEnd{.ok = true, .entries = 7, .bytes = 99});
  REQUIRE(bench.admin("POST", cvd + "/restores/" + restore + "/end", end).status == 200);
  const auto restored = entries("cvd.restored");
  REQUIRE(restored.size() == 1);
  CHECK_THAT(restored[0], Catch::StartsWith("snapshot=" + snapshot.hex() + " path=etc chunks=3 ") &&
                              Catch::EndsWith("entries=7 written=99 ok"));
  CHECK(bench.admin("POST", cvd + "/restores/" + restore + "/end", end).status == 404);
  read(restore);  // It is over.
  CHECK(entries("cvd.read").size() == 2);
  // One whose end nobody says ends by itself.
  const std::string silent = wire::parse_restore_reply(begin(snapshot).body)->restore;
  read(silent);
  bench.api.wake({Instant{std::chrono::hours{2}}, {7'200'000'000'000}});
  REQUIRE(entries("cvd.restored").size() == 2);
  CHECK_THAT(entries("cvd.restored")[1], Catch::Contains("chunks=1 "));
}

TEST_CASE("content api: what is archived takes nothing in, and says why", "[origin]") {
  ContentBench bench;
  const DeviceId ann = bench.enrol("ann");
  const auto [id, bytes] = bench.pack();
  REQUIRE(bench.catalog.archive_cvd({"test", {1}}, ann, true));
  for (const auto& [method, path, body] :
       {std::tuple{"POST", std::string("/v1/node/cvd/lacks"), bench.ids()},
        {"PUT", "/v1/node/cvd/packs/" + id.hex(), bytes},
        {"POST", "/v1/node/cvd/snapshots", bench.snapshot(ann)}}) {
    const auto reply = bench.device(ann, method, path, body);
    CHECK(reply.status == 503);
    CHECK_THAT(reply.body, Catch::Contains("archived"));
  }
  REQUIRE(bench.catalog.archive_cvd({"test", {1}}, ann, false));
  CHECK(bench.device(ann, "PUT", "/v1/node/cvd/packs/" + id.hex(), bytes).status == 201);
}

namespace {

// A pack of one patch: `changed` is said to be `ref`, and to begin with `same` bytes of `from`.
std::pair<PackId, std::string> patch_of(const std::string& directory, const format::ChunkRef& ref,
                                        const Buffer& changed, const format::ChunkRef& from,
                                        std::uint32_t same) {
  const auto files = PackFiles::open(directory, PackFiles::Access::write).value();
  PackId id;
  PatchWriter writer(files, 3, [&](const format::PackSummary& pack) -> Status {
    id = pack.id;
    return Done{};
  });
  REQUIRE(writer.add(ref, changed, std::vector<format::Same>{{0, same, from, 0}}).value());
  REQUIRE(writer.finish());
  return {id, std::string(as_text(os::read_file(files.path_of(id), 1 << 26).value()))};
}

}  // namespace

TEST_CASE("content api: a patch builds upon what its device has, and nothing else", "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  const DeviceId bob = bench.enrol("bob");
  const auto [id, bytes] = bench.pack();
  REQUIRE(bench.device(ann, "PUT", "/v1/node/cvd/packs/" + id.hex(), bytes).status == 201);
  const auto large = std::ranges::max_element(
      bench.captured.chunks, {}, [](const auto& chunk) { return chunk.second.size(); });
  const Buffer& plain = large->second;
  REQUIRE(plain.size() > 10'000);
  const auto same = static_cast<std::uint32_t>(plain.size() - 100);
  Buffer changed = plain;
  changed.back() ^= std::byte{1};
  const auto lacks = [&](const DeviceId& device, const ChunkId& chunk) {
    return !bench.device(device, "POST", "/v1/node/cvd/lacks", std::string(as_text(chunk.bytes())))
                .body.empty();
  };
  const auto put = [&](const DeviceId& device, const std::pair<PackId, std::string>& pack) {
    return bench.device(device, "PUT", "/v1/node/cvd/packs/" + pack.first.hex(), pack.second);
  };

  const auto patch =
      patch_of(bench.scratch / "patches", ref_of(changed), changed, ref_of(plain), same);
  CHECK(patch.second.size() < 1000);
  // Bob does not have it: whether its bytes are what he guesses is not told.
  const auto refused = put(bob, patch);
  CHECK(refused.status == 422);
  CHECK(refused.body.find("builds upon chunk") != std::string::npos);
  CHECK(lacks(bob, ref_of(changed).id));
  CHECK(put(ann, patch).status == 201);
  CHECK_FALSE(lacks(ann, ref_of(changed).id));
  CHECK(bench.content->cvds().read(ref_of(changed)).value() == changed);

  // A patch that builds something else than it says gives no right to that.
  const Buffer own = noise(20'000, 5);
  Buffer guess = own;
  guess.back() ^= std::byte{1};
  const auto own_pack = patch_of(bench.scratch / "own", ref_of(own), own, ref_of(plain), 0 + 1);
  CHECK(put(bob, own_pack).status == 422);
  const auto files = PackFiles::open(bench.scratch / "whole", PackFiles::Access::write).value();
  PackId whole;
  PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& pack) -> Status {
    whole = pack.id;
    return Done{};
  });
  REQUIRE(writer.add(ref_of(own), own, ContentClass::data));
  REQUIRE(writer.finish());
  REQUIRE(
      put(bob, {whole, std::string(as_text(os::read_file(files.path_of(whole), 1 << 20).value()))})
          .status == 201);
  const auto lie =
      patch_of(bench.scratch / "lies", {ref_of(plain).id, 20'000}, guess, ref_of(own), 19'000);
  CHECK(put(bob, lie).status == 422);
  CHECK(lacks(bob, ref_of(plain).id));

  // Layers have no patches.
  CHECK(bench.admin("PUT", "/v1/layers/packs/" + patch.first.hex(), patch.second).status >= 400);
}

TEST_CASE("content api: another device's chunks are nobody else's", "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  const DeviceId bob = bench.enrol("bob");
  const auto [id, bytes] = bench.pack();
  REQUIRE(bench.device(ann, "PUT", "/v1/node/cvd/packs/" + id.hex(), bytes).status == 201);
  // The origin has every chunk, and says nothing of it to bob.
  CHECK(bench.device(bob, "POST", "/v1/node/cvd/lacks", bench.ids()).body == bench.ids());
  CHECK(bench.device(bob, "POST", "/v1/node/cvd/snapshots", bench.snapshot(bob)).status == 409);
  CHECK(bench.device(bob, "POST", "/v1/node/cvd/snapshots", bench.snapshot(ann)).status == 403);
  Writer refs;
  format::encode_chunk_refs({ref_of(bench.captured.chunks.begin()->second)}, refs);
  CHECK(bench.admin("POST", "/v1/cvds/" + bob.hex() + "/chunks", std::string(as_text(refs.view())))
            .status == 404);
}

TEST_CASE("content api: a layer is published, and read by whom it is assigned to", "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  const DeviceId bob = bench.enrol("bob");
  const auto [id, bytes] = bench.pack();
  CHECK(bench.admin("POST", "/v1/layers/lacks", bench.ids()).body == bench.ids());
  const LayerId layer = bench.publish_and_assign(id, bytes, {ann});
  CHECK(bench.admin("POST", "/v1/layers/lacks", bench.ids()).body.empty());
  const std::string path = "/v1/node/layers/" + layer.hex();
  CHECK(bench.device(ann, "GET", path + "/record").body ==
        as_text(bench.content->layer_record(layer).value()));
  CHECK(bench.device(ann, "GET", path + "/torrent").status == 200);
  CHECK(bench.device(ann, "GET", path + "/distribution").status == 200);
  for (const char* part : {"/record", "/distribution", "/torrent"})
    CHECK(bench.device(bob, "GET", path + part).status == 403);
}

TEST_CASE("content api: bytes of packs are for the holder of a lease", "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  const DeviceId bob = bench.enrol("bob");
  const DeviceId eve = bench.enrol("eve");  // Has no layers.
  const auto [id, bytes] = bench.pack();
  const LayerId layer = bench.publish_and_assign(id, bytes, {ann, bob});
  // A pack that no layer has: somebody's own content under a name that can be guessed.
  const PackId other = PackId::parse(std::string(64, 'a')).value();
  const auto path = [&](const PackId& pack) {
    return "/v1/node/layers/" + layer.hex() + "/packs/" + pack.hex();
  };
  const auto lease_of = [&](const DeviceId& device) {
    REQUIRE(bench.sites.reported("north", device, {.wants = {{layer, 100}}}, kNow));
    return to_hex(bench.sites.view("north", device, kNow).lease->token);
  };
  const auto get = [&](const DeviceId& device, const std::string& token,
                       const std::string& range = "bytes=0-262143", const std::string& where = "") {
    net::Request request{.method = "GET", .path = where.empty() ? path(id) : where};
    request.peer.device = device;
    if (!token.empty()) request.headers.add(std::string(wire::kLeaseHeader), token);
    if (!range.empty()) request.headers.add("Range", range);
    return bench.ask(std::move(request));
  };

  const std::string anns = lease_of(ann);
  CHECK(get(ann, anns).body == bytes);  // The server cuts the range out.
  CHECK(get(ann, anns, "bytes=5-4194308").status == 200);
  for (const char* range : {"", "bytes=0-", "bytes=-5", "bytes=0-4194304", "bytes=9-5",
                            "bytes=-1-5", "bytes=0-5,7-9", "bytes=0-99999999999999999999", "0-5"})
    CHECK(get(ann, anns, range).status == 400);
  for (const std::string& token : {std::string(), std::string("nonsense"), std::string("00ff")})
    CHECK(get(ann, token).status == 403);
  CHECK(get(ann, anns, "bytes=0-5", path(other)).status == 404);
  CHECK(get(ann, anns, "bytes=0-5", path(id) + "x").status == 400);
  // Another's token, and a device that the layer is not assigned to.
  CHECK(get(bob, anns).status == 403);
  CHECK(get(eve, anns).status == 403);
  REQUIRE(bench.sites.left(ann, kNow));
  CHECK(get(ann, anns).status == 403);
  const std::string eves = lease_of(eve);
  CHECK(get(eve, eves).status == 403);
  net::Request stranger{.method = "GET", .path = path(id)};
  stranger.headers.add(std::string(wire::kLeaseHeader), eves);
  CHECK(bench.ask(std::move(stranger)).status == 401);

  // One entry a lease, not one a range.
  std::size_t entries = 0;
  const auto log = bench.catalog.audit_log(100).value();
  for (const auto& entry : log.entries) entries += entry.action == "wan.https" ? 1 : 0;
  CHECK(entries == 1);
}

namespace {

// As the scrub does with a pack that is not there any more.
void lose(ChunkStore& store, const PackId& pack) {
  REQUIRE(os::remove_file(store.files().path_of(pack)));
  const PackLook look = look_at_pack(store.files(), pack).value();
  REQUIRE(store.set_aside(pack, look, kNow.wall).value());
}

}  // namespace

TEST_CASE("content api: a lost pack is asked of one who has it, and taken in by its name",
          "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  const DeviceId bob = bench.enrol("bob");
  const DeviceId eve = bench.enrol("eve");  // Has no layers.
  const auto [id, bytes] = bench.pack();
  const LayerId layer = bench.publish_and_assign(id, bytes, {ann, bob});
  const std::string path = "/v1/node/layers/" + layer.hex() + "/packs/" + id.hex();
  const auto asked = [&](const DeviceId& device, std::int64_t missing) {
    const wire::PollRequest poll{
        .target_sequence = 1,
        .layers = std::vector<wire::LayerState>{{layer, "local-cache", missing}}};
    const auto reply = bench.device(device, "POST", "/v1/node/poll", wire::to_json(poll));
    REQUIRE(reply.status == 200);
    return wire::parse_poll_reply(reply.body)->wanted_packs.has_value();
  };
  CHECK_FALSE(asked(ann, 0));
  CHECK(bench.device(ann, "PUT", path, bytes).status == 403);  // Nobody lacks it.

  lose(bench.content->layers(), id);
  CHECK(bench.admin("POST", "/v1/layers/lacks", bench.ids()).body == bench.ids());
  bench.api.want_packs({{id, {layer}}}, kNow);
  CHECK_FALSE(asked(eve, 0));
  CHECK_FALSE(asked(ann, 100));
  CHECK(asked(ann, 0));
  CHECK_FALSE(asked(ann, 0));
  CHECK_FALSE(asked(bob, 0));  // Ann has her time.
  net::Request head{.method = "PUT", .path = path};
  CHECK(bench.api.admit(head, {1}).value() == wire::kMessageMax);
  head.peer.device = ann;
  CHECK(bench.api.admit(head, {1}).value() > 16_MiB);

  CHECK(bench.device(eve, "PUT", path, bytes).status == 403);
  std::string wrong = bytes;
  wrong[200] ^= 1;
  CHECK(bench.device(ann, "PUT", path, wrong).status == 422);
  CHECK(bench.api.wanted_packs() == 1);
  CHECK(bench.device(ann, "PUT", path, bytes).status == 201);
  CHECK(bench.api.wanted_packs() == 0);
  CHECK(bench.content->layers().lost_packs().empty());
  CHECK(bench.admin("POST", "/v1/layers/lacks", bench.ids()).body.empty());
  CHECK(bench.device(ann, "PUT", path, bytes).status == 403);
  std::size_t healed = 0;
  const auto log = bench.catalog.audit_log(100).value();
  for (const auto& entry : log.entries) healed += entry.action == "layer.pack-healed" ? 1 : 0;
  CHECK(healed == 1);
}

TEST_CASE("content api: polls that wait are answered when their devices are asked for a pack",
          "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  const DeviceId bob = bench.enrol("bob");
  const auto [id, bytes] = bench.pack();
  const LayerId layer = bench.publish_and_assign(id, bytes, {ann, bob});
  std::map<DeviceId, std::optional<net::Response>> answers;
  std::map<DeviceId, std::uint64_t> versions;
  const auto poll = [&](const DeviceId& device, std::int64_t wait_ms, std::int64_t missing) {
    const wire::PollRequest said{
        .target_sequence = 1,
        .site_version = versions[device],
        .wait_ms = wait_ms,
        .layers = std::vector<wire::LayerState>{{layer, "local-cache", missing}}};
    net::Request request{.method = "POST", .path = "/v1/node/poll", .body = wire::to_json(said)};
    request.headers.add(std::string(wire::kProtocolHeader), "1");
    request.peer.device = device;
    bench.api.handle(
        request,
        [&answers, device, wait_ms](net::Response response) {
          if (wait_ms > 0) answers[device] = std::move(response);
        },
        kNow);
    bench.api.wake(kNow);
  };
  // The first ones have news of the site, and so has one when another device comes.
  poll(ann, 30'000, 100);
  poll(bob, 30'000, 100);
  for (int tries = 0; tries < 8; ++tries)
    for (const DeviceId& device : {ann, bob}) {
      if (!answers[device]) continue;
      versions[device] = wire::parse_poll_reply(answers[device]->body)->site->version;
      answers[device].reset();
      poll(device, 30'000, 100);
    }
  REQUIRE_FALSE(answers[ann]);
  REQUIRE_FALSE(answers[bob]);
  // What they say meanwhile, in polls that do not wait, counts.
  poll(ann, 0, 0);
  poll(bob, 0, 0);
  REQUIRE_FALSE(answers[ann]);
  REQUIRE_FALSE(answers[bob]);
  const auto is_asked = [&](const DeviceId& device) {
    return answers[device] && wire::parse_poll_reply(answers[device]->body)->wanted_packs ==
                                  std::vector<wire::WantedPack>{{layer, id}};
  };
  lose(bench.content->layers(), id);
  bench.api.want_packs({{id, {layer}}}, kNow);
  bench.api.wake(kNow);
  REQUIRE(is_asked(ann) != is_asked(bob));
  // The connection was dead: who was asked does not poll again, and the pack is asked of the other.
  const DeviceId other = is_asked(ann) ? bob : ann;
  CHECK_FALSE(answers[other]);
  const Instant late = kNow.now + std::chrono::seconds{15};
  CHECK(*bench.api.next_change() <= late);
  bench.api.wake({late, kNow.wall});
  CHECK(is_asked(other));
}

TEST_CASE("content api: what a disk lost of a device is asked for again", "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  const DeviceId bob = bench.enrol("bob");
  const auto [id, bytes] = bench.pack();
  REQUIRE(bench.device(ann, "PUT", "/v1/node/cvd/packs/" + id.hex(), bytes).status == 201);
  REQUIRE(bench.device(ann, "POST", "/v1/node/cvd/snapshots", bench.snapshot(ann)).status == 201);
  const PackId stored = bench.content->cvds().files().list().value().at(0);
  lose(bench.content->cvds(), stored);

  CHECK(bench.device(ann, "POST", "/v1/node/cvd/lacks", bench.ids()).body == bench.ids());
  CHECK(bench.device(bob, "POST", "/v1/node/cvd/lacks", bench.ids()).body == bench.ids());
  CHECK(bench.device(ann, "POST", "/v1/node/cvd/snapshots", bench.snapshot(ann, 2)).status == 409);
  REQUIRE(bench.device(ann, "PUT", "/v1/node/cvd/packs/" + id.hex(), bytes).status == 201);
  CHECK(bench.device(ann, "POST", "/v1/node/cvd/lacks", bench.ids()).body.empty());
  CHECK(bench.device(bob, "POST", "/v1/node/cvd/lacks", bench.ids()).body == bench.ids());
  CHECK(bench.device(ann, "POST", "/v1/node/cvd/snapshots", bench.snapshot(ann, 2)).status == 201);
  for (const auto& [chunk, plain] : bench.captured.chunks)
    CHECK(bench.content->cvds().read(ref_of(plain)).value() == plain);
}

TEST_CASE("content api: of a version that is not newer nothing is kept", "[origin]") {
  Bench bench;
  const auto [id, bytes] = bench.pack();
  REQUIRE(bench.admin("PUT", "/v1/layers/packs/" + id.hex(), bytes).status == 201);
  const auto [made, first] = bench.post_layer("2.0");
  CHECK(made == 201);
  CHECK(bench.content->torrent(first));
  const auto [refused, second] = bench.post_layer("1.0");
  CHECK(refused == 403);
  CHECK_FALSE(bench.content->layer_record(second));
  CHECK_FALSE(bench.content->torrent(second));
}

TEST_CASE("content api: a layer is removed when nobody needs it", "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  const auto [id, bytes] = bench.pack();
  const LayerId layer = bench.publish_and_assign(id, bytes, {ann});
  const std::string path = "/v1/layers/" + layer.hex();
  const auto refused = bench.admin("DELETE", path);
  CHECK(refused.status == 403);
  CHECK(refused.body.find(ann.hex()) != std::string::npos);
  CHECK(bench.device(ann, "DELETE", path).status == 401);
  REQUIRE(bench
              .admin("POST", "/v1/assignments",
                     wire::to_json(wire::AssignmentRequest{
                         .site = "", .devices = {ann}, .layers = {}, .wan_budget = {}}))
              .status == 200);
  CHECK(bench.admin("DELETE", path).status == 200);
  CHECK(bench.admin("GET", path).status == 404);
  CHECK(bench.admin("DELETE", path).status == 404);
  CHECK(bench.post_layer("1.0").first == 403);
}

TEST_CASE("content api: snapshots go by the rule that is set, or by name", "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  const auto [id, bytes] = bench.pack();
  REQUIRE(bench.device(ann, "PUT", "/v1/node/cvd/packs/" + id.hex(), bytes).status == 201);
  for (const std::uint64_t sequence : {1, 2, 3})
    REQUIRE(
        bench.device(ann, "POST", "/v1/node/cvd/snapshots", bench.snapshot(ann, sequence)).status ==
        201);
  const std::string path = "/v1/cvds/" + ann.hex() + "/forget";
  CHECK(bench.admin("POST", path, R"({"dry_run":true})").status == 403);  // No rule.
  REQUIRE(bench
              .admin("PUT", "/v1/retention",
                     R"({"rule":{"newest":2,"hourly":0,"daily":0,"weekly":0,"monthly":0}})")
              .status == 200);
  CHECK(bench.admin("PUT", "/v1/retention", "{").status == 400);
  CHECK(wire::parse_retention_settings(bench.admin("GET", "/v1/retention").body)->rule->newest ==
        2);
  const auto count = [&] { return bench.catalog.snapshots(ann)->size(); };
  const auto shown =
      wire::parse_forget_reply(bench.admin("POST", path, R"({"dry_run":true})").body);
  REQUIRE(shown);
  CHECK(shown->snapshots.back().kept_as.empty());
  CHECK(count() == 3);
  REQUIRE(bench.admin("POST", path, R"({"dry_run":false})").status == 200);
  CHECK(count() == 2);
  const auto list = bench.catalog.snapshots(ann).value();
  const auto named = [&](const wire::SnapshotInfo& snapshot) {
    return bench
        .admin("POST", path,
               wire::to_json(wire::ForgetRequest{.snapshot = snapshot.id, .dry_run = false}))
        .status;
  };
  CHECK(named(list.back()) == 403);
  CHECK(named(list.front()) == 200);
  CHECK(count() == 1);
  CHECK(bench.device(ann, "POST", path, R"({"dry_run":false})").status == 401);
}

TEST_CASE("content api: only known callers may send large bodies", "[origin]") {
  Bench bench;
  const DeviceId ann = bench.enrol("ann");
  net::Request head{.method = "PUT", .path = "/v1/node/cvd/packs/x"};
  CHECK(bench.api.admit(head, {1}).value() == wire::kMessageMax);
  head.peer.device = ann;
  CHECK(bench.api.admit(head, {1}).value() > 16_MiB);
  head.peer.certificate_expired = true;
  CHECK(bench.api.admit(head, {1}).value() == wire::kMessageMax);
  net::Request publish{.method = "PUT", .path = "/v1/layers/packs/x"};
  CHECK(bench.api.admit(publish, {1}).value() == wire::kMessageMax);
  publish.headers.add("Authorization", "Bearer " + bench.token);
  CHECK(bench.api.admit(publish, {1}).value() > 16_MiB);
}
