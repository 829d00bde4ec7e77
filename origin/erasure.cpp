#include "origin/erasure.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "origin/data_directory.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kPlacesMax = 1 << 16;  // Bytes of the note.

std::string places_path(const std::string& data) { return data + "/backups.json"; }

class Proof {
 public:
  Proof(const Content& content, const Catalog& catalog, const DeviceId& device,
        const std::function<bool()>& is_stopping)
      : content_(content), catalog_(catalog), device_(device), is_stopping_(is_stopping) {}

  Result<wire::ErasureProof> run();

 private:
  Status look_at_rows();
  Status look_at_records();
  Status look_at_index();
  Status look_at_packs();
  void look_aside();
  Status name_out_of_reach();
  void found(wire::ErasureCheck& check, const std::string& what) {
    if (check.found++ == 0) check.text = what;
  }
  bool is_only(const ChunkId& id) const { return std::ranges::binary_search(chunks_.only, id); }
  Status go_on() const {
    if (!is_stopping_()) return Done{};
    return fail(ErrorKind::unavailable, "the proof was told to stop");
  }

  const Content& content_;
  const Catalog& catalog_;
  DeviceId device_;
  const std::function<bool()>& is_stopping_;
  ErasedChunks chunks_;
  wire::ErasureProof proof_;
};

Result<wire::ErasureProof> Proof::run() {
  auto erasure = catalog_.erasure(device_);
  if (!erasure) return fail(std::move(erasure.error()));
  proof_.erasure = std::move(*erasure);
  auto content = catalog_.erased_content(device_);
  if (!content) return fail(std::move(content.error()));
  auto chunks = split_erased(catalog_, std::move(content->chunks));
  if (!chunks) return fail(std::move(chunks.error()));
  chunks_ = std::move(*chunks);
  for (const auto look : {&Proof::look_at_rows, &Proof::look_at_records, &Proof::look_at_index,
                          &Proof::look_at_packs})
    if (auto done = (this->*look)(); !done) return fail(std::move(done.error()));
  look_aside();
  if (auto done = name_out_of_reach(); !done) return fail(std::move(done.error()));
  proof_.holds = proof_.erasure.state == wire::kErased &&
                 std::ranges::all_of(proof_.checks, [](const auto& c) { return c.found == 0; });
  return std::move(proof_);
}

Status Proof::look_at_rows() {
  wire::ErasureCheck check{.what = "rows of the catalogue"};
  // A device that stays has rows, also of the CVD that it began since.
  if (proof_.erasure.device_stays) {
    check.text = "the device stays";
  } else {
    auto rows = catalog_.rows_of(device_);
    if (!rows) return fail(std::move(rows.error()));
    for (const auto& [kind, count] : *rows) {
      ++check.looked_at;
      if (count > 0) found(check, std::to_string(count) + " rows '" + kind + "'");
    }
  }
  proof_.checks.push_back(std::move(check));
  return Done{};
}

// Every record there is: one that the catalogue forgot is found, too.
Status Proof::look_at_records() {
  wire::ErasureCheck check{.what = "records of snapshots"};
  // Its records may be snapshots of a device that took the CVD over before, or its own newer ones.
  std::set<SnapshotId> known;
  auto devices = catalog_.devices();
  if (!devices) return fail(std::move(devices.error()));
  for (const wire::DeviceInfo& device : *devices) {
    auto snapshots = catalog_.snapshots(device.id);
    if (!snapshots) return fail(std::move(snapshots.error()));
    for (const wire::SnapshotInfo& snapshot : *snapshots) known.insert(snapshot.id);
  }
  auto names = os::list_directory(content_.data() + "/objects/snapshots");
  if (!names) return fail(std::move(names.error()));
  for (const std::string& name : *names) {
    if (auto going = go_on(); !going) return going;
    const auto id = SnapshotId::parse(name);
    if (!id || known.contains(*id)) continue;
    ++check.looked_at;
    const auto bytes = content_.snapshot_record(*id);
    const auto record = bytes ? format::parse_snapshot(*bytes)
                              : Result<format::SnapshotRecord>(fail(bytes.error()));
    // One that went, or that nobody can read: `lamina-origin check` has it among its findings.
    if (record && record->device == device_) found(check, "snapshot " + id->hex());
  }
  proof_.checks.push_back(std::move(check));
  return Done{};
}

Status Proof::look_at_index() {
  wire::ErasureCheck check{.what = "chunks in the index",
                           .looked_at = static_cast<std::int64_t>(chunks_.only.size())};
  auto missing = content_.cvds().lacking(chunks_.only);
  if (!missing) return fail(std::move(missing.error()));
  const std::set<ChunkId> gone(missing->begin(), missing->end());
  for (const ChunkId& id : chunks_.only)
    if (!gone.contains(id)) found(check, "chunk " + id.hex());
  proof_.checks.push_back(std::move(check));
  return Done{};
}

