#include "origin/cli/restore_onto.hpp"

#include <fcntl.h>

#include <deque>
#include <set>

#include "origin/cli/audited_restore.hpp"
#include "origin/cli/disk_layout.hpp"
#include "origin/cli/platform.hpp"
#include "origin/cli/remote_layers.hpp"
#include "origin/cli/remote_policy.hpp"
#include "origin/cli/remote_snapshot.hpp"
#include "origin/cli/session.hpp"
#include "shared/format/path.hpp"
#include "shared/net/loop.hpp"
#include "shared/os/mounts.hpp"
#include "shared/os/user.hpp"
#include "shared/tree/restore.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

constexpr const char* kFstab = "etc/fstab";
constexpr std::size_t kFstabMax = 1 << 20;

// The entries of a snapshot for one pass of a restore: it reads ahead, so that the contents that
// the pass writes are on their way.
class AheadEntries : public format::EntryStream {
 public:
  AheadEntries(std::unique_ptr<format::ManifestReader> reader, const RestorePlan& plan,
               RestorePart part, RemoteContent& content)
      : reader_(std::move(reader)), plan_(plan), part_(part), content_(content) {}

  Result<std::optional<format::Entry>> next() override {
    constexpr std::size_t kEntriesAhead = 8192;
    while (!is_at_end_ && waiting_.size() < kEntriesAhead && bytes_ < RemoteContent::kAhead) {
      auto entry = reader_->next();
      if (!entry) return entry;
      is_at_end_ = !*entry;
      if (is_at_end_) break;
      const bool is_written = plan_.writes.at(read_++) == part_;
      if (is_written) {
        content_.expect((*entry)->chunks);
        bytes_ += (*entry)->stored_bytes();
      }
      waiting_.push_back({std::move(**entry), is_written});
    }
    if (waiting_.empty()) return std::nullopt;
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    if (first.is_written) bytes_ -= first.entry.stored_bytes();
    return std::optional(std::move(first.entry));
  }

 private:
  struct Waiting {
    format::Entry entry;
    bool is_written;
  };

  std::unique_ptr<format::ManifestReader> reader_;
  const RestorePlan& plan_;
  RestorePart part_;
  RemoteContent& content_;
  std::deque<Waiting> waiting_;
  std::uint64_t bytes_ = 0;
  std::size_t read_ = 0;
  bool is_at_end_ = false;
};

std::string text_of(const format::Platform& platform) {
  return platform.os_family + " " + platform.distribution + " " + platform.release + " " +
         platform.architecture;
}

class Restore {
 public:
  Restore(Session& session, const RestoreOntoRequest& request, os::Root root,
          os::TemporaryDirectory spool)
      : s_(session), request_(request), root_(std::move(root)), spool_(std::move(spool)) {}

  Status run() {
    auto snapshot = RemoteSnapshot::open(s_, request_.device, request_.snapshot, spool_.path());
    if (!snapshot) return fail(std::move(snapshot.error()));
    snapshot_ = std::move(*snapshot);
    if (request_.dry_run) return restore(nullptr);
    auto audited = AuditedRestore::begin(s_, request_.device, snapshot_->id(),
                                         "level=" + std::string(name_of(request_.level)));
    if (!audited) return fail(std::move(audited.error()));
    return audited->end(restore(&*audited));
  }

