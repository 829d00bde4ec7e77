// Enrolment against a real TLS server that answers as an origin does.
#include "node/net/enrol.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <thread>

#include "shared/net/certificates.hpp"
#include "shared/net/https_server.hpp"
#include "shared/os/file.hpp"
#include "shared/wire/enrol.hpp"

using namespace lamina;
using namespace lamina::node;

namespace {

// An origin on a thread of its own.
struct Origin {
  Origin() {
    auto listening = net::HttpsServer::listen(
        loop,
        {.listen_address = "127.0.0.1",
         .certificate_pem = server_certificate.certificate_pem,
         .key_pem = server_certificate.key_pem,
         .ca_pem = ca.certificate_pem,
         .client_ca_pem = ca.certificate_pem,
         .spool_directory = scratch.path()},
        [this](net::Request request, net::Responder responder) {
          const auto asked = wire::parse_enrol_request(request.body);
          if (!asked || asked->token != "good")
            return responder.reply(
                net::error_response(Error(ErrorKind::refused, "this token is not known")));
          uuid = asked->hardware_uuid;
          wire::EnrolReply reply;
          reply.device = device;
          reply.certificate_pem = *net::issue_device_certificate(ca, asked->csr_pem, device);
          reply.ca_pem = ca.certificate_pem;
          reply.swarm_ca_pem = swarm_ca.certificate_pem;
          reply.target_key = to_buffer(key.public_key().bytes());
          reply.publisher_keys = {to_buffer(key.public_key().bytes())};
          responder.reply(net::json_response(wire::to_json(reply)));
        });
    REQUIRE(listening);
    server = std::move(*listening);
    thread = std::thread([this] { loop.run(); });
  }
  ~Origin() {
    loop.stop();
    thread.join();
  }

  Enrolment enrolment(const std::string& token) const {
    return {.origin = "127.0.0.1:" + std::to_string(server->port()),
            .ca_fingerprint = net::certificate_facts(ca.certificate_pem)->fingerprint,
            .token = token,
            .state = scratch.path() + "/state",
            .volume = scratch.path(),
            .hardware_uuid = "0000-1111",
            .user = ""};
  }

  os::TemporaryDirectory scratch =
      *os::TemporaryDirectory::make(os::temporary_root(), "lamina-enrol-");
  net::KeyAndCertificate ca = *net::make_ca("API CA");
  net::KeyAndCertificate swarm_ca = *net::make_ca("Swarm CA");
  net::KeyAndCertificate server_certificate = *net::issue_server_certificate(ca, {"127.0.0.1"});
  PrivateKey key = *PrivateKey::generate();
  DeviceId device = *DeviceId::parse("000102030405060708090a0b0c0d0e0f");
  std::string uuid;
  net::Loop loop{1};
  std::unique_ptr<net::HttpsServer> server;
  std::thread thread;
};

}  // namespace

TEST_CASE("enrol: the state directory holds identity and trust, keys for the owner only",
          "[node]") {
  Origin origin;
  const auto how = origin.enrolment("good");
  const auto config = enrol(how);
  if (!config) FAIL(config.error().text());
  CHECK(config->device == origin.device);
  CHECK(origin.uuid == "0000-1111");

  const StateDirectory state(how.state);
  CHECK(read_config(state)->volume == how.volume);
  const auto trust = read_trust(state);
  REQUIRE(trust);
  CHECK(trust->target == origin.key.public_key());
  CHECK(trust->publishers.size() == 1);
  struct stat info {};
  REQUIRE(::stat(state.device_key().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(net::certificate_facts(*os::read_text(state.device_certificate()))->common_name ==
        origin.device.hex());

  const auto again = enrol(how);
  REQUIRE_FALSE(again);
  CHECK(again.error().text().find("already") != std::string::npos);
}

TEST_CASE("enrol: a wrong token or another CA leaves nothing behind", "[node]") {
  Origin origin;
  auto how = origin.enrolment("bad");
  std::string expected = "token";
  SECTION("token") {}
  SECTION("CA") {
    how = origin.enrolment("good");
    how.ca_fingerprint = net::certificate_facts(origin.swarm_ca.certificate_pem)->fingerprint;
    expected = "certificate";
  }
  const auto config = enrol(how);
  REQUIRE_FALSE(config);
  CHECK(config.error().kind() == ErrorKind::refused);
  CHECK(config.error().text().find(expected) != std::string::npos);
  CHECK_FALSE(os::exists(how.state));
  CHECK(read_config(StateDirectory(how.state)).error().text().find("enroll") != std::string::npos);
}
