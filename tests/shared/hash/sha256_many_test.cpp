#include "shared/hash/sha256_many.hpp"

#include <catch2/catch.hpp>

using namespace lamina;

namespace {

Buffer noise(std::size_t size) {
  Buffer bytes(size);
  std::uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

// Whether every way makes of `messages` what OpenSSL makes of each alone.
void check_all_ways(const std::vector<ByteView>& messages) {
  std::vector<Sha256Digest> expected;
  for (const ByteView message : messages) expected.push_back(sha256(message));
  for (const Sha256Way way : sha256_ways()) {
    std::vector<Sha256Digest> digests(messages.size());
    sha256_many(messages, digests, way);
    INFO("way " << static_cast<int>(way) << ", " << messages.size() << " messages, the first of "
                << (messages.empty() ? 0 : messages.front().size()) << " bytes");
    CHECK(digests == expected);
  }
}

// `count` messages of `size` bytes, no two alike and none at an even address for words.
std::vector<ByteView> of_size(const Buffer& bytes, std::size_t size, std::size_t count) {
  std::vector<ByteView> messages;
  for (std::size_t i = 0; i < count; ++i)
    messages.push_back(ByteView(bytes).subspan(1 + i * (size + 1), size));
  return messages;
}

}  // namespace

TEST_CASE("sha256 many: every length around the padding's borders", "[hash]") {
  const Buffer bytes = noise(17 * 202);
  for (std::size_t size = 0; size <= 200; ++size) check_all_ways(of_size(bytes, size, 16));
}

TEST_CASE("sha256 many: blocks of 16 KiB and odd tails, in any number of lanes", "[hash]") {
  const Buffer bytes = noise(35 * 16500);
  for (std::size_t count = 0; count <= 17; ++count) {
    check_all_ways(of_size(bytes, 16384, count));
    check_all_ways(of_size(bytes, 16384 + 61, count));
  }
  check_all_ways(of_size(bytes, 5000, 34));
}

TEST_CASE("sha256 many: messages of different lengths, each to its place", "[hash]") {
  const Buffer bytes = noise(40 * 300);
  std::vector<ByteView> messages;
  for (std::size_t i = 0; i < 40; ++i)
    messages.push_back(ByteView(bytes).subspan(i * 300, i < 20 ? 250 : i < 25 ? 7 * i : 64));
  check_all_ways(messages);
}

TEST_CASE("sha256 many: lengths as those of chunks, and one that outweighs all others", "[hash]") {
  const Buffer bytes = noise(1 << 20);
  std::vector<ByteView> messages;
  std::uint32_t state = 7;
  for (std::size_t at = 0; at + 40'000 < bytes.size();) {
    state = state * 1664525 + 1013904223;
    const std::size_t size = state % 3 == 0 ? state % 60 : 1000 + state % 39'000;
    messages.push_back(ByteView(bytes).subspan(at, size));
    at += size;
  }
  check_all_ways(messages);
  messages.insert(messages.begin() + 5, ByteView(bytes));
  check_all_ways(messages);
}

TEST_CASE("sha256 many: the ways of this processor", "[hash]") {
  REQUIRE(sha256_ways().front() == Sha256Way::openssl);
  CHECK(std::ranges::find(sha256_ways(), sha256_best_way()) != sha256_ways().end());
  CHECK(sha256_lanes(Sha256Way::openssl) == 1);
  CHECK(sha256_lanes() == sha256_lanes(sha256_best_way()));
}
