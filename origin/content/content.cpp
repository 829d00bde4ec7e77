#include "origin/content/content.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "shared/format/needed_packs.hpp"
#include "shared/format/signed_layer.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kTorrentMax = std::size_t{64} << 20;

std::string object_path(const std::string& data, const char* kind, const std::string& hex) {
  return data + "/objects/" + kind + '/' + hex;
}

void tell_packs(const format::DistributionRecord& distribution, wire::LayerInfo& info) {
  info.packs = static_cast<std::int64_t>(distribution.packs.size());
  info.stored_bytes = 0;
  std::int64_t bytes = 0;
  std::int64_t packs = 0;
  for (const format::DistributedPack& pack : distribution.packs) {
    if (!pack.update_from.empty()) {
      --info.packs;
      continue;
    }
    info.stored_bytes += static_cast<std::int64_t>(pack.size);
    if (pack.unless.empty()) continue;
    bytes += static_cast<std::int64_t>(pack.size);
    ++packs;
  }
  if (packs == 0) return;
  info.fresh_packs = packs;
  info.fresh_bytes = bytes;
}

}  // namespace

Result<std::unique_ptr<Content>> Content::open(const std::string& data, Keys keys) {
  for (const char* name : {"/objects/layers", "/objects/distributions", "/objects/snapshots",
                           "/objects/torrents", "/torrents", "/tmp"})
    if (auto done = os::make_directories(data + name); !done) return fail(std::move(done.error()));
  auto layers = ChunkStore::open(data + "/layers");
  if (!layers) return fail(std::move(layers.error()));
  auto cvds = ChunkStore::open(data + "/cvd");
  if (!cvds) return fail(std::move(cvds.error()));
  return std::unique_ptr<Content>(
      new Content(data, std::move(keys), std::move(*layers), std::move(*cvds)));
}

Result<format::LayerRecord> Content::read_layer(ByteView envelope) const {
  auto opened = format::open_record(format::RecordType::layer, envelope, keys_.publishers);
  if (!opened) return fail(std::move(opened.error()));
  return format::parse_layer(opened->record);
}

Result<std::vector<Published>> Content::published_beside(const LayerId& layer) const {
  auto names = os::list_directory(data_ + "/objects/distributions");
  if (!names) return fail(std::move(names.error()));
  std::vector<Published> published;
  for (const std::string& name : *names) {
    const auto id = LayerId::parse(name);
    if (!id || *id == layer) continue;
    auto distribution = distribution_record(*id);
    auto envelope = layer_record(*id);
    // One that is removed just now, or whose publisher is trusted no more: nobody gets it.
    if (!distribution || !envelope) continue;
    auto record = read_layer(*envelope);
    if (!record) continue;
    published.push_back({.layer = *id,
                         .name = std::move(record->name),
                         .version = std::move(record->version),
                         .created = record->created,
                         .manifest = std::move(record->manifest),
                         .packs = std::move(distribution->packs)});
  }
  return published;
}

Result<LayerPacks> Content::packs_of(const format::LayerRecord& record,
                                     const std::vector<Published>& published) const {
  LayerPacks packs(*layers_, record.name);
  auto visited = format::for_each_chunk(record.manifest, layers_->source(),
                                        [&](const format::ChunkRef& chunk, bool is_metadata) {
                                          return packs.add(chunk, is_metadata);
                                        });
  if (!visited)
    return fail(std::move(visited.error()).in("it cannot be published, send its packs first"));
  if (auto done = packs.make_lean(published); !done) return fail(std::move(done.error()));
  return packs;
}

Result<swarm::TorrentFile> Content::torrent_of(
    const std::vector<format::DistributedPack>& packs) const {
  std::vector<swarm::TorrentPack> torrent_packs;
  for (const format::DistributedPack& pack : packs) {
    auto hashes = layers_->files().block_hashes(pack.id);
    if (!hashes) return fail(std::move(hashes.error()));
    torrent_packs.push_back({pack.id, pack.size, std::move(*hashes)});
  }
  return swarm::make_torrent(torrent_packs, keys_.swarm_ca_pem);
}

