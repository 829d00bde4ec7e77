#include "shared/format/pack.hpp"

#include <catch2/catch.hpp>

#include "shared/hash/xxh3.hpp"

using namespace lamina;
using namespace lamina::format;

namespace {

struct Made {
  Buffer bytes;
  PackSummary summary;
  std::vector<Buffer> chunks;
};

ChunkRef ref_of(const Buffer& plain) {
  return {digest<ChunkId>(plain), static_cast<std::uint32_t>(plain.size())};
}

// Two frames: compressible text in one, noise in the other.
Made make_pack() {
  Made made;
  std::uint64_t seed = 7;
  Buffer noise(3000);
  for (auto& b : noise) b = static_cast<std::byte>((seed = seed * 6364136223846793005U + 1) >> 56);
  made.chunks = {Buffer(5000, std::byte{'a'}), Buffer(70, std::byte{'b'}), noise};
  PackBuilder builder([&](ByteView bytes) -> Status {
    made.bytes.insert(made.bytes.end(), bytes.begin(), bytes.end());
    return Done{};
  });
  ZstdCompressor compressor(9);
  Buffer text = made.chunks[0];
  text.insert(text.end(), made.chunks[1].begin(), made.chunks[1].end());
  auto first = encode_frame(text, compressor);
  CHECK(first.coder == Coder::zstd);
  REQUIRE(builder.add(first.coder, first.bytes, {ref_of(made.chunks[0]), ref_of(made.chunks[1])}));
  auto second = encode_frame(noise, compressor);
  CHECK(second.coder == Coder::raw);
  REQUIRE(builder.add(second.coder, second.bytes, {ref_of(noise)}));
  auto summary = builder.finish();
  REQUIRE(summary);
  made.summary = std::move(*summary);
  return made;
}

Result<PackIndex> read_index(ByteView pack) {
  if (pack.size() < kPackHeaderSize + kPackFooterSize) return fail(ErrorKind::corrupt, "too short");
  if (auto good = check_pack_header(pack.first(kPackHeaderSize)); !good)
    return fail(std::move(good.error()));
  auto place = parse_pack_footer(pack.last(kPackFooterSize), pack.size());
  if (!place) return fail(std::move(place.error()));
  return parse_pack_index(pack.subspan(place->offset, place->size), *place);
}

// Every chunk of a pack, or the first error.
Result<std::vector<Buffer>> read_all(ByteView pack) {
  auto index = read_index(pack);
  if (!index) return fail(std::move(index.error()));
  ZstdDecompressor decompressor;
  std::vector<Buffer> chunks;
  for (const Frame& frame : index->frames) {
    auto plain =
        PlainFrame::decode(frame, pack.subspan(frame.offset, frame.coded_size), decompressor);
    if (!plain) return fail(std::move(plain.error()));
    for (std::size_t i = 0; i < plain->chunk_count(); ++i) {
      auto chunk = plain->chunk(i);
      if (!chunk) return fail(std::move(chunk.error()));
      chunks.push_back(to_buffer(*chunk));
    }
  }
  return chunks;
}

}  // namespace

TEST_CASE("pack: chunks are found through the pack's own index", "[format]") {
  const Made made = make_pack();
  CHECK(made.summary.size == made.bytes.size());
  CHECK(read_index(made.bytes).value() == made.summary.index);
  CHECK(read_all(made.bytes).value() == made.chunks);
}

TEST_CASE("pack: its name is the BEP 52 root of its bytes", "[format]") {
  const Made made = make_pack();
  MerkleHasher hasher;
  hasher.update(made.bytes);
  const auto blocks = hasher.finish();
  CHECK(blocks == made.summary.block_hashes);
  CHECK(PackId(merkle_root(blocks)) == made.summary.id);
}

TEST_CASE("pack: cut off anywhere, it is refused", "[format]") {
  const Made made = make_pack();
  for (std::size_t size = 0; size < made.bytes.size(); ++size)
    CHECK_FALSE(read_index(ByteView(made.bytes).first(size)));
}

