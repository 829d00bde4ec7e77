// CaptureReader: the first stage of a capture. It walks a tree, reads what has changed and cuts it
// into chunks; what it found goes on in batches, in path order.
//
// Its steps are those of capture.hpp. One thread, which is mostly not the one that takes the
// batches.
#pragma once

#include "shared/tree/capture.hpp"
#include "shared/tree/changed_pages.hpp"
#include "shared/tree/scan_state.hpp"

namespace lamina {

struct CaptureBatch {
  struct Chunk {
    std::size_t offset = 0;  // In `bytes`.
    std::uint32_t length = 0;
    ContentClass content = ContentClass::data;
    ChunkId id;  // Not filled in by the reader.
    std::vector<format::Same> same = {};
  };
  // What follows the first `after` chunks of the batch.
  struct Step {
    std::size_t after = 0;
    // The next entry; none: the chunks of the file since the last entry count for nothing, it is
    // read anew or left out.
    std::optional<Found> found;
    // The chunks since the last entry are the file's, in order: their ids are not in `found`.
    bool is_read = false;
    // Of a file that was read although it seems unchanged: what the last scan saw.
    std::optional<std::vector<format::ChunkRef>> before = std::nullopt;
    bool is_racy = false;  // As ScannedFile has it.
  };

  ByteView bytes_of(const Chunk& chunk) const {
    return ByteView(bytes).subspan(chunk.offset, chunk.length);
  }

  Buffer bytes;
  std::vector<Chunk> chunks;
  std::vector<Step> steps;
  std::vector<Note> notes;
  std::uint64_t entries_seen = 0;  // Until now, of the whole tree.
  std::uint64_t bytes_seen = 0;
};

class CaptureReader {
 public:
  // Takes a batch; false: nobody wants more.
  using Emit = std::function<bool(CaptureBatch batch)>;

  // What the references name outlives the reader.
  CaptureReader(const os::Root& root, const CaptureOptions& options, Emit emit);

  // Goes through the whole tree. An error means that the walk cannot go on, or that signatures
  // cannot be written.
  Status run();

  // Of what was emitted; the notes are in the batches.
  const CaptureResult& counts() const { return counts_; }

 private:
  enum class Taken { yes, no, given_up };  // given_up: nobody wants more.

  void note(Note note) { batch_.notes.push_back(std::move(note)); }
  bool add(CaptureBatch::Step step);
  bool flush();
  const ScannedFile* unchanged(const std::string& path, const FileFacts& facts);
  bool is_due(const std::string& path) const;
  bool reuse(Found& found);
  Taken take_file(CaptureBatch::Step& step);
  Taken read_content(Found& found, int fd, const struct stat& facts);
  bool cut(format::Entry& entry, bool at_end);
  void drop_chunks();
  bool is_signed(std::uint64_t size) const;
  void keep_signatures(const Found& found, const std::vector<PageSignature>& pages);

  const CaptureOptions& options_;
  Emit emit_;
  ScanStateReader known_;
  Walker walker_;
  CaptureResult counts_;
  CaptureBatch batch_;
  std::size_t uncut_ = 0;  // From here on batch_.bytes is not in chunks yet.
  ContentClass content_ = ContentClass::data;
  std::uint64_t stored_ = 0;                   // Bytes of the file that is read before uncut_.
  std::optional<ChangedPages> pages_;          // Of that file, when it is signed.
  PageSignatureReader signatures_;             // Of the last scan.
  std::optional<PageSignatureWriter> signed_;  // Of this one.
  Status signing_ = Done{};
  std::uint64_t entries_seen_ = 0;
  std::uint64_t bytes_seen_ = 0;
};

}  // namespace lamina
