// Gzip, zip and cpio files for tests, put together by hand.
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "shared/codec/deflate.hpp"
#include "shared/codec/writer.hpp"
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
inline delta::Programs own_gzip() {
  return {.gzip = [](ByteView plain, int level) -> Result<Buffer> {
    const auto shape = DeflateShape{static_cast<std::uint8_t>(level), 3};
    return gzip_file(plain, deflate_bytes(plain, shape), level == 9 ? 2 : 0);
  }};
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
