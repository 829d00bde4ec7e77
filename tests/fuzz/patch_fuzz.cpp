// The body of a patch, behind the size that its frame says. What is accepted builds exactly that.
#include <algorithm>
#include <cstring>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/format/patch.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Reader in(std::as_bytes(std::span(data, size)));
  const std::uint32_t plain_size = in.u32();
  if (in.failed()) return 0;
  const ByteView body = in.raw(in.remaining());
  static ZstdCompressor compressor(1);
  static ZstdDecompressor decompressor;
  Writer coded;
  coded.u32(static_cast<std::uint32_t>(body.size()));
  coded.raw(compressor.compress(body));
  const format::Frame frame{.coder = format::Coder::patch,
                            .offset = 0,
                            .coded_size = static_cast<std::uint32_t>(coded.size()),
                            .plain_size = plain_size,
                            .chunks = {}};
  const auto patch = format::Patch::parse(frame, coded.view(), decompressor);
  if (!patch) {
    LAMINA_ASSERT(!patch.error().text().empty());
    return 0;
  }
  std::uint64_t read = 0;
  const auto built = patch->build([&](const format::ChunkRef& ref) -> Result<Buffer> {
    read += ref.length;
    return Buffer(ref.length);
  });
  LAMINA_ASSERT(built && built->size() == plain_size && read <= format::kPatchReadMax);
  return 0;
}
