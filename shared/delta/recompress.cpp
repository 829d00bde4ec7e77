#include "shared/delta/recompress.hpp"

#include <algorithm>
#include <array>

#include "shared/codec/deflate.hpp"
#include "shared/codec/zstd_program.hpp"

namespace lamina::delta {
namespace {

constexpr std::size_t kVersionMax = 32;
// Flags of zstd, and of lzma.
constexpr std::uint8_t kChecksum = 1;
constexpr std::uint8_t kSize = 2;
constexpr std::uint8_t kExtreme = 1;
constexpr std::uint8_t kX86 = 2;
constexpr std::uint8_t kZstdLevelMax = 19;

// What gzip(1) writes around deflate data if told nothing of the file: RFC 1952, 2.3.
constexpr std::size_t kGzipHeader = 10;
constexpr std::size_t kGzipTrailer = 8;
constexpr std::byte kGzipFlags{0};

// The deflate data in the gzip file that the program makes.
Status gzip_body(const NextPiece& next, std::uint64_t plain_size, int level,
                 const Programs& programs, const TakePiece& take) {
  std::size_t skipped = 0;  // Of the header.
  Buffer last;              // Up to a trailer's length, which may be that.
  const auto strip = [&](ByteView piece) -> Status {
    for (; skipped < kGzipHeader && !piece.empty(); ++skipped, piece = piece.subspan(1))
      if (skipped == 3 && piece[0] != kGzipFlags)
        return fail(ErrorKind::unavailable, "what gzip(1) wrote has another header than expected");
    last.insert(last.end(), piece.begin(), piece.end());
    if (last.size() <= kGzipTrailer) return Done{};
    const auto body = ByteView(last).first(last.size() - kGzipTrailer);
    if (auto done = take(body); !done) return done;
    last.erase(last.begin(), last.begin() + static_cast<std::ptrdiff_t>(body.size()));
    return Done{};
  };
  if (auto done = programs.gzip(next, plain_size, level, strip); !done) return done;
  if (last.size() < kGzipTrailer)
    return fail(ErrorKind::unavailable, "gzip(1) wrote less than a file");
  return Done{};
}

Lzma2Shape shape_of(const Encoder& encoder) {
  return {.preset = encoder.level,
          .is_extreme = encoder.is_extreme,
          .has_x86 = encoder.has_x86,
          .dictionary_code = encoder.dictionary_code};
}

}  // namespace

std::string Encoder::name() const {
  const std::string number = std::to_string(level);
  switch (library) {
    case Library::zlib:
      return "zlib " + version + ", level " + number + ", memory level " +
             std::to_string(memory_level);
    case Library::gzip: return "gzip " + version + ", level " + number;
    case Library::zstd: return "zstd " + version + ", level " + number;
    case Library::lzma:
      return "liblzma " + version + ", preset " + number + (is_extreme ? "e" : "") +
             (has_x86 ? ", x86" : "");
  }
  return "unknown";
}

void write_encoder(Writer& out, const Encoder& encoder) {
  const auto flags = [&](bool one, std::uint8_t first, bool other, std::uint8_t second) {
    out.u8(static_cast<std::uint8_t>((one ? first : 0) | (other ? second : 0)));
  };
  out.u8(static_cast<std::uint8_t>(encoder.library));
  out.u8(encoder.level);
  switch (encoder.library) {
    case Encoder::Library::zlib: out.u8(encoder.memory_level); break;
    case Encoder::Library::gzip: break;
    case Encoder::Library::zstd:
      flags(encoder.has_checksum, kChecksum, encoder.has_size, kSize);
      break;
    case Encoder::Library::lzma:
      flags(encoder.is_extreme, kExtreme, encoder.has_x86, kX86);
      out.u8(encoder.dictionary_code);
      break;
  }
  out.text(encoder.version);
}

Encoder read_encoder(Reader& in) {
  Encoder encoder;
  encoder.library = static_cast<Encoder::Library>(in.u8());
  encoder.level = in.u8();
  const auto bounded = [&](std::uint8_t value, std::uint8_t least, std::uint8_t most) {
    if (value < least || value > most) in.set_failed();
    return value;
  };
  switch (encoder.library) {
    case Encoder::Library::zlib: encoder.memory_level = bounded(in.u8(), 1, 9); [[fallthrough]];
    case Encoder::Library::gzip: bounded(encoder.level, 1, 9); break;
    case Encoder::Library::zstd: {
      const std::uint8_t flags = bounded(in.u8(), 0, kChecksum | kSize);
      bounded(encoder.level, 1, kZstdLevelMax);
      encoder.has_checksum = (flags & kChecksum) != 0;
      encoder.has_size = (flags & kSize) != 0;
      break;
    }
    case Encoder::Library::lzma: {
      const std::uint8_t flags = bounded(in.u8(), 0, kExtreme | kX86);
      bounded(encoder.level, 0, 9);
      encoder.is_extreme = (flags & kExtreme) != 0;
      encoder.has_x86 = (flags & kX86) != 0;
      encoder.dictionary_code = bounded(in.u8(), 0, kDictionaryCodeMax);
      break;
    }
    default: in.set_failed();
  }
  encoder.version = in.text(kVersionMax);
  return in.failed() ? Encoder{} : encoder;
}

Status check_at_hand(const Encoder& encoder, const Programs& programs) {
  // Nothing when it is of a relative of the library: "1.3.1.zlib-ng".
  const auto first_number = [](std::string_view version) {
    const bool is_plain = version.find_first_not_of("0123456789.") == std::string_view::npos;
    return is_plain ? version.substr(0, version.find('.')) : std::string_view();
  };
  std::string version;
  switch (encoder.library) {
    case Encoder::Library::zlib: version = deflate_version(); break;
    case Encoder::Library::gzip: version = programs.gzip ? programs.gzip_version : ""; break;
    case Encoder::Library::zstd: version = zstd_version(); break;
    case Encoder::Library::lzma: version = lzma_version(); break;
  }
  const bool is_alike = encoder.library != Encoder::Library::zstd &&
                        !first_number(version).empty() &&
                        first_number(version) == first_number(encoder.version);
  if (!version.empty() && (version == encoder.version || is_alike)) return Done{};
  return fail(ErrorKind::unavailable, "this device has no " + encoder.name());
}

std::uint64_t encoder_memory(const Encoder& encoder, std::uint64_t plain_size) {
  constexpr std::uint64_t kSmall = std::uint64_t{1} << 20;
  constexpr std::uint64_t kZstd = std::uint64_t{100} << 20;  // Its manual, of level 19.
  switch (encoder.library) {
    case Encoder::Library::zlib: return kSmall;
    case Encoder::Library::gzip: return kSmall;
    case Encoder::Library::zstd: return std::min(kZstd, 8 * plain_size) + kSmall;
    case Encoder::Library::lzma: return lzma2_memory(shape_of(encoder), plain_size);
  }
  return 0;
}

Status encode(const Encoder& encoder, const NextPiece& next, std::uint64_t plain_size,
              const Programs& programs, const TakePiece& take) {
  if (auto at_hand = check_at_hand(encoder, programs); !at_hand) return at_hand;
  switch (encoder.library) {
    case Encoder::Library::zlib:
      return deflate_pieces(next, {encoder.level, encoder.memory_level}, take);
    case Encoder::Library::gzip: return gzip_body(next, plain_size, encoder.level, programs, take);
    case Encoder::Library::zstd:
      return zstd_as_program(next, plain_size,
                             {.level = encoder.level,
                              .has_checksum = encoder.has_checksum,
                              .has_size = encoder.has_size},
                             take);
    case Encoder::Library::lzma: return lzma2_pieces(next, shape_of(encoder), take);
  }
  return fail(ErrorKind::unavailable, "this device has no " + encoder.name());
}

std::optional<Encoder> find_deflate_encoder(ByteView plain, ByteView coded, int gzip_level,
                                            const Programs& programs) {
  // By how often they are met on a Debian system. A wrong one shows within its first block, which
  // is all of a small file: the level that the header lets expect comes first, made by either.
  constexpr std::array<DeflateShape, 18> kShapes = {{{9, 8},
                                                     {6, 8},
                                                     {9, 9},
                                                     {6, 9},
                                                     {1, 8},
                                                     {5, 8},
                                                     {7, 8},
                                                     {8, 8},
                                                     {4, 8},
                                                     {3, 8},
                                                     {2, 8},
                                                     {1, 9},
                                                     {5, 9},
                                                     {7, 9},
                                                     {8, 9},
                                                     {4, 9},
                                                     {3, 9},
                                                     {2, 9}}};
  const auto by_zlib = [&](bool is_expected) -> std::optional<Encoder> {
    for (const DeflateShape shape : kShapes)
      if ((shape.level == gzip_level) == is_expected && deflates_to(plain, shape, coded))
        return Encoder{.library = Encoder::Library::zlib,
                       .level = shape.level,
                       .memory_level = shape.memory_level,
                       .version = deflate_version()};
    return std::nullopt;
  };
  const auto by_gzip = [&]() -> std::optional<Encoder> {
    if (gzip_level == 0 || !programs.gzip || programs.gzip_version.empty()) return std::nullopt;
    Comparison same(coded);
    const auto made = gzip_body(pieces_of(plain), plain.size(), gzip_level, programs, same.take());
    if (!made || !same.is_whole()) return std::nullopt;
    return Encoder{.library = Encoder::Library::gzip,
                   .level = static_cast<std::uint8_t>(gzip_level),
                   .version = programs.gzip_version};
  };
  if (auto found = by_zlib(/*is_expected=*/true)) return found;
  if (auto found = by_gzip()) return found;
  return by_zlib(/*is_expected=*/false);
}

std::optional<Encoder> find_zstd_encoder(ByteView plain, ByteView coded) {
  const auto header = zstd_header(coded);
  if (!header) return std::nullopt;
  // 9 is what initramfs-tools takes, 3 is the program's own. Higher ones cost minutes to try.
  for (const int level : {9, 3, 1}) {
    const ZstdProgram program{
        .level = level, .has_checksum = header->has_checksum, .has_size = header->has_size};
    Comparison same(coded);
    if (zstd_as_program(pieces_of(plain), plain.size(), program, same.take()) && same.is_whole())
      return Encoder{.library = Encoder::Library::zstd,
                     .level = static_cast<std::uint8_t>(level),
                     .has_checksum = program.has_checksum,
                     .has_size = program.has_size,
                     .version = zstd_version()};
  }
  return std::nullopt;
}

std::optional<Encoder> find_lzma2_encoder(ByteView plain, ByteView coded, const Lzma2Shape& shape) {
  // 6 is what nearly everybody takes. 7 to 9 differ from it by their dictionary alone, which is
  // known: liblzma, lzma_encoder_presets.c.
  struct Preset {
    std::uint8_t level;
    bool is_extreme;
  };
  constexpr std::array<Preset, 9> kPresets = {{{6, false},
                                               {6, true},
                                               {3, true},
                                               {5, false},
                                               {4, false},
                                               {3, false},
                                               {2, false},
                                               {1, false},
                                               {0, false}}};
  for (const Preset preset : kPresets) {
    Lzma2Shape tried = shape;
    tried.preset = preset.level;
    tried.is_extreme = preset.is_extreme;
    if (lzma2_codes_to(plain, tried, coded))
      return Encoder{.library = Encoder::Library::lzma,
                     .level = tried.preset,
                     .is_extreme = tried.is_extreme,
                     .has_x86 = tried.has_x86,
                     .dictionary_code = tried.dictionary_code,
                     .version = lzma_version()};
  }
  return std::nullopt;
}

}  // namespace lamina::delta