Result<Content::Plain> Content::without_updates(const LayerId& id) const {
  auto record = distribution_record(id);
  if (!record) return fail(std::move(record.error()));
  const auto updates =
      std::erase_if(record->packs, [](const auto& pack) { return !pack.update_from.empty(); });
  if (updates == 0) {
    auto envelope = distribution(id);
    auto file = envelope ? torrent(id) : Result<Buffer>(fail(std::move(envelope.error())));
    if (!file) return fail(std::move(file.error()));
    return Plain{std::move(*envelope), record->torrent, std::move(*file)};
  }
  for (format::DistributedPack& pack : record->packs) pack.unless_updated.clear();
  auto made = torrent_of(record->packs);
  if (!made) return fail(std::move(made.error()));
  record->torrent = made->id;
  return Plain{
      format::sign_record(format::RecordType::distribution, format::encode(*record), keys_.target),
      made->id, std::move(made->bytes)};
}

Result<Publication> Content::examine(ByteView envelope, WallTime now,
                                     const UpdateWish& wish) const {
  auto record = read_layer(envelope);
  if (!record) return fail(std::move(record.error()));
  const std::string what = "layer " + record->name + ' ' + record->version;
  const LayerId id = format::layer_id(envelope);
  auto published = published_beside(id);
  if (!published) return fail(std::move(published.error()).in(what));
  auto packs = packs_of(*record, *published);
  if (!packs) return fail(std::move(packs.error()).in(what));
  auto distributed = packs->packs();
  if (!distributed) return fail(std::move(distributed.error()).in(what));
  std::erase_if(*published, [&](const Published& one) {
    return std::ranges::find(wish.from, one.layer) == wish.from.end();
  });
  if (std::ranges::find(wish.from, format::kNoLayer) != wish.from.end())
    published->push_back({.layer = format::kNoLayer});
  auto updates = add_updates(
      *layers_, data_ + "/tmp", *packs, record->manifest, *published, wish.effort,
      [this] { return is_stopping_.load(); }, *distributed);
  if (!updates) return fail(std::move(updates.error()).in(what));

  Publication publication;
  publication.record = to_buffer(envelope);
  publication.chunks = packs->chunks();
  publication.written_anew = packs->written();
  publication.updates = std::move(*updates);
  format::DistributionRecord distribution{.layer = id, .sequence = 1};
  distribution.packs = std::move(*distributed);
  auto torrent = torrent_of(distribution.packs);
  if (!torrent) return fail(std::move(torrent.error()).in(what));
  distribution.torrent = torrent->id;
  publication.distribution = format::sign_record(format::RecordType::distribution,
                                                 format::encode(distribution), keys_.target);
  publication.torrent = torrent->id;
  publication.torrent_file = std::move(torrent->bytes);
  publication.info = {.id = id,
                      .name = record->name,
                      .version = record->version,
                      .kind = std::string(name_of(record->kind)),
                      .os_family = record->platform.os_family,
                      .distribution = record->platform.distribution,
                      .release = record->platform.release,
                      .architecture = record->platform.architecture,
                      .created_ms = record->created.ns / 1'000'000,
                      .published_ms = now.ns / 1'000'000,
                      .files = static_cast<std::int64_t>(record->manifest.files),
                      .plain_bytes = static_cast<std::int64_t>(record->manifest.content_bytes),
                      .chunks = static_cast<std::int64_t>(publication.chunks.size())};
  if (!record->scripts.empty()) {
    publication.info.scripts.emplace();
    for (const format::LayerScript& script : record->scripts)
      publication.info.scripts->push_back(script.name);
  }
  if (!record->running.services.empty()) publication.info.services = record->running.services;
  if (record->running.restart) publication.info.needs_restart = true;
  tell_packs(distribution, publication.info);
  return publication;
}

