#include "shared/hash/sha256.hpp"

#include <catch2/catch.hpp>

using namespace lamina;

TEST_CASE("sha256: the FIPS 180-2 example", "[hash]") {
  CHECK(to_hex(sha256(as_view("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(sha256({})) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("sha256: pieces give the digest of the whole, and the object starts over", "[hash]") {
  Sha256 hasher;
  for (int round = 0; round < 2; ++round) {
    hasher.update(as_view("a"));
    hasher.update(as_view("bc"));
    CHECK(hasher.finish() == sha256(as_view("abc")));
  }
}
