#include "shared/policy/cache_eviction.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

PackId pack(int n) {
  std::array<std::byte, 32> bytes{};
  bytes[31] = static_cast<std::byte>(n);
  return PackId(bytes);
}

struct Item {
  int pack;
  std::int64_t size;
  int used;  // Seconds.
  bool pinned = false;
};

std::vector<CachedPack> cache(const std::vector<Item>& items) {
  std::vector<CachedPack> packs;
  for (const Item& item : items)
    packs.push_back({pack(item.pack), {item.size}, Instant{item.used * 1s}, item.pinned});
  return packs;
}

}  // namespace

TEST_CASE("cache eviction: who goes", "[policy]") {
  struct Row {
    const char* what;
    std::vector<Item> items;
    std::int64_t high, low;
    std::vector<int> evicted;
    std::int64_t over;
  };
  const Row rows[] = {
      {"an empty cache", {}, 0, 0, {}, 0},
      {"at the high mark", {{1, 60, 1}, {2, 40, 2}}, 100, 50, {}, 0},
      {"above it, the oldest use first", {{1, 50, 2}, {2, 30, 1}, {3, 30, 3}}, 100, 80, {2}, 0},
      {"down to the low mark, not the high one",
       {{1, 30, 1}, {2, 30, 2}, {3, 30, 3}, {4, 30, 4}},
       100,
       60,
       {1, 2},
       0},
      {"the same use: by id", {{9, 60, 1}, {3, 60, 1}}, 100, 60, {3}, 0},
      {"pins stay though they are the oldest",
       {{1, 50, 1, true}, {2, 40, 2}, {3, 40, 3}},
       100,
       90,
       {2},
       0},
      {"a cache full of pins says so",
       {{1, 80, 1, true}, {2, 80, 2, true}, {3, 10, 3}},
       100,
       90,
       {3},
       70},
      {"everything may go", {{1, 10, 1}, {2, 10, 2}}, 5, 0, {1, 2}, 0},
      {"empty packs do not help", {{1, 0, 1}, {2, 20, 2}}, 10, 10, {1, 2}, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const auto eviction = choose_evictions(cache(row.items), {{row.high}, {row.low}});
    std::vector<PackId> wanted;
    for (const int n : row.evicted) wanted.push_back(pack(n));
    CHECK(eviction.packs == wanted);
    CHECK(eviction.over.count == row.over);
  }
}

TEST_CASE("cache eviction: pins never go, nothing goes in vain", "[policy]") {
  std::uint64_t random = 11;
  const auto next = [&random](std::uint64_t below) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>((random >> 33) % below);
  };
  for (int round = 0; round < 2000; ++round) {
    CAPTURE(round);
    std::vector<Item> items;
    std::int64_t total = 0;
    for (int i = next(20); i > 0; --i) {
      items.push_back({i, next(100), next(50), next(4) == 0});
      total += items.back().size;
    }
    const Bytes high{next(1000)}, low{next(static_cast<std::uint64_t>(high.count) + 1)};
    const auto packs = cache(items);
    const auto eviction = choose_evictions(packs, {high, low});
    const std::set<PackId> gone(eviction.packs.begin(), eviction.packs.end());
    REQUIRE(gone.size() == eviction.packs.size());
    if (total <= high.count) {
      REQUIRE(gone.empty());
      continue;
    }
    std::int64_t freed = 0;
    Instant newest_gone{}, oldest_kept{100s};
    for (const CachedPack& p : packs) {
      if (gone.contains(p.pack)) {
        REQUIRE_FALSE(p.pinned);
        freed += p.size.count;
        newest_gone = std::max(newest_gone, p.used);
      } else if (!p.pinned) {
        oldest_kept = std::min(oldest_kept, p.used);
      }
    }
    REQUIRE(freed == eviction.freed.count);
    REQUIRE(newest_gone <= oldest_kept);
    // The last one that went was needed, and what is left is at the mark or pinned.
    const auto last = std::ranges::find(
        packs, eviction.packs.empty() ? PackId{} : eviction.packs.back(), &CachedPack::pack);
    if (last != packs.end()) REQUIRE(total - freed + last->size.count > low.count);
    REQUIRE(eviction.over.count == std::max<std::int64_t>(0, total - freed - low.count));
    if (eviction.over.count > 0) REQUIRE(oldest_kept == Instant{100s});
  }
}

TEST_CASE("cache watermarks: the limit, or a fifth of the disk, and a tenth stays free",
          "[cache_eviction]") {
  const auto [limit, cache, free, high, low] =
      GENERATE(table<std::optional<Bytes>, int, int, int, int>({
          {std::nullopt, 0, 1000, 200, 180},  // A fifth of 1000.
          {Bytes{50}, 0, 1000, 50, 45},       // Less is wanted.
          {Bytes{500}, 100, 800, 500, 450},   // More, and there is room.
          {Bytes{500}, 100, 300, 300, 270},   // The rest of the disk is somebody else's.
          {std::nullopt, 150, 50, 100, 90},   // It has to shrink...
          {std::nullopt, 20, 30, 0, 0},       // ...to nothing.
          {Bytes{0}, 20, 900, 0, 0},
      }));
  const Watermarks marks = watermarks_of(limit, {{cache}, {free}, {1000}});
  CHECK(marks.high == Bytes{high});
  CHECK(marks.low == Bytes{low});
}

TEST_CASE("cache watermarks: of a large disk 20 GiB stay free", "[cache_eviction]") {
  CHECK(watermarks_of(std::nullopt, {{}, 100_GiB, 1000_GiB}).high == 80_GiB);
}
