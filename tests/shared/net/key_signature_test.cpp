#include "shared/net/key_signature.hpp"

#include <catch2/catch.hpp>

#include "shared/net/certificates.hpp"

using namespace lamina;
using namespace lamina::net;

TEST_CASE("key signature: holds for the enrolled key and the message only", "[net]") {
  const auto key = make_key_and_request().value();
  const auto other = make_key_and_request().value();
  const std::string enrolled = request_key_fingerprint(key.csr_pem).value();
  const auto proof = sign_with_key(key.key_pem, as_view("parcel"));
  REQUIRE(proof);
  CHECK(verify_with_key(*proof, enrolled, as_view("parcel")));
  const auto refused = [&](const KeySignature& shown, const char* message) {
    const auto done = verify_with_key(shown, enrolled, as_view(message));
    return !done && done.error().kind() == ErrorKind::refused;
  };
  CHECK(refused(*proof, "parcels"));
  CHECK(refused(sign_with_key(other.key_pem, as_view("parcel")).value(), "parcel"));
  KeySignature changed = *proof;
  changed.signature.back() ^= std::byte{1};
  CHECK(refused(changed, "parcel"));
  // Another's signature under the enrolled key, and the reverse.
  changed = sign_with_key(other.key_pem, as_view("parcel")).value();
  changed.public_key = proof->public_key;
  CHECK(refused(changed, "parcel"));
  CHECK(refused({proof->public_key, {}}, "parcel"));
  CHECK(refused({{}, proof->signature}, "parcel"));
}

TEST_CASE("key signature: an unusable key is named", "[net]") {
  CHECK(sign_with_key("no PEM", as_view("x")).error().kind() == ErrorKind::invalid);
}
