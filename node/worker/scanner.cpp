#include "node/worker/scanner.hpp"

#include <algorithm>
#include <unordered_set>

#include "node/worker/volume.hpp"
#include "shared/format/path.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/image/rules.hpp"
#include "shared/os/mounts.hpp"
#include "shared/store/patch_writer.hpp"
#include "shared/store/row_file.hpp"
#include "shared/tree/capture.hpp"
#include "shared/tree/scan_state.hpp"

namespace lamina::node {
namespace {

constexpr std::string_view kIdsMagic = "LMid0001";
constexpr std::string_view kScanMagic = "LMss0001";
// Uploads wait for a thin line, not for the processor, but the device's user is at work: level 6
// is a good deal cheaper than 9 for few more bytes.
constexpr int kUploadLevel = 6;
// Of the files that seem unchanged, one in so many is read in each scan: at one an hour every file
// within three weeks, for 2 MB more to read a GB.
constexpr std::uint64_t kRereadSlices = 512;
constexpr const char* kStateFiles[] = {"/manifest-ids", "/scan", "/pages"};

// Chunks that the origin has. Eight bytes of each id: a collision makes the origin say at commit
// what is missing, and the next scan is a full one.
class KnownChunks {
 public:
  void add(const ChunkId& id) { prefixes_.push_back(id.prefix()); }
  void seal() {
    std::ranges::sort(prefixes_);
    prefixes_.erase(std::unique(prefixes_.begin(), prefixes_.end()), prefixes_.end());
  }
  bool has(const ChunkId& id) const { return std::ranges::binary_search(prefixes_, id.prefix()); }

 private:
  std::vector<std::uint64_t> prefixes_;
};

Status add_entries(format::EntryStream& entries, KnownChunks& known) {
  for (;;) {
    auto entry = entries.next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) return Done{};
    // Merged on this device: no layer has these bytes.
    if (image::record_rule((*entry)->path)) continue;
    for (const format::ChunkRef& chunk : (*entry)->chunks) known.add(chunk.id);
  }
}

// The chunk ids in the rows of a file that may be missing or damaged: then they are not known.
template <class Take>
void for_each_row(const std::string& path, std::string_view magic, const Take& take) {
  auto rows = RowFileReader::open(path, magic);
  if (!rows) return;
  for (;;) {
    auto row = rows->next();
    if (!row || !*row) return;
    take(**row);
  }
}

void add_scanned(const std::string& path, KnownChunks& known) {
  for_each_row(path, kScanMagic, [&](ByteView row) {
    Reader in(row);
    in.raw(5 * 8 + 1);  // The facts of the file and the racy mark.
    if (const auto entry = format::decode_entry(in, ""))
      for (const format::ChunkRef& chunk : entry->chunks) known.add(chunk.id);
  });
}

void add_ids(const std::string& path, KnownChunks& known) {
  for_each_row(path, kIdsMagic, [&](ByteView row) {
    Reader in(row);
    while (in.remaining() > 0 && !in.failed()) known.add(in.id<ChunkId>());
  });
}

// The device's manifest is like its layers' but for what is its own, and cut at the same places.
void add_packs(const std::vector<std::string>& paths, KnownChunks& known) {
  for (const std::string& path : paths) {
    const auto pack = OpenPack::open(path, path);
    if (!pack) continue;
    for (const format::Frame& frame : pack->index().frames)
      for (const format::ChunkRef& chunk : frame.chunks) known.add(chunk.id);
  }
}

// The chunks of files that the layers and the last scan brought to the origin; `scan` "": no scan
// did.
Result<KnownChunks> content_at_origin(const Transaction& transaction, const std::string& scan) {
  auto applied = transaction.applied_entries();
  if (!applied) return fail(std::move(applied.error()));
  KnownChunks known;
  if (auto done = add_entries(**applied, known); !done) return fail(std::move(done.error()));
  if (!scan.empty()) add_scanned(scan, known);
  known.seal();
  return known;
}

// The volume, and of the other protected ones those that are mounted. An apply never gets to see
// them: no layer is for what lies there. `lacking`: those that ought to be mounted and are not.
Result<os::Root> open_protected(const Transaction& transaction, std::vector<Note>& lacking) {
  constexpr std::size_t kFstabMax = 1 << 20;
  auto tree = os::Root::open(transaction.volume().path());
  const auto& places = transaction.protection().volumes();
  if (!tree || places.empty()) return tree;
  auto fstab = read_small_file(*tree, "etc/fstab", kFstabMax);
  if (!fstab) return fail(std::move(fstab.error()));
  const auto lines = os::parse_fstab(*fstab ? **fstab : std::string());
  for (const std::string& place : places) {
    auto entered = tree->enter(place);
    if (!entered && entered.error().kind() != ErrorKind::refused)
      return fail(std::move(entered.error()).in("protected volume"));
    if (!entered) lacking.push_back({Note::Kind::skipped, place, entered.error().text()});
    if (!entered || *entered) continue;
    const bool is_due = std::ranges::any_of(
        lines, [&](const os::FstabLine& line) { return line.place == '/' + place; });
    if (is_due)
      lacking.push_back({Note::Kind::skipped, place,
                         "the protected volume is not mounted: this snapshot does not hold it"});
  }
  return tree;
}

std::string text_of(const std::vector<Note>& notes) {
  std::string text;
  for (const Note& note : notes) {
    text += name_of(note.kind);
    text += '\t';
    text += printable(note.path, 4096);
    text += '\t';
    text += note.reason;
    text += '\n';
  }
  return text;
}

}  // namespace