 private:
  // Without `audited` only says what it would do.
  Status restore(AuditedRestore* audited) {
    auto then =
        image::Protection::make({.unprotected = snapshot_->record().unprotected, .user = {}});
    if (!then) return fail(std::move(then.error()).in("what the snapshot left out"));
    then_ = std::move(*then);
    auto now = protection_of(s_, request_.device);
    if (!now) return fail(std::move(now.error()));
    now_ = std::move(*now);
    if (auto good = check_system(); !good) return good;
    if (auto good = check_disks(); !good) return good;
    if (auto good = enter_volumes(); !good) return good;
    if (auto done = find_base(); !done) return done;
    accounts_ = AccountNames::of_tree(root_);
    auto plan = make_plan();
    if (!plan) return fail(std::move(plan.error()));
    if (!plan->blocked.empty()) {
      for (const std::string& path : plan->blocked) *s_.err << path << '\n';
      return fail(ErrorKind::refused, "something stands in the way of " +
                                          std::to_string(plan->blocked.size()) +
                                          " paths: move it away, or restore the whole device");
    }
    if (auto good = check_space(*plan); !good) return good;
    if (audited == nullptr) return tell(*plan), Done{};
    audited->count(plan->changes(), plan->bytes());
    if (auto done = carry_out(*plan); !done) return done;
    is_telling_ = false;
    auto rest = make_plan();
    if (!rest) return fail(std::move(rest.error()).in("checking what was restored"));
    if (rest->changes() > 0)
      return fail(ErrorKind::corrupt,
                  std::to_string(rest->changes()) + " entries of " + printable(request_.onto) +
                      " are not as in the snapshot: is somebody else writing there? Restore again");
    tell(*plan);
    return Done{};
  }

  // What is restored next to what stays must be of one release; where the tree has no system yet,
  // nothing is mixed.
  Status check_system() {
    if (request_.level == image::RestoreLevel::whole) return Done{};
    const format::Platform here = platform_of(root_);
    if (here.distribution.empty()) return Done{};
    Status read = Done{};
    const format::Platform there = platform_of([&](const std::string& path, std::size_t most) {
      auto text = snapshot_->read_start(path, most);
      if (!text && read) read = fail(std::move(text.error()));
      return text ? std::move(*text) : std::string();
    });
    if (!read) return read;
    if (here == there) return Done{};
    return fail(ErrorKind::refused, printable(request_.onto) + " is " + text_of(here) +
                                        ", the snapshot is of " + text_of(there) +
                                        ": only a whole device is restored over another system "
                                        "(--level whole)");
  }

  Status check_disks() {
    const bool restores_them = request_.level == image::RestoreLevel::whole ||
                               request_.level == image::RestoreLevel::system;
    if (!restores_them || request_.disks == image::Disks::kept) return Done{};
    auto there = snapshot_->read_start(kFstab, kFstabMax);
    if (!there) return fail(std::move(there.error()));
    if (auto file = root_.open_at(kFstab, O_RDONLY)) {
      auto here = os::read_up_to(file->get(), kFstabMax, kFstab);
      if (!here) return fail(std::move(here.error()));
      if (as_text(*here) == *there) return Done{};
    }
    const auto differences = layout_differences(
        *there, [](const std::string& source) { return os::exists(device_path(source)); });
    if (differences.empty()) return Done{};
    for (const std::string& difference : differences) *s_.err << difference << '\n';
    return fail(ErrorKind::refused,
                "the volumes of this machine are not those of the snapshot: lay them out likewise, "
                "or with a fstab and boot loader of their own, and add --keep-disks");
  }

  // Of these places, those beneath which the snapshot has something.
  Result<std::vector<std::string>> with_content(const std::vector<std::string>& places) {
    std::set<std::string> filled;
    if (places.empty()) return std::vector<std::string>();
    auto entries = snapshot_->entries();
    if (!entries) return fail(std::move(entries.error()));
    for (;;) {
      auto entry = (*entries)->next();
      if (!entry) return fail(std::move(entry.error()));
      if (!*entry) break;
      for (const std::string& place : places)
        if ((*entry)->path != place && format::is_within((*entry)->path, place))
          filled.insert(place);
    }
    return std::vector<std::string>(filled.begin(), filled.end());
  }

