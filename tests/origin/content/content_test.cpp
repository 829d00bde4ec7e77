#include "origin/content/content.hpp"

#include "shared/format/needed_packs.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/net/certificates.hpp"
#include "shared/store/store_check.hpp"
#include "shared/swarm/torrent_file.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/send.hpp"
#include "tests/support/signed_layer.hpp"

using namespace lamina;
using namespace lamina::tests;
using origin::Content;

namespace {

struct Origin {
  Origin() {
    make_nasty_tree(scratch / "tree");
    captured = capture(scratch / "tree");
  }

  void send(ChunkStore& store, const std::map<ChunkId, Buffer>& chunks) const {
    tests::send(store, chunks, scratch / "client");
  }

  Buffer layer_record(const PrivateKey& signer) const {
    return signed_layer(tests::layer_record("debian", "1.0", captured.result.manifest), signer);
  }
  Buffer snapshot_record(const DeviceId& device) const {
    return format::encode(format::SnapshotRecord{
        .device = device, .sequence = 1, .reason = "test", .manifest = captured.result.manifest});
  }

  Scratch scratch;
  Captured captured;
  PrivateKey publisher = PrivateKey::generate().value();
  PrivateKey target = PrivateKey::generate().value();
  std::unique_ptr<Content> content =
      Content::open(scratch / "data",
                    {{publisher.public_key()}, target, net::make_ca("swarm")->certificate_pem})
          .value();
};

DeviceId device(unsigned char value) {
  std::array<std::byte, 16> bytes;
  bytes.fill(std::byte{value});
  return DeviceId(bytes);
}

}  // namespace

TEST_CASE("publish: a complete layer gets a distribution, and a torrent of its packs", "[origin]") {
  Origin origin;
  origin.send(origin.content->layers(), origin.captured.chunks);
  const auto publication = origin.content->examine(origin.layer_record(origin.publisher), {7});
  if (!publication) FAIL(publication.error().text());
  CHECK(publication->info.name == "debian");
  CHECK(publication->chunks.size() == origin.captured.chunks.size());
  REQUIRE(origin.content->keep(*publication));
  const LayerId id = publication->info.id;
  CHECK(format::layer_id(origin.content->layer_record(id).value()) == id);
  const auto opened = format::open_record(format::RecordType::distribution,
                                          origin.content->distribution(id).value(),
                                          std::vector<PublicKey>{origin.target.public_key()});
  REQUIRE(opened);
  const auto distribution = format::parse_distribution(opened->record);
  REQUIRE(distribution);
  const auto torrent = swarm::read_torrent(origin.content->torrent(id).value());
  REQUIRE(torrent);
  CHECK(torrent->id == distribution->torrent);
  CHECK(torrent->packs.size() == distribution->packs.size());
  CHECK(os::exists(origin.scratch / ("data/torrents/" + torrent->id.hex() + ".torrent")));
}

TEST_CASE("publish: a missing chunk is named and nothing is published", "[origin]") {
  Origin origin;
  auto chunks = origin.captured.chunks;
  const ChunkId lost = origin.captured.result.manifest.fence.front().id;
  SECTION("of the manifest") { chunks.erase(lost); }
  SECTION("of a file") {
    for (const auto& entry : origin.captured.entries())
      if (entry.path == "a-") chunks.erase(entry.chunks.front().id);
  }
  origin.send(origin.content->layers(), chunks);
  const auto publication = origin.content->examine(origin.layer_record(origin.publisher), {7});
  REQUIRE_FALSE(publication);
  CHECK(publication.error().kind() == ErrorKind::not_found);
  CHECK(publication.error().text().find("layer debian 1.0") != std::string::npos);
}

TEST_CASE("publish: only a known publisher's signature counts", "[origin]") {
  Origin origin;
  origin.send(origin.content->layers(), origin.captured.chunks);
  const auto publication = origin.content->examine(origin.layer_record(origin.target), {7});
  REQUIRE_FALSE(publication);
  CHECK(publication.error().kind() == ErrorKind::refused);
}

TEST_CASE("publish: content of devices is no content of layers", "[origin]") {
  Origin origin;
  origin.send(origin.content->cvds(), origin.captured.chunks);
  CHECK_FALSE(origin.content->examine(origin.layer_record(origin.publisher), {7}));
}

