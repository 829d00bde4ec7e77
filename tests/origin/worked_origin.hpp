// An origin that takes in layers and snapshots as its API has it do, and what it acknowledged.
#pragma once

#include <algorithm>

#include "origin/catalog/journaled_table.hpp"
#include "origin/garbage.hpp"
#include "tests/origin/run.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/signed_layer.hpp"

namespace lamina::tests {

using namespace lamina::origin;

inline constexpr WallTime kStart{std::int64_t{1'800'000'000} * 1'000'000'000};
inline const GarbageOptions kAtOnce{.grace = {}, .store_grace = {}};

inline WallTime later(Duration after) { return {kStart.ns + after.count()}; }

// A snapshot or a layer that was acknowledged: what must read back.
struct Acknowledged {
  format::ManifestRef manifest;
  std::map<ChunkId, Buffer> chunks;
};

// An origin's directory, and what it acknowledged. Everything opens it anew, as after a restart.
struct WorkedOrigin {
  using Begin = std::function<void(const std::string& directory)>;
  // `begin` sees the empty directory before anything is made in it.
  explicit WorkedOrigin(const Begin& begin = {}) : keys(initialized(begin)) {}

  Scratch scratch;
  std::string path = scratch / "origin";
  DataDirectory data{path};
  std::string out;
  std::string err;
  int run(std::vector<const char*> args) { return origin::run(std::move(args), out, err); }
  OriginKeys keys;
  PrivateKey publisher =
      PrivateKey::from_pem(os::read_text(data.key("publisher.key")).value()).value();
  DeviceId ann = enrol(1);
  std::map<SnapshotId, Acknowledged> snapshots;
  std::map<LayerId, Acknowledged> layers;
  Bytes written_anew;  // Of worn packs, by all publications.
  std::uint64_t sequence = 0;

  OriginKeys initialized(const Begin& begin) {
    REQUIRE(os::make_directories(path));
    if (begin) begin(path);
    REQUIRE(run({"init", "--data", path.c_str(), "--name", "192.0.2.7"}) == 0);
    return read_keys(data).value();
  }

  struct Open {
    std::unique_ptr<Content> content;
    std::unique_ptr<JournaledTable> table;
    Catalog catalog;
    explicit Open(const WorkedOrigin& f)
        : content(Content::open(f.path,
                                {f.keys.publishers, f.keys.target, f.keys.swarm_ca.certificate_pem})
                      .value()),
          table(JournaledTable::open(f.data.catalog(), f.data.journal()).value()),
          catalog(*table) {}
  };

  DeviceId enrol(int number) {
    std::array<std::byte, DeviceId::kSize> bytes{};
    bytes[0] = static_cast<std::byte>(number);
    const DeviceId id(bytes);
    const auto table = JournaledTable::open(data.catalog(), data.journal()).value();
    Catalog catalog(*table);
    static_cast<void>(catalog.add_site({"test", kStart}, {.name = "north"}));
    const auto token = catalog.create_token({"test", kStart}, {.name = "t" + std::to_string(number),
                                                               .kind = "enrol",
                                                               .uses = 1,
                                                               .ttl_ms = 1000,
                                                               .site = "north"});
    REQUIRE(catalog.enrol(kStart, {.token = token->secret}, id, "fingerprint"));
    return id;
  }

  // A tree of files that are noise; equal seeds are equal files. Its chunks are about 40 KB each.
  Captured tree(const std::vector<int>& seeds, std::size_t file_size = 60'000) {
    const std::string root = scratch / ("tree" + std::to_string(++trees_));
    REQUIRE(os::make_directories(root));
    for (const int seed : seeds) {
      make_file(root + "/file" + std::to_string(seed), noise(file_size, std::uint64_t(seed)));
      set_mtime(root + "/file" + std::to_string(seed), 1'600'000'000, 0);
    }
    set_mtime(root, 1'600'000'000, 0);
    return capture(root);
  }

  // Packs of chunks, made where nobody looks.
  std::vector<std::string> packed(const std::map<ChunkId, Buffer>& chunks) {
    std::vector<std::string> paths;
    if (chunks.empty()) return paths;
    const auto files = PackFiles::open(scratch / "client", PackFiles::Access::write).value();
    PackWriter writer(files, {.level = 1, .frame_bytes = 100'000, .pack_bytes = 300'000},
                      [&](const format::PackSummary& pack) -> Status {
                        paths.push_back(files.path_of(pack.id));
                        return Done{};
                      });
    for (const auto& [id, plain] : chunks)
      REQUIRE(writer.add(ref_of(plain), plain, ContentClass::data));
    REQUIRE(writer.finish());
    return paths;
  }
  // A pack as it reaches a store: a file there that is taken in.
  static Result<std::string> received(ChunkStore& store, const std::string& pack) {
    auto at = store.files().new_temporary();
    if (!at) return at;
    auto done = os::write_file(*at, os::read_file(pack, 1 << 26).value());
    if (!done) return fail(std::move(done.error()));
    return at;
  }

  // The device sends what it is told that the origin lacks.
  Status try_send_new(Open& origin, const DeviceId& device, const Captured& captured) {
    std::vector<ChunkId> all;
    for (const auto& [id, plain] : captured.chunks) all.push_back(id);
    auto lacking = origin.catalog.lacks(device, all);
    if (!lacking) return fail(std::move(lacking.error()));
    std::map<ChunkId, Buffer> some;
    for (const ChunkId& id : *lacking) some[id] = captured.chunks.at(id);
    for (const std::string& pack : packed(some)) {
      auto at = received(origin.content->cvds(), pack);
      if (!at) return fail(std::move(at.error()));
      auto ids = origin.content->take_in_cvd(*at, identify(pack)->id);
      if (!ids) return fail(std::move(ids.error()));
      if (auto linked = origin.catalog.link_chunks(device, *ids); !linked) return linked;
    }
    return Done{};
  }
  void send_new(Open& origin, const DeviceId& device, const Captured& captured) {
    if (auto done = try_send_new(origin, device, captured); !done) FAIL(done.error().text());
  }
  // As the API commits one: `not_found` when the origin lacks chunks.
  Status try_commit(Open& origin, const DeviceId& device, const Captured& captured,
                    WallTime created) {
    const Buffer record =
        format::encode(format::SnapshotRecord{.device = device,
                                              .sequence = ++sequence,
                                              .created = created,
                                              .reason = "test",
                                              .manifest = captured.result.manifest});
    auto content = origin.content->examine_snapshot(record, device);
    if (!content) return fail(std::move(content.error()));
    auto lacking = origin.catalog.lacks(device, content->chunks);
    if (!lacking) return fail(std::move(lacking.error()));
    if (!lacking->empty()) return fail(ErrorKind::not_found, "the origin lacks chunks");
    if (auto kept = origin.content->keep_snapshot(*content, record); !kept) return kept;
    auto added = origin.catalog.add_snapshot(
        {"test", kStart}, device, {.id = content->id, .created_ms = created.ns / 1'000'000});
    if (!added) return fail(std::move(added.error()));
    snapshots[content->id] = {captured.result.manifest, captured.chunks};
    return Done{};
  }
  bool commit(Open& origin, const DeviceId& device, const Captured& captured, WallTime created) {
    auto done = try_commit(origin, device, captured, created);
    if (!done && done.error().kind() != ErrorKind::not_found) FAIL(done.error().text());
    return done.has_value();
  }
  SnapshotId snapshot(const DeviceId& device, const std::vector<int>& seeds,
                      WallTime created = kStart) {
    Open origin(*this);
    const Captured captured = tree(seeds);
    send_new(origin, device, captured);
    REQUIRE(commit(origin, device, captured, created));
    return origin.catalog.newest_snapshot(device).value()->id;
  }
  void forget(const DeviceId& device, const SnapshotId& id) {
    Open origin(*this);
    REQUIRE(origin.catalog.forget_snapshots({"test", kStart}, device,
                                            {.snapshot = id, .dry_run = false}));
    snapshots.erase(id);
  }

  LayerId layer(const std::string& version, const std::vector<int>& seeds) {
    Open origin(*this);
    return layer(origin, version, seeds);
  }
  LayerId layer(Open& origin, const std::string& version, const std::vector<int>& seeds) {
    auto id = try_layer(origin, version, tree(seeds));
    if (!id) FAIL(id.error().text());
    return *id;
  }
  Result<LayerId> try_layer(Open& origin, const std::string& version, const Captured& captured) {
    std::vector<ChunkId> all;
    for (const auto& [id, plain] : captured.chunks) all.push_back(id);
    auto lacking = origin.content->layers().claim(all);
    if (!lacking) return fail(std::move(lacking.error()));
    std::map<ChunkId, Buffer> some;
    for (const ChunkId& id : *lacking) some[id] = captured.chunks.at(id);
    for (const std::string& pack : packed(some)) {
      auto at = received(origin.content->layers(), pack);
      if (!at) return fail(std::move(at.error()));
      auto ids = origin.content->layers().take_in(*at, identify(pack)->id);
      if (!ids) return fail(std::move(ids.error()));
    }
    auto publication = origin.content->examine(
        signed_layer(layer_record("os", version, captured.result.manifest), publisher), kStart);
    if (!publication) return fail(std::move(publication.error()));
    if (auto kept = origin.content->keep(*publication); !kept) return fail(std::move(kept.error()));
    auto added = origin.catalog.add_layer({"test", kStart}, publication->info, publication->chunks);
    if (!added) return fail(std::move(added.error()));
    written_anew += publication->written_anew;
    layers[publication->info.id] = {captured.result.manifest, captured.chunks};
    return publication->info.id;
  }
  void assign(const DeviceId& device, const std::vector<std::string>& names) {
    Open origin(*this);
    REQUIRE(origin.catalog.assign({"test", kStart}, {.devices = {device}, .layers = names},
                                  [](const wire::DeviceInfo&, const std::vector<LayerId>&,
                                     const std::vector<LayerId>&) { return to_buffer("target"); }));
  }
  void remove_layer(const LayerId& id) {
    Open origin(*this);
    REQUIRE(origin.catalog.remove_layer({"test", kStart}, id));
    layers.erase(id);
  }

  // As the API takes in a pack of patches; `meanwhile` comes when the origin has seen that the
  // device has what they build upon.
  Result<std::vector<ChunkId>> send_patches(
      const DeviceId& device, const std::string& pack,
      const std::function<void()>& meanwhile = [] {}) {
    std::string path;
    {
      Open origin(*this);
      path = scratch / "patches.taken";
      REQUIRE(os::write_file(path, os::read_file(pack, 1 << 26).value()));
      const auto references = origin.content->references_of(path);
      REQUIRE(references);
      const auto foreign = origin.catalog.lacks(device, *references);
      REQUIRE(foreign);
      if (!foreign->empty()) return fail(ErrorKind::corrupt, "it builds upon what is not here");
    }
    meanwhile();
    Open origin(*this);
    auto ids = origin.content->take_in_cvd(path, identify(pack)->id);
    if (ids) REQUIRE(origin.catalog.link_chunks(device, *ids));
    return ids;
  }

  GarbageReport collect(WallTime now, GarbageOptions options = {}) {
    Open origin(*this);
    auto report = collect_garbage(*origin.content, origin.catalog, options, now);
    if (!report) FAIL(report.error().text());
    return std::move(*report);
  }

  // From now on the origin is in another directory.
  void use(const std::string& directory) {
    path = directory;
    data = DataDirectory(path);
  }

  // Everything that was acknowledged reads back whole by digest, through the doors that readers
  // use, and `check` finds the origin sound. Otherwise what is wrong; "" when nothing is.
  std::string whats_wrong() {
    {
      auto content =
          Content::open(path, {keys.publishers, keys.target, keys.swarm_ca.certificate_pem});
      if (!content) return content.error().text();
      auto table = JournaledTable::open(data.catalog(), data.journal());
      if (!table) return table.error().text();
      Catalog catalog(**table);
      for (const auto& [id, kept] : layers)
        if (auto read = read_layer(**content, catalog, id, kept); !read)
          return "layer " + id.short_hex() + ": " + read.error().text();
      for (const auto& [id, kept] : snapshots)
        if (auto read = read_snapshot(**content, catalog, id, kept); !read)
          return "snapshot " + id.short_hex() + ": " + read.error().text();
    }
    return run({"check", "--data", path.c_str(), "--read-data"}) == 0 ? "" : out + err;
  }
  void check_whole() {
    if (const std::string wrong = whats_wrong(); !wrong.empty()) FAIL_CHECK(wrong);
  }
  Bytes stored(const std::string& space) const {
    const auto files = PackFiles::open(path + '/' + space, PackFiles::Access::read).value();
    Bytes all;
    const auto ids = files.list().value();
    for (const PackId& id : ids) all += Bytes{static_cast<std::int64_t>(files.size_of(id).value())};
    return all;
  }

 private:
  static Status read(const Acknowledged& kept, const format::ChunkSource& source) {
    return format::for_each_chunk(
        kept.manifest, source, [&](const format::ChunkRef& ref, bool) -> Status {
          auto bytes = source(ref);
          if (!bytes) return fail(std::move(bytes.error()));
          if (*bytes == kept.chunks.at(ref.id)) return Done{};
          return fail(ErrorKind::corrupt, "chunk " + ref.id.short_hex() + " has other bytes");
        });
  }
  static Status read_layer(Content& content, const Catalog& catalog, const LayerId& id,
                           const Acknowledged& kept) {
    if (auto known = catalog.layer(id); !known) return fail(std::move(known.error()));
    auto distribution = content.distribution_record(id);
    if (!distribution) return fail(std::move(distribution.error()));
    for (const auto& pack : distribution->packs)
      if (!content.layers().files().has(pack.id))
        return fail(ErrorKind::not_found, "pack " + pack.id.short_hex());
    return read(kept, content.layers().source());
  }
  static Status read_snapshot(const Content& content, const Catalog& catalog, const SnapshotId& id,
                              const Acknowledged& kept) {
    auto record = content.snapshot_record(id);
    if (!record) return fail(std::move(record.error()));
    if (format::snapshot_id(*record) != id)
      return fail(ErrorKind::corrupt, "the record is another one");
    const auto device = format::parse_snapshot(*record)->device;
    std::vector<ChunkId> all;
    for (const auto& [chunk, plain] : kept.chunks) all.push_back(chunk);
    auto unreadable = catalog.unreadable(device, all);
    if (!unreadable) return fail(std::move(unreadable.error()));
    if (!unreadable->empty())
      return fail(ErrorKind::not_found, "its device may not read its chunks");
    auto known = catalog.snapshots(device);
    if (!known) return fail(std::move(known.error()));
    if (std::ranges::none_of(*known, [&](const auto& one) { return one.id == id; }))
      return fail(ErrorKind::not_found, "the catalogue has no such snapshot");
    return read(kept, content.source());
  }

  int trees_ = 0;
};

inline std::vector<int> seeds(int first, int last) {
  std::vector<int> all;
  for (int i = first; i <= last; ++i) all.push_back(i);
  return all;
}

}  // namespace lamina::tests
