// A mirror beside the real API, over TLS on loopback, with an origin that answers wrongly, partly
// or not at all.
#include "origin/mirror/mirror.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <thread>

#include "shared/net/https_server.hpp"
#include "shared/wire/seeder.hpp"
#include "tests/origin/api/content_bench.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace lamina::tests;
using namespace std::chrono_literals;

namespace {

// The part of a file that "bytes=A-B" names.
std::string range_of(const net::FileBody& file, std::string_view header) {
  header.remove_prefix(std::string_view("bytes=").size());
  const auto dash = header.find('-');
  const auto first = std::stoul(std::string(header.substr(0, dash)));
  const auto last = std::stoul(std::string(header.substr(dash + 1)));
  const auto bytes = os::read_file(file.path.string(), std::size_t{1} << 26).value();
  return std::string(as_text(bytes)).substr(first, last - first + 1);
}

// An origin in a thread of its own. What is set before start() is its state; `packs` says what
// becomes of answers with bytes of packs.
class TestOrigin {
 public:
  enum class Packs { right, corrupt, truncated, refused };

  TestOrigin() {
    make_file(content.scratch / "tree/big", noise(3'300'000, 9));
    content.captured = capture(content.scratch / "tree");
    std::tie(pack, bytes) = content.pack();
    layer = content.publish(pack, bytes);
    content.api.serve_seeders({seeders, content.key.public_key(), {"192.0.2.1:8444"}});
    token = content.catalog
                .create_token({"test", net::Loop::wall_now()},
                              {.name = "s2", .kind = "seeder", .ttl_ms = 3'600'000})
                .value()
                .secret;
    const auto own = net::issue_server_certificate(content.api_ca, {"127.0.0.1"}).value();
    net::ServerOptions options;
    options.listen_address = "127.0.0.1";
    options.certificate_pem = own.certificate_pem;
    options.key_pem = own.key_pem;
    options.ca_pem = content.api_ca.certificate_pem;
    options.client_ca_pem = content.api_ca.certificate_pem;
    options.spool_directory = std::string(content.scratch / "spool");
    REQUIRE(os::make_directories(content.scratch / "spool"));
    options.admit = [this](const net::Request& head) {
      const std::lock_guard lock(mutex);
      return content.api.admit(head, net::Loop::wall_now());
    };
    auto opened = net::HttpsServer::listen(loop, std::move(options),
                                           [this](net::Request request, net::Responder responder) {
                                             answer(std::move(request), std::move(responder));
                                           });
    REQUIRE(opened);
    server = std::move(*opened);
    port = server->port();
    thread = std::thread([this] { loop.run(); });
  }
  ~TestOrigin() {
    loop.stop();
    thread.join();
  }

  // Runs in the origin's thread, and waits for it.
  template <class Look>
  auto look(Look look) {
    std::lock_guard lock(mutex);
    return look();
  }

  ContentBench content;
  Seeders seeders;
  PackId pack;
  std::string bytes;
  LayerId layer;
  std::string token;
  std::uint16_t port = 0;
  std::atomic<Packs> packs{Packs::right};
  std::atomic<int> refuse_after{1 << 30};  // Ranges.
  std::atomic<bool> lists_nothing{false};
  std::atomic<std::int64_t> sent{0};  // Bytes of packs, as they should be.

 private:
  void answer(net::Request request, net::Responder responder) {
    const std::lock_guard lock(mutex);
    const bool is_pack = request.path.starts_with("/v1/seeder/packs/");
    const bool is_poll = request.path == "/v1/seeder/poll";
    const std::string range(request.headers.value("Range"));
    content.api.handle(
        request,
        [&](net::Response response) {
          if (is_poll && lists_nothing && response.status == 200)
            response.body = wire::to_json(wire::SeederPollReply{77, std::vector<LayerId>{}});
          if (is_pack && response.file) spoil(response, range);
          responder.reply(std::move(response));
        },
        {loop.now(), net::Loop::wall_now()});
  }
  void spoil(net::Response& response, const std::string& range) {
    if (packs == Packs::refused || refuse_after-- <= 0) {
      response = net::error_response(Error(ErrorKind::unavailable, "not now"));
      return;
    }
    std::string part = range_of(*response.file, range);
    if (packs == Packs::right) {
      sent += static_cast<std::int64_t>(part.size());
      return;
    }
    if (packs == Packs::corrupt)
      part[part.size() / 2] = static_cast<char>(part[part.size() / 2] ^ 1);
    else
      part.resize(part.size() / 2);
    response.status = 206;
    response.file.reset();
    response.body = std::move(part);
  }

