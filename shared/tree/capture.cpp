#include "shared/tree/capture.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "shared/chunk/chunker.hpp"
#include "shared/hash/sha256.hpp"
#include "shared/os/errno.hpp"
#include "shared/tree/scan_state.hpp"

namespace lamina {
namespace {

constexpr int kReadsMax = 3;
constexpr std::size_t kPiece = 256 * 1024;
constexpr std::uint64_t kProgressEvery = 16 << 20;  // Bytes.
// File times advance with the timer tick, 4 to 10 ms, and 2 s on some network file systems: a
// change made this soon after another may leave the same ctime.
constexpr std::int64_t kRacyNs = 2'000'000'000;

// The runs of stored bytes of a file. A file system that knows no holes gives one run.
Result<std::vector<format::Extent>> extents_of(int fd, std::uint64_t size) {
  std::vector<format::Extent> extents;
  off_t at = 0;
  while (static_cast<std::uint64_t>(at) < size) {
    const off_t data = lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // Only a hole is left.
    if (data < 0) return fail(os::last_error("looking for holes"));
    const off_t hole = lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return fail(os::last_error("looking for holes"));
    const auto end = std::min<std::uint64_t>(static_cast<std::uint64_t>(hole), size);
    const auto start = static_cast<std::uint64_t>(data);
    if (start >= end) break;
    // A hole that is filled meanwhile leaves runs that touch.
    if (!extents.empty() && extents.back().offset + extents.back().length == start)
      extents.back().length += end - start;
    else
      extents.push_back({start, end - start});
    if (extents.size() > format::kExtentsMax)
      return std::vector<format::Extent>{{0, size}};  // Too torn to be worth it: stored whole.
    at = hole;
  }
  return extents;
}

class Capture {
 public:
  Capture(const os::Root& root, const CaptureOptions& options, const ContentSink& content,
          const format::ChunkSink& manifest)
      : options_(options),
        content_(content),
        walker_(root, options.include, [this](Note note) { add_note(std::move(note)); }),
        manifest_(manifest),
        known_(options.scan_state) {}

  Result<CaptureResult> run() {
    std::optional<ScanStateWriter> state;
    if (!options_.new_scan_state.empty()) {
      auto created = ScanStateWriter::create(options_.new_scan_state);
      if (!created) return fail(std::move(created.error()));
      state.emplace(std::move(*created));
    }
    for (std::uint64_t entries = 0;; ++entries) {
      auto found = walker_.next();
      if (!found) return fail(std::move(found.error()));
      if (!*found) break;
      if ((*found)->entry.kind == format::EntryKind::file) {
        auto taken = take_file(**found);
        if (!taken) return fail(std::move(taken.error()));
        if (!*taken) {
          walker_.leave_out(**found);
          continue;
        }
        if (state) {
          const bool racy = (*found)->facts.ctime_ns > options_.started.ns - kRacyNs;
          if (auto done = state->add({(*found)->facts, racy, (*found)->entry}); !done)
            return fail(std::move(done.error()));
        }
      }
      if (auto done = manifest_.add((*found)->entry); !done) {
        // A single entry beyond a limit of the format does not spoil the whole.
        if (done.error().kind() != ErrorKind::invalid) return fail(std::move(done.error()));
        add_note({Note::Kind::skipped, (*found)->entry.path, done.error().text()});
        walker_.leave_out(**found);
      }
      entries_seen_ = entries;
      if (entries % 1024 == 0) options_.progress(entries, bytes_seen_);
    }
    auto manifest = manifest_.finish();
    if (!manifest) return fail(std::move(manifest.error()));
    if (state)
      if (auto done = state->finish(); !done) return fail(std::move(done.error()));
    result_.manifest = std::move(*manifest);
    return std::move(result_);
  }

 private:
  void add_note(Note note) {
    ++result_.notes_total;
    if (result_.notes.size() < kNotesMax) result_.notes.push_back(std::move(note));
  }

