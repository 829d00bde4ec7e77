// The scrub of an origin: what it finds, sets aside and mends, what it touches, kills and restarts.
#include "origin/scrub.hpp"

#include <condition_variable>

#include "origin/garbage.hpp"
#include "tests/origin/kept.hpp"
#include "tests/support/killed_at.hpp"

using namespace lamina;
using namespace lamina::tests;
using namespace std::chrono_literals;

namespace {

constexpr WallTime kNow{1'700'000'000'000'000'000};

// An origin with its programs' parts opened in this process.
struct Opened {
  OriginKeys keys;
  std::unique_ptr<Content> content;
  std::unique_ptr<JournaledTable> table;
  Catalog catalog;

  explicit Opened(const DataDirectory& data)
      : keys(read_keys(data).value()),
        content(Content::open(data.root(),
                              {keys.publishers, keys.target, keys.swarm_ca.certificate_pem})
                    .value()),
        table(JournaledTable::open(data.catalog(), data.journal()).value()),
        catalog(*table) {}
};

struct Scrubbed : Kept {
  std::vector<ScrubFound> found;

  Scrub::Calls calls() {
    return {
        .on_piece = {},
        .alone =
            [this] { return os::FileLock::take_directory(data.keys(), os::FileLock::Mode::alone); },
        .found = [this](const ScrubFound& one) { found.push_back(one); },
        .is_stopping = {},
        .on_step = {}};
  }
  void round(Opened& origin) {
    Scrub scrub(*origin.content, origin.catalog, calls());
    ScrubPlace place;
    for (int steps = 0; steps < 100; ++steps)
      if (scrub.step(place, kNow).value()) return;
    FAIL("the round does not end");
  }
  void damage(const std::string& space, std::size_t at = 3000) {
    const std::string path = only_pack(space);
    Buffer bytes = os::read_file(path, 1 << 26).value();
    copies[space] = bytes;
    ids[space] = *PackId::parse(path.substr(path.rfind('/') + 1));
    bytes[at] ^= std::byte{1};
    REQUIRE(os::write_file(path, bytes));
  }
  void bring_back(ChunkStore& store, const std::string& space) {
    const std::string path = store.files().new_temporary().value();
    REQUIRE(os::write_file(path, copies.at(space)));
    REQUIRE(store.take_in(path, ids.at(space)));
  }
  std::map<std::string, Buffer> copies;
  std::map<std::string, PackId> ids;
};

}  // namespace

TEST_CASE("scrub: a sound origin, round after round", "[origin]") {
  Scrubbed kept;
  Opened origin(kept.data);
  kept.round(origin);
  kept.round(origin);
  CHECK(kept.found.empty());
  Scrub scrub(*origin.content, origin.catalog, kept.calls());
  CHECK(scrub.wanted().value().empty());
  ScrubPlace place;
  while (!scrub.step(place, kNow).value()) continue;
  CHECK(scrub.counts().packs == 2);
  CHECK(scrub.counts().mended == 0);
  CHECK(scrub.counts().read > Bytes{5000});
  CHECK(place.round_ended_ms == kNow.ns / 1'000'000);
}

TEST_CASE("scrub: a layer's damaged pack is set aside, wanted, and taken back", "[origin]") {
  Scrubbed kept;
  const bool is_lost = GENERATE(false, true);
  kept.damage("layers");
  if (is_lost) REQUIRE(os::remove_file(kept.only_pack("layers")));
  const PackId id = kept.ids.at("layers");
  {
    Opened origin(kept.data);
    kept.round(origin);
    REQUIRE(kept.found.size() == 1);
    CHECK(kept.found[0].space == "layers");
    CHECK(kept.found[0].note.pack == id);
    CHECK(kept.found[0].touched.layers == std::set{kept.layer});
    CHECK(kept.found[0].touched.devices.empty());
    Scrub scrub(*origin.content, origin.catalog, kept.calls());
    CHECK(scrub.wanted().value() == WantedPacks::List{{id, {kept.layer}}});
    REQUIRE(scrub.look_at_noted(kNow));
    CHECK(origin.content->layers().lost_packs().size() == 1);
  }
  const auto finding = kept.check(6).at("findings").at(0);
  CHECK(finding.at("kind") == "pack-aside");
  CHECK(finding.at("layers") == nlohmann::json{"debian:1.0"});
  CHECK(finding.at("next").get<std::string>().find("repair") != std::string::npos);

  {
    Opened origin(kept.data);
    kept.bring_back(origin.content->layers(), "layers");
    Scrub scrub(*origin.content, origin.catalog, kept.calls());
    CHECK(scrub.wanted().value().empty());
    CHECK(origin.content->layers().lost_packs().empty());
  }
  CHECK(kept.check(0).at("findings").empty());
}

