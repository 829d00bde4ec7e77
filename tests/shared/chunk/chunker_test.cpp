#include "shared/chunk/chunker.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

#include "shared/hash/sha256.hpp"

using namespace lamina;

namespace {

constexpr ChunkLimits kSmall{.min = 256, .average = 1024, .max = 4096};

Buffer noise(std::size_t size, std::uint64_t seed) {
  Buffer bytes(size);
  for (auto& b : bytes) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    b = static_cast<std::byte>(seed >> 56);
  }
  return bytes;
}

std::vector<Buffer> cut(ByteView bytes, std::size_t step, ChunkLimits limits = kSmall) {
  std::vector<Buffer> chunks;
  const auto keep = [&](ByteView chunk) -> Status {
    chunks.push_back(to_buffer(chunk));
    return Done{};
  };
  Chunker chunker(limits);
  for (std::size_t at = 0; at < bytes.size(); at += step)
    REQUIRE(chunker.update(bytes.subspan(at, std::min(step, bytes.size() - at)), keep));
  REQUIRE(chunker.finish(keep));
  return chunks;
}

}  // namespace

TEST_CASE("chunker: chunks put together are the input, each within its limits", "[chunk]") {
  const Buffer bytes = noise(300'000, 1);
  const auto chunks = cut(bytes, 10'000);
  Buffer together;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    CHECK(chunks[i].size() <= kSmall.max);
    if (i + 1 < chunks.size()) CHECK(chunks[i].size() > kSmall.min);
    together.insert(together.end(), chunks[i].begin(), chunks[i].end());
  }
  CHECK(together == bytes);
  const double average = 300'000.0 / static_cast<double>(chunks.size());
  CHECK(average > 700);
  CHECK(average < 1800);
}

TEST_CASE("chunker: cuts do not depend on how the bytes arrive", "[chunk]") {
  const Buffer bytes = noise(100'000, 2);
  const auto whole = cut(bytes, bytes.size());
  for (const std::size_t step : {1U, 255U, 4096U, 65537U}) CHECK(cut(bytes, step) == whole);
}

TEST_CASE("chunker: an insertion changes only the chunks around it", "[chunk]") {
  const Buffer bytes = noise(300'000, 3);
  Buffer longer = bytes;
  longer.insert(longer.begin() + 150'000, std::byte{42});
  const auto before = cut(bytes, bytes.size());
  const auto after = cut(longer, longer.size());
  const std::set<Buffer> known(before.begin(), before.end());
  const auto fresh =
      std::ranges::count_if(after, [&](const Buffer& c) { return !known.contains(c); });
  CHECK(fresh <= 4);
  CHECK(fresh >= 1);
}

TEST_CASE("chunker: a file up to the least size is one chunk, none gives none", "[chunk]") {
  CHECK(cut(noise(256, 4), 100).size() == 1);
  CHECK(cut({}, 1).empty());
  CHECK(cut(Buffer(20'000), 20'000).front().size() == kSmall.max);  // Nothing to cut at: the limit.
}

TEST_CASE("chunker: the cuts are part of the format", "[chunk]") {
  const auto chunks = cut(noise(1'000'000, 5), 1'000'000, ChunkLimits{});
  Sha256 lengths;
  for (const Buffer& chunk : chunks) lengths.update(as_view(std::to_string(chunk.size()) + ' '));
  CHECK(to_hex(lengths.finish()) ==
        "5f61e5a32f7fff8551a0242c1780da50b578433a44bbeb01ab6ddd2dde8cca24");
}

TEST_CASE("chunker: an error of the receiver is passed on", "[chunk]") {
  Chunker chunker(kSmall);
  const auto refuse = [](ByteView) -> Status { return fail(ErrorKind::out_of_space, "full"); };
  const auto done = chunker.update(noise(5000, 6), refuse);
  REQUIRE_FALSE(done);
  CHECK(done.error().kind() == ErrorKind::out_of_space);
}
