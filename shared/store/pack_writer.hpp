// PackWriter: chunks in, packs out: durable files, or bytes in memory.
//
// Chunks of one content class are gathered into a solid frame of about 2 MiB (m: a fresh 2 GB tree
// is 636 MB with every chunk alone, 515 MB with 1 MiB frames, zstd level 9; at the level of
// captures 2 MiB save another 0.9 %, and zstd starts anew half as often), frames are compressed on
// worker threads and written in the order in which they were filled, so that the same chunks give
// the same packs. Memory: one frame a class, at most kFramesInFlight frames and what
// Options::small_bytes says. One thread at a time; the worker threads are inside.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <unordered_set>

#include "shared/store/content_class.hpp"
#include "shared/store/pack_files.hpp"

namespace lamina {

class PackWriter {
 public:
  struct Options {
    int level = 9;  // zstd
    // When there are no more plain bytes than `small_bytes` in all they are coded at this level
    // instead: a small update crosses thin lines to many sites, and a slow level costs it seconds.
    // So many bytes wait in memory until that is known.
    int small_level = 0;
    std::uint64_t small_bytes = 0;
    std::uint32_t frame_bytes = 2 * 1024 * 1024;  // Plain.
    std::uint64_t pack_bytes = 16 * 1024 * 1024;
  };
  // Called when a pack is durable under its name.
  using OnPack = std::function<Status(const format::PackSummary&)>;
  // Called with a pack that was made in memory.
  using OnBytes = std::function<Status(const format::PackSummary&, std::string bytes)>;

  // Both `files` and what `on_pack` refers to must outlive the writer.
  PackWriter(const PackFiles& files, Options options, OnPack on_pack);
  // For packs that are sent on at once: no file is made, and each is in memory while it grows.
  PackWriter(Options options, OnBytes on_bytes);
  ~PackWriter();  // Without finish(): what was not finished is removed.

  // Takes a chunk of at most format::kChunkMax bytes; the digest is the caller's word. A chunk that
  // was given before is skipped. After an error the writer must be dropped.
  Status add(const format::ChunkRef& ref, ByteView plain, ContentClass content);
  // Takes a frame that is coded already; none of its chunks is looked at.
  Status add_frame(const format::Frame& frame, ByteView coded);
  // Ends the pack that is being written; chunks that come later start another.
  Status end_pack();
  // Writes everything. Call once, last.
  Status finish();

  bool was_given(const ChunkId& id) const { return given_.contains(id); }
  std::uint64_t packs_written() const { return packs_written_; }
  std::uint64_t bytes_written() const { return bytes_written_; }

 private:
  static constexpr std::size_t kFramesInFlight = 4;

  struct Gathering {
    Buffer plain;
    std::vector<format::ChunkRef> chunks;
  };
  struct Coding {
    std::future<format::CodedFrame> coded;
    std::vector<format::ChunkRef> chunks;
  };
  class Compressors;
  struct NewPack;

  Status start_coding(std::size_t content);
  Status code(Gathering gathering, bool as_is, Compressors& compressors);
  Status code_held(Compressors& compressors);
  Status write_oldest();
  Status append(format::Coder coder, ByteView coded, std::vector<format::ChunkRef> chunks);

  PackWriter(const PackFiles* files, Options options, OnPack on_pack, OnBytes on_bytes);
  Result<std::unique_ptr<NewPack>> begin_pack() const;

  const PackFiles* files_;  // Null: in memory.
  Options options_;
  OnPack on_pack_;
  OnBytes on_bytes_;
  std::unique_ptr<Compressors> compressors_;
  std::unique_ptr<Compressors> small_compressors_;
  // Frames that wait until it is known at which level they are coded.
  std::vector<Gathering> held_;
  std::uint64_t bytes_held_ = 0;
  bool is_small_ = true;  // As far as is known.
  std::array<Gathering, kContentClasses> gathering_;
  std::deque<Coding> coding_;
  std::unique_ptr<NewPack> pack_;
  std::unordered_set<ChunkId, IdHash> given_;
  std::uint64_t packs_written_ = 0;
  std::uint64_t bytes_written_ = 0;
};

}  // namespace lamina