TEST_CASE("snapshot: what it needs is found out, as far as the manifest is there", "[origin]") {
  Origin origin;
  const Buffer record = origin.snapshot_record(device(1));
  auto content = origin.content->examine_snapshot(record, device(1));
  REQUIRE(content);
  CHECK_FALSE(content->manifest_complete);
  CHECK(content->chunks.size() == origin.captured.result.manifest.fence.size());
  origin.send(origin.content->cvds(), origin.captured.chunks);
  content = origin.content->examine_snapshot(record, device(1));
  REQUIRE(content);
  CHECK(content->manifest_complete);
  CHECK(content->chunks.size() == origin.captured.chunks.size());
  const auto stolen = origin.content->examine_snapshot(record, device(2));
  REQUIRE_FALSE(stolen);
  CHECK(stolen.error().kind() == ErrorKind::refused);
}

TEST_CASE("gather: chunks of both spaces come back in one pack", "[origin]") {
  Origin origin;
  std::map<ChunkId, Buffer> first;
  std::map<ChunkId, Buffer> second;
  std::vector<format::ChunkRef> refs;
  for (const auto& [id, plain] : origin.captured.chunks) {
    (refs.size() % 2 == 0 ? first : second)[id] = plain;
    refs.push_back(ref_of(plain));
  }
  origin.send(origin.content->layers(), first);
  origin.send(origin.content->cvds(), second);
  const auto path = origin.content->gather(refs);
  if (!path) FAIL(path.error().text());
  PackSet set;
  REQUIRE(set.add(*path, "gathered"));
  set.seal();
  for (const auto& ref : refs) CHECK(set.read(ref).value() == origin.captured.chunks.at(ref.id));
  CHECK_FALSE(origin.content->gather({}));
  CHECK(origin.content->gather({ref_of(noise(4, 4))}).error().kind() == ErrorKind::not_found);
}

