#include "shared/net/swarm_proof.hpp"

#include <catch2/catch.hpp>

#include "shared/net/certificates.hpp"
#include "shared/net/key_signature.hpp"
#include "shared/net/loop.hpp"

using namespace lamina;
using namespace lamina::net;
using namespace std::chrono_literals;

namespace {

const std::string kDevice = "77777777777777777777777777777777";

struct Bench {
  KeyAndCertificate ca = make_ca("swarm").value();
  KeyAndRequest device = make_key_and_request().value();
  Buffer der = issue(kDevice);
  WallTime now = Loop::wall_now();

  Buffer issue(const std::string& name, Duration lifetime = 30 * kDay) const {
    return certificate_der(issue_swarm_certificate(ca, device.csr_pem, name, lifetime).value())
        .value();
  }
  Result<SwarmProof> check(const Buffer& certificate, Duration later = 0s) const {
    return check_swarm_certificate(certificate, ca.certificate_pem,
                                   WallTime{now.ns + later.count()}, kDay);
  }
};

}  // namespace

TEST_CASE("swarm proof: a certificate of the swarm and its signature", "[net]") {
  const Bench bench;
  const auto proof = bench.check(bench.der);
  REQUIRE(proof);
  CHECK(proof->device.hex() == kDevice);
  const auto signature = sign_with_key(bench.device.key_pem, as_view("message")).value().signature;
  CHECK(check_swarm_signature(*proof, signature, as_view("message")));
  CHECK_FALSE(check_swarm_signature(*proof, signature, as_view("massage")));
  CHECK_FALSE(check_swarm_signature(*proof, {}, as_view("message")));
  const auto stranger = make_key_and_request().value();
  CHECK_FALSE(check_swarm_signature(
      *proof, sign_with_key(stranger.key_pem, as_view("message")).value().signature,
      as_view("message")));
}

TEST_CASE("swarm proof: what is not of this swarm is refused", "[net]") {
  const Bench bench, other;
  CHECK_FALSE(bench.check(other.der));
  CHECK_FALSE(bench.check({}));
  CHECK_FALSE(bench.check(bench.issue("no device")));
  Buffer longer = bench.der;
  longer.push_back(std::byte{0});
  CHECK_FALSE(bench.check(longer));
  Buffer changed = bench.der;
  changed[changed.size() - 1] ^= std::byte{1};
  CHECK_FALSE(bench.check(changed));
}

TEST_CASE("swarm proof: out of its time it is refused, but for a day", "[net]") {
  const Bench bench;
  CHECK(bench.check(bench.der, 30 * kDay + 12h));
  const auto late = bench.check(bench.der, 31 * kDay + 1h);
  REQUIRE_FALSE(late);
  CHECK(late.error().text().find("run out") != std::string::npos);
  // It is back-dated by a day.
  CHECK(bench.check(bench.der, -47h));
  CHECK_FALSE(bench.check(bench.der, -49h));
}
