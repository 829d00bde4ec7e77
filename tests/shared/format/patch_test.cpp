// Patches: what is built from other chunks and a few bytes, and what a hostile one may cost.
#include <catch2/catch.hpp>
#include <map>

#include "shared/format/patch.hpp"
#include "tests/support/content.hpp"

using namespace lamina;
using namespace lamina::format;
using namespace lamina::tests;

namespace {

// Chunks that the receiver has, and how often each was read.
struct Receiver {
  std::map<ChunkId, Buffer> chunks;
  int reads = 0;

  ChunkRef keep(Buffer plain) {
    const ChunkRef ref = ref_of(plain);
    chunks[ref.id] = std::move(plain);
    return ref;
  }
  ChunkSource source() {
    return [this](const ChunkRef& ref) -> Result<Buffer> {
      ++reads;
      const auto found = chunks.find(ref.id);
      if (found == chunks.end()) return fail(ErrorKind::not_found, "no chunk " + ref.id.hex());
      return found->second;
    };
  }
};

Result<Buffer> built(const PatchBuilder::Coded& coded, Receiver& receiver) {
  ZstdDecompressor decompressor;
  auto patch = Patch::parse(coded.frame, coded.bytes, decompressor);
  if (!patch) return fail(std::move(patch.error()));
  return patch->build(receiver.source());
}

// A coded patch with this body.
PatchBuilder::Coded with_body(ByteView body, std::uint32_t plain_size) {
  ZstdCompressor compressor(3);
  Writer coded;
  coded.u32(static_cast<std::uint32_t>(body.size()));
  coded.raw(compressor.compress(body));
  return {.frame = {.coder = Coder::patch,
                    .offset = 0,
                    .coded_size = static_cast<std::uint32_t>(coded.size()),
                    .plain_size = plain_size,
                    .chunks = {{ChunkId(), plain_size}}},
          .bytes = coded.take()};
}

Buffer body_of(const std::vector<ChunkRef>& references, const std::vector<std::uint64_t>& parts,
               std::size_t literals) {
  Writer numbers;
  for (const std::uint64_t number : parts) numbers.varint(number);
  Writer body;
  encode_chunk_refs(references, body);
  body.varint(numbers.size());
  body.raw(numbers.view());
  body.raw(Buffer(literals));
  return body.take();
}

}  // namespace

