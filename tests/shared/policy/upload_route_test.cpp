#include "shared/policy/upload_route.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

DeviceId device(unsigned char value) {
  std::array<std::byte, 16> bytes;
  bytes.fill(std::byte{value});
  return DeviceId(bytes);
}

}  // namespace

TEST_CASE("upload route: the acting reflector, else the best peer, else direct", "[policy]") {
  const DeviceId a = device(1), me = device(2), b = device(3), c = device(4);
  struct Row {
    const char* what;
    UploadFacts facts;
    UploadRoute route;
  };
  const UploadFacts usual{.self = me,
                          .has_key = true,
                          .origin_reachable = true,
                          .holder = b,
                          .relays = {c, b, a},
                          .size = 16_MiB};
  const auto with = [&](auto change) {
    UploadFacts facts = usual;
    change(facts);
    return facts;
  };
  const Row rows[] = {
      {"the lease's holder", usual, {b, RouteReason::acting_reflector}},
      {"nobody holds it: the lowest id",
       with([](auto& f) { f.holder.reset(); }),
       {a, RouteReason::best_peer}},
      {"nobody holds it, and this device has the lowest id",
       with([&](auto& f) {
         f.holder.reset(), f.relays = {c, b};
       }),
       {std::nullopt, RouteReason::is_best}},
      {"the holder has refused: the next best",
       with([&](auto& f) {
         f.relays = {c, a};
       }),
       {a, RouteReason::best_peer}},
      {"this device holds the lease",
       with([&](auto& f) { f.holder = me; }),
       {std::nullopt, RouteReason::holds_lease}},
      {"alone at the site",
       with([](auto& f) { f.relays.clear(); }),
       {std::nullopt, RouteReason::no_relay}},
      {"an origin that does not know of relays",
       with([](auto& f) { f.has_key = false; }),
       {std::nullopt, RouteReason::no_key}},
      {"little to send",
       with([](auto& f) { f.size = kWorthRelaying - Bytes{1}; }),
       {std::nullopt, RouteReason::small}},
      {"just enough to send",
       with([](auto& f) { f.size = kWorthRelaying; }),
       {b, RouteReason::acting_reflector}},
      {"one is at the site already",
       with([](auto& f) { f.overtakes = true; }),
       {std::nullopt, RouteReason::overtakes}},
      {"the last one got lost",
       with([](auto& f) { f.lost_before = true; }),
       {std::nullopt, RouteReason::sent_again}},
      {"line down: the relay, however little it is",
       with([](auto& f) { f.origin_reachable = false, f.size = Bytes{1}; }),
       {b, RouteReason::acting_reflector}},
      {"line down, the last one got lost: a relay all the same",
       with([](auto& f) { f.origin_reachable = false, f.lost_before = true; }),
       {b, RouteReason::acting_reflector}},
      {"line down, this device holds the lease: who can reach it takes it",
       with([&](auto& f) { f.origin_reachable = false, f.holder = me; }),
       {a, RouteReason::best_peer}},
      {"line down and alone",
       with([](auto& f) { f.origin_reachable = false, f.relays.clear(); }),
       {std::nullopt, RouteReason::no_relay}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const auto route = choose_upload_route(row.facts);
    CHECK(name_of(route.reason) == name_of(row.route.reason));
    CHECK(route.relay == row.route.relay);
  }
}

TEST_CASE("upload route: a handed snapshot is settled, waited for, or sent again", "[policy]") {
  struct Row {
    HandedState state;
    Duration unlisted;
    Duration age;
    HandedVerdict verdict;
  };
  const Row rows[] = {
      {HandedState::protected_, 0s, 0s, HandedVerdict::settle},
      {HandedState::protected_, 1h, 48h, HandedVerdict::settle},
      {HandedState::at_site, 0s, 23h, HandedVerdict::wait},
      {HandedState::at_site, 0s, 24h, HandedVerdict::send_again},
      {HandedState::refused, 0s, 0s, HandedVerdict::send_again},
      {HandedState::unknown, 0s, 0s, HandedVerdict::wait},
      {HandedState::unknown, 2min - 1ns, 23h, HandedVerdict::wait},
      {HandedState::unknown, 2min, 2min, HandedVerdict::send_again},
  };
  for (const Row& row : rows) {
    CAPTURE(static_cast<int>(row.state), row.unlisted.count(), row.age.count());
    CHECK(judge_handed(row.state, row.unlisted, row.age, {}) == row.verdict);
  }
}

TEST_CASE("upload route: only the clock's scans wait for a snapshot at the site", "[policy]") {
  CHECK_FALSE(scans_while_at_site("interval"));
  CHECK(scans_while_at_site("request"));
  CHECK(scans_while_at_site("before-apply"));
}

TEST_CASE("upload route: a relay passes on after everything else, but not never", "[policy]") {
  struct Row {
    ForwardFacts facts;
    bool may;
  };
  const Row rows[] = {
      {{.origin_reachable = true, .leads = false, .waited = 0s}, true},
      {{.origin_reachable = true, .leads = true, .waited = 0s}, false},
      {{.origin_reachable = true, .leads = true, .waited = 10min - 1ns}, false},
      {{.origin_reachable = true, .leads = true, .waited = 10min}, true},
      {{.origin_reachable = false, .leads = false, .waited = 1h}, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.facts.origin_reachable, row.facts.leads, row.facts.waited.count());
    CHECK(may_forward(row.facts, 10min) == row.may);
  }
}
