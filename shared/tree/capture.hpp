// capture_tree: a directory tree becomes a manifest and chunks.
//
// A file that changes while it is read is read again, up to three times; then its last reading
// stands and the file is noted as changed. A file that cannot be read is noted and left out. With a
// scan state, a file whose facts are those of the last scan is not read at all, unless one of its
// chunks is not known any more or its turn of being read all the same has come. Reading, hashing
// and handing on go side by side: `include`, `make_empty` and `is_known` are called by a thread of its own, the
// sinks and `progress` by the caller's. Memory as in README.
#pragma once

#include <span>

#include "shared/format/manifest.hpp"
#include "shared/format/patch.hpp"
#include "shared/store/content_class.hpp"
#include "shared/tree/walker.hpp"

namespace lamina {

struct CaptureOptions {
  Walker::Include include = [](const std::string&, bool) { return true; };
  // Whether a file goes without its content; called as `include` is.
  std::function<bool(const std::string& path)> make_empty = [](const std::string&) {
    return false;
  };
  // The scan state of the last scan that counts; "" = none.
  std::string scan_state;
  // Where this scan's state is written; "" = nowhere. May be the same path.
  std::string new_scan_state;
  // The page signatures of the last scan that counts, and where this scan's are written; "" = none,
  // nowhere. Not the same path.
  std::string signatures;
  std::string new_signatures;
  // Whether a chunk that is not read again is still where it is needed. Asked for reused files
  // only.
  std::function<bool(const ChunkId&)> is_known = [](const ChunkId&) { return true; };
  // The files that seem unchanged are read all the same a slice a scan, chosen by their paths: a
  // disk that gives other bytes, or a program that puts times back, is found out within `of` scans.
  struct Slice {
    std::uint64_t number = 0;  // Any; one more each scan.
    std::uint64_t of = 0;      // 0: none is read.
  };
  Slice reread = {};
  // The time at which the scan starts, on the clock of the file system's times.
  WallTime started;
  // Called now and then with what has been done so far.
  std::function<void(std::uint64_t entries, std::uint64_t bytes)> progress = [](std::uint64_t,
                                                                                std::uint64_t) {};
};

struct CaptureResult {
  format::ManifestRef manifest;
  std::uint64_t files_read = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t files_reused = 0;
  std::uint64_t files_reread = 0;  // Of those read: because it was their turn.
  std::vector<Note> notes;         // At most kNotesMax.
  std::uint64_t notes_total = 0;
};
constexpr std::size_t kNotesMax = 10'000;

// A chunk of a file's content.
struct ContentChunk {
  format::ChunkRef ref;
  ByteView plain;
  ContentClass content = ContentClass::data;
  // With the signatures of the last scan: what of it is where that scan saw it, in its chunks.
  std::span<const format::Same> same;
};
// Receives the chunks of all files; the same chunk may come more than once. The views are valid
// during the call.
using ContentSink = std::function<Status(const ContentChunk&)>;

// Errors of the sinks stop the capture and are passed on; the scan state is then as it was.
Result<CaptureResult> capture_tree(const os::Root& root, const CaptureOptions& options,
                                   const ContentSink& content, const format::ChunkSink& manifest);

}  // namespace lamina
