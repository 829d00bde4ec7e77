#include <algorithm>
#include <deque>

#include "origin/cli/audited_restore.hpp"
#include "origin/cli/remote_snapshot.hpp"
#include "origin/cli/restore_onto.hpp"
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
  std::string onto;
  std::string level = "whole";
  bool keep_disks = false;
  bool dry_run = false;
};

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

Status write_entries(Session& s, const RestoreRequest& request, RemoteSnapshot& snapshot,
                     const std::string& spool, AuditedRestore* audited);

Status restore(Session& s, const RestoreRequest& request) {
  auto device = DeviceId::parse(request.device);
  if (!device) return fail(std::move(device.error()));
  if (auto good = format::check_path(request.path); !good) return good;
  if (auto good = check_target(request); !good) return good;
  auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-restore-");
  if (!spool) return fail(std::move(spool.error()));
  auto snapshot = RemoteSnapshot::open(s, request.device, request.snapshot, spool->path());
  if (!snapshot) return fail(std::move(snapshot.error()));
  if (request.dry_run) return write_entries(s, request, **snapshot, spool->path(), nullptr);
  auto audited = AuditedRestore::begin(s, request.device, (*snapshot)->id(),
                                       request.path.empty() ? "all" : "path=" + request.path);
  if (!audited) return fail(std::move(audited.error()));
  return audited->end(write_entries(s, request, **snapshot, spool->path(), &*audited));
}

// Without `audited` only says what it would write.
Status write_entries(Session& s, const RestoreRequest& request, RemoteSnapshot& snapshot,
                     const std::string& spool, AuditedRestore* audited) {
  const SnapshotId id = snapshot.id();
  const auto single = snapshot.source();
  RemoteContent content(s, request.device, spool);
  auto reader = snapshot.entries();
  if (!reader) return fail(std::move(reader.error()));
  if (auto done = (*reader)->seek(request.path); !done) return done;
  if (audited == nullptr) return rehearse(s, request, id, **reader);

  auto root = os::Root::open(request.to);
  if (!root) return fail(std::move(root.error()));
  // The file that is written has its first name outside the part that is restored: its content does
  // not come with the rest.
  bool is_outside = false;
  const auto in_order = content.source();
  TreeWriter writer(
      *root, request.path,
      [&](const format::ChunkRef& ref) { return is_outside ? single(ref) : in_order(ref); },
      {.set_owner = os::is_root(), .set_attributes = true});
  writer.find_outside([&](const std::string& path) -> Result<format::Entry> {
    is_outside = true;
    return snapshot.find(path);
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
  audited->count(writer.entries_written(), writer.bytes_written());
  s.progress("");
  return report(s, request, id, writer.entries_written(), writer.bytes_written());
}

Status onto_tree(Session& s, const RestoreRequest& request) {
  auto level = image::parse_restore_level(request.level);
  if (!level) return fail(std::move(level.error()).in("--level"));
  return restore_onto(s, {.device = request.device,
                          .snapshot = request.snapshot,
                          .onto = request.onto,
                          .level = *level,
                          .disks = request.keep_disks ? image::Disks::kept : image::Disks::restored,
                          .dry_run = request.dry_run});
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
      "/tmp/restored\n"
      "Example: lamina cvd restore 00112233445566778899aabbccddeeff --onto /mnt --level system");
  command->add_option("DEVICE", request->device, "the device's id")->required();
  command->add_option("--snapshot", request->snapshot, "the newest if not given");
  auto* path =
      command->add_option("--path", request->path, "a file or directory; everything if not given");
  auto* to = command->add_option("--to", request->to, "into an empty or new directory");
  auto* onto = command->add_option(
      "--onto", request->onto,
      "onto this tree, a mounted disk: only what differs is written; needs root");
  onto->excludes(to)->excludes(path);
  command
      ->add_option("--level", request->level,
                   "with --onto: whole, system (no user's file is touched), apps-and-user, or user "
                   "(nothing else is)")
      ->needs(onto)
      ->capture_default_str();
  command
      ->add_flag("--keep-disks", request->keep_disks,
                 "with --onto: fstab, crypttab and boot loader stay as they are there, and what is "
                 "mounted there is restored into where the snapshot has content")
      ->needs(onto);
  command->add_flag("--dry-run", request->dry_run,
                    "say what it would write; write nothing. With --onto path by path: + made, "
                    "~ replaced, m metadata, - removed");
  command->callback([&run, request, to, onto] {
    if (to->empty() && onto->empty()) throw CLI::RequiredError("--to or --onto");
    run = [request](Session& s) {
      return request->onto.empty() ? restore(s, *request) : onto_tree(s, *request);
    };
  });
}

}  // namespace lamina::origin::cli