TEST_CASE("gather: a frame goes as it is stored, unless a chunk of it was not asked for",
          "[origin]") {
  Origin origin;
  std::map<ChunkId, Buffer> chunks;
  std::vector<format::ChunkRef> refs;
  for (std::uint64_t i = 0; i < 6; ++i) {
    const Buffer chunk = text(50'000, i);
    refs.push_back(ref_of(chunk));
    chunks[refs.back().id] = chunk;
  }
  origin.send(origin.content->cvds(), chunks);
  const auto stored = origin.content->cvds().frame_of(refs[0].id).value();
  REQUIRE(origin.content->cvds().frame(stored)->chunks.size() == refs.size());

  const auto frames_of = [&](const std::vector<format::ChunkRef>& wanted) {
    const auto path = origin.content->gather(wanted);
    if (!path) FAIL(path.error().text());
    PackSet set;
    REQUIRE(set.add(*path, "gathered"));
    set.seal();
    for (const format::ChunkRef& ref : wanted) CHECK(set.read(ref).value() == chunks.at(ref.id));
    CHECK(set.chunk_count() == wanted.size());
    auto index = OpenPack::open(*path, "gathered")->index();
    REQUIRE(os::remove_file(*path));
    return index.frames;
  };
  const auto all = frames_of(refs);
  REQUIRE(all.size() == 1);
  CHECK(all[0].coded_size == origin.content->cvds().frame(stored)->coded_size);
  // One less: nothing of that one is sent along.
  refs.pop_back();
  frames_of(refs);
}

namespace {

// Versions of a layer, one after the other, of files of 60 kB each named by a number.
struct Versions {
  explicit Versions(Origin& origin) : origin(origin) {}

  origin::Publication publish(const std::string& version, const std::vector<int>& files,
                              const std::string& name = "debian") {
    const std::string tree = origin.scratch / (name + version);
    REQUIRE(os::make_directories(tree));
    for (const int n : files)
      make_file(tree + '/' + std::to_string(1000 + n), noise(60'000, static_cast<unsigned>(n)));
    Captured captured = capture(tree);
    // As a client: what the origin has is not sent.
    std::map<ChunkId, Buffer> lacking;
    for (const auto& [id, plain] : captured.chunks)
      if (!origin.content->layers().has(id).value()) lacking.emplace(id, plain);
    if (!lacking.empty()) origin.send(origin.content->layers(), lacking);
    auto publication = examine(name, version, captured);
    REQUIRE(origin.content->keep(publication));
    return publication;
  }
  origin::Publication examine(const std::string& name, const std::string& version,
                              const Captured& captured) {
    auto record = tests::layer_record(name, version, captured.result.manifest);
    record.created = {++created};
    auto publication = origin.content->examine(signed_layer(record, origin.publisher), {7});
    if (!publication) FAIL(publication.error().text());
    return std::move(*publication);
  }
  std::vector<format::DistributedPack> packs(const origin::Publication& publication) {
    return origin.content->distribution_record(publication.info.id).value().packs;
  }
  std::set<PackId> fresh(const origin::Publication& publication, const LayerId& unless) {
    std::set<PackId> ids;
    for (const auto& pack : packs(publication))
      if (std::ranges::count(pack.unless, unless) > 0) ids.insert(pack.id);
    return ids;
  }
  // Every chunk of the layer is in the packs that it names, whole.
  void check_whole(const origin::Publication& publication,
                   const std::vector<format::DistributedPack>& of) {
    PackSet set;
    for (const auto& pack : of)
      REQUIRE(set.add(origin.content->layers().files().path_of(pack.id), pack.id.short_hex()));
    set.seal();
    const auto record = origin.content->read_layer(publication.record).value();
    CHECK(format::for_each_chunk(record.manifest, set.source(),
                                 [&](const format::ChunkRef& chunk, bool) -> Status {
                                   auto bytes = set.read(chunk);
                                   if (!bytes) return fail(std::move(bytes.error()));
                                   return Done{};
                                 }));
  }

  Origin& origin;
  std::int64_t created = 0;
};

std::vector<int> numbers(int first, int last) {
  std::vector<int> list;
  for (int n = first; n < last; ++n) list.push_back(n);
  return list;
}

PackId pack_id(int n) {
  std::array<std::byte, PackId::kSize> bytes{};
  bytes[0] = static_cast<std::byte>(n);
  return PackId(bytes);
}

}  // namespace

TEST_CASE("publish: an update from an earlier version is made, kept and told", "[origin]") {
  Origin origin;
  const auto publish = [&](const std::string& version, const Captured& captured,
                           const origin::UpdateWish& wish) {
    std::map<ChunkId, Buffer> lacking;
    for (const auto& [id, plain] : captured.chunks)
      if (!origin.content->layers().has(id).value()) lacking.emplace(id, plain);
    if (!lacking.empty()) origin.send(origin.content->layers(), lacking);
    const auto record = tests::layer_record("debian", version, captured.result.manifest);
    auto publication = origin.content->examine(signed_layer(record, origin.publisher), {7}, wish);
    if (!publication) FAIL(publication.error().text());
    REQUIRE(origin.content->keep(*publication));
    return std::move(*publication);
  };
  const auto tree = [&](const std::string& version) {
    const std::string path = origin.scratch / version;
    REQUIRE(os::make_directories(path));
    for (unsigned i = 0; i < 8; ++i) {
      Buffer bytes = noise(90'000, i);
      if (version == "2.0") bytes[40'000] ^= std::byte{1};
      make_file(path + "/file" + std::to_string(i), bytes);
    }
    return capture(path);
  };
  const Captured old = tree("1.0");
  const auto one = publish("1.0", old, {});
  CHECK(one.updates.empty());
  const Captured next = tree("2.0");
  const auto two = publish("2.0", next, {.from = {one.info.id}});
  REQUIRE(two.updates.size() == 1);
  CHECK(two.updates[0].from == one.info.id);
  CHECK(two.updates[0].version == "1.0");
  CHECK(two.updates[0].bytes.count < 20'000);
  CHECK(two.info.stored_bytes > 300'000);  // Of the layer alone.

  const auto distribution = origin.content->distribution_record(two.info.id).value();
  const auto torrent = swarm::read_torrent(origin.content->torrent(two.info.id).value());
  REQUIRE(torrent);
  CHECK(torrent->packs.size() == distribution.packs.size());
  std::uint64_t bytes = 0;
  std::size_t replaced = 0;
  for (const auto& pack : distribution.packs) {
    CHECK(origin.content->layers().files().has(pack.id));
    replaced += !pack.unless_updated.empty();
    if (!pack.update_from.empty()) bytes += pack.size;
  }
  CHECK(static_cast<std::int64_t>(bytes) == two.updates[0].bytes.count);
  CHECK(replaced > 0);
  // It is the same when it is made again, and nothing is left of the work.
  const auto again = origin.content->examine(two.record, {8}, {.from = {one.info.id}});
  REQUIRE(again);
  CHECK(again->distribution == two.distribution);
  CHECK(os::list_directory(origin.scratch / "data/tmp").value().empty());
  CHECK(check_store(origin.scratch / "data/layers", {.read_data = true}).value().findings.empty());

  SECTION("an update that saves nothing is left out") {
    const auto three = publish("3.0", next, {.from = {two.info.id}});
    CHECK(three.updates.empty());
  }
  SECTION("from two versions at once") {
    const auto three = publish("3.0", old, {.from = {one.info.id, two.info.id}});
    CHECK(three.updates.size() <= 2);
    CHECK(format::parse_distribution(
        format::open_record(format::RecordType::distribution, three.distribution,
                            std::vector<PublicKey>{origin.target.public_key()})
            ->record));
  }
  SECTION("stopping ends it") {
    origin.content->stop();
    const auto stopped = origin.content->examine(two.record, {9}, {.from = {one.info.id}});
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().kind() == ErrorKind::unavailable);
  }
}

TEST_CASE("publish: an update from nothing has what belongs together in fewer bytes", "[origin]") {
  Origin origin;
  const auto tree = [&](const std::string& name, unsigned files) {
    const std::string path = origin.scratch / name;
    REQUIRE(os::make_directories(path));
    for (unsigned i = 0; i < files; ++i) {
      Buffer bytes = noise(1'200'000, 1);
      for (std::size_t at = i; at < bytes.size(); at += 8000) bytes[at] ^= std::byte{0x55};
      make_file(path + "/image" + std::to_string(i), bytes);
    }
    return capture(path);
  };
  const auto publish = [&](const Captured& captured, const origin::UpdateWish& wish) {
    origin.send(origin.content->layers(), captured.chunks);
    const auto record = tests::layer_record("debian", "1", captured.result.manifest);
    auto publication = origin.content->examine(signed_layer(record, origin.publisher), {7}, wish);
    if (!publication) FAIL(publication.error().text());
    REQUIRE(origin.content->keep(*publication));
    return std::move(*publication);
  };
  const auto one = publish(tree("one", 6), {.from = {format::kNoLayer}});
  REQUIRE(one.updates.size() == 1);
  CHECK(one.updates[0].from == format::kNoLayer);
  CHECK(one.updates[0].bytes.count < one.info.stored_bytes * 3 / 4);
  const auto packs = origin.content->distribution_record(one.info.id).value().packs;
  CHECK(static_cast<std::int64_t>(format::sum_of(format::needed_packs(packs, {}, {}))) ==
        one.updates[0].bytes.count);
  // Programs of before there were updates get the layer's own packs, and nothing else.
  const auto plain = origin.content->without_updates(one.info.id).value();
  const auto of_plain =
      format::open_distribution(one.info.id, plain.distribution, origin.target.public_key());
  REQUIRE(of_plain);
  CHECK(std::ranges::all_of(of_plain->packs, format::is_for_everyone));
  CHECK(of_plain->packs.size() == static_cast<std::size_t>(one.info.packs));
  // Too little to be worth it.
  CHECK(publish(tree("two", 1), {.from = {format::kNoLayer}}).updates.empty());
}

TEST_CASE("layer packs: as few are written anew as keep the rest lean", "[origin]") {
  using origin::worn_packs;
  constexpr std::uint64_t mib = 1 << 20;
  CHECK(worn_packs({}).empty());
  CHECK(worn_packs({{pack_id(1), 16 * mib, 16 * mib}, {pack_id(2), 16 * mib, 16 * mib}}).empty());
  // Little enough to leave, of a small layer and of a large one.
  CHECK(worn_packs({{pack_id(1), 100'000, 50'000}}).empty());
  CHECK(worn_packs({{pack_id(1), 200 * mib, 198 * mib + mib / 2}}).empty());
  // The emptiest first, and no more than needed.
  const std::vector<origin::PackUse> uses{{pack_id(1), 16 * mib, 15 * mib + 900'000},
                                          {pack_id(2), 16 * mib, 1 * mib},
                                          {pack_id(3), 16 * mib, 8 * mib},
                                          {pack_id(4), 16 * mib, 16 * mib}};
  CHECK(worn_packs(uses) == std::vector{pack_id(2), pack_id(3)});
  CHECK(worn_packs({{pack_id(1), 16 * mib, 100}}) == std::vector{pack_id(1)});
}

TEST_CASE("publish: a fresh device fetches no dead weight of older layers", "[origin]") {
  Origin origin;
  Versions versions(origin);
  const auto one = versions.publish("1.0", numbers(0, 40));
  CHECK(one.written_anew.count == 0);
  CHECK_FALSE(one.info.fresh_packs);

  // Half of the old files are gone.
  auto kept = numbers(20, 60);
  const auto two = versions.publish("2.0", kept);
  CHECK(two.written_anew.count > 20 * 60'000);
  CHECK(two.info.fresh_packs.value_or(0) > 0);
  Origin alone;
  const auto only = Versions(alone).publish("2.0", kept);
  CHECK(two.info.stored_bytes <= only.info.stored_bytes * 103 / 100);
  versions.check_whole(two, versions.packs(two));

  // A device that has the first one fetches what is new, and has the rest.
  const auto fresh = versions.fresh(two, one.info.id);
  CHECK(fresh.size() == static_cast<std::size_t>(*two.info.fresh_packs));
  auto update = versions.packs(two);
  std::erase_if(update, [&](const auto& pack) { return fresh.contains(pack.id); });
  std::int64_t fetched = 0;
  for (const auto& pack : update) fetched += static_cast<std::int64_t>(pack.size);
  CHECK(fetched < 21 * 60'000);
  for (const auto& pack : versions.packs(one)) update.push_back(pack);
  versions.check_whole(two, update);
  versions.check_whole(one, versions.packs(one));

  SECTION("the next version uses what was written for this one") {
    kept.push_back(60);
    const auto three = versions.publish("3.0", kept);
    CHECK(three.written_anew.count == 0);
    versions.check_whole(three, versions.packs(three));
    CHECK(versions.fresh(three, one.info.id) == fresh);
    CHECK(versions.fresh(three, two.info.id) == fresh);
  }
  SECTION("published once more it is the same, and nothing is written") {
    const auto again = origin.content->examine(two.record, {8});
    REQUIRE(again);
    CHECK(again->distribution == two.distribution);
    CHECK(again->written_anew.count == 0);
  }
  SECTION("what only a later layer has is not for devices with the first one") {
    // Half of what was new in the second one, and half of what it had from the first.
    const auto three = versions.publish("3.0", [] {
      auto files = numbers(30, 50);
      files.push_back(70);
      return files;
    }());
    versions.check_whole(three, versions.packs(three));
    CHECK(three.written_anew.count > 0);
    const auto for_one = versions.fresh(three, one.info.id);
    const auto for_two = versions.fresh(three, two.info.id);
    CHECK_FALSE(for_one.empty());
    CHECK(std::ranges::includes(for_two, for_one));
    CHECK(for_two.size() > for_one.size());
    auto own = versions.packs(three);
    std::erase_if(own, [&](const auto& pack) { return for_one.contains(pack.id); });
    for (const auto& pack : versions.packs(one)) own.push_back(pack);
    versions.check_whole(three, own);
  }
  SECTION("a layer of another name that shares files leans on it too") {
    const auto app = versions.publish("1.0", {25, 80}, "app");
    CHECK(app.info.stored_bytes < 3 * 60'000 + 64 * 1024);
    CHECK_FALSE(versions.fresh(app, two.info.id).empty());
    CHECK_FALSE(versions.fresh(app, one.info.id).empty());
  }
}
