#include "origin/api/listener.hpp"

#include <catch2/catch.hpp>

#include "shared/net/https_client.hpp"
#include "tests/support/memory_table.hpp"
#include "tests/support/scratch_directory.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace std::chrono_literals;

namespace {

// The API behind real TLS on loopback.
struct Bench {
  ScratchDirectory directory;
  net::Loop loop;
  MemoryTable table;
  Catalog catalog{table};
  PrivateKey key = PrivateKey::generate().value();
  Sites sites{catalog, key, {}};
  net::KeyAndCertificate ca = net::make_ca("api").value();
  Api api{catalog, sites, {ca, net::make_ca("swarm").value(), key, {}}};
  std::unique_ptr<Listener> listener = open();

  std::unique_ptr<Listener> open() {
    auto server = net::issue_server_certificate(ca, {"127.0.0.1"}).value();
    net::ServerOptions options;
    options.listen_address = "127.0.0.1";
    options.certificate_pem = server.certificate_pem;
    options.key_pem = server.key_pem;
    options.ca_pem = ca.certificate_pem;
    options.client_ca_pem = ca.certificate_pem;
    options.spool_directory = directory.path();
    auto opened = Listener::open(loop, api, std::move(options));
    REQUIRE(opened);
    return std::move(*opened);
  }
  Result<net::Reply> post(const std::string& target, std::string body,
                          const std::string& certificate = "", const std::string& key_pem = "") {
    auto client = net::HttpsClient::create(loop, {.host = "127.0.0.1",
                                                  .port = listener->port(),
                                                  .ca_pem = ca.certificate_pem,
                                                  .certificate_pem = certificate,
                                                  .key_pem = key_pem});
    REQUIRE(client);
    std::optional<Result<net::Reply>> got;
    (*client)->send({.method = "POST", .target = target, .body = std::move(body)},
                    [&](Result<net::Reply> reply) { got = std::move(reply); });
    bool late = false;
    const auto limit = loop.after(8s, [&] { late = true; });
    loop.run_until([&] { return got.has_value() || late; });
    REQUIRE(got.has_value());
    return std::move(*got);
  }
};

std::string poll(std::int64_t wait_ms) {
  return wire::to_json(wire::PollRequest{.wait_ms = wait_ms});
}

}  // namespace

TEST_CASE("listener: enrol, poll with the new certificate, wait, and be refused without it",
          "[origin]") {
  Bench bench;
  const auto token = bench.catalog
                         .create_token({"test", net::Loop::wall_now()},
                                       {.name = "t", .kind = "enrol", .uses = 1, .ttl_ms = 60'000})
                         .value();
  const auto device = net::make_key_and_request().value();
  const auto enrolled = bench.post(
      "/v1/enroll",
      wire::to_json(wire::EnrolRequest{.token = token.secret, .csr_pem = device.csr_pem}));
  REQUIRE(enrolled);
  REQUIRE(enrolled->status == 201);
  const auto identity = wire::parse_enrol_reply(enrolled->body).value();

  const auto at_once =
      bench.post("/v1/node/poll", poll(0), identity.certificate_pem, device.key_pem);
  REQUIRE(at_once);
  CHECK(wire::parse_poll_reply(at_once->body)->status == wire::DeviceStatus::pending);
  // Answered by the listener's own timer.
  const auto waited =
      bench.post("/v1/node/poll", poll(100), identity.certificate_pem, device.key_pem);
  REQUIRE(waited);
  CHECK(waited->status == 200);

  const auto nobody = bench.post("/v1/node/poll", poll(0));
  REQUIRE(nobody);
  CHECK(nobody->status == 401);
}

TEST_CASE("listener: a certificate of another CA gets no answer of the API", "[origin]") {
  Bench bench;
  const auto device = net::make_key_and_request().value();
  const auto id = DeviceId::parse(std::string(32, 'a')).value();
  const auto forged =
      net::issue_device_certificate(net::make_ca("api").value(), device.csr_pem, id).value();
  const auto reply = bench.post("/v1/node/poll", poll(0), forged, device.key_pem);
  CHECK_FALSE(reply);
}
