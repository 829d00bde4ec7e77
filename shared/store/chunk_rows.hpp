// How the index of a ChunkStore lies in its rows: "c" and the chunk's 32 bytes -> its place. For
// the .cpp files of this folder.
#pragma once

#include <string>

#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"
#include "shared/format/manifest.hpp"

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

inline std::string row_of(const Place& place) {
  Writer out;
  out.raw(place.pack.bytes());
  out.u32(place.frame);
  out.u32(place.offset);
  out.u32(place.length);
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
  return in.finished() ? std::optional(place) : std::nullopt;
}

}  // namespace lamina::chunk_rows
