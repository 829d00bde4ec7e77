// A relay that is killed, or loses its power, anywhere while it takes parcels of other devices and
// passes them on: what it has answered for, it has, until the origin has it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "node/net/relay_spool.hpp"
#include "shared/os/file.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"
#include "tests/torture/torture.hpp"

using namespace lamina;
using namespace lamina::tests;
using node::RelaySpool;

namespace {

constexpr Instant kNow{std::chrono::hours{1}};
constexpr WallTime kWall{std::int64_t{4'000'000'000} * 1'000'000'000};

struct Story {
  Scratch scratch;
  std::string spool = scratch / "spool";
  // What must be there when so many operations were done.
  struct Mark {
    std::size_t at = 0;
    std::set<format::ParcelId> held;
  };
  std::vector<Mark> marks;
  disk::History history;

  static DeviceId device(int number) {
    std::array<std::byte, DeviceId::kSize> bytes{};
    bytes[0] = static_cast<std::byte>(number);
    return DeviceId(bytes);
  }
  // As the relay's door takes one.
  static format::ParcelId receive(RelaySpool& held, int from, std::uint32_t number) {
    const Buffer box = noise(10'000 + 3000 * number, 100 * std::uint64_t(from) + number);
    const format::ParcelHead head{.device = device(from),
                                  .sequence = 1,
                                  .number = number,
                                  .box_size = box.size(),
                                  .box_digest = sha256(box)};
    Buffer bytes = format::encode(format::ParcelFront{head, to_buffer("key"), to_buffer("proof")});
    bytes.insert(bytes.end(), box.begin(), box.end());
    const Bytes size{static_cast<std::int64_t>(bytes.size())};
    REQUIRE(held.reserve(head.device, size));
    const auto id = format::parcel_id(head);
    const std::string path = held.incoming() + "/upload";
    {
      const auto file = os::open_write(path);
      REQUIRE(file);
      REQUIRE(os::write_all(file->get(), bytes, path));
    }
    REQUIRE(node::check_parcel(path, id, head.device));
    REQUIRE(node::store_parcel(path, held.directory(), head));
    held.added(head, size, kNow);
    return id;
  }

  Story() {
    REQUIRE(os::make_directories(spool));
    DiskLog log(spool);
    std::set<format::ParcelId> now;
    const auto mark = [&] { marks.push_back({log.count(), now}); };
    mark();
    for (int run = 0; run < 3; ++run) {
      auto held = RelaySpool::open(spool, {}, kNow, kWall);
      REQUIRE(held);
      for (int from = 1; from <= 3; ++from)
        for (std::uint32_t i = 0; i < 3; ++i) {
          now.insert(receive(*held, from, 10 * static_cast<std::uint32_t>(run) + i));
          mark();
        }
      for (int passed = 0; passed < 6; ++passed) {
        const auto next = held->next();
        REQUIRE(next);
        now.erase(next->id);
        mark();  // The origin has it.
        REQUIRE(held->remove(next->id));
      }
    }
    mark();
    history = log.take();
  }

  std::string whats_wrong(const std::string& directory, std::size_t after) const {
    auto held = RelaySpool::open(directory, {}, kNow, kWall);
    if (!held) return held.error().text();
    // A parcel that was being passed on may be there still, and is passed on once more.
    const auto next = std::ranges::upper_bound(marks, after, {}, &Mark::at);
    for (const format::ParcelId& id : std::prev(next)->held)
      if (!held->has(id)) return "parcel " + id.short_hex() + " is lost";
    while (const auto parcel = held->next()) {
      auto sound = node::check_parcel(parcel->path, parcel->id, parcel->head.device);
      if (!sound) return "parcel " + parcel->id.short_hex() + ": " + sound.error().text();
      if (auto gone = held->remove(parcel->id); !gone) return gone.error().text();
    }
    return "";
  }
};

}  // namespace

TEST_CASE("torture: a relay has what it answered for", "[relay]") {
  const Story story;
  must_survive("relay", story.history,
               [&](const std::string& directory, const disk::Image&, const Crash& crash, bool) {
                 return story.whats_wrong(directory, crash.after);
               });
}
