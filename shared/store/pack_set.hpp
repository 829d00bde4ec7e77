// PackSet: chunks read straight from given packs, without an index on disk.
//
// For readers that trust nothing but digests: the root worker, restores, verification. The places
// of all chunks are kept in one sorted vector of 48 bytes a chunk. Decoded frames are kept in a
// small cache: a reader that goes through a tree in path order meets one open frame per content
// class, so each frame is decoded about once. Memory: 24 frames,
// 20 MiB at most, and what two decoders hold. One thread at a time.
#pragma once

#include <list>
#include <optional>

#include "shared/store/pack_files.hpp"

namespace lamina {

class PackSet {
 public:
  PackSet();

  // Adds the chunks of the pack at `path`. Errors name `what`; the set is unchanged then.
  Status add(const std::string& path, const std::string& what);
  // Sorts what was added. Call after the last add() and before the first look-up.
  void seal();

  bool has(const ChunkId& id) const { return find(id) != nullptr; }
  std::size_t chunk_count() const { return places_.size(); }
  // The plain bytes, digest checked. `not_found` names the chunk; `corrupt` the pack.
  Result<Buffer> read(const format::ChunkRef& ref);
  // This set as the source of a manifest. The set must outlive it.
  format::ChunkSource source();

 private:
  struct Place {
    ChunkId id;
    std::uint32_t pack;
    std::uint32_t frame;
    std::uint32_t offset;
    std::uint32_t length;
  };
  struct Member {
    std::string path;
    std::string what;
    std::optional<OpenPack> open;
  };
  struct Decoded {
    std::uint64_t key;  // Pack and frame.
    format::PlainFrame frame;
  };
  // Twice the content classes, and what is decoded ahead.
  static constexpr std::size_t kFramesKept = 24;
  static constexpr std::size_t kBytesKept = 20 << 20;
  // A reader that goes on in a pack gets up to so many frames at once, by two threads: the chunks
  // of two keep all lanes of SHA-256 busy.
  static constexpr std::uint32_t kFramesTogether = 4;
  static constexpr std::size_t kPacksKeptOpen = 64;

  const Place* find(const ChunkId& id) const;
  Result<const OpenPack*> open(std::uint32_t pack);
  Result<const format::PlainFrame*> frame_of(const Place& place);
  Status decode(const OpenPack& pack, const Place& place);
  Result<std::vector<format::PlainFrame>> decode_in_halves(std::span<const format::Frame> frames,
                                                           std::span<const ByteView> coded);

  std::vector<Member> packs_;
  std::vector<Place> places_;
  bool sealed_ = true;
  std::list<Decoded> frames_;        // Most recently used first.
  std::list<std::uint32_t> opened_;  // Likewise.
  std::uint32_t last_pack_ = 0;      // Of the frames that were decoded last.
  std::uint32_t next_frame_ = 0;     // The one behind them.
  std::uint32_t frames_ahead_ = 1;   // How many they were meant to be.
  ZstdDecompressor decompressor_, other_decompressor_;
};

}  // namespace lamina
