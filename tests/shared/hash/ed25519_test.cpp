#include "shared/hash/ed25519.hpp"

#include <catch2/catch.hpp>

using namespace lamina;

TEST_CASE("ed25519: a signature holds for its key and message only", "[hash]") {
  const auto key = PrivateKey::generate();
  const auto other = PrivateKey::generate();
  REQUIRE(key);
  REQUIRE(other);
  Signature signature = key->sign(as_view("layer"));
  CHECK(verify(key->public_key(), as_view("layer"), signature));
  CHECK_FALSE(verify(key->public_key(), as_view("layers"), signature));
  CHECK_FALSE(verify(other->public_key(), as_view("layer"), signature));
  signature[5] ^= std::byte{1};
  CHECK_FALSE(verify(key->public_key(), as_view("layer"), signature));
}

TEST_CASE("ed25519: a key survives its PEM text", "[hash]") {
  const auto key = PrivateKey::generate();
  REQUIRE(key);
  const auto again = PrivateKey::from_pem(key->to_pem());
  REQUIRE(again);
  CHECK(again->public_key() == key->public_key());
  CHECK(again->sign(as_view("x")) == key->sign(as_view("x")));
}

TEST_CASE("ed25519: text that is no such key is invalid", "[hash]") {
  for (const auto* text :
       {"", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}) {
    const auto key = PrivateKey::from_pem(text);
    REQUIRE_FALSE(key);
    CHECK(key.error().kind() == ErrorKind::invalid);
  }
}

TEST_CASE("ed25519: RFC 8032 test 1 verifies", "[hash]") {
  const auto key =
      PublicKey::parse("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const auto bytes = from_hex(
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
      "b4"
      "6bd25bf5f0595bbe24655141438e7a100b");
  REQUIRE(key);
  REQUIRE(bytes);
  Signature signature;
  REQUIRE(bytes->size() == signature.size());
  std::copy(bytes->begin(), bytes->end(), signature.begin());
  CHECK(verify(*key, {}, signature));
}