TEST_CASE("patch: a page that changed is all that travels", "[format]") {
  Receiver receiver;
  const Buffer first = noise(60'000, 1);
  const Buffer second = noise(50'000, 2);
  const ChunkRef first_ref = receiver.keep(first);
  const ChunkRef second_ref = receiver.keep(second);
  // The last 20,000 bytes of one, 4,096 others, the first 30,000 of the other; then one as it was.
  Buffer changed(first.end() - 20'000, first.end());
  const Buffer page = noise(4096, 3);
  changed.insert(changed.end(), page.begin(), page.end());
  changed.insert(changed.end(), second.begin(), second.begin() + 30'000);

  PatchBuilder builder;
  CHECK(builder.empty());
  const std::vector<Same> same{{0, 20'000, first_ref, 40'000}, {24'096, 30'000, second_ref, 0}};
  REQUIRE(builder.has_room_for(ref_of(changed), same));
  builder.add(ref_of(changed), changed, same);
  builder.add(second_ref, second, std::vector<Same>{{0, 50'000, second_ref, 0}});
  CHECK(builder.literal_bytes() == 4096);
  ZstdCompressor compressor(3);
  const auto coded = builder.finish(compressor);
  CHECK(builder.empty());
  CHECK(coded.bytes.size() < 4096 + 200);
  CHECK(coded.frame.plain_size == changed.size() + second.size());

  Buffer expected = changed;
  expected.insert(expected.end(), second.begin(), second.end());
  CHECK(built(coded, receiver).value() == expected);
  CHECK(receiver.reads == 2);

  receiver.chunks.erase(second_ref.id);
  CHECK(built(coded, receiver).error().kind() == ErrorKind::not_found);
}

TEST_CASE("patch: there is room for so much", "[format]") {
  PatchBuilder builder;
  const Buffer plain = noise(256 * 1024, 4);
  const ChunkRef ref = ref_of(plain);
  const ChunkRef large{ref.id, kChunkMax};
  CHECK_FALSE(builder.has_room_for({ref.id, kFramePlainMax}, {}));
  CHECK_FALSE(
      builder.has_room_for(ref, std::vector<Same>(kPatchReferencesMax + 1, {0, 1, ref, 0})));
  CHECK_FALSE(builder.has_room_for(ref, std::vector<Same>(17, {0, 1, large, 0})));
  int chunks = 0;
  for (; builder.has_room_for(ref, {}); ++chunks) builder.add(ref, plain, {});
  CHECK(chunks == 8);
}

TEST_CASE("patch: what does not build its frame within the limits is refused", "[format]") {
  Receiver receiver;
  const ChunkRef ref = receiver.keep(noise(1000, 5));
  const auto fine = body_of({ref}, {1, 500, 500, 0, 100}, 100);
  REQUIRE(built(with_body(fine, 600), receiver).value().size() == 600);
  const auto refused = [&](const Buffer& body, std::uint32_t plain_size) {
    const auto result = built(with_body(body, plain_size), receiver);
    return !result && result.error().kind() == ErrorKind::corrupt;
  };
  CHECK(refused(fine, 601));
  CHECK(refused(fine, 599));
  CHECK(refused(body_of({ref}, {1, 501, 500, 0, 100}, 100), 601));      // Beyond the reference.
  CHECK(refused(body_of({ref}, {1, 10, 2000, 0, 100}, 100), 110));      // Behind it.
  CHECK(refused(body_of({ref}, {2, 500, 0, 0, 100}, 100), 600));        // There is no second one.
  CHECK(refused(body_of({ref}, {1, 500, 0, 0, 100}, 101), 600));        // A byte is left over.
  CHECK(refused(body_of({ref}, {1, 500, 0, 0, 100}, 99), 600));         // A byte is missing.
  CHECK(refused(body_of({ref}, {1, 600, 0, 0, 0}, 0), 600));            // A part of nothing.
  CHECK(refused(body_of({ref, ref}, {2, 300, 0, 1, 300, 0}, 0), 600));  // Not in their order.
  CHECK(refused(body_of(std::vector<ChunkRef>(17, {ref.id, kChunkMax}), {0, 600}, 600), 600));
  CHECK(refused(body_of(std::vector<ChunkRef>(kPatchReferencesMax + 1, ref), {0, 600}, 600), 600));

  auto cut = with_body(fine, 600);
  cut.bytes.pop_back();
  CHECK_FALSE(built(cut, receiver));
  auto other = with_body(fine, 600);
  other.frame.coder = Coder::zstd;
  CHECK_FALSE(built(other, receiver));
}

TEST_CASE("patch: a pack of them says so, and nobody reads it as content", "[format]") {
  PatchBuilder builder;
  const Buffer plain = noise(5000, 6);
  builder.add(ref_of(plain), plain, {});
  ZstdCompressor compressor(3);
  const auto coded = builder.finish(compressor);
  Buffer file;
  PackBuilder pack([&](ByteView bytes) -> Status {
    file.insert(file.end(), bytes.begin(), bytes.end());
    return Done{};
  });
  REQUIRE(pack.add(coded.frame.coder, coded.bytes, coded.frame.chunks));
  CHECK(pack.has_patches());
  const auto summary = pack.finish().value();
  CHECK(check_pack_header(ByteView(file).first(kPackHeaderSize)));
  CHECK(file[8] == std::byte{1});  // Programs that know no patches refuse the bit.
  ZstdDecompressor decompressor;
  const auto decoded = PlainFrame::decode(summary.index.frames[0], coded.bytes, decompressor);
  REQUIRE_FALSE(decoded);
  CHECK(decoded.error().kind() == ErrorKind::invalid);
}
