#include "shared/delta/frame.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "shared/codec/writer.hpp"
#include "tests/support/content.hpp"
#include "tests/support/elf_file.hpp"

using namespace lamina;
using delta::Effort;
using delta::FrameHead;

namespace {

Buffer program(std::uint64_t seed, std::size_t size = 40'000) {
  return tests::elf_file(
      {{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, tests::noise(size, seed)},
       {".rodata", SHT_PROGBITS, SHF_ALLOC, tests::text(size, seed)},
       {".rela.dyn", SHT_RELA, SHF_ALLOC, tests::noise(24 * 20, seed)}});
}

Buffer edited(Buffer bytes, std::size_t at) {
  bytes[at] ^= std::byte{0x55};
  return bytes;
}

std::vector<delta::Item> items_of(const std::vector<Buffer>& contents) {
  std::vector<delta::Item> items;
  for (const Buffer& content : contents)
    items.push_back({{static_cast<std::uint32_t>(90 - 7 * items.size()),
                      static_cast<std::uint32_t>(items.size() % 2)},
                     delta::source_of(ByteView(content))});
  return items;
}

std::vector<delta::Source> sources_of(const std::vector<Buffer>& contents) {
  std::vector<delta::Source> sources;
  for (const Buffer& content : contents) sources.push_back(delta::source_of(ByteView(content)));
  return sources;
}

Buffer encoded(const std::vector<Buffer>& contents, const std::vector<Buffer>& references,
               Effort effort = Effort::standard) {
  return delta::encode_frame(items_of(contents), items_of(references), effort).value();
}

Result<std::vector<Buffer>> decoded(ByteView frame, const std::vector<Buffer>& references) {
  const auto head = FrameHead::parse(frame);
  if (!head) return fail(head.error());
  if (head->references.size() != references.size()) return fail(ErrorKind::corrupt, "references");
  std::vector<Buffer> contents(head->items.size());
  const auto done =
      delta::decode_frame(*head, to_buffer(frame), sources_of(references),
                          [&](std::size_t part, ByteView piece) -> Status {
                            contents[part].insert(contents[part].end(), piece.begin(), piece.end());
                            return Done{};
                          });
  if (!done) return fail(done.error());
  return contents;
}

}  // namespace