Status Content::keep(const Publication& publication) const {
  const std::string hex = publication.info.id.hex();
  const std::pair<const char*, const Buffer*> objects[] = {
      {"layers", &publication.record},
      {"distributions", &publication.distribution},
      {"torrents", &publication.torrent_file}};
  for (const auto& [kind, bytes] : objects)
    if (auto done = os::write_file(object_path(data_, kind, hex), *bytes); !done) return done;
  auto plain = without_updates(publication.info.id);
  if (!plain) return fail(std::move(plain.error()));
  const auto seeded = [&](const TorrentId& id) {
    return data_ + "/torrents/" + id.hex() + ".torrent";
  };
  if (plain->torrent != publication.torrent)
    if (auto done = os::write_file(seeded(plain->torrent), plain->torrent_file); !done) return done;
  return os::write_file(seeded(publication.torrent), publication.torrent_file);
}

Result<Buffer> Content::layer_record(const LayerId& id) const {
  return os::read_file(object_path(data_, "layers", id.hex()), format::kRecordMax);
}
Result<Buffer> Content::distribution(const LayerId& id) const {
  return os::read_file(object_path(data_, "distributions", id.hex()), format::kRecordMax);
}
Result<format::DistributionRecord> Content::distribution_record(const LayerId& id) const {
  auto envelope = distribution(id);
  if (!envelope) return fail(std::move(envelope.error()));
  return format::open_distribution(id, *envelope, keys_.target.public_key());
}
Result<Buffer> Content::torrent(const LayerId& id) const {
  return os::read_file(object_path(data_, "torrents", id.hex()), kTorrentMax);
}

Result<Content::StoredIn> Content::find_any(const ChunkId& id) const {
  auto place = cvds_->frame_of(id);
  const bool is_cvd = place || place.error().kind() != ErrorKind::not_found;
  if (!is_cvd) place = layers_->frame_of(id);
  if (!place) return fail(std::move(place.error()));
  return StoredIn{is_cvd, *place};
}

Result<Buffer> Content::read_any(const format::ChunkRef& ref) const {
  auto bytes = cvds_->read(ref);
  if (bytes || bytes.error().kind() != ErrorKind::not_found) return bytes;
  return layers_->read(ref);
}

Result<std::vector<ChunkId>> Content::lost(const std::vector<ChunkId>& ids) const {
  auto lost = cvds_->lost(ids);
  if (!lost || lost->empty()) return lost;
  return layers_->lacking(*lost);
}

format::ChunkSource Content::source() const {
  return [this](const format::ChunkRef& ref) { return read_any(ref); };
}

Result<SnapshotContent> Content::examine_snapshot(ByteView bytes, const DeviceId& device) const {
  auto record = format::parse_snapshot(bytes);
  if (!record) return fail(std::move(record.error()));
  if (record->device != device)
    return fail(ErrorKind::refused, "the snapshot is of device " + record->device.short_hex() +
                                        " and was sent by device " + device.short_hex());
  SnapshotContent content{
      .record = std::move(*record), .id = format::snapshot_id(bytes), .chunks = {}};
  std::set<ChunkId> seen;
  for (const format::ChunkRef& chunk : content.record.report) seen.insert(chunk.id);
  // What of the manifest itself is missing cannot be looked behind: it is reported as missing, and
  // the next try sees further.
  const auto source = [&](const format::ChunkRef& ref) {
    seen.insert(ref.id);
    return read_any(ref);
  };
  auto visited = format::for_each_chunk(content.record.manifest, source,
                                        [&](const format::ChunkRef& chunk, bool) -> Status {
                                          seen.insert(chunk.id);
                                          return Done{};
                                        });
  if (!visited) {
    if (visited.error().kind() != ErrorKind::not_found) return fail(std::move(visited.error()));
    content.manifest_complete = false;
  }
  content.chunks.assign(seen.begin(), seen.end());
  return content;
}

Status Content::keep_snapshot(const SnapshotContent& snapshot, ByteView record) const {
  return os::write_file(object_path(data_, "snapshots", snapshot.id.hex()), record);
}

