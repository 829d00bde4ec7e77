#include "shared/net/certificates.hpp"

#include <catch2/catch.hpp>

#include "shared/net/loop.hpp"

using namespace lamina;
using namespace lamina::net;

TEST_CASE("certificates: a device's name comes from the origin, never from the CSR", "[net]") {
  const auto ca = make_ca("Test API CA");
  REQUIRE(ca);
  const auto request = make_key_and_request();
  REQUIRE(request);
  const auto device = DeviceId::parse("00112233445566778899aabbccddeeff");
  const auto pem = issue_device_certificate(*ca, request->csr_pem, *device);
  REQUIRE(pem);

  const auto facts = certificate_facts(*pem);
  REQUIRE(facts);
  CHECK(facts->common_name == "00112233445566778899aabbccddeeff");
  const auto now = Loop::wall_now();
  CHECK(facts->not_before.ns < now.ns - (23 * std::chrono::hours{1} / std::chrono::nanoseconds{1}));
  CHECK(facts->not_after.ns < now.ns + (7 * kDay + std::chrono::minutes{1}).count());
  CHECK(facts->fingerprint.size() == 64);
}

TEST_CASE("certificates: renewal keeps the key, another key has another fingerprint", "[net]") {
  const auto first = make_key_and_request();
  const auto again = make_request(first->key_pem);
  const auto other = make_key_and_request();
  REQUIRE(again);
  CHECK(*request_key_fingerprint(first->csr_pem) == *request_key_fingerprint(*again));
  CHECK(*request_key_fingerprint(first->csr_pem) != *request_key_fingerprint(other->csr_pem));
}

TEST_CASE("certificates: unusable input is named", "[net]") {
  const auto ca = make_ca("Test API CA");
  CHECK(certificate_facts("no PEM at all").error().kind() == ErrorKind::invalid);
  CHECK(issue_device_certificate(*ca, "junk", DeviceId{}).error().kind() == ErrorKind::invalid);
  const auto named = issue_server_certificate(*ca, {"bad,DNS:name"});
  REQUIRE_FALSE(named);
  CHECK(named.error().text().find("bad,DNS:name") != std::string::npos);
  CHECK_FALSE(issue_server_certificate(*ca, {}));
}
