// How the index of a ChunkStore lies in its rows: "c" and the chunk's 32 bytes -> its place, and
// where a sweep found that nothing needs the chunk (chunk_sweep.hpp) since when: nanoseconds since
// 1970. In the database <directory>/index. For the .cpp files of this folder.
#pragma once

#include <optional>
#include <string>

#include "shared/base/units.hpp"
#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"
#include "shared/format/pack.hpp"
#include "shared/os/file.hpp"
#include "shared/store/kv.hpp"

namespace lamina::chunk_rows {

inline constexpr std::string_view kPrefix = "c";

struct Place {
  PackId pack;
  std::uint32_t frame = 0;   // Number in the pack.
  std::uint32_t offset = 0;  // In the frame's plain bytes.
  std::uint32_t length = 0;
  bool operator==(const Place&) const = default;
};

inline std::string key_of(const ChunkId& id) {
  return std::string(kPrefix) + std::string(as_text(id.bytes()));
}

// Nothing: it is no chunk's key.
inline std::optional<ChunkId> parse_key(std::string_view key) {
  Reader in(as_view(key.substr(std::min(key.size(), kPrefix.size()))));
  const auto id = in.id<ChunkId>();
  return key.starts_with(kPrefix) && in.finished() ? std::optional(id) : std::nullopt;
}

inline constexpr std::size_t kPlaceSize = PackId::kSize + 12;

inline std::string row_of(const Place& place, std::optional<WallTime> unneeded_since = {}) {
  Writer out;
  out.raw(place.pack.bytes());
  out.u32(place.frame);
  out.u32(place.offset);
  out.u32(place.length);
  if (unneeded_since) out.u64(static_cast<std::uint64_t>(unneeded_since->ns));
  return std::string(as_text(out.view()));
}

// Nothing: it is broken.
inline std::optional<Place> parse_row(std::string_view row) {
  Reader in(as_view(row));
  Place place;
  place.pack = in.id<PackId>();
  place.frame = in.u32();
  place.offset = in.u32();
  place.length = in.u32();
  if (row.size() > kPlaceSize) in.u64();
  return in.finished() ? std::optional(place) : std::nullopt;
}

// Of a row that parses.
inline std::optional<WallTime> unneeded_since(std::string_view row) {
  if (row.size() <= kPlaceSize) return std::nullopt;
  Reader in(as_view(row.substr(kPlaceSize)));
  return WallTime{static_cast<std::int64_t>(in.u64())};
}

// Every chunk of the pack `id` with its place, until `visit` fails.
template <class Visit>
Status for_each_place(const PackId& id, const format::PackIndex& index, const Visit& visit) {
  for (std::uint32_t number = 0; number < index.frames.size(); ++number) {
    std::uint32_t offset = 0;
    for (const format::ChunkRef& chunk : index.frames[number].chunks) {
      if (auto done = visit(chunk.id, Place{id, number, offset, chunk.length}); !done) return done;
      offset += chunk.length;
    }
  }
  return Done{};
}

// In one transaction.
inline Status put_pack(Kv& rows, const PackId& id, const format::PackIndex& index) {
  return rows.write([&](Kv::Edit& edit) {
    return for_each_place(id, index, [&](const ChunkId& chunk, const Place& place) {
      return edit.put(key_of(chunk), row_of(place));
    });
  });
}

// Opening a database makes one that is not there: ask first.
inline bool has_index(const std::string& directory) {
  return os::exists(directory + "/index/data.mdb");
}

}  // namespace lamina::chunk_rows
