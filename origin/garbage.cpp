#include "origin/garbage.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "origin/catalog/journaled_table.hpp"
#include "origin/erasure.hpp"
#include "shared/base/log.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/lock.hpp"
#include "shared/os/user.hpp"

namespace lamina::origin {
namespace {

// Between writing an object and the row that names it, at most.
constexpr Duration kObjectAge = std::chrono::hours{1};
constexpr std::size_t kNamesShown = 5;
// How often the thread looks whether it is time: it goes by calendar time, which may jump.
constexpr std::chrono::minutes kLookEvery{1};
// After a failure, or beside who reads all: a full disk is not tried once a minute.
constexpr Duration kTryAgain = std::chrono::hours{1};

using ChunkSet = std::unordered_set<ChunkId, IdHash>;

class Collection {
 public:
  Collection(Content& content, Catalog& catalog, const GarbageOptions& options, WallTime now)
      : content_(content), catalog_(catalog), options_(options), now_(now) {}

  Result<GarbageReport> run();

 private:
  Status read_layers();
  Result<std::set<PackId>> named_packs();
  Status withdraw_torrents();
  Status look_at_device(const wire::DeviceInfo& device);
  Result<std::vector<wire::SnapshotInfo>> apply_retention(const DeviceId& device);
  Status mark(const DeviceId& device, const wire::SnapshotInfo& snapshot, ChunkSet& needed,
              ChunkSet& entered) const;
  Status sweep_cvds();
  Status sweep_layers();
  Status without_lost(std::vector<ChunkId>& missing) const;
  SweepOptions sweep_options() const;
  Status remove_objects();
  Status begin_erasures();
  Status finish_erasures();
  bool is_new(const std::string& path) const;
  Status remove_old_files(const std::string& directory,
                          const std::function<bool(const std::string& name)>& is_needed);
  void step(std::string_view name) const {
    if (options_.on_step) options_.on_step(name);
  }
  Status go_on() const {
    if (!options_.is_stopping()) return Done{};
    return fail(ErrorKind::unavailable, "the collection was told to stop");
  }