  // Fills in the content of a file; false when it cannot be read.
  Result<bool> take_file(Found& found) {
    bytes_seen_ += found.entry.size;
    if (reuse(found)) {
      ++result_.files_reused;
      return true;
    }
    for (int tries = 1;; ++tries) {
      auto file = walker_.open_current();
      if (!file) {
        // Gone since it was seen: not part of this capture. Anything else is worth a note.
        if (file.error().kind() != ErrorKind::not_found)
          add_note({Note::Kind::unreadable, found.entry.path, file.error().text()});
        return false;
      }
      struct stat before {};
      if (fstat(file->get(), &before) != 0 || !S_ISREG(before.st_mode)) {
        add_note({Note::Kind::changed, found.entry.path, "it is no regular file any more"});
        return false;
      }
      // Mode, owner and attributes belong to the content they were set for: when the file changed
      // since, or another one took its name, they are read anew.
      if (facts_of(before) != found.facts && !walker_.look_again(found)) {
        add_note({Note::Kind::changed, found.entry.path, "it was removed while it was read"});
        return false;
      }
      auto readable = read_content(found, file->get(), before);
      if (!readable) return fail(std::move(readable.error()));
      if (!*readable) return false;
      struct stat after {};
      const bool steady = fstat(file->get(), &after) == 0 && facts_of(before) == facts_of(after) &&
                          facts_of(before) == found.facts && found.entry.size == found.facts.size;
      if (steady) break;
      if (tries == kReadsMax) {
        add_note({Note::Kind::changed, found.entry.path,
                  "it changed during each of " + std::to_string(kReadsMax) +
                      " readings; the last one is kept"});
        // Never another file's mode on this content: that could show it to everybody.
        walker_.describe_file(after, found.entry);
        found.facts = {};  // Never equal to real facts: read again next time.
        break;
      }
    }
    ++result_.files_read;
    result_.bytes_read += found.entry.stored_bytes();
    return true;
  }

  bool reuse(Found& found) {
    const ScannedFile* known = known_.find(found.entry.path);
    if (known == nullptr || known->racy || known->facts != found.facts) return false;
    for (const format::ChunkRef& chunk : known->entry.chunks)
      if (!options_.is_known(chunk.id)) return false;
    found.entry.sparse = known->entry.sparse;
    found.entry.extents = known->entry.extents;
    found.entry.chunks = known->entry.chunks;
    found.entry.size = known->entry.size;
    return true;
  }

  // Reads a file's stored bytes into chunks. False, with a note, when the disk refuses; an error
  // only from the sink.
  Result<bool> read_content(Found& found, int fd, const struct stat& facts) {
    format::Entry& entry = found.entry;
    entry.chunks.clear();
    entry.extents.clear();
    entry.sparse = false;
    entry.size = static_cast<std::uint64_t>(facts.st_size);
    std::vector<format::Extent> runs{{0, entry.size}};
    if (found.may_be_sparse) {
      auto extents = extents_of(fd, entry.size);
      if (!extents) {
        add_note({Note::Kind::unreadable, entry.path, extents.error().text()});
        return false;
      }
      entry.sparse = *extents != runs;
      runs = std::move(*extents);
    }
    Chunker chunker;
    bool first = true;
    ContentClass content = ContentClass::data;
    const auto emit = [&](ByteView chunk) -> Status {
      if (first)
        content =
            classify_content(entry.path, chunk.first(std::min<std::size_t>(16, chunk.size())));
      first = false;
      const format::ChunkRef ref{digest<ChunkId>(chunk), static_cast<std::uint32_t>(chunk.size())};
      entry.chunks.push_back(ref);
      return content_(ref, chunk, content);
    };
    for (const format::Extent& run : runs) {
      std::uint64_t done = 0;
      while (done < run.length) {
        const auto want =
            static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, run.length - done));
        const ssize_t n = pread(fd, piece_.data(), want, static_cast<off_t>(run.offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
          add_note({Note::Kind::unreadable, entry.path, os::last_error("reading").text()});
          return false;
        }
        if (n == 0) break;  // Shorter than it was: taken as it is now, and found to have changed.
        done += static_cast<std::uint64_t>(n);
        if (auto sent = chunker.update(ByteView(piece_).first(static_cast<std::size_t>(n)), emit);
            !sent)
          return fail(std::move(sent.error()));
        progress_ += static_cast<std::uint64_t>(n);
        if (progress_ >= kProgressEvery) {
          progress_ = 0;
          options_.progress(entries_seen_, bytes_seen_);
        }
      }
      if (done < run.length) {
        entry.size = run.offset + done;  // It ended before where its stat said.
        break;
      }
    }
    if (auto sent = chunker.finish(emit); !sent) return fail(std::move(sent.error()));
    if (entry.sparse) keep_extents(entry, runs);
    return true;
  }

  static void keep_extents(format::Entry& entry, const std::vector<format::Extent>& runs) {
    for (const format::Extent& run : runs) {
      if (run.offset >= entry.size) break;
      entry.extents.push_back({run.offset, std::min(run.length, entry.size - run.offset)});
    }
  }

  const CaptureOptions& options_;
  const ContentSink& content_;
  Walker walker_;
  format::ManifestWriter manifest_;
  ScanStateReader known_;
  CaptureResult result_;
  Buffer piece_ = Buffer(kPiece);
  std::uint64_t entries_seen_ = 0;
  std::uint64_t bytes_seen_ = 0;
  std::uint64_t progress_ = 0;
};

}  // namespace

Result<CaptureResult> capture_tree(const os::Root& root, const CaptureOptions& options,
                                   const ContentSink& content, const format::ChunkSink& manifest) {
  return Capture(root, options, content, manifest).run();
}

}  // namespace lamina
