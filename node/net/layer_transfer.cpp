#include "node/net/layer_transfer.hpp"

#include <algorithm>
#include <array>

#include "shared/hash/merkle.hpp"
#include "shared/os/file.hpp"
#include "shared/swarm/piece_map.hpp"

namespace lamina::node {
namespace {

constexpr Bytes kReserve = 64_MiB;  // Stays free where something is written to.
constexpr std::string_view kRecord = ".layer";

std::string pack_path(const StateDirectory& state, const PackId& pack) {
  return state.packs() + '/' + pack.hex();
}

Status make_directories(const StateDirectory& state, bool with_trees) {
  for (const std::string& path : {state.packs(), state.torrents(), state.records()})
    if (auto done = os::make_directories(path); !done) return done;
  return with_trees ? os::make_directories(state.trees()) : Status(Done{});
}

// Anybody may read what is on a disk for others.
constexpr mode_t kOnDisk = 0644, kInCache = 0600;

// Copies a pack so that under its name there is never anything but its own bytes.
Status copy_pack(const std::string& from, const std::string& to,
                 const format::DistributedPack& pack, mode_t mode) {
  auto source = os::open_read(from);
  if (!source) return fail(std::move(source.error()));
  auto size = os::file_size(source->get(), from);
  if (!size) return fail(std::move(size.error()));
  if (*size != pack.size)
    return fail(ErrorKind::corrupt, from + " has " + std::to_string(*size) + " bytes instead of " +
                                        std::to_string(pack.size));
  const std::string part = to + ".part";
  auto copy = os::open_write(part, mode);
  if (!copy) return fail(std::move(copy.error()));
  MerkleHasher hasher;
  Buffer buffer(std::size_t{1} << 20);
  std::uint64_t read = 0;
  while (true) {
    auto got = os::read_some(source->get(), buffer, from);
    if (!got) return fail(std::move(got.error()));
    if (*got == 0) break;
    read += *got;
    const ByteView bytes = ByteView(buffer).first(*got);
    hasher.update(bytes);
    if (auto done = os::write_all(copy->get(), bytes, part); !done) return done;
  }
  const auto blocks = hasher.finish();
  if (read != pack.size || blocks.empty() || PackId(merkle_root(blocks)) != pack.id) {
    static_cast<void>(os::remove_file(part));
    return fail(ErrorKind::corrupt, from + " has other bytes than its name says");
  }
  if (auto done = os::sync_data(copy->get(), part); !done) return done;
  return os::rename_file(part, to);
}

Status check_room(const std::string& directory, Bytes needed) {
  const auto space = os::space_of(directory);
  if (!space) return fail(space.error());
  if (space->free < needed + kReserve)
    return fail(ErrorKind::out_of_space, directory + " needs " + to_text(needed + kReserve) +
                                             " of space, " + to_text(space->free) +
                                             " are free: make room and start again");
  return Done{};
}

Result<LayerFiles> find_layer(const StateDirectory& state, const TrustedKeys& keys,
                              std::string wanted) {
  if (const auto id = LayerId::parse(wanted)) return load_layer(state, *id, keys);
  const auto colon = wanted.rfind(':');
  if (colon == std::string::npos)
    return fail(ErrorKind::invalid,
                "a layer is named NAME:VERSION or by its id, not '" + printable(wanted, 80) + "'");
  wanted[colon] = ' ';
  const auto ids = recorded_layers(state);
  if (!ids) return fail(ids.error());
  for (const LayerId& id : *ids)
    if (auto files = load_layer(state, id, keys); files && files->name == wanted) return files;
  return fail(ErrorKind::not_found, "there is no such layer in " + state.records());
}

}  // namespace

StateDirectory import_directory(const StateDirectory& state) {
  return StateDirectory(state.cache() + "/import");
}

Result<Exported> export_layer(const StateDirectory& state, const TrustedKeys& keys,
                              const std::string& layer, const std::string& directory) {
  auto files = find_layer(state, keys, layer);
  if (!files) return fail(std::move(files.error()).in("layer " + printable(layer, 100)));
  if (const Bytes missing = missing_bytes(state, *files); missing.count > 0)
    return fail(ErrorKind::unavailable, "layer " + files->name + " lacks " + to_text(missing) +
                                            " on this device; export it once it is whole");
  const Leaning leaning = leaning_of(state, *files);
  // All of the content: no need for updates.
  std::erase_if(files->packs, [](const auto& pack) { return !pack.update_from.empty(); });
  if (std::ranges::any_of(files->packs,
                          [&](const auto& pack) { return leaning.unneeded.contains(pack.id); }))
    return fail(ErrorKind::unavailable,
                "layer " + files->name +
                    " is whole on this device only with what it has of an earlier layer, or with "
                    "what came out of an update: export it with `lamina layer export`");
  const StateDirectory to(directory);
  if (auto done = make_directories(to, false); !done) return fail(std::move(done.error()));
  Exported exported{.name = files->name, .layer = files->layer, .packs = files->packs.size()};
  for (const format::DistributedPack& pack : files->packs) {
    // Only whole packs have their name there.
    if (os::exists(pack_path(to, pack.id))) continue;
    const Bytes size{static_cast<std::int64_t>(pack.size)};
    if (auto room = check_room(to.packs(), size); !room) return fail(std::move(room.error()));
    if (auto done = copy_pack(pack_path(state, pack.id), pack_path(to, pack.id), pack, kOnDisk);
        !done)
      return fail(std::move(done.error()));
    exported.written += size;
  }
  if (auto done = os::sync_directory(to.packs()); !done) return fail(std::move(done.error()));
  auto envelopes = read_layer(state, files->layer, keys);
  if (!envelopes) return fail(std::move(envelopes.error()));
  // The records last: with them the layer is there.
  if (auto done = keep_layer(to, files->layer, *envelopes, keys); !done)
    return fail(std::move(done.error()));
  return exported;
}

Result<Imported> import_layers(const StateDirectory& state, const TrustedKeys& keys,
                               const std::string& directory, bool dry_run) {
  const StateDirectory from(directory), to = import_directory(state);
  auto ids = recorded_layers(from);
  if (!ids) return fail(std::move(ids.error()).in(directory + " holds no exported layers"));
  if (!dry_run)
    if (auto done = make_directories(to, true); !done) return fail(std::move(done.error()));
  Imported imported;
  for (const LayerId& id : *ids) {
    auto envelopes = read_layer(from, id, keys);
    auto files = envelopes ? check_layer(id, *envelopes, keys)
                           : Result<LayerFiles>(fail(std::move(envelopes.error())));
    if (!files) {
      imported.refused.push_back(from.records() + '/' + id.hex() + std::string(kRecord) + ": " +
                                 files.error().text());
      continue;
    }
    Imported::Layer layer{.layer = id, .name = files->name};
    for (const format::DistributedPack& pack : files->packs) {
      if (swarm::is_whole(state.cache(), pack.id, pack.size) ||
          swarm::is_whole(to.cache(), pack.id, pack.size)) {
        ++layer.known;
        continue;
      }
      const std::string source = pack_path(from, pack.id);
      const Bytes size{static_cast<std::int64_t>(pack.size)};
      if (!os::exists(source)) {
        layer.missing += pack.update_from.empty();
        continue;
      }
      if (dry_run) {
        auto file = os::open_read(source);
        auto has = file ? os::file_size(file->get(), source)
                        : Result<std::uint64_t>(fail(std::move(file.error())));
        if (!has) return fail(std::move(has.error()));
        if (*has == pack.size) {
          ++layer.packs;
          imported.written += size;
        } else {
          ++layer.missing;
          imported.refused.push_back(source + ": it has not the size of the pack");
        }
        continue;
      }
      if (auto room = check_room(to.packs(), size); !room) return fail(std::move(room.error()));
      auto done = copy_pack(source, pack_path(to, pack.id), pack, kInCache);
      // Its tree marks it as whole; what the medium gave is read back from the disk for it.
      if (done) done = swarm::finish_pack(to.cache(), pack.id, pack.size);
      if (done) {
        ++layer.packs;
        imported.written += size;
        continue;
      }
      if (done.error().kind() != ErrorKind::corrupt &&
          done.error().kind() != ErrorKind::unavailable)
        return fail(std::move(done.error()));
      ++layer.missing;
      imported.refused.push_back(done.error().text());
    }
    // The records last: the network process looks for what has some.
    if (!dry_run)
      if (auto done = keep_layer(to, id, *envelopes, keys); !done)
        return fail(std::move(done.error()));
    imported.layers.push_back(std::move(layer));
  }
  return imported;
}

}  // namespace lamina::node
