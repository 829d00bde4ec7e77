#include "shared/policy/admission.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

Instant at(Duration since_start) { return Instant{since_start}; }
using Actions = std::vector<Admission::Action>;
using Names = std::vector<std::string>;

struct Bench {
  Admission admission;
  explicit Bench(std::size_t sites) : admission({.sites_max = sites, .patience = 300s}) {}

  Actions lacks(Duration t, const std::string& site, std::int64_t bytes, Duration time = {}) {
    return admission.on(Admission::Lacks{site, {bytes}, time}, at(t));
  }
  Actions gone(Duration t, const std::string& site) {
    return admission.on(Admission::Gone{site}, at(t));
  }
  Actions passes(Duration t) { return admission.on(Admission::Tick{}, at(t)); }
};

}  // namespace

TEST_CASE("admission: sites come in while there is room, then they wait", "[policy]") {
  Bench bench(2);
  CHECK(bench.lacks(0s, "a", 100) == Actions{Admission::Admit{"a"}});
  CHECK(bench.lacks(0s, "b", 100) == Actions{Admission::Admit{"b"}});
  CHECK(bench.lacks(0s, "c", 1).empty());
  CHECK(bench.admission.is_admitted("a"));
  CHECK_FALSE(bench.admission.is_admitted("c"));
  CHECK_FALSE(bench.admission.is_admitted("nowhere"));
}

TEST_CASE("admission: a site that lacks nothing needs no place", "[policy]") {
  Bench bench(1);
  CHECK(bench.lacks(0s, "a", 0).empty());
  CHECK(bench.admission.admitted() == 0);
}

