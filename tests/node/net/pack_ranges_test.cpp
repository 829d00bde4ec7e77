// Ranges over real TLS, from a server that answers as the test says.
#include "node/net/pack_ranges.hpp"

#include <catch2/catch.hpp>

#include "shared/net/certificates.hpp"
#include "shared/net/https_server.hpp"
#include "shared/os/file.hpp"
#include "shared/wire/protocol.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace std::chrono_literals;

namespace {

const Buffer kToken = to_buffer("a token");

LayerId layer() {
  std::array<std::byte, 32> bytes{};
  bytes[0] = std::byte{7};
  return LayerId(bytes);
}
PackId pack() {
  std::array<std::byte, 32> bytes{};
  bytes[0] = std::byte{9};
  return PackId(bytes);
}

struct Bench {
  Bench() : content(tests::noise(4 << 20, 1)) {
    REQUIRE(os::write_file(path, content));
    const auto certificate = net::issue_server_certificate(ca, {"127.0.0.1"}).value();
    server = net::HttpsServer::listen(loop,
                                      {.listen_address = "127.0.0.1",
                                       .certificate_pem = certificate.certificate_pem,
                                       .key_pem = certificate.key_pem,
                                       .ca_pem = ca.certificate_pem,
                                       .client_ca_pem = ca.certificate_pem,
                                       .spool_directory = scratch.path()},
                                      [this](net::Request asked, net::Responder responder) {
                                        heard.push_back(asked);
                                        most_connections =
                                            std::max(most_connections, server->connections());
                                        answer(asked, responder);
                                      })
                 .value();
    const auto key = net::make_key_and_request().value();
    ranges = PackRanges::open(
                 loop,
                 {.host = "127.0.0.1",
                  .port = server->port(),
                  .ca_pem = ca.certificate_pem,
                  .certificate_pem = net::issue_device_certificate(ca, key.csr_pem, device).value(),
                  .key_pem = key.key_pem})
                 .value();
  }

  net::Response file() const {
    net::Response response;
    response.content_type = std::string(wire::kBinary);
    response.file = net::FileBody{.path = path};
    return response;
  }
  void fetch(std::uint64_t offset, std::uint64_t size) {
    ranges->fetch({.layer = layer(), .pack = pack(), .offset = offset, .size = size}, kToken,
                  [this](Result<Buffer> bytes) { got.push_back(std::move(bytes)); });
    CHECK(got.size() == answered);  // Never from inside the call.
  }
  // The answer to one range.
  Result<Buffer> get(std::uint64_t offset, std::uint64_t size) {
    fetch(offset, size);
    REQUIRE(until([&] { return got.size() > answered; }));
    return std::move(got[answered++]);
  }
  bool until(const std::function<bool()>& done, Duration at_most = 8s) {
    bool late = false;
    const auto limit = loop.after(at_most, [&] { late = true; });
    loop.run_until([&] { return late || done(); });
    return done();
  }

  tests::Scratch scratch;
  net::KeyAndCertificate ca = net::make_ca("Test API CA").value();
  DeviceId device = DeviceId::parse("000102030405060708090a0b0c0d0e0f").value();
  Buffer content;
  std::string path = scratch / "pack";
  net::Loop loop{1};
  std::unique_ptr<net::HttpsServer> server;
  std::function<void(const net::Request&, const net::Responder&)> answer =
      [this](const net::Request&, const net::Responder& responder) { responder.reply(file()); };
  std::vector<net::Request> heard;
  int most_connections = 0;
  std::shared_ptr<PackRanges> ranges;
  std::vector<Result<Buffer>> got;
  std::size_t answered = 0;
};

}  // namespace