TEST_CASE("pack: no changed byte gives other content", "[format]") {
  const Made made = make_pack();
  Buffer bytes = made.bytes;
  for (auto& byte : bytes) {
    byte ^= std::byte{0x10};
    const auto chunks = read_all(bytes);
    if (chunks) CHECK(*chunks == made.chunks);
    byte ^= std::byte{0x10};
  }
}

TEST_CASE("pack: unknown features and coders are refused by name", "[format]") {
  Made made = make_pack();
  made.bytes[8] = std::byte{4};
  const auto features = read_index(made.bytes);
  REQUIRE_FALSE(features);
  CHECK(features.error().text().find("bits 4") != std::string::npos);
}

TEST_CASE("pack: an index with absurd numbers is refused though its checksum fits", "[format]") {
  const auto parsed = [](const Writer& index, std::uint64_t end) {
    return parse_pack_index(index.view(), {.offset = end,
                                           .size = static_cast<std::uint32_t>(index.size()),
                                           .checksum = xxh3(index.view())});
  };
  const auto frame = [](std::uint64_t frames, unsigned coder, std::uint64_t coded,
                        std::vector<ChunkRef> chunks) {
    Writer out;
    out.varint(frames);
    out.u8(static_cast<std::uint8_t>(coder));
    out.varint(coded);
    encode_chunk_refs(chunks, out);
    return out;
  };
  const ChunkRef chunk = ref_of(Buffer(10));
  const std::uint64_t end = kPackHeaderSize + 10;
  REQUIRE(parsed(frame(1, 0, 10, {chunk}), end));
  CHECK_FALSE(parsed(frame(UINT64_MAX, 0, 10, {chunk}), end));
  CHECK_FALSE(parsed(frame(2, 0, 10, {chunk}), end));
  CHECK_FALSE(parsed(frame(1, 0, 9, {chunk}), end - 1));       // Raw, and another size.
  CHECK_FALSE(parsed(frame(1, 1, 11, {chunk}), end));          // Reaches into the index.
  CHECK_FALSE(parsed(frame(1, 1, 9, {chunk}), end));           // Leaves a gap.
  CHECK_FALSE(parsed(frame(1, 0, 10, {}), end));               // No chunk.
  CHECK_FALSE(parsed(frame(1, 0, 10, {{chunk.id, 0}}), end));  // An empty chunk.
  CHECK_FALSE(parsed(frame(1, 1, 10, {{chunk.id, UINT32_MAX}}), end));
  const auto coder = parsed(frame(1, 9, 10, {chunk}), end);
  REQUIRE_FALSE(coder);
  CHECK(coder.error().text().find("coder 9") != std::string::npos);
}

TEST_CASE("pack: delta frames have no chunks, and stand in packs of their own", "[format]") {
  Buffer bytes;
  PackBuilder builder([&](ByteView part) -> Status {
    bytes.insert(bytes.end(), part.begin(), part.end());
    return Done{};
  });
  const Buffer large(5 << 20, std::byte{3});  // More than a frame of chunks has.
  REQUIRE(builder.add(Coder::delta, as_view("a part of an update"), {}));
  REQUIRE(builder.add(Coder::delta, large, {}));
  const auto summary = builder.finish();
  REQUIRE(summary);
  const auto index = read_index(bytes);
  REQUIRE(index);
  CHECK(*index == summary->index);
  REQUIRE(index->frames.size() == 2);
  CHECK(index->frames[0].chunks.empty());
  CHECK(index->frames[1].plain_size == 0);
  ZstdDecompressor decompressor;
  const auto plain =
      PlainFrame::decode(index->frames[0], as_view("a part of an update"), decompressor);
  REQUIRE(plain);
  CHECK(plain->chunk_count() == 0);
  // A program that knows no updates refuses the pack by its feature.
  CHECK(bytes[8] == std::byte{2});
  bytes[8] = std::byte{6};
  CHECK(read_index(bytes).error().kind() == ErrorKind::invalid);
}
