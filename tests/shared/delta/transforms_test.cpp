#include <catch2/catch.hpp>

#include "shared/delta/columns.hpp"
#include "shared/delta/x86_addresses.hpp"
#include "tests/support/content.hpp"

using namespace lamina;

namespace {

// Noise in which opcodes with distances are as frequent as they can be.
Buffer dense_code(std::size_t size, std::uint64_t seed) {
  constexpr std::uint8_t kParts[] = {0xe8, 0xe9, 0x0f, 0x80, 0x8f, 0x48, 0x8b, 0x8d, 0x05, 0xff,
                                     0x15, 0x25, 0x10, 0xb6, 0x00, 0x00, 0xff, 0xff, 0x01, 0x4f};
  Buffer bytes = tests::noise(size, seed);
  for (auto& byte : bytes) {
    const auto value = std::to_integer<std::uint8_t>(byte);
    if (value >= 40) byte = static_cast<std::byte>(kParts[value % sizeof kParts]);
  }
  return bytes;
}

}  // namespace

TEST_CASE("x86 addresses: every input has its way back", "[delta]") {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const std::size_t size = seed % 97 * 11;
    const std::uint64_t room[] = {0, 1, 4096, 0x7fffffff - size};
    const std::uint64_t address = seed % 3 == 0 ? 0 : room[seed % 4] / 2;
    const std::uint64_t image = address + size + room[seed % 4] / 2;
    CAPTURE(seed, size, address, image);
    const Buffer code = dense_code(size, seed);
    Buffer changed = code;
    delta::to_places(changed, address, image);
    delta::to_distances(changed, address, image);
    REQUIRE(changed == code);
  }
}

TEST_CASE("x86 addresses: piece by piece is the same as at once", "[delta]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Buffer code = dense_code(100 + seed * 3, seed);
    const std::uint64_t address = seed * 1000;
    const std::uint64_t image = address + code.size() + 5000;
    Buffer whole = code;
    delta::to_places(whole, address, image);
    Buffer pieces = code;
    std::size_t done = 0;
    for (std::size_t to = seed % 30; to < code.size(); to += 1 + (seed + to) % 40) {
      if (to < done) continue;
      done += delta::to_places(std::span(pieces).subspan(done, to - done), address + done, image);
      REQUIRE(to - done < 8);
    }
    delta::to_places(std::span(pieces).subspan(done), address + done, image);
    CAPTURE(seed);
    REQUIRE(pieces == whole);
    done = 0;
    for (std::size_t to = seed % 30; to < code.size(); to += 1 + (seed + to) % 40) {
      if (to < done) continue;
      done +=
          delta::to_distances(std::span(pieces).subspan(done, to - done), address + done, image);
      REQUIRE(to - done < 8);
    }
    delta::to_distances(std::span(pieces).subspan(done), address + done, image);
    REQUIRE(pieces == code);
  }
}

TEST_CASE("x86 addresses: calls of one function from two places look alike", "[delta]") {
  // call 0x1000 at 0x100 and, moved, at 0x180.
  const auto call_from = [](std::uint32_t at) {
    const std::uint32_t distance = 0x1000 - (at + 5);
    Buffer code = {std::byte{0xe8}};
    for (int i = 0; i < 4; ++i) code.push_back(static_cast<std::byte>(distance >> (8 * i)));
    code.resize(16, std::byte{0x90});
    return code;
  };
  Buffer here = call_from(0x100);
  Buffer there = call_from(0x180);
  CHECK(here != there);
  delta::to_places(here, 0x100, 0x10000);
  delta::to_places(there, 0x180, 0x10000);
  CHECK(here == there);
  CHECK(here[1] == std::byte{0x00});
  CHECK(here[2] == std::byte{0x10});
}

TEST_CASE("byte planes: every input has its way back", "[delta]") {
  for (const std::size_t size : {0U, 1U, 3U, 4U, 7U, 8U, 9U, 100U, 4099U})
    for (const std::size_t columns : {1U, 2U, 3U, 1000U}) {
      CAPTURE(size, columns);
      const Buffer bytes = tests::noise(size, size + columns);
      Buffer changed = bytes;
      delta::to_byte_planes(changed, columns);
      delta::from_byte_planes(changed, columns);
      REQUIRE(changed == bytes);
    }
}

TEST_CASE("byte planes: a rising column becomes one byte over and over", "[delta]") {
  Buffer bytes;
  for (std::uint32_t i = 1; i <= 4; ++i)
    for (int byte = 0; byte < 4; ++byte) bytes.push_back(static_cast<std::byte>(i * 3 >> 8 * byte));
  delta::to_byte_planes(bytes, 1);
  const Buffer expected = [] {
    Buffer planes(16);
    std::fill_n(planes.begin(), 4, std::byte{3});
    return planes;
  }();
  CHECK(bytes == expected);
}

TEST_CASE("rela differences: every input has its way back", "[delta]") {
  for (const std::size_t size : {0U, 23U, 24U, 47U, 48U, 24'001U}) {
    const Buffer bytes = tests::noise(size, size);
    Buffer changed = bytes;
    delta::to_rela_differences(changed);
    if (size >= 48) CHECK(changed != bytes);
    delta::from_rela_differences(changed);
    REQUIRE(changed == bytes);
  }
}
