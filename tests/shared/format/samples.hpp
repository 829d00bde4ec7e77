// Entries and chunks for tests of the formats.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/format/manifest.hpp"
#include "shared/hash/sha256.hpp"

namespace lamina::samples {

inline format::Entry file(std::string path, std::uint64_t size) {
  format::Entry entry{.path = std::move(path),
                      .kind = format::EntryKind::file,
                      .mode = 0644,
                      .uid = 33,
                      .gid = 33,
                      .owner = "www-data",
                      .group = "www-data",
                      .mtime_ns = 1'700'000'000'123'456'789,
                      .size = size};
  for (std::uint64_t left = size; left > 0;) {
    const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, 65536));
    const std::string name = entry.path + std::to_string(left);
    entry.chunks.push_back({digest<ChunkId>(as_view(name)), length});
    left -= length;
  }
  return entry;
}

inline std::vector<format::Entry> every_kind() {
  using format::EntryKind;
  format::Entry sparse = file("usr/bin/c", 300);
  sparse.size = 1'000'000;
  sparse.sparse = true;
  sparse.extents = {{4096, 100}, {900'000, 200}};
  format::Entry rich = file("usr/bin/b", 70'000);
  rich.mode = 06755;
  rich.attributes = {{"security.capability", std::string("\x01\x00\x00\x02", 4)},
                     {"system.posix_acl_access", std::string(44, '\2')},
                     {"user.note", ""}};
  return {
      {.path = "", .kind = EntryKind::directory, .mode = 0755, .owner = "root", .group = "root"},
      {.path = "dev/null",
       .kind = EntryKind::char_device,
       .mode = 0666,
       .device_major = 1,
       .device_minor = 3},
      {.path = "dev/sda", .kind = EntryKind::block_device, .mode = 0660, .device_major = 8},
      {.path = "run/pipe", .kind = EntryKind::fifo, .mode = 0600, .mtime_ns = -1},
      file("usr/bin/a\xff\n", 0),
      rich,
      sparse,
      {.path = "usr/bin/d", .kind = EntryKind::hard_link, .target = "usr/bin/b"},
      {.path = "usr/bin/e", .kind = EntryKind::symlink, .mode = 0777, .target = "../../x"},
      {.path = "usr/bin/f", .kind = EntryKind::whiteout}};
}

// Chunks in memory: a sink and a source for manifests.
struct Chunks {
  std::map<ChunkId, Buffer> held;

  format::ChunkSink sink() {
    return [this](const ChunkId& id, ByteView plain) -> Status {
      held[id] = to_buffer(plain);
      return Done{};
    };
  }
  format::ChunkSource source() {
    return [this](const format::ChunkRef& ref) -> Result<Buffer> {
      const auto found = held.find(ref.id);
      if (found == held.end()) return fail(ErrorKind::not_found, "chunk " + ref.id.short_hex());
      return found->second;
    };
  }
};

}  // namespace lamina::samples