TEST_CASE("admission: the order of those that wait", "[policy]") {
  struct Waiting {
    const char* site;
    std::int64_t bytes;
    Duration time;
  };
  struct Row {
    const char* what;
    std::vector<Waiting> waiting;
    Names order;
  };
  const Row rows[] = {
      {"fewest bytes first", {{"a", 30, 0s}, {"b", 10, 0s}, {"c", 20, 0s}}, {"b", "c", "a"}},
      {"then the least time", {{"a", 10, 9s}, {"b", 10, 8s}, {"c", 10, 7s}}, {"c", "b", "a"}},
      {"bytes before time", {{"a", 11, 1s}, {"b", 10, 99s}}, {"b", "a"}},
      {"then the name", {{"b", 10, 5s}, {"c", 10, 5s}, {"a", 10, 5s}}, {"a", "b", "c"}},
      {"the newest figures count", {{"a", 10, 0s}, {"b", 20, 0s}, {"b", 5, 0s}}, {"b", "a"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Bench bench(1);
    bench.lacks(0s, "first", 1'000'000);
    for (const Waiting& w : row.waiting) CHECK(bench.lacks(1s, w.site, w.bytes, w.time).empty());
    CHECK(bench.admission.waiting_sites(10) == row.order);
    std::string done = "first";
    for (const std::string& next : row.order) {
      CHECK(bench.lacks(2s, done, 0) == Actions{Admission::Admit{next}});
      done = next;
    }
  }
}

TEST_CASE("admission: one that has a place keeps it against one that lacks less", "[policy]") {
  Bench bench(1);
  bench.lacks(0s, "big", 1000);
  CHECK(bench.lacks(1s, "small", 1).empty());
  CHECK(bench.lacks(2s, "big", 2000).empty());
  CHECK(bench.admission.is_admitted("big"));
}

TEST_CASE("admission: a site of which nobody is up leaves its place or the queue", "[policy]") {
  Bench bench(1);
  bench.lacks(0s, "a", 10);
  bench.lacks(0s, "b", 10);
  bench.lacks(0s, "c", 10);
  CHECK(bench.gone(1s, "b").empty());
  CHECK(bench.gone(1s, "a") == Actions{Admission::Admit{"c"}});
  CHECK(bench.gone(1s, "nowhere").empty());
}

TEST_CASE("admission: a stalled site gives way only if another waits", "[policy]") {
  Bench bench(1);
  bench.lacks(0s, "a", 10);
  CHECK(bench.passes(1000s).empty());
  CHECK_FALSE(bench.admission.next_change());
  bench.lacks(1000s, "a", 9);  // Progress.
  bench.lacks(1100s, "b", 50);
  CHECK(bench.admission.next_change() == at(1300s));
  CHECK(bench.lacks(1200s, "a", 9).empty());  // None.
  CHECK(bench.passes(1300s - 1ns).empty());
  CHECK(bench.passes(1300s) == Actions{Admission::Withdraw{"a"}, Admission::Admit{"b"}});
  // It comes back after one that did not stall, though it lacks less.
  bench.lacks(1301s, "c", 70);
  CHECK(bench.admission.waiting_sites(2) == Names{"c", "a"});
}

TEST_CASE("admission: sites that all stall take turns", "[policy]") {
  Bench bench(1);
  Names turns;
  for (const char* site : {"a", "b", "c"})
    for (const auto& action : bench.lacks(0s, site, 10))
      turns.push_back(std::get<Admission::Admit>(action).site);
  for (Duration t = 300s; t <= 1800s; t += 300s)
    for (const auto& action : bench.passes(t))
      if (const auto* admit = std::get_if<Admission::Admit>(&action)) turns.push_back(admit->site);
  CHECK(turns == Names{"a", "b", "c", "a", "b", "c", "a"});
}

TEST_CASE("admission: places survive a restart", "[policy]") {
  Admission admission({.sites_max = 2, .patience = 300s});
  admission.restore({"a", "b"}, at(5s));
  CHECK(admission.on(Admission::Lacks{"c", {1}, {}}, at(6s)).empty());
  CHECK(admission.on(Admission::Lacks{"a", {90}, {}}, at(7s)).empty());
  CHECK(admission.is_admitted("a"));
  // Nothing was heard of b.
  CHECK(admission.on(Admission::Tick{}, at(305s)) ==
        Actions{Admission::Withdraw{"b"}, Admission::Admit{"c"}});
}

TEST_CASE("admission: places are bounded, nobody waits beside a free one, all come to an end",
          "[policy]") {
  const auto run = [](std::uint64_t seed) {
    std::uint64_t random = seed;
    const auto next = [&random](std::uint64_t below) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      return (random >> 33) % below;
    };
    const std::size_t most = 1 + next(5);
    Admission admission({.sites_max = most, .patience = 300s});
    std::map<std::string, std::int64_t> left;
    std::set<std::string> dead;
    for (int i = 0; i < 40; ++i) {
      const std::string site = "s" + std::to_string(i);
      left[site] = static_cast<std::int64_t>(1 + next(20));
      if (next(6) == 0) dead.insert(site);
    }
    std::vector<std::string> trace;
    std::set<std::string> inside;
    Instant now{};
    const auto feed = [&](const Admission::Event& event) {
      for (const auto& action : admission.on(event, now)) {
        if (const auto* admit = std::get_if<Admission::Admit>(&action)) {
          REQUIRE(inside.insert(admit->site).second);
          trace.push_back("+" + admit->site);
        } else {
          const auto& site = std::get<Admission::Withdraw>(action).site;
          REQUIRE(inside.erase(site) == 1);
          trace.push_back("-" + site);
        }
        REQUIRE(inside.size() <= most);
      }
    };
    for (const auto& [site, bytes] : left) feed(Admission::Lacks{site, {bytes}, {}});
    std::size_t done = 0;
    for (int i = 0; i < 60'000 && done < left.size() - dead.size(); ++i) {
      now += std::chrono::seconds(next(20));
      auto at = left.begin();
      std::advance(at, next(left.size()));
      // Only a site with a place gets anything, and a dead one never does.
      if (inside.contains(at->first) && !dead.contains(at->first) && at->second > 0) {
        if (--at->second == 0) {
          ++done;
          inside.erase(at->first);
        }
      }
      feed(Admission::Lacks{at->first, {at->second}, {}});
      REQUIRE((admission.waiting() == 0 || admission.admitted() == most));
    }
    REQUIRE(done == left.size() - dead.size());
    return trace;
  };
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    CHECK(run(seed) == run(seed));
  }
}

TEST_CASE("admission: 100,000 sites cost no more than their number", "[policy]") {
  Admission admission({.sites_max = 100, .patience = 300s});
  std::size_t admitted = 0;
  for (int i = 0; i < 100'000; ++i)
    admitted +=
        admission.on(Admission::Lacks{"s" + std::to_string(i), {1 + i % 977}, {}}, at(0s)).size();
  while (admission.admitted() > 0)
    for (const std::string& site : admission.admitted_sites())
      admitted += admission.on(Admission::Lacks{site, {}, {}}, at(1s)).size();
  CHECK(admitted == 100'000);
}