  // The file systems that the snapshot holds are mounted beneath the tree as on the device. Where
  // the disks are kept as they are, so is their layout: what is mounted where the snapshot has
  // content is restored into, in any case.
  Status enter_volumes() {
    std::vector<std::string> places = snapshot_->record().volumes;
    const bool keeps_layout = request_.disks == image::Disks::kept;
    if (keeps_layout) {
      auto mounted = os::mounts_beneath(request_.onto);
      if (!mounted) return fail(std::move(mounted.error()));
      auto filled = with_content(*mounted);
      if (!filled) return fail(std::move(filled.error()));
      places = std::move(*filled);
    }
    bool is_complete = true;
    for (const std::string& place : places) {
      if (!then_.in_snapshot(place, true)) continue;
      auto entered = root_.enter(place);
      if (!entered) return fail(std::move(entered.error()).in("looking for the volume"));
      if (*entered || keeps_layout) continue;
      is_complete = false;
      *s_.err << printable(place, 200) << ": nothing is mounted at "
              << printable(request_.onto + '/' + place, 200)
              << ", where the device has a volume of its own\n";
    }
    if (is_complete) return Done{};
    return fail(ErrorKind::refused,
                "the snapshot holds volumes that are not mounted here: mount them, or restore into "
                "the layout that is there with --keep-disks");
  }

  Status find_base() {
    if (request_.level != image::RestoreLevel::apps_and_user) return Done{};
    if (snapshot_->record().stack.empty())
      return fail(ErrorKind::refused, "snapshot " + snapshot_->id().short_hex() +
                                          " was taken without a base layer, so that nothing tells "
                                          "applications from the system: restore another level");
    auto layers = RemoteLayers::open(s_, {snapshot_->record().stack.front().hex()});
    if (!layers) return fail(std::move(layers.error()).in("the base layer of the snapshot"));
    layers_ = std::move(*layers);
    auto body = s_.get("/v1/devices/" + request_.device);
    if (!body) return fail(std::move(body.error()));
    auto device = wire::parse_device_info(*body);
    if (!device) return fail(std::move(device.error()));
    const format::LayerRecord& base = layers_->records().front();
    const std::string name = base.name + ":" + base.version;
    if (!device->applied.empty() && device->applied.front() != name)
      return fail(ErrorKind::refused, "the device has base layer " +
                                          printable(device->applied.front(), 200) +
                                          ", the snapshot " + name +
                                          ": assign that one first, or restore the whole device");
    return Done{};
  }

  Result<TreeRestorer> restorer() {
    if (layers_) {
      auto base =
          format::ManifestReader::open(layers_->records().front().manifest, layers_->source());
      if (!base) return fail(std::move(base.error()));
      base_.emplace(std::move(*base));
    }
    const image::RestoreScope scope(request_.level, request_.disks, then_, now_);
    const bool goes_by_names = request_.level == image::RestoreLevel::user ||
                               request_.level == image::RestoreLevel::apps_and_user;
    return TreeRestorer(
        root_,
        {.scope = [this, scope](const std::string& path, bool is_directory,
                                const format::Entry* entry) -> Result<bool> {
           const format::Entry* base = nullptr;
           if (base_) {
             auto found = base_->at(path);
             if (!found) return fail(std::move(found.error()));
             base = *found;
           }
           return scope.covers(path, is_directory, entry, base);
         },
         .include = [this](const std::string& path,
                           bool is_directory) { return then_.in_snapshot(path, is_directory); },
         .is_first = image::is_needed_to_start,
         .on_note =
             [this](const Note& note) {
               *s_.err << "lamina: note: " << printable(note.path, 200) << ": "
                       << printable(note.reason, 200) << '\n';
             },
         .on_change = [this](RestoreChange change,
                             const std::string& path) { changed(change, path); }},
        {.find = [this](const std::string& path) { return snapshot_->find(path); },
         .source = snapshot_->source()},
        // With the account files of the snapshot come its ids.
        goes_by_names ? &accounts_ : nullptr);
  }

  Result<RestorePlan> make_plan() {
    auto planning = restorer();
    if (!planning) return fail(std::move(planning.error()));
    auto entries = snapshot_->entries();
    if (!entries) return fail(std::move(entries.error()));
    return planning->plan(**entries);
  }

