// Erasures at an origin: what goes, what others keep, what kills and late comers leave.
#include "origin/erasure.hpp"

#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <thread>

#include "tests/origin/worked_origin.hpp"
#include "tests/support/killed_at.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace lamina::tests;

namespace {

struct Fixture : WorkedOrigin {
  const DeviceId bob = enrol(2);

  // Ann has files 1 to 12, Bob 10 to 14.
  void live() {
    snapshot(ann, seeds(1, 8));
    snapshot(ann, seeds(1, 12));
    snapshot(bob, seeds(10, 14));
  }
  void erase(const DeviceId& device) {
    Open origin(*this);
    auto reply = origin.catalog.decommission({"admin:root", kStart}, device, {"erase"});
    if (!reply) FAIL(reply.error().text());
    forget_all(device);
  }
  // What was acknowledged of the device need not read back.
  void forget_all(const DeviceId& device) {
    std::erase_if(snapshots, [&](const auto& one) {
      const auto record = os::read_file(data.object("snapshots", one.first.hex()), 1 << 20);
      return record && format::parse_snapshot(*record)->device == device;
    });
  }
  wire::ErasureProof proof(const DeviceId& device) {
    Open origin(*this);
    auto proof = prove_erasure(*origin.content, origin.catalog, device, [] { return false; });
    if (!proof) FAIL(proof.error().text());
    return std::move(*proof);
  }
  // Of noise: it lies in packs as it is, so that anybody finds it who reads the disk.
  bool is_on_disk(int seed) const {
    const Buffer content = noise(60'000, std::uint64_t(seed));
    const auto part = as_text(ByteView(content).subspan(30'000, 64));
    for (const auto& file : std::filesystem::recursive_directory_iterator(path)) {
      if (!file.is_regular_file()) continue;
      std::ifstream in(file.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      if (bytes.find(part) != std::string::npos) return true;
    }
    return false;
  }
  std::vector<int> on_disk(int first, int last) const {
    std::vector<int> found;
    for (int seed = first; seed <= last; ++seed)
      if (is_on_disk(seed)) found.push_back(seed);
    return found;
  }
  std::vector<std::string> audited(const std::string& action) {
    Open origin(*this);
    std::vector<std::string> details;
    const auto log = origin.catalog.audit_log(1000);
    for (const auto& entry : log->entries)
      if (entry.action == action) details.push_back(entry.detail);
    return details;
  }
};

std::string found_in(const wire::ErasureProof& proof) {
  std::string all;
  for (const auto& check : proof.checks)
    if (check.found > 0) all += check.what + ": " + check.text + "; ";
  return all;
}

}  // namespace

TEST_CASE("erasure: what only the device had is gone from the disk after one collection",
          "[origin]") {
  Fixture f;
  f.live();
  REQUIRE(f.on_disk(1, 14) == seeds(1, 14));
  f.erase(f.ann);
  {
    Fixture::Open origin(f);
    CHECK(origin.catalog.device(f.ann).error().kind() == ErrorKind::not_found);
    CHECK(origin.catalog.snapshots(f.ann).error().kind() == ErrorKind::not_found);
  }
  CHECK_FALSE(f.proof(f.ann).holds);
  f.check_whole();
  // With the graces that `serve` has.
  const auto report = f.collect(kStart);
  CHECK(report.erased == std::vector{f.ann});
  CHECK(f.on_disk(1, 14) == seeds(10, 14));
  f.check_whole();

  const auto proof = f.proof(f.ann);
  CHECK(found_in(proof).empty());
  CHECK(proof.holds);
  CHECK(proof.erasure.snapshots == 2);
  CHECK(proof.erasure.chunks_erased > 9);
  CHECK(proof.erasure.chunks_shared >= 3);
  CHECK(proof.erasure.plain_bytes > 9 * 60'000);
  const auto entries = f.audited("cvd.erased");
  REQUIRE(entries.size() == 1);
  CHECK_THAT(entries[0], Catch::Contains("snapshots=2 ") &&
                             Catch::Contains("chunks_digest=" + proof.erasure.chunks_digest));
  // Once more nothing is to do.
  CHECK(f.collect(kStart).erased.empty());
  CHECK(f.audited("cvd.erased").size() == 1);
}

TEST_CASE("erasure: a pack with a little of the device is written anew", "[origin]") {
  Fixture f;
  f.snapshot(f.bob, seeds(1, 6));
  f.snapshot(f.ann, seeds(1, 7));  // File 7 and a manifest of its own.
  const DeviceId cem = f.enrol(3);
  f.snapshot(cem, seeds(20, 26));
  f.erase(f.ann);
  f.collect(kStart);
  CHECK(f.proof(f.ann).holds);
  CHECK(f.on_disk(1, 7) == seeds(1, 6));
  CHECK(f.on_disk(20, 26) == seeds(20, 26));
  f.check_whole();
}

TEST_CASE("erasure: killed at any step, the next collection ends it", "[origin]") {
  Fixture f;
  f.live();
  f.erase(f.ann);
  int steps = 0;
  for (int step = 1;; ++step) {
    const bool killed = killed_at(step, [&](const auto& on_step) {
      GarbageOptions options;
      options.on_step = on_step;
      Fixture::Open origin(f);
      static_cast<void>(collect_garbage(*origin.content, origin.catalog, options, kStart));
    });
    f.check_whole();
    if (!killed) break;
    ++steps;
  }
  CHECK(steps > 10);
  const auto proof = f.proof(f.ann);
  CHECK(found_in(proof).empty());
  CHECK(proof.holds);
  CHECK(proof.erasure.plain_bytes > 9 * 60'000);
  CHECK(f.on_disk(1, 14) == seeds(10, 14));
  CHECK(f.audited("cvd.erased").size() == 1);
}

TEST_CASE("erasure: what another device sends at that moment is not lost", "[origin]") {
  Fixture f;
  f.live();
  f.erase(f.ann);
  const Captured same = f.tree(seeds(1, 4));
  Fixture::Open origin(f);
  // The origin has taken in what Bob sent, and found that it had all of it; it is not yet linked.
  auto intake = origin.content->intakes().begin();
  std::vector<ChunkId> sent;
  for (const std::string& pack : f.packed(same.chunks)) {
    auto at = Fixture::received(origin.content->cvds(), pack);
    auto ids = origin.content->take_in_cvd(*at, identify(pack)->id);
    REQUIRE(ids);
    sent.insert(sent.end(), ids->begin(), ids->end());
  }
  std::promise<void> settling;
  std::string error;
  {
    const std::jthread collecting([&] {
      Catalog catalog(*origin.table);
      GarbageOptions options;
      options.is_serving = true;
      bool told = false;
      options.on_step = [&](std::string_view step) {
        if (step == "settling" && !std::exchange(told, true)) settling.set_value();
      };
      auto report = collect_garbage(*origin.content, catalog, options, kStart);
      if (!report) error = report.error().text();
    });
    settling.get_future().wait();
    REQUIRE(origin.catalog.link_chunks(f.bob, sent));
    intake.reset();
  }
  CHECK(error.empty());
  CHECK(origin.content->cvds().lacking(sent)->empty());
  CHECK(f.commit(origin, f.bob, same, kStart));
  auto proof = prove_erasure(*origin.content, origin.catalog, f.ann, [] { return false; });
  REQUIRE(proof);
  CHECK(proof->holds);
  CHECK(proof->erasure.chunks_shared >= 4);
}

TEST_CASE("erasure: what the device sends too late goes, too", "[origin]") {
  Fixture f;
  f.live();
  const Captured late = f.tree(seeds(30, 32));
  f.erase(f.ann);
  f.collect(kStart);
  REQUIRE(f.proof(f.ann).holds);
  {
    // Taken in before the device was shut out, linked after it.
    Fixture::Open origin(f);
    for (const std::string& pack : f.packed(late.chunks)) {
      auto at = Fixture::received(origin.content->cvds(), pack);
      auto ids = origin.content->take_in_cvd(*at, identify(pack)->id);
      REQUIRE(ids);
      CHECK(origin.catalog.link_chunks(f.ann, *ids).error().kind() == ErrorKind::refused);
    }
    CHECK(origin.catalog.add_snapshot({"test", kStart}, f.ann, {}).error().kind() ==
          ErrorKind::not_found);
  }
  CHECK_FALSE(f.proof(f.ann).holds);
  CHECK(f.collect(kStart).erased.size() == 1);
  CHECK(f.proof(f.ann).holds);
  CHECK(f.on_disk(30, 32).empty());
  f.check_whole();
}

TEST_CASE("erasure: packs that the scrub set aside go as well", "[origin]") {
  Fixture f;
  f.snapshot(f.ann, seeds(1, 8));
  {
    Fixture::Open origin(f);
    ChunkStore& store = origin.content->cvds();
    const PackId pack = store.files().list()->front();
    const std::string path = store.files().path_of(pack);
    Buffer bytes = os::read_file(path, 1 << 26).value();
    bytes[bytes.size() / 2] ^= std::byte{1};
    REQUIRE(os::write_file(path, bytes));
    REQUIRE(store.set_aside(pack, look_at_pack(store.files(), pack).value(), kStart).value());
  }
  f.erase(f.ann);
  CHECK_FALSE(f.on_disk(1, 8).empty());
  f.collect(kStart);
  CHECK(f.on_disk(1, 8).empty());
  CHECK(f.proof(f.ann).holds);
}

TEST_CASE("erasure: a proof finds what is left", "[origin]") {
  Fixture f;
  f.live();
  Buffer record;
  SnapshotId id;
  {
    Fixture::Open origin(f);
    id = origin.catalog.newest_snapshot(f.ann).value()->id;
    record = origin.content->snapshot_record(id).value();
  }
  const Captured same = f.tree(seeds(1, 2));
  f.erase(f.ann);
  f.collect(kStart);
  REQUIRE(f.proof(f.ann).holds);
  SECTION("a record") {
    REQUIRE(os::write_file(f.data.object("snapshots", id.hex()), record));
    CHECK_THAT(found_in(f.proof(f.ann)), Catch::Contains("snapshot " + id.hex()));
  }
  SECTION("a row") {
    const auto table = JournaledTable::open(f.data.catalog(), f.data.journal()).value();
    REQUIRE(table->write(
        [&](Rows& rows) { return rows.put("transaction/" + f.ann.hex() + "/1", "{}"); }));
  }
  SECTION("content") {
    Fixture::Open origin(f);
    for (const std::string& pack : f.packed(same.chunks)) {
      auto at = Fixture::received(origin.content->cvds(), pack);
      REQUIRE(origin.content->take_in_cvd(*at, identify(pack)->id));
    }
  }
  CHECK_FALSE(f.proof(f.ann).holds);
  CHECK_FALSE(found_in(f.proof(f.ann)).empty());
}

TEST_CASE("erasure: backups that may have it are named, and archives stay", "[origin]") {
  Fixture f;
  f.live();
  const std::string to = f.scratch / "backup";
  REQUIRE(f.run({"backup", "--data", f.path.c_str(), "--to", to.c_str()}) == 0);
  {
    Fixture::Open origin(f);
    const auto archived = origin.catalog.decommission({"test", kStart}, f.bob, {"archive"});
    REQUIRE(archived);
    CHECK(archived->snapshots == 1);
    REQUIRE(origin.catalog.set_retention({"test", kStart}, {}, wire::RetentionRule{.newest = 1}));
  }
  f.erase(f.ann);
  f.collect(kStart, kAtOnce);
  f.check_whole();  // Bob's.
  const auto proof = f.proof(f.ann);
  CHECK(proof.holds);
  CHECK(std::ranges::any_of(proof.out_of_reach, [&](const std::string& place) {
    return place.find(to) != std::string::npos;
  }));
  // An archived device may be erased, too.
  f.erase(f.bob);
  f.collect(kStart);
  CHECK(f.proof(f.bob).holds);
  CHECK(f.stored("cvd").count == 0);
}
