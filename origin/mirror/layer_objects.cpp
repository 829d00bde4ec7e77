#include "origin/mirror/layer_objects.hpp"

#include "shared/format/record.hpp"
#include "shared/os/file.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::origin {
namespace {

// The record last: with it a layer counts as kept.
struct Part {
  const char* folder;
  Buffer LayerObjects::*bytes;
  std::size_t most;
};
constexpr Part kParts[] = {{"torrents", &LayerObjects::torrent, swarm::kTorrentBytesMax},
                           {"distributions", &LayerObjects::distribution, format::kRecordMax},
                           {"layers", &LayerObjects::record, format::kRecordMax}};

std::string path_of(const std::string& data, const char* folder, const LayerId& id) {
  return data + "/objects/" + folder + '/' + id.hex();
}

}  // namespace

Result<MirrorLayer> check_objects(const LayerId& id, const LayerObjects& objects,
                                  const MirrorKeys& keys) {
  const auto wrong = [&](Error error) {
    return fail(std::move(error).in("layer " + id.short_hex()));
  };
  if (format::layer_id(objects.record) != id)
    return wrong({ErrorKind::corrupt, "the record is another layer's"});
  auto record = format::open_record(format::RecordType::layer, objects.record, keys.publishers);
  if (!record) return wrong(std::move(record.error()));
  auto opened = format::open_record(format::RecordType::distribution, objects.distribution,
                                    std::span(&keys.target, 1));
  if (!opened) return wrong(std::move(opened.error()));
  auto distribution = format::parse_distribution(opened->record);
  if (!distribution) return wrong(std::move(distribution.error()));
  auto torrent = swarm::read_torrent(objects.torrent);
  if (!torrent) return wrong(std::move(torrent.error()));
  if (distribution->layer != id || torrent->id != distribution->torrent)
    return wrong({ErrorKind::corrupt, "its distribution or torrent is another layer's"});
  MirrorLayer layer{.torrent = torrent->id, .packs = {}};
  for (const auto& pack : torrent->packs)
    layer.packs.emplace(pack.id, Bytes{static_cast<std::int64_t>(pack.size)});
  return layer;
}

Result<LayerObjects> read_objects(const std::string& data, const LayerId& id) {
  LayerObjects objects;
  for (const Part& part : kParts) {
    auto bytes = os::read_file(path_of(data, part.folder, id), part.most);
    if (!bytes) return fail(std::move(bytes.error()));
    objects.*part.bytes = std::move(*bytes);
  }
  return objects;
}

Status keep_objects(const std::string& data, const LayerId& id, const LayerObjects& objects) {
  for (const Part& part : kParts)
    if (auto done = os::write_file(path_of(data, part.folder, id), objects.*part.bytes); !done)
      return done;
  return Done{};
}

Status remove_objects(const std::string& data, const LayerId& id) {
  for (const Part& part : kParts) {
    auto done = os::remove_file(path_of(data, part.folder, id));
    if (!done && done.error().kind() != ErrorKind::not_found) return done;
  }
  return Done{};
}

Result<std::vector<LayerId>> kept_layers(const std::string& data) {
  auto names = os::list_directory(data + "/objects/layers");
  if (!names) return fail(std::move(names.error()));
  std::vector<LayerId> ids;
  for (const std::string& name : *names)
    if (auto id = LayerId::parse(name)) ids.push_back(*id);
  return ids;
}

}  // namespace lamina::origin