  Status carry_out(RestorePlan& plan) {
    is_telling_ = false;
    total_ = plan.changes();
    for (const RestorePart part : {RestorePart::start, RestorePart::rest}) {
      part_ = part;
      auto restoring = restorer();
      if (!restoring) return fail(std::move(restoring.error()));
      auto reader = snapshot_->entries();
      if (!reader) return fail(std::move(reader.error()));
      RemoteContent content(s_, request_.device, spool_.path());
      AheadEntries entries(std::move(*reader), plan, part, content);
      if (auto done = restoring->carry_out(entries, plan, part, content.source()); !done)
        return done;
      if (auto done = root_.sync(); !done) return done;
    }
    s_.progress("");
    return Done{};
  }

  Status check_space(const RestorePlan& plan) {
    const auto bytes = [](std::uint64_t count) { return static_cast<std::int64_t>(count); };
    for (const auto& [volume, room] : plan.rooms) {
      const std::string place = volume.empty() ? request_.onto : request_.onto + '/' + volume;
      auto space = os::space_of(place);
      if (!space) return fail(std::move(space.error()));
      // A file is there twice until the new one has its name.
      const std::int64_t needed =
          bytes(room.bytes) + bytes(room.largest) - std::min(bytes(room.gone), bytes(room.bytes));
      if (needed > space->free.count)
        return fail(ErrorKind::out_of_space, printable(place) + " has " + to_text(space->free) +
                                                 " free, the restore needs " +
                                                 to_text(Bytes{needed}));
    }
    return Done{};
  }

  void changed(RestoreChange change, const std::string& path) {
    if (request_.dry_run && is_telling_ && !s_.json) {
      constexpr const char* kSigns[] = {"+ ", "~ ", "m ", "- "};
      *s_.out << kSigns[static_cast<std::size_t>(change)] << printable(path, 4096) << '\n';
    }
    if (request_.dry_run || is_telling_) return;
    if (++done_ % 256 == 0)
      s_.progress(std::string(part_ == RestorePart::start ? "what a start needs: " : "the rest: ") +
                  std::to_string(done_) + " of " + std::to_string(total_) + " changes");
  }

  void tell(const RestorePlan& plan) const {
    if (s_.json) {
      *s_.out << "{\"snapshot\":\"" << snapshot_->id().hex() << "\",\"level\":\""
              << name_of(request_.level) << "\",\"made\":" << plan.made
              << ",\"replaced\":" << plan.replaced << ",\"metadata\":" << plan.metadata
              << ",\"removed\":" << plan.removed << ",\"same\":" << plan.same
              << ",\"bytes\":" << plan.bytes()
              << ",\"dry_run\":" << (request_.dry_run ? "true" : "false") << "}\n";
      return;
    }
    *s_.out << (request_.dry_run ? "dry run, nothing is changed: " : "restored: ") << plan.made
            << " made, " << plan.replaced << " replaced, " << plan.metadata
            << " with new metadata, " << plan.removed << " removed, " << plan.same
            << " were the same; " << to_text(Bytes{static_cast<std::int64_t>(plan.bytes())})
            << '\n';
  }

  Session& s_;
  const RestoreOntoRequest& request_;
  os::Root root_;
  os::TemporaryDirectory spool_;
  std::unique_ptr<RemoteSnapshot> snapshot_;
  image::Protection then_;                // What was left out of the snapshot.
  image::Protection now_;                 // The device's.
  std::unique_ptr<RemoteLayers> layers_;  // The base layer, where the level needs it.
  std::optional<image::BaseEntries> base_;
  AccountNames accounts_;
  bool is_telling_ = true;
  RestorePart part_ = RestorePart::none;
  std::uint64_t done_ = 0, total_ = 0;
};

}  // namespace

Status restore_onto(Session& session, const RestoreOntoRequest& request) {
  if (!os::is_root())
    return fail(ErrorKind::refused,
                "only root can give files their owners: run the command as root");
  auto root = os::Root::open(request.onto);
  if (!root) return fail(std::move(root.error()));
  auto spool = os::TemporaryDirectory::make(os::temporary_root(), "lamina-restore-");
  if (!spool) return fail(std::move(spool.error()));
  return Restore(session, request, std::move(*root), std::move(*spool)).run();
}

}  // namespace lamina::origin::cli
