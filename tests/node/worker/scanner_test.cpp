#include "node/worker/scanner.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "shared/format/path.hpp"
#include "shared/image/list_stream.hpp"
#include "shared/store/chunk_store.hpp"
#include "shared/tree/materialize.hpp"
#include "tests/shared/tree/trees.hpp"

using namespace lamina;
using namespace lamina::tests;
using node::Scanner;
using node::Transaction;

namespace {

// A device whose packs go to a store as the origin has it.
struct Device {
  Device() {
    for (const char* name : {"volume", "work", "spool"})
      REQUIRE(os::make_directories(scratch / name));
  }

  struct Sent {
    node::ScanResult result;
    std::uint64_t bytes = 0;
  };
  enum class End { count, hold };
  Sent sync(std::uint64_t sequence, bool full = false, std::vector<std::string> manifest_packs = {},
            End end = End::count) {
    auto transaction = Transaction::open(scratch / "volume");
    REQUIRE(transaction);
    auto protection = image::Protection::make({.unprotected = unprotected, .user = {}});
    REQUIRE(protection);
    transaction->protect(std::move(*protection));
    Scanner scanner(*transaction, scratch / "work", scratch / "spool");
    Sent sent;
    auto result =
        scanner.scan({.sequence = sequence,
                      .reason = "test",
                      .started = {std::int64_t{4'000'000'000} * 1'000'000'000},
                      .full = full,
                      .unprotected = unprotected,
                      .manifest_packs = std::move(manifest_packs)},
                     {.offer = [&](const format::PackSummary& pack, bool) -> Status {
                       sent.bytes += pack.size;
                       const std::string from = scratch / ("spool/packs/" + pack.id.hex());
                       const std::string to = origin->files().new_temporary().value();
                       REQUIRE(os::write_file(to, os::read_file(from, 1 << 26).value()));
                       const auto taken = origin->take_in_new(to, pack.id, origin->source());
                       if (!taken) FAIL(taken.error().text());
                       return Done{};
                     }});
    if (!result) FAIL(result.error().text());
    if (end == End::count)
      REQUIRE(scanner.count());
    else
      REQUIRE(scanner.hold(result->snapshot));
    CHECK(os::list_directory(scratch / "spool/packs").value().empty());
    sent.result = std::move(*result);
    return sent;
  }

  void settle(const SnapshotId& snapshot) {
    auto transaction = Transaction::open(scratch / "volume");
    REQUIRE(Scanner(*transaction, scratch / "work", scratch / "spool").settle(snapshot));
  }

  // Restores a snapshot from what was sent and compares it with the volume.
  void check_restore(const node::ScanResult& result) {
    const auto record = format::parse_snapshot(result.record).value();
    const std::string to = scratch / "restored";
    REQUIRE(os::remove_tree(to));
    REQUIRE(os::make_directories(to));
    auto root = os::Root::open(to);
    auto reader = format::ManifestReader::open(record.manifest, origin->source());
    REQUIRE(reader);
    TreeWriter writer(*root, "", origin->source(), {.set_owner = geteuid() == 0});
    for (;;) {
      auto entry = (*reader)->next();
      if (!entry) FAIL(entry.error().text());
      if (!*entry) break;
      REQUIRE(writer.write(**entry));
    }
    REQUIRE(writer.finish());
    const CaptureOptions options{
        .include = [](const std::string& p, bool) { return p != ".lamina"; }};
    CHECK(capture(to, options).entries() == capture(scratch / "volume", options).entries());
  }

  // Paths of a snapshot that lie beneath `top`, itself included.
  std::vector<std::string> held(const node::ScanResult& result, const std::string& top) {
    const auto record = format::parse_snapshot(result.record).value();
    CHECK(record.unprotected == unprotected);
    auto reader = format::ManifestReader::open(record.manifest, origin->source());
    REQUIRE(reader);
    std::vector<std::string> paths;
    for (;;) {
      auto entry = (*reader)->next();
      REQUIRE(entry);
      if (!*entry) return paths;
      if (format::is_within((*entry)->path, top)) paths.push_back((*entry)->path);
    }
  }

  std::vector<format::ProtectionRule> unprotected;
  Scratch scratch;
  std::unique_ptr<ChunkStore> origin = ChunkStore::open(scratch / "origin").value();
};

}  // namespace

TEST_CASE("scanner: the first scan sends all, the next one only what changed", "[node]") {
  Device device;
  make_nasty_tree(device.scratch / "volume");
  const auto first = device.sync(1);
  CHECK(first.bytes > 300'000);
  device.check_restore(first.result);

  const auto second = device.sync(2);
  CHECK(second.result.files_read == 0);
  CHECK(second.result.packs == 0);

  make_file(device.scratch / "volume/small", to_buffer("one small file"));
  const auto third = device.sync(3);
  CHECK(third.result.files_read == 1);
  CHECK(third.bytes < 64 * 1024);
  device.check_restore(third.result);
}

TEST_CASE("scanner: one changed byte in a large file costs a page", "[node]") {
  Device device;
  make_file(device.scratch / "volume/big", noise(20 << 20, 1));
  device.sync(1);
  const auto edit = [&](std::uint64_t at) {
    auto file = os::Descriptor(::open((device.scratch / "volume/big").c_str(), O_RDWR));
    REQUIRE(os::write_all_at(file.get(), to_buffer("!"), at, "big"));
  };
  edit(10 << 20);
  auto sent = device.sync(2);
  CHECK(sent.bytes < 16 * 1024);
  device.check_restore(sent.result);

  // A scan that nobody counts moves nothing: the next one builds upon what the origin has.
  edit(3 << 20);
  {
    auto transaction = Transaction::open(device.scratch / "volume");
    REQUIRE(transaction);
    Scanner scanner(*transaction, device.scratch / "work", device.scratch / "spool");
    REQUIRE(scanner.scan({.sequence = 3, .started = {std::int64_t{4'000'000'000} * 1'000'000'000}},
                         {.offer = [](const format::PackSummary&, bool) { return Done{}; }}));
    REQUIRE(scanner.abandon());
  }
  edit((3 << 20) + 8192);
  edit(19 << 20);
  sent = device.sync(3);
  CHECK(sent.bytes < 32 * 1024);
  device.check_restore(sent.result);

  // In full, whole chunks are sent again: nothing is taken for granted.
  edit(5 << 20);
  sent = device.sync(4, true);
  CHECK(sent.bytes > 20 << 20);
  device.check_restore(sent.result);
}

TEST_CASE("scanner: what the applied layers brought is not sent", "[node]") {
  Device device;
  make_nasty_tree(device.scratch / "layer");
  const auto layer = capture(device.scratch / "layer");
  {
    auto transaction = Transaction::open(device.scratch / "volume");
    REQUIRE(transaction);
    REQUIRE(transaction->apply(std::make_unique<image::ListStream>(layer.entries()), {1, {}},
                               layer.source(), image::Mode::apply));
  }
  CHECK(device.sync(1).bytes < 64 * 1024);
  CHECK(device.sync(2, true).bytes < 64 * 1024);
}

TEST_CASE("scanner: of the manifest, only what the layers' manifests have not is sent", "[node]") {
  Device first, same;
  for (const Device* device : {&first, &same})
    for (int i = 0; i < 4000; ++i) {
      const std::string path = device->scratch / ("volume/f" + std::to_string(i));
      make_file(path, to_buffer("content " + std::to_string(i)));
      const timespec times[2] = {{1, 0}, {1, 0}};
      REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
    }
  const auto alone = first.sync(1);
  std::vector<std::string> packs{"no such pack"};
  const auto names = os::list_directory(first.scratch / "origin/packs").value();
  for (const std::string& name : names) packs.push_back(first.scratch / ("origin/packs/" + name));
  // One more file; the first device's packs stand for the layer's.
  make_file(same.scratch / "volume/one-more", to_buffer("same"));
  CHECK(same.sync(1, false, packs).bytes < alone.bytes / 10);
}

TEST_CASE("scanner: an abandoned scan does not count", "[node]") {
  Device device;
  make_file(device.scratch / "volume/f", noise(100'000, 1));
  {
    auto transaction = Transaction::open(device.scratch / "volume");
    REQUIRE(transaction);
    Scanner scanner(*transaction, device.scratch / "work", device.scratch / "spool");
    const auto result =
        scanner.scan({.reason = "test"}, {.offer = [](const format::PackSummary&, bool) -> Status {
                       return fail(ErrorKind::unavailable, "the line is down");
                     }});
    REQUIRE_FALSE(result);
    REQUIRE(scanner.abandon());
  }
  CHECK(device.sync(1).bytes > 100'000);
}

TEST_CASE("scanner: the next pack is made while one is on its way, and offered when that was taken",
          "[node]") {
  Device device;
  for (int i = 0; i < 20; ++i)
    make_file(device.scratch / ("volume/" + std::to_string(i)), noise(2 << 20, i));
  const auto transaction = Transaction::open(device.scratch / "volume");
  REQUIRE(transaction);
  Scanner scanner(*transaction, device.scratch / "work", device.scratch / "spool");
  const auto packs = [&] { return os::list_directory(device.scratch / "spool/packs").value(); };
  std::vector<std::string> events;
  std::size_t most = 0;
  const auto scan = [&](std::size_t refused) {
    events.clear();
    return scanner.scan({.reason = "test"},
                        {.offer = [&](const format::PackSummary& pack, bool) -> Status {
                           CHECK(os::exists(device.scratch / ("spool/packs/" + pack.id.hex())));
                           most = std::max(most, packs().size());
                           events.emplace_back("offered");
                           return Done{};
                         },
                         .taken = [&]() -> Status {
                           CHECK(packs().size() <= 2);
                           events.emplace_back("taken");
                           if (events.size() / 2 < refused) return Done{};
                           return fail(ErrorKind::unavailable, "the line is down");
                         }});
  };
  const auto scanned = scan(1000);
  REQUIRE(scanned);
  CHECK(most == 1);
  REQUIRE(events.size() == 2 * scanned->packs);
  REQUIRE(scanned->packs >= 4);
  for (std::size_t i = 0; i < events.size(); ++i)
    CHECK(events[i] == (i % 2 == 0 ? "offered" : "taken"));
  CHECK(packs().empty());
  // Nobody is left waiting when the scan fails.
  REQUIRE(scanner.abandon());
  CHECK(scan(2).error().kind() == ErrorKind::unavailable);
  CHECK(events.size() == 4);
  CHECK(packs().empty());
}

TEST_CASE("scanner: a snapshot that a relay has counts once it is settled", "[node]") {
  Device device;
  make_nasty_tree(device.scratch / "volume");
  const auto held = device.sync(1, false, {}, Device::End::hold);
  SECTION("settled: the next scan starts from it") {
    device.settle(held.result.snapshot);
    const auto next = device.sync(2);
    CHECK(next.result.files_read == 0);
    CHECK(next.result.packs == 0);
    device.settle(held.result.snapshot);  // Told twice.
    CHECK(device.sync(3).result.files_read == 0);
  }
  SECTION("lost: the next scan sends it again") {
    const auto again = device.sync(2);
    CHECK(again.result.files_read == held.result.files_read);
    CHECK(again.bytes == held.bytes);
    device.check_restore(again.result);
    make_file(device.scratch / "volume/small", to_buffer("one small file"));
    device.sync(3);
    device.settle(held.result.snapshot);  // Too late: a newer one counts.
    CHECK(device.sync(4).result.files_read == 0);
  }
  SECTION("another one is settled: nothing happens") {
    device.settle(SnapshotId{});
    CHECK(device.sync(2).bytes == held.bytes);
  }
  SECTION("held again: the newer one counts") {
    make_file(device.scratch / "volume/small", to_buffer("one small file"));
    const auto newer = device.sync(2, false, {}, Device::End::hold);
    device.settle(held.result.snapshot);
    device.settle(newer.result.snapshot);
    CHECK(device.sync(3).result.files_read == 0);
  }
}

TEST_CASE("scanner: what the policy leaves out is not read, and leaves the next snapshot",
          "[node]") {
  using Paths = std::vector<std::string>;
  Device device;
  for (const char* name : {"volume/srv/cache/kept", "volume/srv/data"})
    REQUIRE(os::make_directories(device.scratch / name));
  make_file(device.scratch / "volume/srv/data/x", noise(10'000, 1));
  make_file(device.scratch / "volume/srv/cache/big", noise(1 << 20, 2));
  make_file(device.scratch / "volume/srv/cache/kept/y", noise(10'000, 3));
  const auto first = device.sync(1);
  CHECK(device.held(first.result, "srv/cache").size() == 4);

  device.unprotected = {{"cache", {"srv/cache"}, {"srv/cache/kept"}}};
  make_file(device.scratch / "volume/srv/cache/more", noise(1 << 20, 4));
  const auto second = device.sync(2);
  CHECK(second.result.files_read == 0);
  CHECK(second.bytes < 64 * 1024);
  CHECK(device.held(second.result, "srv/cache") ==
        Paths{"srv/cache", "srv/cache/kept", "srv/cache/kept/y"});
  CHECK(device.held(second.result, "srv/data") == Paths{"srv/data", "srv/data/x"});

  // Taken up again: it was forgotten, and is read and sent like what is new.
  device.unprotected.clear();
  const auto third = device.sync(3);
  CHECK(third.result.files_read == 2);
  CHECK(device.held(third.result, "srv/cache").size() == 5);
  device.check_restore(third.result);
}
