// ChunkStore: the origin's store of one pack space (layers, or CVDs): packs, and an LMDB index from
// chunk to place.
//
// Write order: pack durable, then index. What a kill leaves between the two is a pack that the
// index does not know; taking it in again repairs that. The index can be rebuilt from the packs
// alone. Chunks that nothing needs go by sweep() (chunk_sweep.hpp); packs that the disk has damaged
// are set aside with a note (lost_pack.hpp), and their chunks are not here until somebody brings
// them again. Thread-safe; one process at a time (a lock file says whose).
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <span>

#include "shared/os/lock.hpp"
#include "shared/store/kv.hpp"
#include "shared/store/lost_pack.hpp"
#include "shared/store/pack_look.hpp"
#include "shared/store/pack_set.hpp"
#include "shared/store/pack_writer.hpp"

namespace lamina {

struct SweepOptions;  // chunk_sweep.hpp
struct Swept;

class ChunkStore {
 public:
  // `directory` and what it needs are made when missing. `unavailable` when another process has it.
  static Result<std::unique_ptr<ChunkStore>> open(const std::string& directory);
  ~ChunkStore();

  const PackFiles& files() const { return files_; }

  Result<bool> has(const ChunkId& id) const;
  // Those of `ids` that are not here, in order.
  Result<std::vector<ChunkId>> lacking(const std::vector<ChunkId>& ids) const;
  // Likewise, for who will refer to the others without sending them: a sweep leaves those alone for
  // its whole grace from now on.
  Result<std::vector<ChunkId>> claim(const std::vector<ChunkId>& ids);
  // Of those of `ids` that are here.
  Result<Bytes> plain_bytes(std::span<const ChunkId> ids) const;
  // The pack that holds a chunk. `not_found` names the chunk.
  Result<PackId> pack_of(const ChunkId& id) const;
  // The frame that holds a chunk: which one it is. `not_found` names the chunk.
  struct FramePlace {
    PackId pack;
    std::uint32_t number = 0;
    auto operator<=>(const FramePlace&) const = default;
  };
  Result<FramePlace> frame_of(const ChunkId& id) const;
  // What the pack's index says of it, and its bytes as they are stored: none of its chunks checked.
  Result<format::Frame> frame(const FramePlace& place) const;
  Result<Buffer> read_coded(const PackId& pack, const format::Frame& frame) const;
  // The plain bytes, digest checked.
  Result<Buffer> read(const format::ChunkRef& ref) const;
  format::ChunkSource source() const;

  // Takes in the pack file at `path` (in the same file system; it is moved or removed). Its bytes
  // must have the identity `expected` and every chunk must have the bytes that its id says:
  // `corrupt` otherwise, with the file removed and nothing stored. Gives the ids of all its chunks.
  Result<std::vector<ChunkId>> take_in(const std::string& path, const PackId& expected);

  // Like take_in(), but what the store already has is not stored again: frames of new chunks are
  // copied as they are, others are coded anew with their new chunks only. A pack of patches is
  // built from chunks that `references` gives: an error of that is `corrupt`.
  Result<std::vector<ChunkId>> take_in_new(const std::string& path, const PackId& expected,
                                           const format::ChunkSource& references);

  // Some chunks of a frame that is here.
  struct Part {
    FramePlace frame;
    std::vector<bool> chunks;  // Which of the frame's.
  };
  // Writes these chunks into packs that hold nothing else, in this order and coded at `level`; they
  // are read from there from then on. The packs that had them stay. Frames that are asked for whole
  // go as they are stored; every digest is checked. The same parts give the same packs. How many
  // bytes the packs have; what was written before an error stays.
  Result<Bytes> write_apart(const std::vector<Part>& parts, int level);
  // Packs that rows of the index name, and how many do.
  Result<std::map<PackId, std::uint64_t>> packs_in_index() const;
  // Sets the pack aside that look_at_pack() found lost or broken: its note is written, then its
  // rows go, then its file moves to unsound/. Nothing when it is no longer as it was found, or when
  // it is gone and nothing was in it. Killed in between it is begun again: the note says that it is
  // to be looked at. Gives the note. `on_step` is told "noted", "unlisted", "aside", for tests.
  Result<std::optional<LostPack>> set_aside(
      const PackId& id, const PackLook& look, WallTime now,
      const std::function<void(std::string_view step)>& on_step = {});
  // Of a pack that look_at_pack() found sound: makes right what the index and the block hashes say
  // of it, and takes it back if it was noted as lost. How many rows and files it changed.
  Result<std::uint64_t> mend(const PackId& id, const PackLook& look);
  // Notes on packs that are set aside, by pack; some of their chunks may be back.
  std::vector<LostPack> lost_packs() const;
  // Those of `ids` that went with a pack that was set aside, and are not back.
  Result<std::vector<ChunkId>> lost(const std::vector<ChunkId>& ids) const;
  // Nothing is missed of it any more.
  Status drop_lost(const PackId& id);
  // Removes the bytes of packs that were set aside in which one of `ids` (ascending) was, and takes
  // these out of the notes. How many files went.
  Result<std::uint64_t> erase_aside(std::span<const ChunkId> ids);

  // Takes out what nothing needs. One at a time; chunks may be taken in and read meanwhile. After
  // an error what was done is done, and another sweep goes on.
  Result<Swept> sweep(const SweepOptions& options);

 private:
  ChunkStore(PackFiles files, os::FileLock lock, std::unique_ptr<Kv> index,
             std::vector<LostPack> lost);

  Status index_pack(const PackId& id, const format::PackIndex& index);
  struct Place;
  Result<Place> place_of(const ChunkId& id) const;
  Result<std::shared_ptr<const OpenPack>> open_pack(const PackId& id) const;
  Result<Buffer> read_at(const Place& place, const format::ChunkRef& ref) const;
  void forget_pack(const PackId& id) const;  // It is gone from the disk.
  Result<std::vector<ChunkId>> rows_of(const PackId& id) const;
  void note_lost(LostPack note);
  class Sweep;

  PackFiles files_;
  os::FileLock lock_;
  std::unique_ptr<Kv> index_;
  // Shared by those who take in packs: a pack may be there whose rows are not yet.
  std::shared_mutex intake_;
  struct Frames;
  std::unique_ptr<Frames> frames_;  // Decoded frames, under a lock of its own.
  mutable std::mutex lost_mutex_;
  std::map<PackId, LostPack> lost_packs_;
  std::set<ChunkId> lost_chunks_;  // Of all notes; some may be back.
};

}  // namespace lamina
