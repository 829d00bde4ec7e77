#include <algorithm>
#include <deque>

#include "origin/cli/remote_content.hpp"
#include "origin/cli/session.hpp"
#include "shared/format/path.hpp"
#include "shared/format/record.hpp"
#include "shared/os/user.hpp"
#include "shared/tree/materialize.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

struct RestoreRequest {
  std::string device;
  std::string snapshot;
  std::string path;
  std::string to;
  bool dry_run = false;
};

// Chunks of a manifest: one, and if those behind it are asked for as well, ever more at a time.
// And, one by one, of files whose first name lies outside the part that is restored.
class ManifestChunks {
 public:
  ManifestChunks(Session& session, const std::string& device, const std::string& spool)
      : session_(session),
        entries_(cvd_chunks(device), spool + "/manifest"),
        other_(cvd_chunks(device), spool + "/chunk") {}

  // All that hold entries, in their order.
  void order(std::vector<format::ChunkRef> refs) { order_ = std::move(refs); }

  Result<Buffer> read(const format::ChunkRef& ref) {
    if (entries_.has(ref.id)) return entries_.read(ref);
    const auto at = std::ranges::find(order_, ref);
    const bool is_other = at == order_.end();
    if (is_other && other_.has(ref.id)) return other_.read(ref);
    std::vector<format::ChunkRef> refs = {ref};
    if (!is_other) {
      ahead_ = at - order_.begin() == next_ ? std::min(ahead_ * 4, kAheadMax) : 1;
      refs.assign(at, at + std::min(ahead_, order_.end() - at));
      next_ = at - order_.begin() + static_cast<std::ptrdiff_t>(refs.size());
    }
    RemoteBatch& batch = is_other ? other_ : entries_;
    if (auto done = batch.fetch(session_, refs); !done) return fail(std::move(done.error()));
    return batch.read(ref);
  }

 private:
  static constexpr std::ptrdiff_t kAheadMax = 256;  // Of about 16 KiB.

  Session& session_;
  RemoteBatch entries_, other_;
  std::vector<format::ChunkRef> order_;
  std::ptrdiff_t next_ = -1;  // Behind what was fetched last.
  std::ptrdiff_t ahead_ = 1;
};

Result<SnapshotId> newest(Session& s, const std::string& device) {
  auto body = s.get("/v1/cvds/" + device + "/snapshots");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_snapshot_list(*body);
  if (!list) return fail(std::move(list.error()));
  if (list->snapshots.empty())
    return fail(ErrorKind::not_found, "device " + device + " has no snapshot yet");
  const wire::SnapshotInfo* last = &list->snapshots.front();
  for (const wire::SnapshotInfo& snapshot : list->snapshots)
    if (snapshot.number > last->number) last = &snapshot;
  return last->id;
}

Status check_target(const RestoreRequest& request) {
  if (request.dry_run && !os::exists(request.to)) return Done{};
  if (auto done = os::make_directories(request.to); !done) return done;
  auto names = os::list_directory(request.to);
  if (!names) return fail(std::move(names.error()));
  if (names->empty()) return Done{};
  return fail(ErrorKind::refused, printable(request.to) +
                                      " is not empty: restore into a new directory, so that "
                                      "nothing is overwritten");
}

Status report(const Session& s, const RestoreRequest& request, const SnapshotId& id,
              std::uint64_t entries, std::uint64_t bytes) {
  if (entries == 0)
    return fail(ErrorKind::not_found,
                "snapshot " + id.short_hex() + " has no '" + printable(request.path) + "'");
  if (s.json)
    *s.out << "{\"snapshot\":\"" << id.hex() << "\",\"entries\":" << entries
           << ",\"bytes\":" << bytes << (request.dry_run ? ",\"dry_run\":true}\n" : "}\n");
  else
    *s.out << (request.dry_run ? "would restore " : "restored ") << entries << " entries, "
           << to_text(Bytes{static_cast<std::int64_t>(bytes)}) << " to " << request.to << '\n';
  return Done{};
}

Status rehearse(const Session& s, const RestoreRequest& request, const SnapshotId& id,
                format::ManifestReader& reader) {
  std::uint64_t entries = 0, bytes = 0;
  for (;; ++entries) {
    auto entry = reader.next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry || !format::is_within((*entry)->path, request.path)) break;
    bytes += (*entry)->size;
  }
  return report(s, request, id, entries, bytes);
}