  std::mutex mutex;  // The test's thread looks at what the API's changes.
  net::Loop loop;
  std::unique_ptr<net::HttpsServer> server;
  std::thread thread;
};

struct Bench {
  TestOrigin origin;
  Scratch scratch;
  DataDirectory data{scratch / "mirror"};
  net::Loop loop;
  std::unique_ptr<Mirror> mirror;
  int torrent_changes = 0;
  std::vector<swarm::SwarmIdentity> identities;

  JoinOptions how() const {
    return {.origin = "127.0.0.1:" + std::to_string(origin.port),
            .ca_fingerprint =
                net::certificate_facts(origin.content.api_ca.certificate_pem)->fingerprint,
            .token = origin.token,
            .listen = "0.0.0.0:8555",
            .advertise = ""};
  }
  // Small ranges, so that a pack takes some of them.
  static MirrorOptions quick() {
    MirrorOptions options;
    options.most = {100'000'000'000};
    options.poll_every = 100ms;
    options.reserve = Bytes{};
    options.retry_after = 20ms;
    return options;
  }
  void open(const MirrorOptions& options) {
    auto opened = Mirror::open(
        loop, data,
        {.torrents_changed = [this] { ++torrent_changes; },
         .load =
             [] {
               return MirrorEngine::Load{2, Bytes{1234}};
             },
         .use_identity =
             [this](swarm::SwarmIdentity renewed) { identities.push_back(std::move(renewed)); }},
        options);
    if (!opened) FAIL(opened.error().text());
    mirror = std::move(*opened);
  }
  void until(const std::function<bool()>& done) {
    bool late = false;
    const auto limit = loop.after(20s, [&] { late = true; });
    loop.run_until([&] { return done() || late; });
    REQUIRE(done());
  }
  bool serves() const {
    const auto names = os::list_directory(data.torrents());
    return names && names->size() == 1 && names->front().ends_with(".torrent");
  }
  std::string mirrored() const {
    const auto file = os::read_file(data.layers() + "/packs/" + origin.pack.hex(), 1 << 26);
    return file ? std::string(as_text(*file)) : "";
  }
  wire::SeederInfo listed() {
    return origin.look([&] {
      const auto reply = origin.content.admin("GET", "/v1/seeders");
      REQUIRE(reply.status == 200);
      auto list = wire::parse_seeder_list(reply.body);
      REQUIRE(list);
      REQUIRE(list->seeders.size() == 2);
      return list->seeders.back();
    });
  }
};

}  // namespace

TEST_CASE("mirror: joins, mirrors everything, and says how it stands", "[origin]") {
  Bench bench;
  auto config = join(bench.data, bench.how());
  if (!config) FAIL(config.error().text());
  CHECK(config->name == "s2");
  bench.open(Bench::quick());
  bench.until([&] { return bench.mirror->standing().layers == 1; });
  CHECK(bench.mirrored() == bench.origin.bytes);
  CHECK(bench.serves());
  CHECK(bench.torrent_changes == 1);
  CHECK(bench.origin.sent == static_cast<std::int64_t>(bench.origin.bytes.size()));
  CHECK(os::list_directory(bench.data.root() + "/incoming")->empty());
  // Its next poll tells lease holders' side of the origin.
  bench.until([&] {
    return bench.origin.look([&] {
      return bench.origin.seeders
                 .told({}, "north", {bench.origin.layer}, bench.loop.now(), net::Loop::wall_now())
                 .size() == 1;
    });
  });
  CHECK(bench.origin.look([&] {
    return bench.origin.seeders.told({}, "north", {bench.origin.layer}, bench.loop.now(),
                                     net::Loop::wall_now());
  }) == std::vector<std::string>{"127.0.0.1:8555"});

  // Started again without the origin, it serves what it has.
  bench.mirror.reset();
  bench.origin.packs = TestOrigin::Packs::refused;
  bench.open(Bench::quick());
  CHECK(bench.mirror->standing().layers == 1);
  CHECK(bench.serves());
}

TEST_CASE("mirror: joining takes a good token and the pinned CA, and one machine a name",
          "[origin]") {
  Bench bench;
  auto how = bench.how();
  how.token = std::string(64, '0');
  auto joined = join(bench.data, how);
  REQUIRE_FALSE(joined);
  CHECK(joined.error().kind() == ErrorKind::refused);
  CHECK(joined.error().text().find("token") != std::string::npos);

  how = bench.how();
  how.ca_fingerprint = std::string(64, 'a');
  joined = join(bench.data, how);
  REQUIRE_FALSE(joined);
  CHECK(joined.error().kind() == ErrorKind::refused);
  CHECK_FALSE(has_joined(bench.data));

  REQUIRE(join(bench.data, bench.how()));
  // An answer that was lost is asked for again, with the same key.
  REQUIRE(os::remove_file(bench.data.root() + "/mirror.json"));
  REQUIRE(join(bench.data, bench.how()));
  // The command line stays as it was at the first time, or gives another address.
  auto config = join(bench.data, bench.how());
  REQUIRE(config);
  REQUIRE(move_mirror(bench.data, *config, "", "192.0.2.7:8444"));
  CHECK(config->advertise == "192.0.2.7:8444");
  CHECK(read_mirror_config(bench.data)->advertise == "192.0.2.7:8444");
  CHECK(read_mirror_config(bench.data)->listen == "0.0.0.0:8555");
  CHECK_FALSE(move_mirror(bench.data, *config, "", "no.address:8444"));
  CHECK(config->advertise == "192.0.2.7:8444");
  const DataDirectory other(bench.scratch / "other");
  joined = join(other, bench.how());
  REQUIRE_FALSE(joined);
  CHECK(joined.error().text().find("there is a seeder 's2' already") != std::string::npos);
}

TEST_CASE("mirror: a corrupted pack is not kept, and fetched until it is right", "[origin]") {
  Bench bench;
  REQUIRE(join(bench.data, bench.how()));
  bench.origin.packs = TestOrigin::Packs::corrupt;
  bench.open(Bench::quick());
  bench.until([&] {
    return bench.mirror->standing().trouble.find("differs from its hashes") != std::string::npos;
  });
  CHECK_FALSE(bench.serves());
  CHECK(bench.mirrored().empty());
  bench.until([&] { return bench.listed().state == "trouble"; });
  bench.origin.packs = TestOrigin::Packs::right;
  bench.until([&] { return bench.mirror->standing().layers == 1; });
  CHECK(bench.mirrored() == bench.origin.bytes);
  bench.until([&] { return bench.listed().state == "up"; });
  CHECK(bench.listed().sent_bytes == 1234);
}

TEST_CASE("mirror: a truncated answer is no pack", "[origin]") {
  Bench bench;
  REQUIRE(join(bench.data, bench.how()));
  bench.origin.packs = TestOrigin::Packs::truncated;
  bench.open(Bench::quick());
  bench.until(
      [&] { return bench.mirror->standing().trouble.find("to a range of") != std::string::npos; });
  CHECK(bench.mirrored().empty());
  bench.origin.packs = TestOrigin::Packs::right;
  bench.until([&] { return bench.mirror->standing().layers == 1; });
  CHECK(bench.mirrored() == bench.origin.bytes);
}

TEST_CASE("mirror: killed midway, it goes on with what fits", "[origin]") {
  Bench bench;
  REQUIRE(join(bench.data, bench.how()));
  bench.origin.refuse_after = 3;
  bench.open(Bench::quick());
  bench.until([&] { return !bench.mirror->standing().trouble.empty(); });
  bench.mirror.reset();
  const std::string part = bench.data.root() + "/incoming/" + bench.origin.pack.hex();
  Buffer left = os::read_file(part, 1 << 26).value();
  REQUIRE(left.size() == 3 * 512 * 1024);
  // The last of its pieces never reached the disk, and half of another did.
  std::fill(left.end() - 1000, left.end(), std::byte{0});
  left.resize(left.size() + 777);
  REQUIRE(os::write_file(part, left));
  // And a torrent was put there for a layer that is not whole.
  const auto torrent = bench.origin.look(
      [&] { return bench.origin.content.content->torrent(bench.origin.layer).value(); });
  const auto id = swarm::read_torrent(torrent)->id;
  REQUIRE(os::write_file(bench.data.torrents() + '/' + id.hex() + ".torrent", torrent));

  bench.origin.refuse_after = 1 << 30;
  bench.origin.sent = 0;
  bench.open(Bench::quick());
  CHECK_FALSE(bench.serves());
  bench.until([&] { return bench.mirror->standing().layers == 1; });
  CHECK(bench.mirrored() == bench.origin.bytes);
  CHECK(bench.serves());
  const auto all = static_cast<std::int64_t>(bench.origin.bytes.size());
  CHECK(bench.origin.sent == all - 5 * 256 * 1024);
}

TEST_CASE("mirror: a pack that the origin lost is sent to it", "[origin]") {
  Bench bench;
  REQUIRE(join(bench.data, bench.how()));
  bench.open(Bench::quick());
  bench.until([&] { return bench.mirror->standing().layers == 1; });
  const PackId id = bench.origin.pack;
  ChunkStore& store = bench.origin.content.content->layers();
  const bool is_damaged_here = GENERATE(false, true);
  const std::string own = bench.data.layers() + "/packs/" + id.hex();
  if (is_damaged_here) {
    std::string bytes = bench.origin.bytes;
    bytes[1'000'000] ^= 1;
    REQUIRE(os::write_file(own, as_view(bytes)));
  }
  const auto lose = [&] {
    REQUIRE(os::remove_file(store.files().path_of(id)));
    const PackLook look = look_at_pack(store.files(), id).value();
    REQUIRE(store.set_aside(id, look, {1}).value());
    bench.origin.content.api.want_packs({{id, {bench.origin.layer}}},
                                        {bench.loop.now(), net::Loop::wall_now()});
  };
  bench.origin.look(lose);
  if (is_damaged_here) {
    // It is no help: it is taken away here, and fetched once the origin has it again.
    bench.until([&] { return !os::exists(own); });
    CHECK_FALSE(bench.serves());
    bench.origin.look([&] {
      const std::string path = store.files().new_temporary().value();
      REQUIRE(os::write_file(path, as_view(bench.origin.bytes)));
      REQUIRE(store.take_in(path, id));
    });
    bench.until([&] { return bench.serves(); });
  } else {
    bench.until([&] { return bench.origin.look([&] { return store.files().has(id); }); });
    CHECK(bench.serves());
    CHECK(bench.origin.look([&] { return bench.origin.content.api.wanted_packs() == 0; }));
    CHECK(store.lost_packs().empty());
  }
  CHECK(bench.mirrored() == bench.origin.bytes);
}

TEST_CASE("mirror: what its disk damages is fetched again", "[origin]") {
  Bench bench;
  REQUIRE(join(bench.data, bench.how()));
  MirrorOptions options = Bench::quick();
  options.patrol_every = 5ms;
  bench.open(options);
  bench.until([&] { return bench.mirror->standing().layers == 1; });
  std::string bytes = bench.origin.bytes;
  bytes[1'000'000] ^= 1;
  REQUIRE(
      os::write_file(bench.data.layers() + "/packs/" + bench.origin.pack.hex(), as_view(bytes)));
  bench.until([&] { return bench.mirrored() == bench.origin.bytes && bench.serves(); });
  CHECK(bench.origin.sent == 2 * static_cast<std::int64_t>(bytes.size()));
}

TEST_CASE("mirror: what the origin removed is removed", "[origin]") {
  Bench bench;
  REQUIRE(join(bench.data, bench.how()));
  bench.open(Bench::quick());
  bench.until([&] { return bench.mirror->standing().layers == 1; });
  bench.origin.lists_nothing = true;
  bench.until([&] { return bench.mirrored().empty(); });
  CHECK(os::list_directory(bench.data.torrents())->empty());
  CHECK(os::list_directory(bench.data.root() + "/objects/layers")->empty());
  CHECK(bench.torrent_changes == 2);
}

TEST_CASE("mirror: a disk without room is said, and nothing is fetched", "[origin]") {
  Bench bench;
  REQUIRE(join(bench.data, bench.how()));
  auto options = Bench::quick();
  options.reserve = Bytes{std::int64_t{1} << 60};
  bench.open(options);
  bench.until([&] { return bench.mirror->standing().trouble.starts_with("the disk is full"); });
  bench.until([&] { return bench.listed().state == "trouble"; });
  CHECK(bench.origin.sent == 0);
}

TEST_CASE("mirror: certificates are renewed; a seeder that was removed gets none", "[origin]") {
  Bench bench;
  REQUIRE(join(bench.data, bench.how()));
  const auto before = os::read_text(bench.data.seed("seed.pem")).value();
  auto options = Bench::quick();
  options.renew_before = std::chrono::hours{24 * 30};
  bench.open(options);
  bench.until([&] { return !bench.identities.empty(); });
  const auto renewed = os::read_text(bench.data.seed("seed.pem")).value();
  CHECK(renewed != before);
  CHECK(bench.identities.front().certificate_pem == renewed);
  bench.mirror.reset();

  CHECK(bench.origin.look(
            [&] { return bench.origin.content.admin("DELETE", "/v1/seeders/s2").status; }) == 200);
  bench.open(options);
  bool over = false;  // After some polls, each of which would renew.
  const auto limit = bench.loop.after(500ms, [&] { over = true; });
  bench.loop.run_until([&] { return over || bench.identities.size() > 1; });
  CHECK(bench.identities.size() == 1);
  CHECK_FALSE(join(DataDirectory(bench.scratch / "again"), bench.how()));
}

TEST_CASE("mirror: a device's certificate opens nothing of a seeder's, and the reverse",
          "[origin]") {
  ContentBench content;
  Seeders seeders;
  content.api.serve_seeders({seeders, content.key.public_key(), {}});
  const DeviceId device = content.enrol("ann");
  CHECK(content.device(device, "POST", "/v1/seeder/poll", "{}").status == 403);
  const auto [pack, bytes] = content.pack();
  content.publish(pack, bytes);
  CHECK(content.device(device, "GET", "/v1/seeder/packs/" + pack.hex()).status == 403);

  const auto secret =
      content.catalog
          .create_token({"test", {1}}, {.name = "s2", .kind = "seeder", .ttl_ms = 1'000'000})
          .value()
          .secret;
  const auto key = net::make_key_and_request().value();
  const wire::JoinRequest request{.token = secret,
                                  .csr_pem = key.csr_pem,
                                  .swarm_csr_pem = key.csr_pem,
                                  .address = "192.0.2.2",
                                  .port = 8444,
                                  .version = "1"};
  const auto joined =
      content.ask({.method = "POST", .path = "/v1/seeders/join", .body = wire::to_json(request)});
  REQUIRE(joined.status == 201);
  const DeviceId seeder = wire::parse_join_reply(joined.body)->id;
  CHECK(content.device(seeder, "GET", "/v1/seeder/packs/" + pack.hex()).body == bytes);
  CHECK(content.device(seeder, "POST", "/v1/node/poll", "{}").status == 403);
  CHECK(content.device(seeder, "GET", "/v1/devices").status == 401);
  // An administrator's token does not make a seeder, nor a seeder's an administrator.
  auto with_admin = request;
  with_admin.token = content.token;
  CHECK(
      content.ask({.method = "POST", .path = "/v1/seeders/join", .body = wire::to_json(with_admin)})
          .status == 403);
}
