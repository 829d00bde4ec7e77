// The calls that carry content, in process: who may put, commit and read what.
#include "origin/api/api.hpp"
#include "shared/wire/protocol.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace lamina::tests;

namespace {

constexpr Moment kNow{Instant{std::chrono::seconds{1}}, {1'000'000'000}};

struct Bench {
  Bench() {
    make_nasty_tree(scratch / "tree");
    captured = capture(scratch / "tree");
    // Work is done at once: what a worker thread would do.
    api.serve_content(*content,
                      [](const std::function<std::function<void()>()>& work) { work()(); });
    REQUIRE(catalog.add_site({"test", {1}}, {.name = "north"}));
    token =
        catalog.create_token({"test", {1}}, {.name = "root", .kind = "admin", .ttl_ms = 1'000'000})
            .value()
            .secret;
  }

  net::Response ask(net::Request request) {
    request.headers.add(std::string(wire::kProtocolHeader), "1");
    std::optional<net::Response> answer;
    const auto reply = [&](net::Response response) {
      // A server opens the file before the reply returns: it may be gone afterwards.
      if (response.file)
        response.body =
            std::string(as_text(os::read_file(response.file->path, format::kPackSizeMax).value()));
      answer = std::move(response);
    };
    api.handle(request, reply, kNow);
    REQUIRE(answer);
    return std::move(*answer);
  }
  net::Response device(const DeviceId& id, const std::string& method, const std::string& path,
                       std::string body = "") {
    net::Request request{.method = method, .path = path, .body = std::move(body)};
    request.peer.device = id;
    return ask(std::move(request));
  }
  net::Response admin(const std::string& method, const std::string& path, std::string body = "") {
    net::Request request{.method = method, .path = path, .body = std::move(body)};
    request.headers.add("Authorization", "Bearer " + token);
    return ask(std::move(request));
  }
  DeviceId enrol(const std::string& name) {
    const auto secret = catalog.create_token(
        {"test", {1}},
        {.name = name, .kind = "enrol", .uses = 1, .ttl_ms = 1'000'000, .site = "north"});
    const auto key = net::make_key_and_request().value();
    const auto reply = ask({.method = "POST",
                            .path = "/v1/enroll",
                            .body = wire::to_json(wire::EnrolRequest{.token = secret->secret,
                                                                     .csr_pem = key.csr_pem})});
    REQUIRE(reply.status == 201);
    return wire::parse_enrol_reply(reply.body)->device;
  }

  // Everything that was captured as one pack: its name and bytes.
  std::pair<PackId, std::string> pack() {
    const auto files = PackFiles::open(scratch / "client", PackFiles::Access::write).value();
    PackId id;
    PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& made) -> Status {
      id = made.id;
      return Done{};
    });
    for (const auto& [chunk, plain] : captured.chunks)
      REQUIRE(writer.add(ref_of(plain), plain, ContentClass::data));
    REQUIRE(writer.finish());
    return {id, std::string(as_text(os::read_file(files.path_of(id), 1 << 26).value()))};
  }
  std::string snapshot(const DeviceId& id) const {
    return std::string(as_text(format::encode(format::SnapshotRecord{
        .device = id, .sequence = 1, .reason = "test", .manifest = captured.result.manifest})));
  }
  // What was captured becomes layer os:1.0, and the stack of these devices.
  LayerId publish_and_assign(const PackId& id, const std::string& bytes,
                             const std::vector<DeviceId>& devices) {
    REQUIRE(admin("PUT", "/v1/layers/packs/" + id.hex(), bytes).status == 201);
    const Buffer envelope = format::sign_record(
        format::RecordType::layer,
        format::encode(format::LayerRecord{.name = "os",
                                           .version = "1.0",
                                           .revision = 1,
                                           .platform = {"linux", "debian", "12", "x86_64"},
                                           .manifest = captured.result.manifest}),
        key);
    REQUIRE(admin("POST", "/v1/layers", std::string(as_text(envelope))).status == 201);
    REQUIRE(catalog.assign({"test", {1}}, {.devices = devices, .layers = {"os:1.0"}},
                           [](const DeviceId&, std::uint64_t, const std::vector<LayerId>&,
                              const std::vector<LayerId>&) { return to_buffer("target"); }));
    return format::layer_id(envelope);
  }
  std::string ids() const {
    std::string text;
    for (const auto& [id, plain] : captured.chunks) text += as_text(id.bytes());
    return text;
  }

  Scratch scratch;
  Captured captured;
  MemoryTable table;
  Catalog catalog{table};
  PrivateKey key = PrivateKey::generate().value();
  net::KeyAndCertificate swarm_ca = net::make_ca("swarm").value();
  Sites sites{catalog, key, {}};
  std::unique_ptr<Content> content =
      Content::open(scratch / "data", {{key.public_key()}, key, swarm_ca.certificate_pem}).value();
  Api api{catalog, sites, {net::make_ca("api").value(), swarm_ca, key, {key.public_key()}}};
  std::string token;
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

TEST_CASE("content api: of a version that is not newer nothing is kept", "[origin]") {
  Bench bench;
  const auto [id, bytes] = bench.pack();
  REQUIRE(bench.admin("PUT", "/v1/layers/packs/" + id.hex(), bytes).status == 201);
  const auto publish = [&](const char* version) {
    const Buffer envelope = format::sign_record(
        format::RecordType::layer,
        format::encode(format::LayerRecord{.name = "os",
                                           .version = version,
                                           .revision = 1,
                                           .platform = {"linux", "debian", "12", "x86_64"},
                                           .manifest = bench.captured.result.manifest}),
        bench.key);
    const int status = bench.admin("POST", "/v1/layers", std::string(as_text(envelope))).status;
    return std::pair{status, format::layer_id(envelope)};
  };
  const auto [made, first] = publish("2.0");
  CHECK(made == 201);
  CHECK(bench.content->torrent(first));
  const auto [refused, second] = publish("1.0");
  CHECK(refused == 403);
  CHECK_FALSE(bench.content->layer_record(second));
  CHECK_FALSE(bench.content->torrent(second));
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