Result<Buffer> Content::snapshot_record(const SnapshotId& id) const {
  return os::read_file(object_path(data_, "snapshots", id.hex()), format::kRecordMax);
}

Result<std::vector<ChunkId>> Content::references_of(const std::string& path) const {
  auto pack = OpenPack::open(path, "the pack");
  if (!pack) return fail(std::move(pack.error()));
  return pack->references();
}

Result<std::vector<ChunkId>> Content::take_in_cvd(const std::string& path,
                                                  const PackId& expected) const {
  return cvds_->take_in_new(path, expected,
                            [this](const format::ChunkRef& ref) { return read_any(ref); });
}

Result<std::string> Content::gather(const std::vector<format::ChunkRef>& chunks) const {
  auto path = gather_once(chunks);
  if (path || path.error().kind() != ErrorKind::not_found) return path;
  return gather_once(chunks);  // A sweep may have moved some to another pack.
}

Result<std::string> Content::gather_once(const std::vector<format::ChunkRef>& chunks) const {
  auto directory = os::TemporaryDirectory::make(data_ + "/tmp", "gather-");
  if (!directory) return fail(std::move(directory.error()));
  auto files = PackFiles::open(directory->path(), PackFiles::Access::spool);
  if (!files) return fail(std::move(files.error()));
  PackId pack;
  // Read by a person who waits: little compression, and everything in one pack.
  PackWriter writer(*files, {.level = 1, .pack_bytes = format::kPackSizeMax},
                    [&](const format::PackSummary& summary) -> Status {
                      pack = summary.id;
                      return Done{};
                    });
  std::uint64_t total = 0;
  struct Asked {
    std::uint64_t bytes = 0;
    std::optional<format::Frame> whole;
    bool is_written = false;
  };
  std::map<StoredIn, Asked> asked;  // Of each frame.
  std::vector<StoredIn> places;
  std::set<ChunkId> seen;
  for (const format::ChunkRef& ref : chunks) {
    total += ref.length;
    if (total > kGatherMax)
      return fail(ErrorKind::invalid, "at most " +
                                          to_text(Bytes{static_cast<std::int64_t>(kGatherMax)}) +
                                          " are read at a time: ask for fewer chunks");
    auto place = find_any(ref.id);
    if (!place) return fail(std::move(place.error()));
    if (seen.insert(ref.id).second) asked[*place].bytes += ref.length;
    places.push_back(*place);
  }
  const auto store_of = [this](const StoredIn& place) -> const ChunkStore& {
    return place.is_cvd ? *cvds_ : *layers_;
  };
  // What is asked for whole goes as it is stored: who asked checks every chunk. A chunk that was
  // not asked for may be another device's.
  for (auto& [place, of_frame] : asked) {
    auto frame = store_of(place).frame(place.frame);
    if (!frame) return fail(std::move(frame.error()));
    if (of_frame.bytes == frame->plain_size) of_frame.whole = std::move(*frame);
  }
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const ChunkStore& store = store_of(places[i]);
    Asked& of_frame = asked.at(places[i]);
    if (!of_frame.whole) {
      if (writer.was_given(chunks[i].id)) continue;
      auto bytes = store.read(chunks[i]);
      if (!bytes) return fail(std::move(bytes.error()));
      if (auto done = writer.add(chunks[i], *bytes, ContentClass::data); !done)
        return fail(std::move(done.error()));
    } else if (!of_frame.is_written) {
      of_frame.is_written = true;
      auto coded = store.read_coded(places[i].frame.pack, *of_frame.whole);
      if (!coded) return fail(std::move(coded.error()));
      if (auto done = writer.add_frame(*of_frame.whole, *coded); !done)
        return fail(std::move(done.error()));
    }
  }
  if (auto done = writer.finish(); !done) return fail(std::move(done.error()));
  if (pack.is_none()) return fail(ErrorKind::invalid, "no chunk was asked for");
  const std::string path = directory->path() + ".pack";
  if (auto done = os::rename_file(files->path_of(pack), path); !done)
    return fail(std::move(done.error()));
  return path;
}

}  // namespace lamina::origin
