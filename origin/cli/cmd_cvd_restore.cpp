#include "origin/cli/session.hpp"
#include "shared/format/path.hpp"
#include "shared/format/record.hpp"
#include "shared/os/user.hpp"
#include "shared/store/pack_set.hpp"
#include "shared/tree/materialize.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

struct RestoreRequest {
  std::string device;
  std::string snapshot;
  std::string path;
  std::string to;
};

// Chunks of a CVD, fetched in batches into a spool directory and read from there.
class RemoteChunks {
 public:
  RemoteChunks(Session& session, std::string device, const std::string& spool)
      : session_(session), device_(std::move(device)), spool_(spool) {}

  // Makes `refs` readable; what was fetched before for other entries may be dropped.
  Status fetch(const std::vector<format::ChunkRef>& refs) {
    Writer body;
    format::encode_chunk_refs(refs, body);
    net::Call call{.method = "POST", .target = "/v1/cvds/" + device_ + "/chunks"};
    call.content_type = "application/octet-stream";
    call.body = std::string(as_text(body.view()));
    call.reply_max = 64_MiB;
    const std::string path = spool_ + "/batch";
    call.download_to = path;
    auto reply = session_.send(std::move(call));
    if (!reply) return fail(std::move(reply.error()));
    set_.emplace();
    if (auto done = set_->add(path, "what the origin sent"); !done) return done;
    set_->seal();
    return Done{};
  }

  // One chunk by itself, for manifests.
  Result<Buffer> read(const format::ChunkRef& ref) {
    if (!set_ || !set_->has(ref.id))
      if (auto done = fetch({ref}); !done) return fail(std::move(done.error()));
    return set_->read(ref);
  }

 private:
  Session& session_;
  std::string device_;
  std::string spool_;
  std::optional<PackSet> set_;
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

Status restore(Session& s, const RestoreRequest& request) {
  auto device = DeviceId::parse(request.device);
  if (!device) return fail(std::move(device.error()));
  if (auto good = format::check_path(request.path); !good) return good;
  if (auto done = os::make_directories(request.to); !done) return done;
  auto names = os::list_directory(request.to);
  if (!names) return fail(std::move(names.error()));
  if (!names->empty())
    return fail(ErrorKind::refused, printable(request.to) +
                                        " is not empty: restore into a new directory, so that "
                                        "nothing is overwritten");
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
  for (const char* name : {"/manifest", "/content"})
    if (auto done = os::make_directories(spool->path() + name); !done) return done;
  RemoteChunks manifest(s, request.device, spool->path() + "/manifest");
  RemoteChunks content(s, request.device, spool->path() + "/content");
  auto reader = format::ManifestReader::open(
      record->manifest, [&](const format::ChunkRef& ref) { return manifest.read(ref); });
  if (!reader) return fail(std::move(reader.error()));
  if (auto done = (*reader)->seek(request.path); !done) return done;

  auto root = os::Root::open(request.to);
  if (!root) return fail(std::move(root.error()));
  TreeWriter writer(*root, request.path,
                    [&](const format::ChunkRef& ref) { return content.read(ref); },
                    {.set_owner = os::is_root(), .set_attributes = true});
  // A file may have its first name outside the part that is restored.
  std::unique_ptr<format::ManifestReader> outside;
  writer.find_outside([&](const std::string& path) -> Result<format::Entry> {
    if (!outside) {
      auto opened = format::ManifestReader::open(
          record->manifest, [&](const format::ChunkRef& ref) { return manifest.read(ref); });
      if (!opened) return fail(std::move(opened.error()));
      outside = std::move(*opened);
    }
    if (auto done = outside->seek(path); !done) return fail(std::move(done.error()));
    auto entry = outside->next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry || (*entry)->path != path)
      return fail(ErrorKind::corrupt, "snapshot " + id->short_hex() + " has a hard link to '" +
                                          printable(path) + "', which it does not hold");
    return std::move(**entry);
  });
  // Entries are gathered until their content makes a batch worth a round trip.
  constexpr std::uint64_t kBatch = 16 << 20;
  std::vector<format::Entry> batch;
  std::uint64_t batch_bytes = 0;
  const auto flush = [&]() -> Status {
    std::vector<format::ChunkRef> refs;
    // A larger file is fetched chunk by chunk while it is written.
    for (const format::Entry& entry : batch)
      if (entry.stored_bytes() <= kBatch)
        refs.insert(refs.end(), entry.chunks.begin(), entry.chunks.end());
    if (!refs.empty())
      if (auto done = content.fetch(refs); !done) return done;
    for (const format::Entry& entry : batch)
      if (auto done = writer.write(entry); !done) return done;
    batch.clear();
    batch_bytes = 0;
    s.progress(std::to_string(writer.entries_written()) + " entries, " +
               to_text(Bytes{static_cast<std::int64_t>(writer.bytes_written())}));
    return Done{};
  };
  for (;;) {
    auto entry = (*reader)->next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry || !format::is_within((*entry)->path, request.path)) break;
    const std::uint64_t size = (*entry)->stored_bytes();
    if (batch_bytes + size > kBatch || batch.size() >= 4096)
      if (auto done = flush(); !done) return done;
    batch_bytes += size;
    batch.push_back(std::move(**entry));
  }
  if (auto done = flush(); !done) return done;
  if (auto done = writer.finish(); !done) return done;
  s.progress("");
  if (writer.entries_written() == 0)
    return fail(ErrorKind::not_found,
                "snapshot " + id->short_hex() + " has no '" + printable(request.path) + "'");
  if (s.json)
    *s.out << "{\"snapshot\":\"" << id->hex() << "\",\"entries\":" << writer.entries_written()
           << ",\"bytes\":" << writer.bytes_written() << "}\n";
  else
    *s.out << "restored " << writer.entries_written() << " entries, "
           << to_text(Bytes{static_cast<std::int64_t>(writer.bytes_written())}) << " to "
           << request.to << '\n';
  return Done{};
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
  command->footer("Example: lamina cvd restore 0123... --path etc/fstab --to /tmp/restored");
  command->add_option("DEVICE", request->device, "the device's id")->required();
  command->add_option("--snapshot", request->snapshot, "the newest if not given");
  command->add_option("--path", request->path, "a file or directory; everything if not given");
  command->add_option("--to", request->to, "an empty or new directory")->required();
  command->callback(
      [&run, request] { run = [request](Session& s) { return restore(s, *request); }; });
}

}  // namespace lamina::origin::cli