  Content& content_;
  Catalog& catalog_;
  const GarbageOptions& options_;
  WallTime now_;
  std::vector<LayerId> removed_layers_;  // When it began.
  std::set<LayerId> layers_;
  std::set<TorrentId> torrents_;  // Of those.
  std::set<SnapshotId> snapshots_;
  std::vector<DeviceId> erasing_;
  std::vector<ChunkId> at_once_;  // What they had, ascending.
  std::set<SnapshotId> erased_snapshots_;
  std::map<std::uint8_t, std::vector<ChunkId>> borrowed_;  // Of devices, in packs of layers alone.
  GarbageReport report_;
};

Result<GarbageReport> Collection::run() {
  std::optional<os::FileLock> alone;
  if (!options_.dry_run) {
    auto taken = os::FileLock::take_directory(DataDirectory(content_.data()).keys(),
                                              os::FileLock::Mode::alone);
    if (!taken && taken.error().kind() == ErrorKind::unavailable)
      return fail(ErrorKind::unavailable, "`backup`, `check` or `capacity` reads " +
                                              printable(content_.data()) +
                                              ": begin again when it is done");
    if (!taken) return fail(std::move(taken.error()));
    alone.emplace(std::move(*taken));
  }
  if (auto done = read_layers(); !done) return fail(std::move(done.error()));
  if (auto done = withdraw_torrents(); !done) return fail(std::move(done.error()));
  auto removed = catalog_.removed_layers();
  if (!removed) return fail(std::move(removed.error()));
  removed_layers_ = std::move(*removed);
  auto devices = catalog_.devices();
  if (!devices) return fail(std::move(devices.error()));
  for (const wire::DeviceInfo& device : *devices) {
    if (auto going = go_on(); !going) return fail(std::move(going.error()));
    if (auto done = look_at_device(device); !done) return fail(std::move(done.error()));
  }
  auto rows = catalog_.sweep_removed_layers(options_.dry_run);
  if (!rows) return fail(std::move(rows.error()));
  report_.layer_rows_removed = *rows;
  step("catalogue");
  if (auto done = begin_erasures(); !done) return fail(std::move(done.error()));
  for (const auto sweep : {&Collection::sweep_cvds, &Collection::sweep_layers}) {
    if (auto done = (this->*sweep)(); !done) return fail(std::move(done.error()));
  }
  if (auto done = remove_objects(); !done) return fail(std::move(done.error()));
  if (auto done = finish_erasures(); !done) return fail(std::move(done.error()));
  if (!options_.dry_run)
    if (auto noted = catalog_.note_collection({now_, report_.layers.freed + report_.cvds.freed});
        !noted)
      return fail(std::move(noted.error()));
  return std::move(report_);
}

Status Collection::read_layers() {
  auto layers = catalog_.layers();
  if (!layers) return fail(std::move(layers.error()));
  for (const wire::LayerInfo& layer : *layers) {
    auto distribution = content_.distribution_record(layer.id);
    if (!distribution)
      return fail(std::move(distribution.error())
                      .in("layer " + layer.name + ':' + layer.version +
                          ": how to get it cannot be read (`lamina-origin check` says more)"));
    layers_.insert(layer.id);
    torrents_.insert(distribution->torrent);
    if (std::ranges::all_of(distribution->packs,
                            [](const auto& pack) { return pack.update_from.empty(); }))
      continue;
    const auto plain = content_.without_updates(layer.id);
    if (!plain) return fail(Error(plain.error()).in("layer " + layer.name + ':' + layer.version));
    torrents_.insert(plain->torrent);
  }
  return Done{};
}

// By distribution records: also of layers that were published since this began, or are just now.
Result<std::set<PackId>> Collection::named_packs() {
  if (auto done = read_layers(); !done) return fail(std::move(done.error()));
  std::set<LayerId> layers = layers_;
  const std::string directory = content_.data() + "/objects/distributions";
  auto names = os::list_directory(directory);
  if (!names) return fail(std::move(names.error()));
  for (const std::string& name : *names) {
    const auto id = LayerId::parse(name);
    if (id && is_new(directory + '/' + name)) layers.insert(*id);
  }
  std::set<PackId> named;
  for (const LayerId& id : layers) {
    auto distribution = content_.distribution_record(id);
    if (!distribution) return fail(std::move(distribution.error()));
    for (const format::DistributedPack& pack : distribution->packs) named.insert(pack.id);
  }
  return named;
}

// It may be about to get the row that names it. Files have their times from the system's clock.
bool Collection::is_new(const std::string& path) const {
  const Duration age = std::min(kObjectAge, options_.store_grace);
  struct stat status {};
  if (age.count() == 0 || ::stat(path.c_str(), &status) != 0) return false;
  const std::int64_t changed =
      status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec;
  return changed + age.count() > os::system_clock().wall().ns;
}

// A torrent leaves before its packs do.
Status Collection::withdraw_torrents() {
  return remove_old_files(content_.data() + "/torrents", [&](const std::string& name) {
    const auto id = TorrentId::parse(std::string_view(name).substr(0, name.rfind('.')));
    return !id || torrents_.contains(*id);
  });
}

Result<std::vector<wire::SnapshotInfo>> Collection::apply_retention(const DeviceId& device) {
  auto snapshots = catalog_.snapshots(device);
  if (!snapshots || snapshots->empty()) return snapshots;
  auto judged = catalog_.forget_snapshots({"origin", now_}, device,
                                          {.snapshot = {}, .dry_run = options_.dry_run});
  if (!judged) {
    if (judged.error().kind() == ErrorKind::refused) return snapshots;  // There is no rule.
    return fail(std::move(judged.error()));
  }
  const std::size_t before = snapshots->size();
  std::erase_if(*snapshots, [&](const wire::SnapshotInfo& snapshot) {
    return std::ranges::any_of(judged->snapshots, [&](const wire::JudgedSnapshot& one) {
      return one.snapshot.id == snapshot.id && one.kept_as.empty();
    });
  });
  report_.snapshots_removed += before - snapshots->size();
  return snapshots;
}

Status Collection::look_at_device(const wire::DeviceInfo& device) {
  ++report_.devices;
  auto moves = catalog_.cvd_moves(device.id);
  if (!moves) return fail(std::move(moves.error()));
  auto snapshots = apply_retention(device.id);
  if (!snapshots) return fail(std::move(snapshots.error()));
  step("forgotten");
  report_.snapshots += snapshots->size();
  for (const wire::SnapshotInfo& snapshot : *snapshots) snapshots_.insert(snapshot.id);
  ChunkSet needed;
  ChunkSet entered;
  for (auto snapshot = snapshots->rbegin(); snapshot != snapshots->rend(); ++snapshot) {
    auto marked = mark(device.id, *snapshot, needed, entered);
    if (marked) continue;
    if (marked.error().kind() != ErrorKind::corrupt &&
        marked.error().kind() != ErrorKind::invalid &&
        marked.error().kind() != ErrorKind::not_found)
      return marked;
    // What it needs is not known: nothing of this device goes.
    report_.unreadable.push_back({device.id, marked.error().text()});
    return Done{};
  }
  const auto is_needed = [&](const ChunkId& id) { return needed.contains(id); };
  auto links = catalog_.sweep_links(device.id, is_needed, now_, options_.grace, options_.dry_run);
  if (!links) return fail(std::move(links.error()));
  report_.links.links += links->links;
  report_.links.unneeded += links->unneeded;
  report_.links.removed += links->removed;
  auto released =
      catalog_.release_layers(device.id, removed_layers_, is_needed, options_.dry_run, *moves);
  if (!released) return fail(std::move(released.error()));
  report_.layers_released += *released;
  step("links");
  return Done{};
}

Status Collection::mark(const DeviceId& device, const wire::SnapshotInfo& snapshot,
                        ChunkSet& needed, ChunkSet& entered) const {
  const std::string what =
      "snapshot " + std::to_string(snapshot.number) + " of device " + device.hex();
  auto bytes = content_.snapshot_record(snapshot.id);
  if (!bytes) return fail(std::move(bytes.error()).in(what));
  auto record = format::parse_snapshot(*bytes);
  if (!record) return fail(std::move(record.error()).in(what));
  for (const format::ChunkRef& chunk : record->report) needed.insert(chunk.id);
  auto visited = format::for_each_chunk(
      record->manifest, content_.source(),
      [&](const format::ChunkRef& chunk, bool) -> Status {
        if (auto going = go_on(); !going) return going;
        needed.insert(chunk.id);
        return Done{};
      },
      [&](const format::ChunkRef& part) { return entered.insert(part.id).second; });
  if (!visited) return fail(std::move(visited.error()).in(what));
  return Done{};
}

SweepOptions Collection::sweep_options() const {
  return {.now = now_,
          .grace = options_.store_grace,
          .dry_run = options_.dry_run,
          .is_stopping = options_.is_stopping,
          .on_step = options_.on_step};
}

// What went with packs that were set aside is missed, and says nothing against the index.
Status Collection::without_lost(std::vector<ChunkId>& missing) const {
  for (const ChunkStore* store : {&content_.layers(), &content_.cvds()}) {
    auto lost = store->lost(missing);
    if (!lost) return fail(std::move(lost.error()));
    const std::set<ChunkId> known(lost->begin(), lost->end());
    std::erase_if(missing, [&](const ChunkId& id) { return known.contains(id); });
  }
  return Done{};
}

Status Collection::begin_erasures() {
  auto erasures = catalog_.erasures();
  if (!erasures) return fail(std::move(erasures.error()));
  for (const wire::ErasureInfo& erasure : *erasures) {
    if (erasure.state != wire::kErasurePending) continue;
    ++report_.erasures_open;
    if (options_.dry_run) continue;
    auto content = catalog_.erased_content(erasure.device);
    if (!content) return fail(std::move(content.error()));
    erased_snapshots_.insert(content->snapshots.begin(), content->snapshots.end());
    at_once_.insert(at_once_.end(), content->chunks.begin(), content->chunks.end());
    erasing_.push_back(erasure.device);
    // Begun before: some of it is gone, and what was noted stays.
    if (erasure.plain_bytes > 0) continue;
    auto chunks = split_erased(catalog_, std::move(content->chunks));
    if (!chunks) return fail(std::move(chunks.error()));
    auto plain = content_.cvds().plain_bytes(chunks->only);
    if (!plain) return fail(std::move(plain.error()));
    if (auto noted = catalog_.note_erasure_begun(erasure.device, *plain); !noted) return noted;
  }
  std::ranges::sort(at_once_);
  at_once_.erase(std::unique(at_once_.begin(), at_once_.end()), at_once_.end());
  return Done{};
}

Status Collection::finish_erasures() {
  if (erasing_.empty()) return Done{};
  for (const SnapshotId& id : erased_snapshots_) {
    const std::string path = DataDirectory(content_.data()).object("snapshots", id.hex());
    auto done = os::remove_file(path);
    if (!done && done.error().kind() != ErrorKind::not_found) return done;
    step("erased-record");
  }
  for (const DeviceId& device : erasing_) {
    auto content = catalog_.erased_content(device);
    if (!content) return fail(std::move(content.error()));
    auto chunks = split_erased(catalog_, std::move(content->chunks));
    if (!chunks) return fail(std::move(chunks.error()));
    if (auto aside = content_.cvds().erase_aside(chunks->only); !aside)
      return fail(std::move(aside.error()));
    step("erased-aside");
    auto proof = prove_erasure(content_, catalog_, device, options_.is_stopping);
    if (!proof) return fail(std::move(proof.error()));
    const auto found =
        std::ranges::find_if(proof->checks, [](const auto& c) { return c.found > 0; });
    if (found != proof->checks.end()) {
      log::warning("erasure_open",
                   {{"device", device}, {"what", found->what}, {"found", found->text}});
      continue;
    }
    auto finished = catalog_.finish_erasure(now_, device, chunks->only, chunks->shared);
    if (!finished && finished.error().kind() != ErrorKind::unavailable) return finished;
    if (!finished) continue;  // More came in: the next collection has it.
    step("erased");
    report_.erased.push_back(device);
    --report_.erasures_open;
    log::info(
        "cvd_erased",
        {{"device", device}, {"chunks", chunks->only.size()}, {"shared", chunks->shared.size()}});
  }
  return Done{};
}

Status Collection::sweep_cvds() {
  SweepOptions options = sweep_options();
  options.at_once = at_once_;
  options.settle = [&] { return content_.intakes().wait_for_earlier(options_.is_stopping); };
  options.needed = [&](std::uint8_t first) { return catalog_.needed_by_devices(first); };
  options.lacking = [&](std::span<const ChunkId> ids) -> Status {
    std::vector<ChunkId> all(ids.begin(), ids.end());
    auto missing = content_.layers().lacking(all);
    if (!missing) return fail(std::move(missing.error()));
    const std::set<ChunkId> nowhere(missing->begin(), missing->end());
    std::erase_if(all, [&](const ChunkId& id) { return nowhere.contains(id); });
    if (auto known = without_lost(*missing); !known) return known;
    if (!missing->empty())
      return fail(ErrorKind::corrupt,
                  std::to_string(missing->size()) + " chunks that devices need, chunk " +
                      missing->front().hex() +
                      " among them, are in no index: nothing is removed before `lamina-origin "
                      "check` says why");
    if (!all.empty()) borrowed_[std::to_integer<std::uint8_t>(all.front().bytes()[0])] = all;
    return Done{};
  };
  auto swept = content_.cvds().sweep(options);
  if (!swept) return fail(std::move(swept.error()).in("the packs of devices"));
  report_.cvds = std::move(*swept);
  return Done{};
}

Status Collection::sweep_layers() {
  SweepOptions options = sweep_options();
  options.named = [&] { return named_packs(); };
  if (options_.is_serving) options.rewrite_most = {};
  options.needed = [&](std::uint8_t first) -> Result<std::vector<ChunkId>> {
    auto needed = catalog_.needed_by_layers(first);
    const auto borrowed = borrowed_.find(first);
    if (!needed || borrowed == borrowed_.end()) return needed;
    std::vector<ChunkId> all;
    std::ranges::set_union(*needed, borrowed->second, std::back_inserter(all));
    return all;
  };
  options.lacking = [&](std::span<const ChunkId> ids) -> Status {
    std::vector<ChunkId> missing(ids.begin(), ids.end());
    if (auto known = without_lost(missing); !known || missing.empty()) return known;
    return fail(ErrorKind::corrupt,
                std::to_string(missing.size()) + " chunks that layers need, chunk " +
                    missing.front().hex() +
                    " among them, are not in the index: nothing is removed before `lamina-origin "
                    "check` says why");
  };
  auto swept = content_.layers().sweep(options);
  if (!swept) return fail(std::move(swept.error()).in("the packs of layers"));
  report_.layers = std::move(*swept);
  return Done{};
}

// The catalogue is asked again: hours may have passed since the lists were made.
Status Collection::remove_objects() {
  const std::string objects = content_.data() + "/objects/";
  const auto is_layer = [&](const std::string& name) {
    const auto id = LayerId::parse(name);
    if (!id || layers_.contains(*id)) return true;
    const auto layer = catalog_.layer(*id);
    return layer || layer.error().kind() != ErrorKind::not_found;
  };
  for (const char* kind : {"layers", "distributions", "torrents"})
    if (auto done = remove_old_files(objects + kind, is_layer); !done) return done;
  return remove_old_files(objects + "snapshots", [&](const std::string& name) {
    const auto id = SnapshotId::parse(name);
    if (!id || snapshots_.contains(*id)) return true;
    const auto bytes = content_.snapshot_record(*id);
    const auto record = bytes ? format::parse_snapshot(*bytes)
                              : Result<format::SnapshotRecord>(fail(bytes.error()));
    if (!record) return true;  // Whose it is cannot be told.
    const auto known = catalog_.has_snapshot(record->device, *id);
    return !known || *known;
  });
}

Status Collection::remove_old_files(const std::string& directory,
                                    const std::function<bool(const std::string& name)>& is_needed) {
  auto names = os::list_directory(directory);
  if (!names) return fail(std::move(names.error()));
  for (const std::string& name : *names) {
    const std::string path = directory + '/' + name;
    if (is_needed(name) || is_new(path)) continue;
    ++report_.objects_removed;
    if (options_.dry_run) continue;
    auto done = os::remove_file(path);
    if (!done && done.error().kind() != ErrorKind::not_found) return done;
    step("object");
  }
  return Done{};
}

nlohmann::json to_json(const Swept& swept) {
  nlohmann::json unsound = nlohmann::json::array();
  for (const PackId& id : swept.unsound) unsound.push_back(id.hex());
  return {{"chunks", swept.chunks},
          {"chunks_unneeded", swept.unneeded},
          {"chunks_removed", swept.removed},
          {"packs", swept.packs},
          {"packs_removed", swept.packs_removed},
          {"packs_rewritten", swept.packs_rewritten},
          {"packs_worn", swept.worn_named.size()},
          {"freed_bytes", swept.freed.count},
          {"written_bytes", swept.written.count},
          {"unsound_packs", unsound}};
}

nlohmann::json to_json(const GarbageReport& report, bool dry_run) {
  nlohmann::json unreadable = nlohmann::json::array();
  for (const GarbageReport::Unreadable& one : report.unreadable)
    unreadable.push_back({{"device", one.device.hex()}, {"text", one.text}});
  return {{"gc",
           {{"dry_run", dry_run},
            {"devices", report.devices},
            {"snapshots", report.snapshots},
            {"snapshots_removed", report.snapshots_removed},
            {"links", report.links.links},
            {"links_unneeded", report.links.unneeded},
            {"links_removed", report.links.removed},
            {"layers_released", report.layers_released},
            {"layer_rows_removed", report.layer_rows_removed},
            {"objects_removed", report.objects_removed},
            {"erased", report.erased.size()},
            {"erasures_open", report.erasures_open},
            {"layers", to_json(report.layers)},
            {"cvd", to_json(report.cvds)},
            {"freed_bytes", report.freed().count},
            {"unreadable", unreadable}}}};
}

void print(std::ostream& out, const std::string& name, const Swept& swept) {
  out << name << std::string(10 - name.size(), ' ') << swept.packs_removed << " of " << swept.packs
      << " packs removed";
  if (swept.packs_rewritten > 0) out << ", " << swept.packs_rewritten << " of them written anew";
  out << "; " << swept.removed << " of " << swept.chunks << " chunks removed, " << swept.unneeded
      << " wait for their grace\n";
  if (!swept.worn_named.empty())
    out << "  " << swept.worn_named.size()
        << " packs with much dead content stay: layers name them\n";
  for (const PackId& id : swept.unsound)
    out << "  pack " << id.hex() << " has other bytes than it should: `lamina-origin check`\n";
}

void print(std::ostream& out, const GarbageReport& report, bool dry_run) {
  if (dry_run) out << "nothing was changed; one collection now would do this:\n";
  out << "devices   " << report.snapshots_removed << " snapshots removed by retention, "
      << report.snapshots << " stay; " << report.links.removed << " of " << report.links.links
      << " chunks of " << report.devices << " devices let go, " << report.links.unneeded
      << " wait for their grace\n";
  print(out, "cvd", report.cvds);
  print(out, "layers", report.layers);
  if (report.objects_removed > 0)
    out << "objects   " << report.objects_removed << " files removed\n";
  for (const DeviceId& device : report.erased)
    out << "erased    the CVD of device " << device.hex() << '\n';
  if (report.erasures_open > 0)
    out << "erasures  " << report.erasures_open
        << " under way; `lamina device proof` says what is left\n";
  for (std::size_t i = 0; i < std::min(kNamesShown, report.unreadable.size()); ++i)
    out << "kept all of device " << report.unreadable[i].device.hex() << ": "
        << printable(report.unreadable[i].text) << '\n';
  if (report.unreadable.size() > kNamesShown)
    out << "and of " << report.unreadable.size() - kNamesShown << " more devices\n";
  out << "freed     " << to_text(report.freed()) << '\n';
}

Result<Duration> grace_of(const std::string& text, Duration otherwise, const char* option) {
  if (text.empty()) return otherwise;
  auto grace = parse_duration(text);
  if (!grace) return fail(std::move(grace.error()).in(option));
  return grace;
}

}  // namespace

Result<GarbageReport> collect_garbage(Content& content, Catalog& catalog,
                                      const GarbageOptions& options, WallTime now) {
  return Collection(content, catalog, options, now).run();
}

GarbageCollector::GarbageCollector(Content& content, Table& table, Duration every)
    : content_(content), table_(table), every_(every) {
  if (const auto known = Catalog(table_).collections(); known && !known->empty())
    standing_.last = known->back().at;
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

GarbageCollector::~GarbageCollector() = default;

GarbageCollector::Standing GarbageCollector::standing() const {
  const std::lock_guard lock(mutex_);
  return standing_;
}

void GarbageCollector::look_now() {
  {
    const std::lock_guard lock(mutex_);
    is_hurried_ = true;
  }
  wakes_.notify_all();
}

void GarbageCollector::run(const std::stop_token& stop) {
  WallTime before = standing().last;
  if (before.ns == 0) {
    // A new origin has nothing to collect: it waits from its first start on, however often it is
    // started again.
    before = os::system_clock().wall();
    if (auto noted = Catalog(table_).note_collection({before, {}}); !noted)
      log::error("gc_failed", {{"error", noted.error().text()}});
  }
  while (!stop.stop_requested()) {
    const WallTime now = os::system_clock().wall();
    before.ns = std::min(before.ns, now.ns);  // A clock that was wrong does not put it off.
    if (now.ns - before.ns >= every_.count() || has_new_erasures()) {
      before = collect(stop)
                   ? now
                   : WallTime{now.ns - every_.count() + std::min(every_, kTryAgain).count()};
    }
    std::unique_lock lock(mutex_);
    wakes_.wait_for(lock, stop, kLookEvery, [&] { return is_hurried_; });
    is_hurried_ = false;
  }
}

bool GarbageCollector::has_new_erasures() {
  const auto erasures = Catalog(table_).erasures();
  if (!erasures) return false;  // The collection that is due says why.
  bool is_new = false;
  for (const wire::ErasureInfo& erasure : *erasures)
    if (erasure.state == wire::kErasurePending)
      is_new =
          std::exchange(tried_[erasure.device], erasure.requested_ms) != erasure.requested_ms ||
          is_new;
  return is_new;
}

bool GarbageCollector::collect(const std::stop_token& stop) {
  Catalog catalog(table_);
  GarbageOptions options;
  options.is_serving = true;
  options.is_stopping = [&] { return stop.stop_requested(); };
  const Instant begun = os::system_clock().now();
  const WallTime now = os::system_clock().wall();
  auto report = collect_garbage(content_, catalog, options, now);
  if (stop.stop_requested() && !report) return false;
  const std::lock_guard lock(mutex_);
  if (!report && report.error().kind() == ErrorKind::unavailable) {
    log::info("gc_put_off", {{"why", report.error().text()}});
    return false;
  }
  if (!report) {
    ++standing_.failures;
    log::error("gc_failed", {{"error", report.error().text()}});
    return false;
  }
  ++standing_.collections;
  standing_.freed += report->freed();
  standing_.last = now;
  log::info("gc_done",
            {{"freed", report->freed()},
             {"snapshots_removed", report->snapshots_removed},
             {"packs_removed", report->cvds.packs_removed + report->layers.packs_removed},
             {"devices_unreadable", report->unreadable.size()},
             {"took", os::system_clock().now() - begun}});
  for (const GarbageReport::Unreadable& one : report->unreadable)
    log::warning("gc_unreadable", {{"device", one.device}, {"error", one.text}});
  return true;
}

Status run_gc(const DataDirectory& data, const GarbageRequest& request, WallTime now,
              std::ostream& out) {
  if (auto is = check_is_origin(data); !is) return is;
  if (auto has = check_has_catalogue(data); !has) return has;
  // What another user makes, `serve` could not open.
  if (auto own = os::check_owner(data.root()); !own) return own;
  GarbageOptions options;
  auto grace = grace_of(request.grace, options.grace, "--grace");
  if (!grace) return fail(std::move(grace.error()));
  auto store_grace = grace_of(request.store_grace, options.store_grace, "--store-grace");
  if (!store_grace) return fail(std::move(store_grace.error()));
  options.grace = *grace;
  options.store_grace = *store_grace;
  options.dry_run = request.dry_run;
  auto keys = read_keys(data);
  if (!keys) return fail(std::move(keys.error()));
  auto content =
      Content::open(data.root(), {keys->publishers, keys->target, keys->swarm_ca.certificate_pem});
  if (!content) return fail(std::move(content.error()));
  auto table = JournaledTable::open(data.catalog(), data.journal());
  if (!table) return fail(std::move(table.error()));
  Catalog catalog(**table);
  auto report = collect_garbage(**content, catalog, options, now);
  if (!report) return fail(std::move(report.error()));
  if (request.as_json)
    out << to_json(*report, request.dry_run).dump() << '\n';
  else
    print(out, *report, request.dry_run);
  return Done{};
}

}  // namespace lamina::origin