TEST_CASE("scrub: what a device sent and is lost is asked for again, and then forgotten as lost",
          "[origin]") {
  Scrubbed kept;
  kept.damage("cvd");
  const ChunkId own = ref_of(kept.own).id;
  Opened origin(kept.data);
  CHECK(origin.content->lost({own}).value().empty());
  kept.round(origin);
  REQUIRE(kept.found.size() == 1);
  CHECK(kept.found[0].touched.devices == std::set{kept.device});
  CHECK(origin.content->lost({own}).value() == std::vector{own});
  Scrub scrub(*origin.content, origin.catalog, kept.calls());
  REQUIRE(scrub.look_at_noted(kNow));
  CHECK(origin.content->cvds().lost_packs().size() == 1);

  // It comes again in another pack.
  const Buffer other = noise(700, 3);
  send(origin.content->cvds(), {{own, kept.own}, {ref_of(other).id, other}},
       kept.scratch / "again");
  CHECK(origin.content->lost({own}).value().empty());
  REQUIRE(scrub.look_at_noted(kNow));
  CHECK(origin.content->cvds().lost_packs().empty());
}

TEST_CASE("scrub: what nothing needs any more is no loss", "[origin]") {
  Scrubbed kept;
  kept.damage("cvd");
  {
    Opened origin(kept.data);
    kept.round(origin);
    REQUIRE(origin.catalog.unlink_chunks({"test", kNow}, kept.device, {ref_of(kept.own).id}));
  }
  CHECK(kept.check(0).at("findings").empty());
  Opened origin(kept.data);
  Scrub scrub(*origin.content, origin.catalog, kept.calls());
  REQUIRE(scrub.look_at_noted(kNow));
  CHECK(origin.content->cvds().lost_packs().empty());
}

TEST_CASE("scrub: what is set aside does not keep garbage from being collected", "[origin]") {
  Scrubbed kept;
  kept.damage("cvd");
  kept.damage("layers");
  Opened origin(kept.data);
  kept.round(origin);
  CHECK(kept.found.size() == 2);
  const auto report = collect_garbage(*origin.content, origin.catalog, {}, kNow);
  if (!report) FAIL(report.error().text());
  CHECK(origin.content->layers().lost_packs().size() == 1);
}

TEST_CASE("scrub: a restart goes on where it was", "[origin]") {
  Scrubbed kept;
  ScrubPlace place;
  {
    Opened origin(kept.data);
    Scrub scrub(*origin.content, origin.catalog, kept.calls());
    CHECK_FALSE(scrub.step(place, kNow).value());  // The layers' pack.
    CHECK_FALSE(place.after.is_none());
    REQUIRE(write_scrub_place(kept.data, place));
  }
  CHECK(read_scrub_place(kept.data) == place);
  Opened origin(kept.data);
  Scrub scrub(*origin.content, origin.catalog, kept.calls());
  while (!scrub.step(place, kNow).value()) continue;
  CHECK(scrub.counts().packs == 1);  // The devices' pack alone.
  REQUIRE(os::write_file(kept.path + "/scrub.json", as_view("nothing")));
  CHECK(read_scrub_place(kept.data) == ScrubPlace());
}