// The packs on their way to an outlet: one at a time, while the next is made.
class Scanner::Outgoing {
 public:
  Outgoing(PackFiles files, const Outlet& outlet) : files_(std::move(files)), outlet_(outlet) {}

  const PackFiles& files() const { return files_; }

  Status offer(const format::PackSummary& summary, bool is_metadata) {
    auto done = settle();
    if (done) done = outlet_.offer(summary, is_metadata);
    if (done) {
      offered_ = summary.id;
      return Done{};
    }
    auto removed = files_.remove(summary.id);
    return removed ? done : fail(std::move(done.error()).in(removed.error().text()));
  }

  Status settle() {
    if (!offered_) return Done{};
    auto done = outlet_.taken();
    auto removed = files_.remove(*std::exchange(offered_, std::nullopt));
    return done ? removed : done;
  }

 private:
  PackFiles files_;
  const Outlet& outlet_;
  std::optional<PackId> offered_;
};

Result<ScanResult> Scanner::scan(const ScanRequest& request, const Outlet& outlet) {
  auto files = PackFiles::open(spool_, PackFiles::Access::write);
  if (!files) return fail(std::move(files.error()));
  Outgoing outgoing(std::move(*files), outlet);
  auto result = scan_into(request, outgoing);
  auto settled = outgoing.settle();
  if (result && !settled) return fail(std::move(settled.error()));
  return result;
}

