// Trees on disk for tests, and captures of them held in memory.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "shared/tree/capture.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

namespace lamina::tests {

inline void make_file(const std::string& path, ByteView bytes, mode_t mode = 0644) {
  auto file = os::open_write(path, mode);
  REQUIRE(file);
  REQUIRE(os::write_all(file->get(), bytes, path));
  REQUIRE(fchmod(file->get(), mode) == 0);
}

inline void set_mtime(const std::string& path, std::int64_t seconds, std::int64_t ns) {
  const timespec times[2] = {{.tv_sec = seconds, .tv_nsec = ns},
                             {.tv_sec = seconds, .tv_nsec = ns}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
}

// One of everything that any user may make, with names chosen for their order and bytes.
inline void make_nasty_tree(const std::string& root) {
  for (const char* directory : {"", "/a", "/a/b", "/a.b", "/empty", "/a/\xff\xfe", "/a/b/deep"})
    REQUIRE(os::make_directories(root + directory));
  make_file(root + "/a/file", noise(300'000, 1));
  make_file(root + "/a/b/script", to_buffer("#!/bin/sh\necho\n"), 04755);
  make_file(root + "/a/zero", {});
  make_file(root + "/a/\xff\xfe/\n", to_buffer("odd name"), 0600);
  make_file(root + "/a-", text(70'000, 2), 0444);
  REQUIRE(link((root + "/a/file").c_str(), (root + "/z-hard").c_str()) == 0);
  REQUIRE(link((root + "/a/file").c_str(), (root + "/a.b/hard").c_str()) == 0);
  REQUIRE(symlink("../nowhere/\xff", (root + "/a/link").c_str()) == 0);
  REQUIRE(symlink("/etc/passwd", (root + "/absolute").c_str()) == 0);
  REQUIRE(mkfifo((root + "/pipe").c_str(), 0640) == 0);
  {
    auto sparse = os::open_write(root + "/sparse");
    REQUIRE(sparse);
    REQUIRE(os::write_all_at(sparse->get(), noise(5000, 3), 1 << 20, "sparse"));
    REQUIRE(os::write_all_at(sparse->get(), noise(9000, 4), 3 << 20, "sparse"));
    REQUIRE(ftruncate(sparse->get(), 5 << 20) == 0);
  }
  for (const char* path :
       {"/a/file", "/a/b/script", "/a/zero", "/a/\xff\xfe/\n", "/a-", "/absolute", "/a/\xff\xfe",
        "/a.b", "/a/link", "/pipe", "/sparse", "/a/b/deep", "/a/b", "/a", "/empty", ""})
    set_mtime(root + path, 1'600'000'000, 123'456'789);
}

// What a capture gave: chunks by id.
struct Captured {
  std::map<ChunkId, Buffer> chunks;
  CaptureResult result;

  format::ChunkSource source() const {
    return [this](const format::ChunkRef& ref) -> Result<Buffer> {
      const auto found = chunks.find(ref.id);
      if (found == chunks.end()) return fail(ErrorKind::not_found, "chunk " + ref.id.short_hex());
      return found->second;
    };
  }
  std::vector<format::Entry> entries() const {
    auto reader = format::ManifestReader::open(result.manifest, source());
    REQUIRE(reader);
    std::vector<format::Entry> all;
    for (;;) {
      auto entry = (*reader)->next();
      REQUIRE(entry);
      if (!*entry) return all;
      all.push_back(std::move(**entry));
    }
  }
};

inline Captured capture(const os::Root& root, const CaptureOptions& options = {},
                        std::map<ChunkId, Buffer> chunks = {}) {
  Captured captured{std::move(chunks), {}};
  auto result = capture_tree(
      root, options,
      [&](const ContentChunk& chunk) -> Status {
        captured.chunks[chunk.ref.id] = to_buffer(chunk.plain);
        return Done{};
      },
      [&](const ChunkId& id, ByteView plain) -> Status {
        captured.chunks[id] = to_buffer(plain);
        return Done{};
      });
  if (!result) FAIL(result.error().text());
  captured.result = std::move(*result);
  return captured;
}
inline Captured capture(const std::string& path, const CaptureOptions& options = {},
                        std::map<ChunkId, Buffer> chunks = {}) {
  auto root = os::Root::open(path);
  REQUIRE(root);
  return capture(*root, options, std::move(chunks));
}

}  // namespace lamina::tests