TEST_CASE("scrub: killed at every step, the next one finishes", "[origin]") {
  int kills = 0;
  for (int at = 1;; ++at) {
    Scrubbed kept;
    kept.damage("layers");
    const bool killed = killed_at(at, [&](const auto& on_step) {
      Opened origin(kept.data);
      Scrub::Calls calls = kept.calls();
      calls.on_step = on_step;
      Scrub scrub(*origin.content, origin.catalog, calls);
      ScrubPlace place;
      while (!scrub.step(place, kNow).value()) continue;
    });
    Opened origin(kept.data);
    Scrub scrub(*origin.content, origin.catalog, kept.calls());
    REQUIRE(scrub.look_at_noted(kNow));
    INFO("killed at " << at);
    CHECK(scrub.wanted().value().size() == 1);
    REQUIRE(origin.content->layers().lost_packs().size() == 1);
    kept.bring_back(origin.content->layers(), "layers");
    CHECK(scrub.wanted().value().empty());
    const auto layer = origin.content->layer_record(kept.layer);
    CHECK(layer);
    if (!killed) break;
    ++kills;
  }
  CHECK(kills == 3);
}

TEST_CASE("scrub: what damage touches is what reading every manifest says", "[origin]") {
  Scrubbed kept;
  Opened origin(kept.data);
  // Two devices with three snapshots each, of trees that share some files.
  std::map<Touched::Snapshot, std::set<ChunkId>> needs;
  std::vector<ChunkId> all;
  DeviceId devices[2];
  for (int d = 0; d < 2; ++d) {
    REQUIRE(origin.catalog.add_site({"test", kNow}, {.name = "site" + std::to_string(d)}));
    const auto token =
        origin.catalog.create_token({"test", kNow}, {.name = "t" + std::to_string(d),
                                                     .kind = "enrol",
                                                     .uses = 1,
                                                     .ttl_ms = 3'600'000,
                                                     .site = "site" + std::to_string(d)});
    REQUIRE(token);
    std::array<std::byte, 16> bytes;
    bytes.fill(std::byte(17 + d));
    devices[d] = DeviceId(bytes);
    REQUIRE(origin.catalog.enrol(kNow,
                                 {.token = token->secret,
                                  .csr_pem = "",
                                  .hardware_uuid = "",
                                  .host_name = "pc" + std::to_string(d),
                                  .node_version = "1",
                                  .attributes = {}},
                                 devices[d], "key" + std::to_string(d)));
    for (int s = 0; s < 3; ++s) {
      const std::string tree = kept.scratch / ("tree" + std::to_string(d) + std::to_string(s));
      REQUIRE(os::make_directories(tree));
      for (int file = s; file < s + 3; ++file)
        REQUIRE(os::write_file(
            tree + "/f" + std::to_string(file),
            noise(3000, static_cast<std::uint64_t>(100 * (file == 3 ? 9 : d) + file + 1))));
      const Captured captured = capture(tree);
      send(origin.content->cvds(), captured.chunks,
           kept.scratch / ("c" + std::to_string(d) + std::to_string(s)));
      std::vector<ChunkId> ids;
      for (const auto& [id, plain] : captured.chunks) ids.push_back(id);
      REQUIRE(origin.catalog.link_chunks(devices[d], ids));
      const Buffer record =
          format::encode(format::SnapshotRecord{.device = devices[d],
                                                .sequence = static_cast<std::uint64_t>(s + 1),
                                                .created = kNow,
                                                .reason = "test",
                                                .manifest = captured.result.manifest});
      const auto snapshot = origin.content->examine_snapshot(record, devices[d]).value();
      REQUIRE(origin.content->keep_snapshot(snapshot, record));
      REQUIRE(origin.catalog.add_snapshot(
          {"test", kNow}, devices[d], {.id = snapshot.id, .created_ms = s + 1, .reason = "test"}));
      auto& mine = needs[{devices[d], snapshot.id, static_cast<std::uint64_t>(s + 1)}];
      mine = {snapshot.chunks.begin(), snapshot.chunks.end()};
      all.insert(all.end(), ids.begin(), ids.end());
    }
  }
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  REQUIRE(all.size() > 10);
  const format::ChunkSource source = origin.content->source();
  const auto record = [&](const SnapshotId& id) { return origin.content->snapshot_record(id); };
  // Every chunk alone, and all pairs of neighbours: many damages at once.
  std::vector<std::set<ChunkId>> damages;
  for (const ChunkId& id : all) damages.push_back({id});
  for (std::size_t i = 1; i < all.size(); ++i) damages.push_back({all[i - 1], all[i]});
  const auto touched = find_touched(origin.catalog, source, record, damages).value();
  for (std::size_t i = 0; i < damages.size(); ++i) {
    std::set<Touched::Snapshot> snapshots;
    std::set<DeviceId> of;
    for (const auto& [snapshot, chunks] : needs)
      if (std::ranges::any_of(damages[i], [&](const auto& id) { return chunks.contains(id); })) {
        snapshots.insert(snapshot);
        of.insert(snapshot.device);
      }
    INFO("damage " << i);
    CHECK(touched[i].snapshots == snapshots);
    CHECK(touched[i].devices == of);
    CHECK(touched[i].layers.empty());
  }
  CHECK(find_touched(origin.catalog, source, record, damages, [] { return true; }).error().kind() ==
        ErrorKind::unavailable);
}

