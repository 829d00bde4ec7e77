// Recompress: the encoders that make compressed bytes again, bit for bit, and finding which one it
// was.
//
// What made some bytes is named by library, version where the output depends on it, and parameters.
// A receiver that lacks it says so by that name and takes the bytes closed. Nothing is believed
// about an encoder: find_encoder() runs it, and who uses its result at another place compares it by
// digest. Any thread, as far as the programs are.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "shared/base/bytes.hpp"
#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"

namespace lamina::delta {

struct Encoder {
  enum class Library : std::uint8_t {
    zlib = 1,  // Raw deflate; levels 1 to 9, memory levels 1 to 9.
    gzip = 2,  // The deflate data of the program gzip(1), which has its own rules for blocks.
    zstd = 3,  // A zstd frame as the program zstd(1) makes it; the version is part of the name.
  };
  Library library = Library::zlib;
  std::uint8_t level = 9;
  std::uint8_t memory_level = 0;  // Of zlib.
  bool has_checksum = false;      // Of zstd.
  bool has_size = false;          // Of zstd: whether the frame says its content's size.
  std::string version;            // Of zstd: "1.5.4".
  bool operator==(const Encoder&) const = default;

  // "zlib, level 9, memory level 8"
  std::string name() const;
};

void write_encoder(Writer& out, const Encoder& encoder);
// `in` has failed when there is none that could be right.
Encoder read_encoder(Reader& in);

// Programs that are run outside this library; an empty function: it is not there.
struct Programs {
  // What `gzip -LEVEL -n` writes for `plain`: a whole gzip file.
  std::function<Result<Buffer>(ByteView plain, int level)> gzip;
};

// `unavailable` names an encoder that is not at hand here; errors of programs are passed on.
Result<Buffer> encode(const Encoder& encoder, ByteView plain, const Programs& programs);

// The encoder that makes exactly `coded` of `plain`; nothing when none of those tried does.
// `gzip_level` is what the gzip file's header lets expect, 0 for deflate data of something else.
std::optional<Encoder> find_deflate_encoder(ByteView plain, ByteView coded, int gzip_level,
                                            const Programs& programs);
// The same for one zstd frame.
std::optional<Encoder> find_zstd_encoder(ByteView plain, ByteView coded);

}  // namespace lamina::delta