Status restore(Session& s, const RestoreRequest& request) {
  auto device = DeviceId::parse(request.device);
  if (!device) return fail(std::move(device.error()));
  if (auto good = format::check_path(request.path); !good) return good;
  if (auto good = check_target(request); !good) return good;
  auto id =
      request.snapshot.empty() ? newest(s, request.device) : SnapshotId::parse(request.snapshot);
  if (!id) return fail(std::move(id.error()));
  auto bytes = s.get("/v1/cvds/" + request.device + "/snapshots/" + id->hex() + "/record");
  if (!bytes) return fail(std::move(bytes.error()));
  if (format::snapshot_id(as_view(*bytes)) != *id)
    return fail(ErrorKind::corrupt,
                "the origin sent another record than snapshot " + id->short_hex());
  auto record = format::parse_snapshot(as_view(*bytes));
  if (!record) return fail(std::move(record.error()));

  auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-restore-");
  if (!spool) return fail(std::move(spool.error()));
  ManifestChunks chunks(s, request.device, spool->path());
  RemoteContent content(s, request.device, spool->path());
  auto reader = format::ManifestReader::open(
      record->manifest, [&](const format::ChunkRef& ref) { return chunks.read(ref); });
  if (!reader) return fail(std::move(reader.error()));
  chunks.order((*reader)->entry_chunks());
  if (auto done = (*reader)->seek(request.path); !done) return done;
  if (request.dry_run) return rehearse(s, request, *id, **reader);

  auto root = os::Root::open(request.to);
  if (!root) return fail(std::move(root.error()));
  // The file that is written has its first name outside the part that is restored: its content does
  // not come with the rest.
  bool is_outside = false;
  const auto in_order = content.source();
  TreeWriter writer(
      *root, request.path,
      [&](const format::ChunkRef& ref) { return is_outside ? chunks.read(ref) : in_order(ref); },
      {.set_owner = os::is_root(), .set_attributes = true});
  std::unique_ptr<format::ManifestReader> outside;
  writer.find_outside([&](const std::string& path) -> Result<format::Entry> {
    if (!outside) {
      auto opened = format::ManifestReader::open(
          record->manifest, [&](const format::ChunkRef& ref) { return chunks.read(ref); });
      if (!opened) return fail(std::move(opened.error()));
      outside = std::move(*opened);
    }
    if (auto done = outside->seek(path); !done) return fail(std::move(done.error()));
    auto entry = outside->next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry || (*entry)->path != path)
      return fail(ErrorKind::corrupt, "snapshot " + id->short_hex() + " has a hard link to '" +
                                          printable(path) + "', which it does not hold");
    is_outside = true;
    return std::move(**entry);
  });
  // Entries are read ahead of what is written, so that their content can be on its way.
  constexpr std::size_t kEntriesAhead = 8192;
  std::deque<format::Entry> waiting;
  std::uint64_t bytes_waiting = 0;
  const auto write_first = [&]() -> Status {
    is_outside = false;
    const format::Entry entry = std::move(waiting.front());
    waiting.pop_front();
    bytes_waiting -= entry.stored_bytes();
    if (auto done = writer.write(entry); !done) return done;
    if (writer.entries_written() % 256 == 0)
      s.progress(std::to_string(writer.entries_written()) + " entries, " +
                 to_text(Bytes{static_cast<std::int64_t>(writer.bytes_written())}));
    return Done{};
  };
  for (;;) {
    auto entry = (*reader)->next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry || !format::is_within((*entry)->path, request.path)) break;
    content.expect((*entry)->chunks);
    bytes_waiting += (*entry)->stored_bytes();
    waiting.push_back(std::move(**entry));
    while (bytes_waiting > RemoteContent::kAhead || waiting.size() > kEntriesAhead)
      if (auto done = write_first(); !done) return done;
  }
  while (!waiting.empty())
    if (auto done = write_first(); !done) return done;
  if (auto done = writer.finish(); !done) return done;
  s.progress("");
  return report(s, request, *id, writer.entries_written(), writer.bytes_written());
}

Status snapshots(Session& s, const std::string& device) {
  auto body = s.get("/v1/cvds/" + encoded(device) + "/snapshots");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_snapshot_list(*body);
  if (!list) return fail(std::move(list.error()));
  Session::Rows rows{{"SNAPSHOT", "NUMBER", "STATE", "MADE", "REASON", "FILES", "SIZE"}};
  for (const wire::SnapshotInfo& snapshot : list->snapshots)
    rows.push_back({snapshot.id.hex(), std::to_string(snapshot.number), "protected",
                    to_iso8601(WallTime{snapshot.created_ms * 1000000}), printable(snapshot.reason),
                    std::to_string(snapshot.files), to_text(Bytes{snapshot.plain_bytes})});
  for (const wire::SnapshotAtSite& held :
       list->at_site.value_or(std::vector<wire::SnapshotAtSite>{}))
    rows.push_back(
        {held.id.hex(), "-", "at the site", to_text(Duration{held.age_ms * 1'000'000}) + " ago",
         "held by " + held.relay.short_hex(), "-", to_text(Bytes{held.bytes}) + " to send"});
  if (s.json)
    *s.out << *body << '\n';
  else
    s.table(rows);
  return Done{};
}

}  // namespace

void add_cvd_restore(CLI::App& cvd, Run& run) {
  auto request = std::make_shared<RestoreRequest>();
  auto* listing =
      cvd.add_subcommand("snapshots", "list the snapshots of a device: protected, or at the site");
  listing->footer("Example: lamina cvd snapshots 00112233445566778899aabbccddeeff");
  listing->add_option("DEVICE", request->device, "the device's id")->required();
  listing->callback(
      [&run, request] { run = [request](Session& s) { return snapshots(s, request->device); }; });
  auto* command = cvd.add_subcommand("restore", "bring a file, a directory or a whole device back");
  command->footer(
      "Example: lamina cvd restore 00112233445566778899aabbccddeeff --path etc/fstab --to "
      "/tmp/restored");
  command->add_option("DEVICE", request->device, "the device's id")->required();
  command->add_option("--snapshot", request->snapshot, "the newest if not given");
  command->add_option("--path", request->path, "a file or directory; everything if not given");
  command->add_option("--to", request->to, "an empty or new directory")->required();
  command->add_flag("--dry-run", request->dry_run,
                    "say how many entries and bytes it would write; write nothing");
  command->callback(
      [&run, request] { run = [request](Session& s) { return restore(s, *request); }; });
}

}  // namespace lamina::origin::cli