TEST_CASE("scrubber: its thread finds, tells what is wanted, and stops in the middle", "[origin]") {
  Scrubbed kept;
  kept.damage("layers");
  Opened origin(kept.data);
  std::mutex mutex;
  std::condition_variable told;
  WantedPacks::List wanted;
  const auto want = [&](WantedPacks::List list) {
    const std::lock_guard lock(mutex);
    wanted = std::move(list);
    told.notify_all();
  };
  {
    Scrubber scrubber(*origin.content, *origin.table, {.rate = 1_GiB}, want);
    std::unique_lock lock(mutex);
    REQUIRE(told.wait_for(lock, 60s, [&] { return !wanted.empty(); }));
    CHECK(wanted.begin()->first == kept.ids.at("layers"));
    lock.unlock();
    const auto standing = scrubber.standing();
    CHECK(standing.counts.set_aside == 1);
    CHECK(standing.failures == 0);
    CHECK(standing.lost.at("layers").packs == 1);
    CHECK(standing.lost.at("layers").chunks > 0);
    CHECK(standing.lost.at("layers").bytes > Bytes{});
    CHECK(standing.lost.at("cvd").packs == 0);
  }
  // At a byte a second it would take hours.
  REQUIRE(os::remove_file(kept.path + "/scrub.json"));
  Scrubber slow(*origin.content, *origin.table, {.rate = Bytes{1}}, want);
}

TEST_CASE("repair: what is lost comes from a backup", "[origin]") {
  Scrubbed kept;
  const std::string backup = kept.scratch / "backup";
  REQUIRE(kept.run({"backup", "--data", kept.path.c_str(), "--to", backup.c_str()}) == 0);
  const std::string how = GENERATE("damaged", "gone", "set aside", "damaged there, too");
  kept.damage("layers");
  kept.damage("cvd");
  if (how == "gone")
    for (const char* space : {"layers", "cvd"}) REQUIRE(os::remove_file(kept.only_pack(space)));
  if (how == "set aside") {
    Opened origin(kept.data);
    kept.round(origin);
  }
  if (how == "damaged there, too")
    REQUIRE(os::write_file(backup + "/layers/packs/" + kept.ids.at("layers").hex(),
                           os::read_file(kept.only_pack("layers"), 1 << 26).value()));
  REQUIRE(kept.run({"repair", "--data", kept.path.c_str(), "--from", backup.c_str(), "--json"}) ==
          0);
  const auto report = nlohmann::json::parse(kept.out).at("repair");
  CHECK(report.at("packs_brought").at("cvd") == 1);
  CHECK(report.at("chunks_to_send_again") == 0);
  if (how == "damaged there, too") {
    CHECK(report.at("packs_brought").at("layers") == 0);
    CHECK(report.at("damaged_there").size() == 1);
    CHECK(kept.check(6).at("findings").size() >= 1);
    return;
  }
  CHECK(report.at("packs_brought").at("layers") == 1);
  CHECK(kept.check(0).at("findings").empty());
  CHECK(kept.run({"repair", "--data", kept.path.c_str(), "--from", "/nowhere"}) == 3);
}