TEST_CASE("pack ranges: exactly the bytes asked for, with the lease's token", "[node]") {
  Bench bench;
  const auto bytes = bench.get(300'000, 500'000);
  REQUIRE(bytes);
  CHECK(*bytes == Buffer(bench.content.begin() + 300'000, bench.content.begin() + 800'000));
  REQUIRE(bench.heard.size() == 1);
  CHECK(bench.heard[0].method == "GET");
  CHECK(bench.heard[0].path == "/v1/node/layers/" + layer().hex() + "/packs/" + pack().hex());
  CHECK(bench.heard[0].headers.value("Range") == "bytes=300000-799999");
  CHECK(bench.heard[0].headers.value(wire::kLeaseHeader) == to_hex(kToken));
  CHECK(bench.heard[0].peer.device == bench.device);
  CHECK(bench.ranges->received() == Bytes{500'000});
  REQUIRE(bench.get(0, 1));
  CHECK(bench.ranges->received() == Bytes{500'001});
}

TEST_CASE("pack ranges: several at once, over three connections that are kept", "[node]") {
  Bench bench;
  for (int round = 0; round < 2; ++round)
    for (std::uint64_t i = 0; i < 8; ++i) bench.fetch(i * 500'000, 500'000);
  REQUIRE(bench.until([&] { return bench.got.size() == 16; }));
  for (const auto& bytes : bench.got) CHECK(bytes);
  CHECK(bench.most_connections == 3);
  CHECK(bench.server->connections() == 3);
  CHECK(bench.ranges->received() == Bytes{8'000'000});
}

TEST_CASE("pack ranges: what the origin refuses is said, and its words are no payload", "[node]") {
  Bench bench;
  for (const ErrorKind kind : {ErrorKind::refused, ErrorKind::not_found, ErrorKind::unavailable}) {
    bench.answer = [kind](const net::Request&, const net::Responder& responder) {
      responder.reply(net::error_response(Error(kind, "not on this lease")));
    };
    const auto bytes = bench.get(0, 100);
    REQUIRE_FALSE(bytes);
    CHECK(bytes.error().kind() == kind);
    CHECK(bytes.error().text().find("not on this lease") != std::string::npos);
  }
  CHECK(bench.ranges->received() == Bytes{});
}

TEST_CASE("pack ranges: an answer of another size is none, and a huge one is not kept", "[node]") {
  Bench bench;
  bench.answer = [](const net::Request&, const net::Responder& responder) {
    responder.reply(net::binary_response("short", 206));
  };
  CHECK(bench.get(0, 100).error().kind() == ErrorKind::invalid);
  bench.answer = [](const net::Request&, const net::Responder& responder) {
    responder.reply(net::binary_response(std::string(100, 'x'), 200));  // Not a range.
  };
  CHECK(bench.get(0, 100).error().kind() == ErrorKind::invalid);
  bench.answer = [](const net::Request&, const net::Responder& responder) {
    responder.reply(net::binary_response(std::string(16 << 20, 'x'), 206));
  };
  const Bytes before = bench.ranges->received();
  CHECK(bench.get(0, 100'000).error().kind() == ErrorKind::invalid);
  CHECK(bench.ranges->received() - before <= Bytes{100'000});
  // More than the origin would give, or nothing at all, is not asked for.
  const std::size_t asked = bench.heard.size();
  const auto most = static_cast<std::uint64_t>(wire::kPackRangeMax.count);
  CHECK(bench.get(0, most + 1).error().kind() == ErrorKind::invalid);
  CHECK(bench.get(0, 0).error().kind() == ErrorKind::invalid);
  CHECK(bench.heard.size() == asked);
}

TEST_CASE("pack ranges: stop cuts what is under way, and the next range comes", "[node]") {
  Bench bench;
  for (int i = 0; i < 5; ++i) bench.fetch(0, 4 << 20);  // Two of them wait for a connection.
  REQUIRE(bench.until([&] { return bench.ranges->received().count > 0; }));
  bench.ranges->stop();
  const Bytes at_stop = bench.ranges->received();
  CHECK(at_stop < Bytes{5 * (4 << 20)});
  REQUIRE(bench.until([&] { return bench.server->connections() == 0; }));
  CHECK(bench.ranges->received() == at_stop);
  CHECK(bench.got.empty());
  const auto bytes = bench.get(1000, 1000);
  REQUIRE(bytes);
  CHECK(*bytes == Buffer(bench.content.begin() + 1000, bench.content.begin() + 2000));
}

TEST_CASE("pack ranges: an answer that came just before stop is for nobody", "[node]") {
  Bench bench;
  bench.fetch(0, 1000);
  REQUIRE(bench.until([&] { return bench.ranges->received() == Bytes{1000}; }));
  REQUIRE(bench.got.empty());
  bench.ranges->stop();
  CHECK_FALSE(bench.until([&] { return !bench.got.empty(); }, 200ms));
}

TEST_CASE("pack ranges: a renewed certificate is shown from then on", "[node]") {
  Bench bench;
  REQUIRE(bench.get(0, 10));
  const auto key = net::make_key_and_request().value();
  const DeviceId other = DeviceId::parse("ff0102030405060708090a0b0c0d0e0f").value();
  REQUIRE(bench.ranges->use_certificate(
      net::issue_device_certificate(bench.ca, key.csr_pem, other).value(), key.key_pem));
  REQUIRE(bench.get(0, 10));
  CHECK(bench.heard.back().peer.device == other);
  CHECK_FALSE(bench.ranges->use_certificate("no certificate", key.key_pem));
  REQUIRE(bench.get(0, 10));
}
