// Recompress: the encoders that make compressed bytes again, bit for bit, and finding which one it
// was.
//
// What made some bytes is named by library, its version, and parameters. A receiver that lacks it
// says so by that name and takes the bytes closed. Nothing is believed about an encoder:
// find_encoder() runs it, and who uses its result at another place compares it by digest. Any
// thread, as far as the programs are.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "shared/base/pieces.hpp"
#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"
#include "shared/codec/xz.hpp"

namespace lamina::delta {

struct Encoder {
  enum class Library : std::uint8_t {
    zlib = 1,  // Raw deflate; levels 1 to 9, memory levels 1 to 9.
    gzip = 2,  // The deflate data of the program gzip(1), which has its own rules for blocks.
    zstd = 3,  // A zstd frame as the program zstd(1) makes it.
    lzma = 4,  // LZMA2 data as liblzma makes it; levels are its presets, 0 to 9.
  };
  Library library = Library::zlib;
  std::uint8_t level = 9;
  std::uint8_t memory_level = 0;     // Of zlib.
  bool has_checksum = false;         // Of zstd.
  bool has_size = false;             // Of zstd: whether the frame says its content's size.
  bool is_extreme = false;           // Of lzma: the preset's slow form.
  bool has_x86 = false;              // Of lzma: through the filter for x86 code.
  std::uint8_t dictionary_code = 0;  // Of lzma: see shared/codec/xz.hpp.
  std::string version;               // Of the library that was proven: "1.2.13".
  bool operator==(const Encoder&) const = default;

  // "zlib 1.2.13, level 9, memory level 8"
  std::string name() const;
};

void write_encoder(Writer& out, const Encoder& encoder);
// `in` has failed when there is none that could be right.
Encoder read_encoder(Reader& in);

// Programs that are run outside this library; an empty function: it is not there.
struct Programs {
  // Gives what `gzip -LEVEL -n` writes for the `plain_size` bytes that `next` gives: a whole gzip
  // file. Errors of both are passed on.
  std::function<Status(const NextPiece& next, std::uint64_t plain_size, int level,
                       const TakePiece& take)>
      gzip;
  std::string gzip_version;  // "1.12"; without it nothing is left to the program.
};

// Whether encode() has what it takes here; otherwise `unavailable` names what is missing. Of zstd
// it must be the very version: its output changes from release to release (m: 1.5.4 and 1.5.7
// differ at every level). The others have written the same bytes in every release of their first
// number (m: files of two Debian releases, of gzip 1.12 and 1.13, zlib 1.2.13 and 1.3.1, liblzma
// 5.4.1 and 5.8.1).
Status check_at_hand(const Encoder& encoder, const Programs& programs);

// Bytes of memory that encode() takes, roughly.
std::uint64_t encoder_memory(const Encoder& encoder, std::uint64_t plain_size);

// Gives what the encoder makes of the `plain_size` bytes that `next` gives; how these are cut makes
// no difference. `unavailable` as check_at_hand(); errors of programs, of `next` and of `take` are
// passed on.
Status encode(const Encoder& encoder, const NextPiece& next, std::uint64_t plain_size,
              const Programs& programs, const TakePiece& take);

// The encoder that makes exactly `coded` of `plain`; nothing when none of those tried does.
// `gzip_level` is what the gzip file's header lets expect, 0 for deflate data of something else.
std::optional<Encoder> find_deflate_encoder(ByteView plain, ByteView coded, int gzip_level,
                                            const Programs& programs);
// The same for one zstd frame.
std::optional<Encoder> find_zstd_encoder(ByteView plain, ByteView coded);
// The same for LZMA2 data; `shape` is what the file around it says.
std::optional<Encoder> find_lzma2_encoder(ByteView plain, ByteView coded, const Lzma2Shape& shape);

}  // namespace lamina::delta