Status Proof::look_at_packs() {
  wire::ErasureCheck check{.what = "packs of CVDs"};
  const PackFiles& files = content_.cvds().files();
  auto packs = files.list();
  if (!packs) return fail(std::move(packs.error()));
  for (const PackId& id : *packs) {
    if (auto going = go_on(); !going) return going;
    ++check.looked_at;
    auto pack = files.read(id);
    if (!pack) {
      if (pack.error().kind() == ErrorKind::not_found) continue;  // A sweep was faster.
      found(check, "pack " + id.hex() + " cannot be read: " + pack.error().text());
      continue;
    }
    for (const format::Frame& frame : pack->index().frames)
      for (const format::ChunkRef& chunk : frame.chunks)
        if (is_only(chunk.id)) found(check, "chunk " + chunk.id.hex() + " in pack " + id.hex());
  }
  proof_.checks.push_back(std::move(check));
  return Done{};
}

void Proof::look_aside() {
  wire::ErasureCheck check{.what = "packs that were set aside"};
  for (const LostPack& note : content_.cvds().lost_packs()) {
    ++check.looked_at;
    for (const format::ChunkRef& chunk : note.chunks)
      if (is_only(chunk.id)) found(check, "chunk " + chunk.id.hex() + " in " + note.pack.hex());
  }
  proof_.checks.push_back(std::move(check));
}

Status Proof::name_out_of_reach() {
  const DataDirectory data(content_.data());
  auto backups = backup_places(content_.data());
  if (!backups) return fail(std::move(backups.error()));
  for (const BackupPlace& backup : *backups)
    proof_.out_of_reach.push_back(
        "the backup in " + printable(backup.path) + ", last written " +
        to_iso8601(WallTime{backup.made_ms * 1'000'000}) +
        ": nothing is ever removed from one; begin another directory and remove it");
  // `repair` puts packs there without a note of what was in them.
  const std::string aside = data.cvds() + "/unsound";
  std::uint64_t unnoted = 0;
  if (os::exists(aside)) {
    auto names = os::list_directory(aside);
    if (!names) return fail(std::move(names.error()));
    const auto notes = content_.cvds().lost_packs();
    for (const std::string& name : *names) {
      const auto id = PackId::parse(name);
      if (id && std::ranges::find(notes, *id, &LostPack::pack) == notes.end()) ++unnoted;
    }
  }
  if (unnoted > 0)
    proof_.out_of_reach.push_back(std::to_string(unnoted) + " packs in " + printable(aside) +
                                  " of which nobody knows what was in them: remove them");
  proof_.out_of_reach.push_back(
      "the journal of the catalogue: it has ids and facts of the device, and no content, until its "
      "rows are next written anew");
  proof_.out_of_reach.push_back(
      "relays of its site: what one still holds of it is sealed for this origin, is refused here, "
      "and given up after seven days");
  proof_.out_of_reach.push_back(
      "the device's own disk, and blocks of this machine's disk that were freed and are not "
      "overwritten yet");
  return Done{};
}

}  // namespace

Result<ErasedChunks> split_erased(const Catalog& catalog, std::vector<ChunkId> chunks) {
  ErasedChunks split;
  std::vector<ChunkId> needed;
  int of = -1;
  for (const ChunkId& id : chunks) {
    const auto first = std::to_integer<std::uint8_t>(id.bytes()[0]);
    if (first != of) {
      auto ids = catalog.needed_by_devices(first);
      if (!ids) return fail(std::move(ids.error()));
      needed = std::move(*ids);
      of = first;
    }
    (std::ranges::binary_search(needed, id) ? split.shared : split.only).push_back(id);
  }
  return split;
}

Result<wire::ErasureProof> prove_erasure(const Content& content, const Catalog& catalog,
                                         const DeviceId& device,
                                         const std::function<bool()>& is_stopping) {
  return Proof(content, catalog, device, is_stopping).run();
}

Result<std::vector<BackupPlace>> backup_places(const std::string& data) {
  std::vector<BackupPlace> places;
  const std::string path = places_path(data);
  auto text = os::read_text(path, kPlacesMax);
  if (!text) {
    if (text.error().kind() == ErrorKind::not_found) return places;
    return fail(std::move(text.error()));
  }
  const auto object = nlohmann::json::parse(*text, nullptr, false);
  const auto corrupt = [&] {
    return fail(ErrorKind::corrupt, printable(path) +
                                        " does not parse: remove it, backups note "
                                        "themselves there again");
  };
  if (!object.is_object()) return corrupt();
  for (const auto& [place, made] : object.items()) {
    if (!made.is_number_integer()) return corrupt();
    places.push_back({place, made.get<std::int64_t>()});
  }
  return places;
}

Status note_backup(const std::string& data, const BackupPlace& place) {
  auto places = backup_places(data);
  if (!places) return fail(std::move(places.error()));
  nlohmann::json object = nlohmann::json::object();
  for (const BackupPlace& one : *places)
    if (os::exists(one.path)) object[one.path] = one.made_ms;
  object[place.path] = place.made_ms;
  return os::write_file(
      places_path(data),
      as_view(object.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n'), 0644);
}

}  // namespace lamina::origin
