// Gzip, zip and cpio files for tests, put together by hand.
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "shared/codec/deflate.hpp"
#include "shared/codec/writer.hpp"
#include "shared/codec/xz.hpp"
#include "shared/delta/recompress.hpp"

namespace lamina::tests {

inline Buffer operator+(Buffer a, const Buffer& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A gzip file around deflate data; `extra_flags` as gzip(1) says its level, 2 for 9 and 0 for 6.
inline Buffer gzip_file(ByteView plain, const Buffer& deflated, std::uint8_t extra_flags = 2,
                        const std::string& name = "") {
  Writer out;
  out.raw(as_view("\x1f\x8b\x08"));
  out.u8(name.empty() ? 0 : 8);
  out.u32(0);
  out.u8(extra_flags);
  out.u8(3);
  if (!name.empty()) out.raw(as_view(name + '\0'));
  out.raw(deflated);
  out.u32(crc32_of(plain));
  out.u32(static_cast<std::uint32_t>(plain.size()));
  return out.take();
}

// A gzip(1) of its own kind: deflates like nobody else.
inline Buffer own_gzip_file(ByteView plain, int level) {
  const auto shape = DeflateShape{static_cast<std::uint8_t>(level), 3};
  return gzip_file(plain, deflate_bytes(plain, shape), level == 9 ? 2 : 0);
}
inline delta::Programs own_gzip() {
  return {
      .gzip = [](const NextPiece& next, std::uint64_t, int level, const TakePiece& take) -> Status {
        Buffer plain;
        for (;;) {
          const auto piece = next();
          if (!piece) return fail(piece.error());
          if (piece->empty()) return take(own_gzip_file(plain, level));
          plain.insert(plain.end(), piece->begin(), piece->end());
        }
      },
      .gzip_version = "1.99"};
}

// An xz file of one block, with CRC-32: xz-file-format.txt. With sizes as xz -T makes it.
inline Buffer xz_file(ByteView plain, const Lzma2Shape& shape, bool has_sizes = false) {
  const auto checked = [](const Buffer& bytes) {
    Writer out;
    out.raw(bytes);
    out.u32(crc32_of(bytes));
    return out.take();
  };
  const auto padded = [](Buffer bytes) {
    bytes.resize((bytes.size() + 3) / 4 * 4);
    return bytes;
  };
  const Buffer flags = {std::byte{0}, std::byte{1}};
  const Buffer coded = lzma2_bytes(plain, shape);
  Writer filters;
  const int count = shape.has_x86 ? 2 : 1;
  filters.u8(static_cast<std::uint8_t>((count - 1) | (has_sizes ? 0xc0 : 0)));
  if (has_sizes) {
    filters.varint(coded.size());
    filters.varint(plain.size());
  }
  if (shape.has_x86) filters.u16(0x04);
  filters.u16(0x0121);
  filters.u8(shape.dictionary_code);
  // Its size byte counts itself and the CRC-32.
  Buffer header(1);
  header = padded(header + filters.take());
  header[0] = static_cast<std::byte>(header.size() / 4);
  header = checked(header);
  Writer index;
  index.u8(0);
  index.varint(1);
  index.varint(header.size() + coded.size() + 4);
  index.varint(plain.size());
  const Buffer all_index = checked(padded(index.take()));
  Writer footer;
  footer.u32(static_cast<std::uint32_t>(all_index.size() / 4 - 1));
  footer.raw(flags);
  Writer file;
  file.raw(
      as_view(std::string_view("\xfd"
                               "7zXZ\0",
                               6)));
  file.raw(checked(flags));
  file.raw(header);
  file.raw(padded(coded));
  file.u32(crc32_of(plain));
  file.raw(all_index);
  file.u32(crc32_of(footer.view()));
  file.raw(footer.view());
  file.raw(as_view("YZ"));
  return file.take();
}

// A kernel image for x86: code, the compressed kernel, code. Where it is not gzip, a size follows
// it.
inline Buffer kernel_file(const Buffer& compressed, ByteView code, bool has_size = true) {
  constexpr std::size_t kSectors = 3, kOffset = 100;
  Buffer file((kSectors + 1) * 512);
  const auto put = [&](std::size_t at, const Buffer& bytes) {
    std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
  };
  const auto number = [](std::size_t value) {
    Writer out;
    out.u32(static_cast<std::uint32_t>(value));
    return out.take();
  };
  file[0] = std::byte{'M'};
  file[0x1f1] = std::byte{kSectors};
  put(0x202, to_buffer(as_view("HdrS")));
  put(0x206, {std::byte{0x0f}, std::byte{0x02}});
  put(0x248, number(kOffset));
  put(0x24c, number(compressed.size() + (has_size ? 4 : 0)));
  file = file + to_buffer(code.first(kOffset)) + compressed;
  if (has_size) file = file + Buffer(4, std::byte{0x55});
  return file + to_buffer(code);
}

inline Buffer cpio_file(const std::vector<std::pair<std::string, Buffer>>& members) {
  Buffer archive;
  const auto add = [&](const std::string& name, const Buffer& content) {
    std::string header = "070701";
    const std::size_t fields[] = {1, 0100644,         0, 0, 1, 0, content.size(), 0, 0, 0,
                                  0, name.size() + 1, 0};
    for (const std::size_t field : fields) {
      char text[9];
      std::snprintf(text, sizeof text, "%08zx", field);
      header += text;
    }
    archive = archive + to_buffer(header + name + '\0');
    archive.resize((archive.size() + 3) / 4 * 4);
    archive = archive + content;
    archive.resize((archive.size() + 3) / 4 * 4);
  };
  for (const auto& [name, content] : members) add(name, content);
  add("TRAILER!!!", {});
  archive.resize((archive.size() + 511) / 512 * 512);
  return archive;
}

struct ZipEntry {
  std::string name;
  Buffer plain;
  bool is_deflated = true;
  DeflateShape shape;
};
inline Buffer zip_file(const std::vector<ZipEntry>& entries) {
  Writer out;
  Writer directory;
  for (const ZipEntry& entry : entries) {
    const Buffer coded = entry.is_deflated ? deflate_bytes(entry.plain, entry.shape) : entry.plain;
    const auto at = static_cast<std::uint32_t>(out.size());
    const auto common = [&](Writer& to) {
      to.u16(20);
      to.u16(0);
      to.u16(entry.is_deflated ? 8 : 0);
      to.u32(0);
      to.u32(crc32_of(entry.plain));
      to.u32(static_cast<std::uint32_t>(coded.size()));
      to.u32(static_cast<std::uint32_t>(entry.plain.size()));
      to.u16(static_cast<std::uint16_t>(entry.name.size()));
      to.u16(0);
    };
    out.raw(as_view("PK\3\4"));
    common(out);
    out.raw(as_view(entry.name));
    out.raw(coded);
    directory.raw(as_view("PK\1\2"));
    directory.u16(20);
    common(directory);
    directory.u16(0);
    directory.u16(0);
    directory.u16(0);
    directory.u32(0);
    directory.u32(at);
    directory.raw(as_view(entry.name));
  }
  const auto at = static_cast<std::uint32_t>(out.size());
  out.raw(directory.view());
  out.raw(as_view("PK\5\6"));
  out.u32(0);
  out.u16(static_cast<std::uint16_t>(entries.size()));
  out.u16(static_cast<std::uint16_t>(entries.size()));
  out.u32(static_cast<std::uint32_t>(directory.size()));
  out.u32(at);
  out.u16(0);
  return out.take();
}

}  // namespace lamina::tests
