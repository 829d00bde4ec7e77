// A device that is killed, or loses its power, anywhere while it scans its volume and sends what is
// new: whatever its scan states say then, its next snapshot is whole at the origin.
#include <filesystem>

#include "node/worker/scanner.hpp"
#include "shared/store/chunk_store.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/torture/torture.hpp"

using namespace lamina;
using namespace lamina::tests;
using node::Scanner;
using node::Transaction;

namespace {

const CaptureOptions kOwn{.include = [](const std::string& p, bool) { return p != ".lamina"; }};

// A volume, what the device keeps beside it, and the origin's store.
struct Story {
  Scratch scratch;
  std::string volume = scratch / "volume";
  std::string device = scratch / "device";
  std::string origin = scratch / "origin";
  // The store as it was when it had committed a snapshot: packs that came later may be collected
  // before anybody refers to them. And when that was.
  std::vector<std::string> committed;
  std::vector<std::size_t> ends;
  std::uint64_t sequence = 0;
  std::vector<format::Entry> now;  // What stands on the volume at the end.
  disk::History history;

  enum class End { count, hold };

  // Scans, sends to the store in `to`, commits.
  Result<node::ScanResult> scan(Scanner& scanner, const std::string& to) {
    const auto store = ChunkStore::open(to).value();
    return scanner.scan({.sequence = ++sequence,
                         .reason = "test",
                         .started = {std::int64_t{4'000'000'000} * 1'000'000'000}},
                        {.offer = [&](const format::PackSummary& pack, bool) -> Status {
                          const std::string from = device + "/spool/packs/" + pack.id.hex();
                          auto at = store->files().new_temporary();
                          if (!at) return fail(std::move(at.error()));
                          auto bytes = os::read_file(from, 1 << 26);
                          if (!bytes) return fail(std::move(bytes.error()));
                          if (auto done = os::write_file(*at, *bytes); !done) return done;
                          auto taken = store->take_in_new(*at, pack.id, store->source());
                          return taken ? Status(Done{}) : fail(std::move(taken.error()));
                        }});
  }

  void sync(DiskLog& log, End end) {
    const auto transaction = Transaction::open(volume);
    REQUIRE(transaction);
    Scanner scanner(*transaction, device + "/work", device + "/spool");
    const auto result = scan(scanner, origin);
    if (!result) FAIL(result.error().text());
    committed.push_back(scratch / ("committed" + std::to_string(committed.size())));
    std::filesystem::copy(origin, committed.back(), std::filesystem::copy_options::recursive);
    ends.push_back(log.count());
    if (end == End::count) {
      REQUIRE(scanner.count());
    } else {
      REQUIRE(scanner.hold(result->snapshot));
      REQUIRE(scanner.settle(result->snapshot));
    }
  }

  Story() {
    for (const char* name : {"", "/work", "/spool"}) REQUIRE(os::make_directories(device + name));
    make_nasty_tree(volume);
    make_file(volume + "/big", noise(3 << 20, 5));
    committed.push_back(scratch / "empty");
    REQUIRE(os::make_directories(committed.back()));
    ends.push_back(0);
    DiskLog log(device);
    sync(log, End::count);
    {
      const os::Descriptor big(open((volume + "/big").c_str(), O_RDWR | O_CLOEXEC));
      REQUIRE(os::write_all_at(big.get(), to_buffer("edited"), 1 << 20, "big"));
    }
    make_file(volume + "/new", noise(50'000, 6));
    sync(log, End::count);
    make_file(volume + "/newer", noise(40'000, 7));
    REQUIRE(os::remove_file(volume + "/a-"));
    sync(log, End::hold);
    make_file(volume + "/last", noise(30'000, 8));
    sync(log, End::count);
    history = log.take();
    now = capture(volume, kOwn).entries();
  }

  Examine examine() {
    return [this](const std::string& directory, const disk::Image&, const Crash& crash,
                  bool) -> std::string {
      const auto at = std::ranges::upper_bound(ends, crash.after) - ends.begin() - 1;
      const Scratch there;
      std::filesystem::copy(committed[static_cast<std::size_t>(at)], there / "origin",
                            std::filesystem::copy_options::recursive);
      const auto transaction = Transaction::open(volume);
      if (!transaction) return transaction.error().text();
      device = directory;
      Scanner scanner(*transaction, directory + "/work", directory + "/spool");
      const auto result = scan(scanner, there / "origin");
      if (!result) return "the next scan: " + result.error().text();
      if (auto done = scanner.count(); !done) return "counting: " + done.error().text();
      const auto record = format::parse_snapshot(result->record).value();
      const auto store = ChunkStore::open(there / "origin").value();
      auto read = format::for_each_chunk(record.manifest, store->source(),
                                         [&](const format::ChunkRef& ref, bool) -> Status {
                                           auto bytes = store->read(ref);
                                           if (!bytes) return fail(std::move(bytes.error()));
                                           return Done{};
                                         });
      if (!read) return "the origin lacks what the snapshot needs: " + read.error().text();
      auto reader = format::ManifestReader::open(record.manifest, store->source());
      if (!reader) return reader.error().text();
      for (const format::Entry& wanted : now) {
        auto entry = (*reader)->next();
        if (!entry || !*entry) return "the manifest is cut off";
        if (**entry != wanted) return "the snapshot has another " + printable(wanted.path);
      }
      return "";
    };
  }
};

}  // namespace

TEST_CASE("torture: after any crash the next snapshot is whole", "[sync]") {
  Story story;
  must_survive("scan and send", story.history, story.examine());
}
