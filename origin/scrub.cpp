#include "origin/scrub.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "origin/catalog/table.hpp"
#include "origin/lost_chunks.hpp"
#include "shared/base/log.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/lock.hpp"

namespace lamina::origin {
namespace {

constexpr Duration kTryAgain = std::chrono::minutes{5};  // After a failure.
constexpr Duration kWaitAlone = std::chrono::seconds{5};
// A kill has the packs of so long looked at again.
constexpr Duration kPlaceEvery = std::chrono::seconds{10};

std::string place_path(const DataDirectory& data) { return data.root() + "/scrub.json"; }

Error told_to_stop() { return {ErrorKind::unavailable, "the scrub was told to stop"}; }

}  // namespace

ScrubPlace read_scrub_place(const DataDirectory& data) {
  const auto text = os::read_text(place_path(data), 4096);
  if (!text) return {};
  const auto object = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return {};
  ScrubPlace place;
  const auto word = [&](const char* key) {
    const auto at = object.find(key);
    return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  const auto number = [&](const char* key) -> std::int64_t {
    const auto at = object.find(key);
    return at != object.end() && at->is_number_unsigned() ? at->get<std::int64_t>() : 0;
  };
  place.space = word("space") == "cvd" ? "cvd" : "layers";
  if (const auto after = PackId::parse(word("after"))) place.after = *after;
  place.round_began_ms = number("round_began_ms");
  place.round_ended_ms = number("round_ended_ms");
  return place;
}

Status write_scrub_place(const DataDirectory& data, const ScrubPlace& place) {
  const nlohmann::json object{{"space", place.space},
                              {"after", place.after.hex()},
                              {"round_began_ms", place.round_began_ms},
                              {"round_ended_ms", place.round_ended_ms}};
  return os::write_file(place_path(data), as_view(object.dump() + '\n'), 0600);
}

std::string next_for_lost(const std::string& space, const std::string& data) {
  return space == "layers"
             ? "mirrors and devices that have it are asked for it; else stop `lamina-origin serve` "
               "and type `lamina-origin repair --data " +
                   data + " --from BACKUP`"
             : "devices send again what they still have with their next snapshot; for the rest "
               "stop "
               "`lamina-origin serve` and type `lamina-origin repair --data " +
                   data + " --from BACKUP`";
}

// --- Scrub

Scrub::Scrub(Content& content, Catalog& catalog, Calls calls)
    : content_(content), catalog_(catalog), calls_(std::move(calls)) {
  spaces_.push_back({"layers", content.layers()});
  spaces_.push_back({"cvd", content.cvds()});
}

Status Scrub::look_at_noted(WallTime now) {
  std::set<ChunkId> missed;
  for (Space& space : spaces_)
    for (const LostPack& note : space.store.lost_packs()) {
      if (space.store.files().has(note.pack))
        if (auto done = look_at(space, note.pack, now); !done) return done;
      std::vector<ChunkId> ids;
      for (const format::ChunkRef& chunk : note.chunks) ids.push_back(chunk.id);
      auto lost = space.store.lost(ids);
      if (!lost) return fail(std::move(lost.error()));
      missed.insert(lost->begin(), lost->end());
    }
  auto needed = needed_of(missed);
  if (!needed) return fail(std::move(needed.error()));
  auto named = wanted();
  if (!named) return fail(std::move(named.error()));
  for (Space& space : spaces_)
    for (const LostPack& note : space.store.lost_packs()) {
      const bool is_missed =
          (&space == &spaces_.front() && named->contains(note.pack)) ||
          std::ranges::any_of(note.chunks, [&](const auto& c) { return needed->contains(c.id); });
      if (is_missed) continue;
      log::info("lost_pack_settled", {{"space", space.name}, {"pack", note.pack}});
      if (auto done = space.store.drop_lost(note.pack); !done) return done;
    }
  return Done{};
}

Result<std::set<ChunkId>> Scrub::needed_of(const std::set<ChunkId>& chunks) const {
  std::set<ChunkId> needed;
  if (chunks.empty()) return needed;
  auto looked = catalog_.for_each_need([&](const Catalog::ChunkNeed& need) {
    if (chunks.contains(need.chunk)) needed.insert(need.chunk);
  });
  if (!looked) return fail(std::move(looked.error()));
  return needed;
}

Result<WantedPacks::List> Scrub::wanted() const {
  return find_lost_packs(DataDirectory(content_.data()), catalog_);
}

Status Scrub::list(Space& space, WallTime now) {
  // First the index: a pack is there before its rows are.
  auto rows = space.store.packs_in_index();
  if (!rows) return fail(std::move(rows.error()));
  auto packs = space.store.files().list();
  if (!packs) return fail(std::move(packs.error()));
  std::ranges::sort(*packs);
  space.packs = std::move(*packs);
  space.is_listed = true;
  for (const auto& [id, count] : *rows)
    if (!std::ranges::binary_search(space.packs, id))
      if (auto done = look_at(space, id, now); !done) return done;
  return Done{};
}

Status Scrub::look_at(Space& space, const PackId& id, WallTime now) {
  auto look = look_at_pack(space.store.files(), id, [&](Bytes read) -> Status {
    counts_.read += read;
    return calls_.on_piece ? calls_.on_piece(read) : Status(Done{});
  });
  if (!look) return fail(std::move(look.error()));
  if (look->state == PackLook::State::lost) look->text = "pack " + id.hex() + " is not there";
  if (look->state != PackLook::State::sound) return set_aside(space, id, *look, now);
  ++counts_.packs;
  auto mended = space.store.mend(id, *look);
  if (!mended) return fail(std::move(mended.error()));
  counts_.mended += static_cast<std::int64_t>(*mended);
  if (*mended > 0)
    log::warning("pack_mended", {{"space", space.name}, {"pack", id}, {"changes", *mended}});
  return Done{};
}

Status Scrub::set_aside(Space& space, const PackId& id, const PackLook& look, WallTime now) {
  Result<std::optional<LostPack>> note = std::nullopt;
  {
    auto alone = calls_.alone();
    if (!alone) return fail(std::move(alone.error()));
    note = space.store.set_aside(id, look, now, calls_.on_step);
  }
  if (!note) return fail(std::move(note.error()));
  if (!*note) return Done{};  // A sweep removed it, or it came back.
  ++counts_.packs;
  ++counts_.set_aside;
  if (!calls_.found) return Done{};
  std::set<ChunkId> chunks;
  for (const format::ChunkRef& chunk : (*note)->chunks) chunks.insert(chunk.id);
  auto touched = find_touched(
      catalog_, content_.source(),
      [&](const SnapshotId& snapshot) { return content_.snapshot_record(snapshot); },
      std::span(&chunks, 1), calls_.is_stopping);
  if (!touched) return fail(std::move(touched.error()));
  calls_.found({space.name, std::move(**note), std::move(touched->front())});
  return Done{};
}

Result<bool> Scrub::step(ScrubPlace& place, WallTime now) {
  if (place.round_began_ms == 0) place.round_began_ms = now.ns / 1'000'000;
  Space& space = spaces_[place.space == "cvd" ? 1 : 0];
  if (!space.is_listed)
    if (auto done = list(space, now); !done) return fail(std::move(done.error()));
  const auto next = std::ranges::upper_bound(space.packs, place.after);
  if (next != space.packs.end()) {
    if (auto done = look_at(space, *next, now); !done) return fail(std::move(done.error()));
    place.after = *next;
    return false;
  }
  place.after = {};
  space.packs = {};
  space.is_listed = false;
  const bool has_ended = &space == &spaces_.back();
  place.space = has_ended ? "layers" : "cvd";
  if (!has_ended) return false;
  place.round_began_ms = 0;
  place.round_ended_ms = now.ns / 1'000'000;
  return true;
}

// --- Scrubber

Scrubber::Scrubber(Content& content, Table& table, Options options,
                   std::function<void(WantedPacks::List)> want)
    : content_(content), table_(table), options_(options), want_(std::move(want)) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Scrubber::~Scrubber() = default;

Scrubber::Standing Scrubber::standing() const {
  Standing standing;
  {
    const std::lock_guard lock(mutex_);
    standing = standing_;
  }
  for (const auto& [name, store] :
       {std::pair<std::string, const ChunkStore*>("layers", &content_.layers()),
        std::pair<std::string, const ChunkStore*>("cvd", &content_.cvds())}) {
    Standing::Space& space = standing.lost[name];
    for (const LostPack& note : store->lost_packs()) {
      ++space.packs;
      std::map<ChunkId, std::uint32_t> lengths;
      std::vector<ChunkId> ids;
      for (const format::ChunkRef& chunk : note.chunks) {
        lengths[chunk.id] = chunk.length;
        ids.push_back(chunk.id);
      }
      const auto lost = store->lost(ids);
      if (!lost) continue;  // A broken index is told of by whoever needs it.
      space.chunks += static_cast<std::int64_t>(lost->size());
      for (const ChunkId& id : *lost) space.bytes += Bytes{lengths.at(id)};
    }
  }
  return standing;
}

bool Scrubber::wait(const std::stop_token& stop, Duration most) {
  std::unique_lock lock(mutex_);
  wakes_.wait_for(lock, stop, most, [] { return false; });
  return !stop.stop_requested();
}

void Scrubber::count(const Scrub& scrub, const ScrubPlace& place, bool has_ended) {
  const std::lock_guard lock(mutex_);
  standing_.counts = scrub.counts();
  standing_.rounds += has_ended ? 1 : 0;
  standing_.round_ended_ms = place.round_ended_ms;
}

Status Scrubber::refresh(Scrub& scrub) {
  if (auto done = scrub.look_at_noted(os::system_clock().wall()); !done) return done;
  auto wanted = scrub.wanted();
  if (!wanted) return fail(std::move(wanted.error()));
  want_(std::move(*wanted));
  return Done{};
}

void Scrubber::run(const std::stop_token& stop) {
  const DataDirectory data(content_.data());
  Catalog catalog(table_);
  Instant ready = os::system_clock().now();  // When the next piece may be read.
  bool has_found = false;
  Scrub scrub(
      content_, catalog,
      {.on_piece = [&](Bytes read) -> Status {
         const Instant now = os::system_clock().now();
         ready = std::max(ready, now) + Duration{read.count * 1'000'000'000 / options_.rate.count};
         return wait(stop, ready - now) ? Status(Done{}) : Status(fail(told_to_stop()));
       },
       .alone = [&]() -> Result<os::FileLock> {
         for (bool is_first = true;; is_first = false) {
           auto lock = os::FileLock::take_directory(data.keys(), os::FileLock::Mode::alone);
           if (lock || lock.error().kind() != ErrorKind::unavailable) return lock;
           if (is_first) log::info("scrub_waits", {{"why", lock.error().text()}});
           if (!wait(stop, kWaitAlone)) return fail(told_to_stop());
         }
       },
       .found =
           [&](const ScrubFound& found) {
             has_found = true;
             std::int64_t bytes = 0;
             for (const format::ChunkRef& chunk : found.note.chunks) bytes += chunk.length;
             log::error("pack_set_aside",
                        {{"space", found.space},
                         {"pack", found.note.pack.hex()},
                         {"why", found.note.text},
                         {"chunks", found.note.chunks.size()},
                         {"bytes", Bytes{bytes}},
                         {"layers", found.touched.layers.size()},
                         {"snapshots", found.touched.snapshots.size()},
                         {"devices", found.touched.devices.size()},
                         {"next", "`lamina-origin check --data " + data.root() + "` names them; " +
                                      next_for_lost(found.space, data.root())}});
           },
       .is_stopping = [&] { return stop.stop_requested(); },
       .on_step = {}});
  ScrubPlace place = read_scrub_place(data);
  count(scrub, place, false);
  Instant written = os::system_clock().now();
  Instant refresh_at = os::system_clock().now();
  bool is_new = true;  // At the start, and after each round.
  while (!stop.stop_requested()) {
    const Instant now = os::system_clock().now();
    Status done = Done{};
    const bool is_lost =
        !content_.layers().lost_packs().empty() || !content_.cvds().lost_packs().empty();
    if (is_new || has_found || (is_lost && now >= refresh_at)) {
      has_found = false;
      done = refresh(scrub);
      refresh_at = now + options_.refresh_every;
      is_new = false;
    }
    const std::int64_t wall_ms = os::system_clock().wall().ns / 1'000'000;
    // A clock that was wrong does not put it off.
    const std::int64_t since = std::max<std::int64_t>(0, wall_ms - place.round_ended_ms);
    const bool is_resting = place.round_began_ms == 0 && place.round_ended_ms <= wall_ms &&
                            since < options_.round_every / std::chrono::milliseconds{1};
    if (done && is_resting) {
      wait(stop, std::min({options_.refresh_every, options_.round_every,
                           Duration{std::chrono::minutes{1}}}));
      continue;
    }
    Result<bool> ended = false;
    if (done) ended = scrub.step(place, os::system_clock().wall());
    if (!done) ended = fail(std::move(done.error()));
    count(scrub, place, ended && *ended);
    if (ended && *ended) {
      log::info("scrub_round_done",
                {{"packs", scrub.counts().packs}, {"read", scrub.counts().read}});
      is_new = true;
    }
    if ((ended && *ended) || os::system_clock().now() - written >= kPlaceEvery) {
      if (auto kept = write_scrub_place(data, place); !kept)
        log::warning("scrub_place_not_kept", {{"error", kept.error().text()}});
      written = os::system_clock().now();
    }
    if (ended || stop.stop_requested()) continue;
    {
      const std::lock_guard lock(mutex_);
      ++standing_.failures;
    }
    log::error("scrub_failed", {{"error", ended.error().text()}});
    wait(stop, kTryAgain);
  }
  if (auto kept = write_scrub_place(data, place); !kept)
    log::warning("scrub_place_not_kept", {{"error", kept.error().text()}});
}

}  // namespace lamina::origin