Result<ScanResult> Scanner::scan_into(const ScanRequest& request, Outgoing& outgoing) {
  const std::string last_scan = request.full ? std::string() : work_ + "/scan";
  KnownChunks known_metadata;
  if (!request.full) {
    add_ids(work_ + "/manifest-ids", known_metadata);
    add_packs(request.manifest_packs, known_metadata);
  }
  known_metadata.seal();
  // Of files, gone through when the first one is read that changed: mostly there is none.
  std::optional<KnownChunks> known_content;
  const auto knows = [&](const ChunkId& id) -> Result<bool> {
    if (!known_content) {
      auto known = content_at_origin(transaction_, last_scan);
      if (!known) return fail(std::move(known.error()));
      known_content = std::move(*known);
    }
    return known_metadata.has(id) || known_content->has(id);
  };

  ScanResult result;
  const auto announce = [&](bool metadata) {
    return [&, metadata](const format::PackSummary& summary) -> Status {
      ++result.packs;
      return outgoing.offer(summary, metadata);
    };
  };
  PackWriter content(outgoing.files(), {.level = kUploadLevel}, announce(false));
  PatchWriter patches(outgoing.files(), kUploadLevel, announce(false));
  PackWriter metadata(outgoing.files(), {.level = kUploadLevel}, announce(true));
  auto ids = RowFileWriter::create(work_ + "/manifest-ids.new", kIdsMagic);
  if (!ids) return fail(std::move(ids.error()));
  const auto add_metadata = [&](const ChunkId& id, ByteView plain) -> Status {
    if (auto done = ids->add(id.bytes()); !done) return done;
    if (known_metadata.has(id)) return Done{};
    return metadata.add({id, static_cast<std::uint32_t>(plain.size())}, plain,
                        ContentClass::metadata);
  };

  const CaptureOptions options{.include =
                                   [this](const std::string& path, bool is_directory) {
                                     return transaction_.protection().in_snapshot(path,
                                                                                  is_directory);
                                   },
                               .scan_state = last_scan,
                               .new_scan_state = work_ + "/scan.new",
                               .signatures = request.full ? std::string() : work_ + "/pages",
                               .new_signatures = work_ + "/pages.new",
                               .reread = {.number = request.sequence, .of = kRereadSlices},
                               .started = request.started};
  std::vector<Note> lacking;
  auto tree = open_protected(transaction_, lacking);
  if (!tree) return fail(std::move(tree.error()));
  auto captured = capture_tree(
      *tree, options,
      [&](const ContentChunk& chunk) -> Status {
        auto known = knows(chunk.ref.id);
        if (!known) return fail(std::move(known.error()));
        if (*known || patches.was_given(chunk.ref.id) || content.was_given(chunk.ref.id))
          return Done{};
        if (PatchWriter::pays(chunk.ref, chunk.same)) {
          auto taken = patches.add(chunk.ref, chunk.plain, chunk.same);
          if (!taken) return fail(std::move(taken.error()));
          if (*taken) return Done{};
        }
        return content.add(chunk.ref, chunk.plain, chunk.content);
      },
      add_metadata);
  if (!captured) return fail(std::move(captured.error()));
  captured->notes_total += lacking.size();
  captured->notes.insert(captured->notes.begin(), lacking.begin(), lacking.end());

  format::SnapshotRecord record{.device = request.device,
                                .sequence = request.sequence,
                                .parent = request.parent,
                                .created = request.started,
                                .reason = request.reason,
                                .manifest = captured->manifest,
                                .stack = transaction_.applied().stack,
                                .reported_paths = captured->notes_total,
                                .unprotected = request.unprotected,
                                .volumes = tree->volumes()};
  std::ranges::sort(record.volumes, format::PathLess());
  const std::string report = text_of(captured->notes);
  Chunker chunker;
  const auto emit = [&](ByteView chunk) -> Status {
    const auto id = digest<ChunkId>(chunk);
    record.report.push_back({id, static_cast<std::uint32_t>(chunk.size())});
    return add_metadata(id, chunk);
  };
  auto done = chunker.update(as_view(report), emit);
  if (done) done = chunker.finish(emit);
  if (done) done = content.finish();
  if (done) done = patches.finish();
  if (done) done = metadata.finish();
  if (done) done = ids->finish();
  if (!done) return fail(std::move(done.error()));
  result.record = format::encode(record);
  result.snapshot = format::snapshot_id(result.record);
  result.files_read = captured->files_read;
  result.files_reused = captured->files_reused;
  result.bytes_read = captured->bytes_read;
  result.notes = std::move(captured->notes);
  result.notes_total = captured->notes_total;
  return result;
}

Status Scanner::count() {
  if (auto done = release(); !done) return done;
  return take_over(".new");
}

Status Scanner::take_over(const char* suffix) {
  for (const char* name : kStateFiles)
    if (auto done = os::rename_file(work_ + name + suffix, work_ + name); !done) return done;
  return os::sync_directory(work_);
}

// Nothing is held from here on: the files without their name count for nothing.
Status Scanner::release() {
  auto done = os::remove_file(work_ + "/held");
  return !done && done.error().kind() == ErrorKind::not_found ? Status(Done{}) : done;
}

Status Scanner::hold(const SnapshotId& snapshot) {
  if (auto done = release(); !done) return done;
  for (const char* name : kStateFiles)
    if (auto done = os::rename_file(work_ + name + ".new", work_ + name + ".held"); !done)
      return done;
  return os::write_file(work_ + "/held", as_view(snapshot.hex()), 0600);
}

Status Scanner::settle(const SnapshotId& snapshot) {
  const auto held = os::read_text(work_ + "/held", 100);
  if (!held && held.error().kind() == ErrorKind::not_found) return Done{};
  if (!held) return fail(held.error());
  if (*held != snapshot.hex()) return Done{};
  // A kill in between leaves a manifest's ids with an older scan, or a scan with older signatures:
  // the former were all at the origin, and the latter are of other versions of the files.
  if (auto done = take_over(".held"); !done && done.error().kind() != ErrorKind::not_found)
    return done;
  return release();
}

Status Scanner::abandon() {
  for (const char* name : kStateFiles) {
    auto done = os::remove_file(work_ + name + ".new");
    if (!done && done.error().kind() != ErrorKind::not_found) return done;
  }
  return Done{};
}

}  // namespace lamina::node