TEST_CASE("delta frame: contents come back with every effort, with and without references",
          "[delta]") {
  const std::vector<Buffer> old = {program(1), tests::text(9000, 1), tests::noise(70'000, 1)};
  const std::vector<Buffer> next = {edited(program(1), 900), edited(tests::text(9000, 1), 50),
                                    Buffer(), program(5)};
  for (const Effort effort : {Effort::fast, Effort::standard, Effort::high}) {
    const Buffer delta = encoded(next, old, effort);
    CHECK(decoded(delta, old).value() == next);
    const Buffer full = encoded(next, {}, effort);
    CHECK(decoded(full, {}).value() == next);
    CHECK(delta.size() < full.size());
  }
  CHECK(decoded(encoded({Buffer()}, {}), {}).value() == std::vector<Buffer>(1));
}

TEST_CASE("delta frame: a small change of large contents is small", "[delta]") {
  const std::vector<Buffer> old = {program(1, 300'000), tests::noise(300'000, 2)};
  const std::vector<Buffer> next = {edited(program(1, 300'000), 100'000),
                                    edited(tests::noise(300'000, 2), 5)};
  CHECK(encoded(next, old).size() < 1500);
}

TEST_CASE("delta frame: random pairs of contents come back", "[delta]") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    std::vector<Buffer> old, next;
    for (std::uint64_t i = 0; i < seed % 5; ++i)
      old.push_back(i % 2 == 0 ? program(seed + i, seed * 37 % 3000) : tests::text(seed * i, i));
    for (std::uint64_t i = 0; i <= seed % 4; ++i)
      next.push_back(i < old.size() && !old[i].empty() ? edited(old[i], seed * 7 % old[i].size())
                                                       : tests::noise(seed * 11, seed));
    REQUIRE(decoded(encoded(next, old), old).value() == next);
  }
}

TEST_CASE("delta frame: the head says what is inside", "[delta]") {
  const auto head = FrameHead::parse(encoded({program(1), tests::text(70, 1)}, {program(2)}));
  REQUIRE(head);
  REQUIRE(head->items.size() == 2);
  CHECK(head->items[0] == FrameHead::Named{{90, 0}, program(1).size(), true});
  CHECK(head->items[1] == FrameHead::Named{{83, 1}, 70, false});
  CHECK(head->references == std::vector{FrameHead::Named{{90, 0}, program(2).size(), false}});
  CHECK(head->plain_size() == program(1).size() + 70);
}

TEST_CASE("delta frame: a changed, longer or shorter reference is refused and named", "[delta]") {
  const std::vector<Buffer> old = {program(1), tests::text(4000, 3)};
  const std::vector<Buffer> next = {edited(program(1), 900), edited(tests::text(4000, 3), 5)};
  const Buffer frame = encoded(next, old);
  for (std::size_t which = 0; which < old.size(); ++which)
    for (std::size_t at = 0; at < old[which].size(); at += 501) {
      auto other = old;
      other[which][at] ^= std::byte{1};
      const auto back = decoded(frame, other);
      // Bytes of streams that no item has are no part of the reference.
      if (back) {
        CHECK(*back == next);
        continue;
      }
      CHECK(back.error().kind() == ErrorKind::corrupt);
      CHECK(back.error().text().find("reference") != std::string::npos);
    }
  auto longer = old;
  longer[1].push_back(std::byte{0});
  CHECK(decoded(frame, longer).error().text().find("instead of") != std::string::npos);
}

TEST_CASE("delta frame: any changed or cut frame is refused, never decoded to other bytes",
          "[delta]") {
  const std::vector<Buffer> old = {program(1, 300)};
  const std::vector<Buffer> next = {edited(program(1, 300), 400), tests::text(300, 1)};
  for (const Effort effort : {Effort::standard, Effort::high}) {
    const Buffer frame = encoded(next, old, effort);
    for (std::size_t at = 0; at < frame.size(); ++at)
      for (const int bits : {0x01, 0x10, 0x80}) {
        Buffer changed = frame;
        changed[at] ^= static_cast<std::byte>(bits);
        const auto back = decoded(changed, old);
        if (back && *back != next) FAIL("byte " << at << ", bits " << bits);
      }
    for (std::size_t size = 0; size < frame.size(); ++size)
      if (decoded(ByteView(frame).first(size), old)) FAIL("cut to " << size);
    Buffer longer = frame;
    longer.push_back(std::byte{0});
    CHECK_FALSE(decoded(longer, old));
  }
}

TEST_CASE("delta frame: another version is refused by its number", "[delta]") {
  Buffer frame = encoded({tests::text(100, 1)}, {});
  frame[0] = std::byte{9};
  const auto head = FrameHead::parse(frame);
  REQUIRE_FALSE(head);
  CHECK(head.error().kind() == ErrorKind::invalid);
  CHECK(head.error().text().find("version 9") != std::string::npos);
}

TEST_CASE("delta frame: sizes beyond the limit, or that do not add up, are refused", "[delta]") {
  const auto parse = [](std::uint64_t item_size, std::uint64_t stream_size) {
    Writer body;
    body.varint(1);
    body.svarint(0);
    body.varint(0);
    body.varint(item_size);
    body.u8(0);
    body.varint(0);
    body.varint(1);
    body.u8(delta::kRaw);
    body.u8(static_cast<std::uint8_t>(delta::StreamCoder::zstd));
    body.varint(stream_size);
    body.varint(0);
    body.u64(0);
    body.raw(Sha256Digest{});
    Writer frame;
    frame.u8(1);
    frame.bytes(body.view());
    return FrameHead::parse(frame.view());
  };
  CHECK(parse(100, 100));
  CHECK_FALSE(parse(100, 99));
  CHECK_FALSE(parse(100, 101));
  CHECK(parse(delta::kFrameContentsMax, delta::kFrameContentsMax));
  CHECK_FALSE(parse(delta::kFrameContentsMax + 1, delta::kFrameContentsMax + 1));
  CHECK_FALSE(parse(UINT64_MAX, UINT64_MAX));
}

TEST_CASE("delta frame: a long stream is coded in segments", "[delta]") {
  constexpr std::size_t kSize = 40'000'000;
  const auto large = [](Buffer code) {
    return tests::elf_file({{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, std::move(code)},
                            {".rodata", SHT_PROGBITS, SHF_ALLOC, tests::text(3000, 1)}});
  };
  const Buffer code = tests::noise(kSize, 1);
  Buffer changed = code;
  for (std::size_t at = 100; at < changed.size(); at += 1'000'000) changed[at] ^= std::byte{1};
  changed.insert(changed.begin() + 5'000'000, 3'000'000, std::byte{7});
  const std::vector<Buffer> old = {large(code)};
  const std::vector<Buffer> next = {large(changed)};
  const Buffer frame = encoded(next, old, Effort::fast);
  CHECK(frame.size() < 100'000);
  const auto head = FrameHead::parse(frame);
  REQUIRE(head);
  CHECK(std::ranges::count(head->streams, true, &FrameHead::StreamEntry::is_in_segments) == 1);
  const auto longest = std::ranges::max_element(
      head->streams, {}, [](const auto& stream) { return stream.plain_size; });
  CHECK(longest->coded_sizes.size() == 2);
  CHECK(decoded(frame, old).value() == next);

  Buffer wrong = old.front();
  wrong[20'000'000] ^= std::byte{1};
  CHECK(decoded(frame, {wrong}).error().kind() == ErrorKind::corrupt);
  // Only the second version of frames has segments.
  Buffer as_first = frame;
  CHECK(as_first[0] == std::byte{2});
  as_first[0] = std::byte{1};
  CHECK(FrameHead::parse(as_first).error().kind() == ErrorKind::corrupt);
  CHECK(encoded({tests::text(100, 1)}, {})[0] == std::byte{1});
  as_first[0] = std::byte{3};
  CHECK(FrameHead::parse(as_first).error().kind() == ErrorKind::invalid);
}
