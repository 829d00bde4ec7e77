#include "shared/delta/recompress.hpp"

#include <algorithm>
#include <array>

#include "shared/codec/deflate.hpp"
#include "shared/codec/zstd_program.hpp"

namespace lamina::delta {
namespace {

constexpr std::size_t kVersionMax = 32;
constexpr std::uint8_t kChecksum = 1;
constexpr std::uint8_t kSize = 2;

// What gzip(1) writes around deflate data if told nothing of the file: RFC 1952, 2.3.
constexpr std::size_t kGzipHeader = 10;
constexpr std::size_t kGzipTrailer = 8;
constexpr std::byte kGzipFlags{0};

Result<Buffer> gzip_body(ByteView plain, int level, const Programs& programs) {
  if (!programs.gzip) return fail(ErrorKind::unavailable, "this device cannot run gzip(1)");
  auto file = programs.gzip(plain, level);
  if (!file) return file;
  if (file->size() < kGzipHeader + kGzipTrailer || (*file)[3] != kGzipFlags)
    return fail(ErrorKind::unavailable, "what gzip(1) wrote has another header than expected");
  return Buffer(file->begin() + kGzipHeader, file->end() - kGzipTrailer);
}

}  // namespace

std::string Encoder::name() const {
  switch (library) {
    case Library::zlib:
      return "zlib, level " + std::to_string(level) + ", memory level " +
             std::to_string(memory_level);
    case Library::gzip: return "gzip -" + std::to_string(level);
    case Library::zstd: return "zstd " + version + ", level " + std::to_string(level);
  }
  return "unknown";
}

void write_encoder(Writer& out, const Encoder& encoder) {
  out.u8(static_cast<std::uint8_t>(encoder.library));
  out.u8(encoder.level);
  switch (encoder.library) {
    case Encoder::Library::zlib: out.u8(encoder.memory_level); break;
    case Encoder::Library::gzip: break;
    case Encoder::Library::zstd:
      out.u8(static_cast<std::uint8_t>((encoder.has_checksum ? kChecksum : 0) |
                                       (encoder.has_size ? kSize : 0)));
      out.text(encoder.version);
  }
}

Encoder read_encoder(Reader& in) {
  Encoder encoder;
  encoder.library = static_cast<Encoder::Library>(in.u8());
  encoder.level = in.u8();
  switch (encoder.library) {
    case Encoder::Library::zlib:
      encoder.memory_level = in.u8();
      if (encoder.memory_level < 1 || encoder.memory_level > 9) in.set_failed();
      [[fallthrough]];
    case Encoder::Library::gzip:
      if (encoder.level < 1 || encoder.level > 9) in.set_failed();
      break;
    case Encoder::Library::zstd: {
      const std::uint8_t flags = in.u8();
      if (flags > (kChecksum | kSize) || encoder.level < 1 || encoder.level > 19) in.set_failed();
      encoder.has_checksum = (flags & kChecksum) != 0;
      encoder.has_size = (flags & kSize) != 0;
      encoder.version = in.text(kVersionMax);
      break;
    }
    default: in.set_failed();
  }
  return in.failed() ? Encoder{} : encoder;
}

Result<Buffer> encode(const Encoder& encoder, ByteView plain, const Programs& programs) {
  switch (encoder.library) {
    case Encoder::Library::zlib: return deflate_bytes(plain, {encoder.level, encoder.memory_level});
    case Encoder::Library::gzip: return gzip_body(plain, encoder.level, programs);
    case Encoder::Library::zstd:
      // Its output changes from release to release (m: 1.5.4 and 1.5.7 differ at every level).
      if (encoder.version == zstd_version())
        return zstd_as_program(plain, {.level = encoder.level,
                                       .has_checksum = encoder.has_checksum,
                                       .has_size = encoder.has_size});
  }
  return fail(ErrorKind::unavailable, "this device has no " + encoder.name());
}

std::optional<Encoder> find_deflate_encoder(ByteView plain, ByteView coded, int gzip_level,
                                            const Programs& programs) {
  // By how often they are met on a Debian system.
  constexpr std::array<DeflateShape, 5> kShapes = {{{9, 8}, {6, 8}, {9, 9}, {6, 9}, {1, 8}}};
  for (const DeflateShape shape : kShapes)
    if (deflates_to(plain, shape, coded))
      return Encoder{.library = Encoder::Library::zlib,
                     .level = shape.level,
                     .memory_level = shape.memory_level};
  if (gzip_level == 0) return std::nullopt;
  const auto body = gzip_body(plain, gzip_level, programs);
  if (!body || !std::ranges::equal(*body, coded)) return std::nullopt;
  return Encoder{.library = Encoder::Library::gzip, .level = static_cast<std::uint8_t>(gzip_level)};
}

std::optional<Encoder> find_zstd_encoder(ByteView plain, ByteView coded) {
  const auto header = zstd_header(coded);
  if (!header) return std::nullopt;
  // 9 is what initramfs-tools takes, 3 is the program's own. Higher ones cost minutes to try.
  for (const int level : {9, 3, 1}) {
    const ZstdProgram program{
        .level = level, .has_checksum = header->has_checksum, .has_size = header->has_size};
    if (std::ranges::equal(zstd_as_program(plain, program), coded))
      return Encoder{.library = Encoder::Library::zstd,
                     .level = static_cast<std::uint8_t>(level),
                     .has_checksum = program.has_checksum,
                     .has_size = program.has_size,
                     .version = zstd_version()};
  }
  return std::nullopt;
}

}  // namespace lamina::delta
