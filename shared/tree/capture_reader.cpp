#include "shared/tree/capture_reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "shared/chunk/chunker.hpp"
#include "shared/hash/xxh3.hpp"
#include "shared/os/errno.hpp"

namespace lamina {
namespace {

constexpr int kReadsMax = 3;
constexpr std::size_t kPiece = 256 * 1024;
// Enough chunks for all lanes of SHA-256 to be in use, and enough entries for handing on to cost
// nothing; a few batches are in memory at a time.
constexpr std::size_t kBatchBytes = 4 << 20;
constexpr std::size_t kBatchSteps = 512;
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

void keep_extents(format::Entry& entry, const std::vector<format::Extent>& runs) {
  for (const format::Extent& run : runs) {
    if (run.offset >= entry.size) break;
    entry.extents.push_back({run.offset, std::min(run.length, entry.size - run.offset)});
  }
}

}  // namespace

CaptureReader::CaptureReader(const os::Root& root, const CaptureOptions& options, Emit emit)
    : options_(options),
      emit_(std::move(emit)),
      known_(options.scan_state),
      walker_(
          root, options.include, [this](Note found) { note(std::move(found)); },
          [this](const std::string& path, const FileFacts& facts) {
            const ScannedFile* known = unchanged(path, facts);
            return known == nullptr ? nullptr : &known->entry.attributes;
          }),
      signatures_(options.signatures) {}

Status CaptureReader::run() {
  if (!options_.new_signatures.empty()) {
    auto created = PageSignatureWriter::create(options_.new_signatures);
    if (!created) return fail(std::move(created.error()));
    signed_.emplace(std::move(*created));
  }
  for (;;) {
    auto found = walker_.next();
    if (!found) return fail(std::move(found.error()));
    if (!*found) break;
    CaptureBatch::Step step{.found = std::move(*found)};
    const format::Entry& entry = step.found->entry;
    if (entry.kind == format::EntryKind::file) {
      const Taken taken = take_file(step);
      if (taken == Taken::given_up) return Done{};
      if (!signing_) return std::move(signing_);
      if (taken == Taken::no) {
        walker_.leave_out(*step.found);
        continue;
      }
    }
    // A single entry beyond a limit of the format does not spoil the whole.
    if (auto good = format::check_entry(entry); !good) {
      note({Note::Kind::skipped, entry.path, good.error().text()});
      walker_.leave_out(*step.found);
      drop_chunks();
      continue;
    }
    ++entries_seen_;
    if (!add(std::move(step))) return Done{};
  }
  flush();
  return signed_ ? signed_->finish() : Status(Done{});
}

bool CaptureReader::add(CaptureBatch::Step step) {
  step.after = batch_.chunks.size();
  // What was left out is noted in every scan.
  step.is_racy =
      step.found->is_incomplete || step.found->facts.ctime_ns > options_.started.ns - kRacyNs;
  batch_.steps.push_back(std::move(step));
  return (batch_.bytes.size() < kBatchBytes && batch_.steps.size() < kBatchSteps) || flush();
}

bool CaptureReader::flush() {
  batch_.entries_seen = entries_seen_;
  batch_.bytes_seen = bytes_seen_;
  CaptureBatch full = std::move(batch_);
  batch_ = {};
  batch_.bytes.reserve(std::min<std::size_t>(full.bytes.size(), kBatchBytes) + 2 * kPiece);
  // The file that is being read goes on there.
  batch_.bytes.assign(full.bytes.begin() + static_cast<std::ptrdiff_t>(uncut_), full.bytes.end());
  full.bytes.resize(uncut_);
  uncut_ = 0;
  return emit_(std::move(full));
}

// What the last scan saw of a file that has not changed since; null: it may have.
const ScannedFile* CaptureReader::unchanged(const std::string& path, const FileFacts& facts) {
  const ScannedFile* known = known_.find(path);
  return known == nullptr || known->racy || known->facts != facts ? nullptr : known;
}

bool CaptureReader::is_due(const std::string& path) const {
  const auto& slice = options_.reread;
  return slice.of > 0 && xxh3(as_view(path)) % slice.of == slice.number % slice.of;
}

bool CaptureReader::reuse(Found& found) {
  const ScannedFile* known = unchanged(found.entry.path, found.facts);
  if (known == nullptr) return false;
  for (const format::ChunkRef& chunk : known->entry.chunks)
    if (!options_.is_known(chunk.id)) return false;
  found.entry.sparse = known->entry.sparse;
  found.entry.extents = known->entry.extents;
  found.entry.chunks = known->entry.chunks;
  found.entry.size = known->entry.size;
  return true;
}

// Fills in the content of a file; `no` when it cannot be read.
CaptureReader::Taken CaptureReader::take_file(CaptureBatch::Step& step) {
  Found& found = *step.found;
  if (options_.make_empty(found.entry.path)) {
    found.entry.size = 0;
    found.is_incomplete = true;  // What a scan state has of it is not the file.
    return Taken::yes;
  }
  bytes_seen_ += found.entry.size;
  if (reuse(found)) {
    if (!is_due(found.entry.path)) {
      if (is_signed(found.entry.size))
        keep_signatures(found, signatures_.all(found.entry.path, found.facts.ctime_ns));
      ++counts_.files_reused;
      return Taken::yes;
    }
    step.before = std::move(found.entry.chunks);
  }
  for (int tries = 1;; ++tries) {
    auto file = walker_.open_current();
    if (!file) {
      // Gone since it was seen: not part of this capture. Anything else is worth a note.
      if (file.error().kind() != ErrorKind::not_found)
        note({Note::Kind::unreadable, found.entry.path, file.error().text()});
      return Taken::no;
    }
    struct stat opened {};
    if (fstat(file->get(), &opened) != 0 || !S_ISREG(opened.st_mode)) {
      note({Note::Kind::changed, found.entry.path, "it is no regular file any more"});
      return Taken::no;
    }
    // Mode, owner and attributes belong to the content they were set for: when the file changed
    // since, or another one took its name, they are read anew.
    if (facts_of(opened) != found.facts && !walker_.look_again(found)) {
      note({Note::Kind::changed, found.entry.path, "it was removed while it was read"});
      return Taken::no;
    }
    const Taken taken = read_content(found, file->get(), opened);
    if (taken != Taken::yes) return taken;
    struct stat after {};
    const bool steady = fstat(file->get(), &after) == 0 && facts_of(opened) == facts_of(after) &&
                        facts_of(opened) == found.facts && found.entry.size == found.facts.size;
    if (steady) break;
    step.before.reset();  // It changed, as files do.
    if (tries == kReadsMax) {
      note({Note::Kind::changed, found.entry.path,
            "it changed during each of " + std::to_string(kReadsMax) +
                " readings; the last one is kept"});
      // Never another file's mode on this content: that could show it to everybody.
      walker_.describe_file(after, found.entry);
      found.facts = {};  // Never equal to real facts: read again next time.
      break;
    }
    drop_chunks();
  }
  if (pages_) keep_signatures(found, pages_->signatures());
  pages_.reset();
  step.is_read = true;
  ++counts_.files_read;
  if (step.before) ++counts_.files_reread;
  counts_.bytes_read += found.entry.stored_bytes();
  return Taken::yes;
}

bool CaptureReader::is_signed(std::uint64_t size) const {
  return signed_ && size >= kSignedFileMin && size <= kSignedFileMax;
}

void CaptureReader::keep_signatures(const Found& found, const std::vector<PageSignature>& pages) {
  if (!pages.empty()) signing_ = signed_->add(found.entry.path, found.facts.ctime_ns, pages);
}

// The chunks of the file since the last entry count for nothing.
void CaptureReader::drop_chunks() {
  batch_.bytes.resize(uncut_);
  batch_.steps.push_back({.after = batch_.chunks.size(), .found = std::nullopt});
}

// Reads a file's stored bytes into chunks. `no`, with a note, when the disk refuses.
CaptureReader::Taken CaptureReader::read_content(Found& found, int fd, const struct stat& facts) {
  format::Entry& entry = found.entry;
  entry.chunks.clear();
  entry.extents.clear();
  entry.sparse = false;
  entry.size = static_cast<std::uint64_t>(facts.st_size);
  std::vector<format::Extent> runs{{0, entry.size}};
  const auto refused = [&](Error error) {
    note({Note::Kind::unreadable, entry.path, error.text()});
    drop_chunks();
    return Taken::no;
  };
  if (found.may_be_sparse) {
    auto extents = extents_of(fd, entry.size);
    if (!extents) return refused(std::move(extents.error()));
    entry.sparse = *extents != runs;
    runs = std::move(*extents);
  }
  uncut_ = batch_.bytes.size();
  stored_ = 0;
  pages_.reset();
  if (is_signed(entry.size)) pages_.emplace(known_.find(entry.path), signatures_);
  for (const format::Extent& run : runs) {
    std::uint64_t done = 0;
    while (done < run.length) {
      const auto want =
          static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, run.length - done));
      const std::size_t before = batch_.bytes.size();
      batch_.bytes.resize(before + want);
      const ssize_t n =
          pread(fd, batch_.bytes.data() + before, want, static_cast<off_t>(run.offset + done));
      const int why = errno;
      batch_.bytes.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
      errno = why;
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return refused(os::last_error("reading"));
      if (n == 0) break;  // Shorter than it was: taken as it is now, and found to have changed.
      if (pages_)
        pages_->take(run.offset + done, stored_ + (before - uncut_),
                     ByteView(batch_.bytes).subspan(before), entry.size);
      done += static_cast<std::uint64_t>(n);
      if (!cut(entry, false)) return Taken::given_up;
    }
    if (done < run.length) {
      entry.size = run.offset + done;  // It ended before where its stat said.
      break;
    }
  }
  if (!cut(entry, true)) return Taken::given_up;
  if (entry.sparse) keep_extents(entry, runs);
  return Taken::yes;
}

// Cuts what is read as far as the borders of chunks are certain. False: nobody wants more.
bool CaptureReader::cut(format::Entry& entry, bool at_end) {
  constexpr ChunkLimits limits;
  ByteView rest = ByteView(batch_.bytes).subspan(uncut_);
  while (at_end ? !rest.empty() : rest.size() >= limits.max) {
    const std::size_t size = first_cut(rest, limits);
    if (entry.chunks.empty())
      content_ = classify_content(entry.path, rest.first(std::min<std::size_t>(16, size)));
    const auto length = static_cast<std::uint32_t>(size);
    entry.chunks.push_back({ChunkId(), length});
    batch_.chunks.push_back(
        {.offset = uncut_, .length = length, .content = content_, .id = ChunkId()});
    if (pages_) batch_.chunks.back().same = pages_->within(stored_, length);
    stored_ += size;
    uncut_ += size;
    rest = rest.subspan(size);
  }
  return batch_.bytes.size() < kBatchBytes || flush();
}

}  // namespace lamina
