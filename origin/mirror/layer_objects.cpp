#include "origin/mirror/layer_objects.hpp"

#include "shared/os/file.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::origin {
using format::LayerEnvelopes;

namespace {

// The record last: with it a layer counts as kept.
struct Part {
  const char* folder;
  Buffer LayerEnvelopes::*bytes;
  std::size_t most;
};
constexpr Part kParts[] = {{"torrents", &LayerEnvelopes::torrent, swarm::kTorrentBytesMax},
                           {"distributions", &LayerEnvelopes::distribution, format::kRecordMax},
                           {"layers", &LayerEnvelopes::record, format::kRecordMax}};

std::string path_of(const std::string& data, const char* folder, const LayerId& id) {
  return data + "/objects/" + folder + '/' + id.hex();
}

}  // namespace

Result<MirrorLayer> check_objects(const LayerId& id, const LayerEnvelopes& objects,
                                  const MirrorKeys& keys) {
  auto opened = format::open_layer(id, objects, keys.publishers, keys.target);
  if (!opened) return fail(std::move(opened.error()));
  auto torrent = swarm::read_torrent(objects.torrent);
  if (torrent && torrent->id != opened->distribution.torrent)
    torrent = fail(ErrorKind::corrupt, "its torrent is another layer's");
  if (!torrent) return fail(std::move(torrent.error()).in("layer " + id.short_hex()));
  MirrorLayer layer{.torrent = torrent->id, .packs = {}};
  for (const auto& pack : torrent->packs)
    layer.packs.emplace(pack.id, Bytes{static_cast<std::int64_t>(pack.size)});
  return layer;
}

Result<LayerEnvelopes> read_objects(const std::string& data, const LayerId& id) {
  LayerEnvelopes objects;
  for (const Part& part : kParts) {
    auto bytes = os::read_file(path_of(data, part.folder, id), part.most);
    if (!bytes) return fail(std::move(bytes.error()));
    objects.*part.bytes = std::move(*bytes);
  }
  return objects;
}

Status keep_objects(const std::string& data, const LayerId& id, const LayerEnvelopes& objects) {
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
