// A small scenario and a result of it made by hand, for tests of what is written of results.
#pragma once

#include "sim/report/run_result.hpp"

namespace lamina::sim {

inline Scenario sample_scenario() {
  using namespace std::chrono_literals;
  Scenario s;
  s.name = "Büro & <script>alert(\"x\")</script> 'update'";
  s.input_hash = std::string(64, 'a');
  s.run = {.seed = 7,
           .replicas = 3,
           .duration = 150min,
           .start = {1'772'470'800'000'000'000},  // Monday 2026-03-02 17:00 UTC.
           .utc_offset = 1h};
  s.regions = {{.name = "east", .down = BitRate{100'000'000}}};
  s.sites = {{.name = "berlin",
              .region = 0,
              .devices = 30,
              .wan_down = BitRate{8'000'000},
              .wan_up = BitRate{8'000'000}},
             {.name = "lisbon",
              .devices = 10,
              .wan_down = BitRate{16'000'000},
              .wan_up = BitRate{16'000'000}}};
  s.rollout.mode = Mode::reflector;
  s.rollout.waves = {{.name = "pilot"}, {.name = "all"}};
  return s;
}

inline LineResult sample_line(LineKind kind, Index index, Direction direction, std::int64_t bits,
                              std::vector<Bytes> hours, Duration saturated = {}) {
  return {kind, index, direction, BitRate{bits}, std::move(hours), saturated};
}

inline RunResult sample_result() {
  using namespace std::chrono_literals;
  RunResult r;
  r.engine_version = "1.2.3";
  r.input_hash = std::string(64, 'a');
  r.seed = 7;
  r.waves = {{.name = "pilot",
              .devices = 4,
              .done = 4,
              .began = Instant{},
              .ended = Instant{20min},
              .completion = {10min, 20min, 20min},
              .curve = {{Instant{}, 0}, {Instant{10min}, 2}, {Instant{20min}, 4}}},
             {.name = "all",
              .devices = 36,
              .done = 33,
              .failed = 1,
              .began = Instant{30min},
              .completion = {40min, std::nullopt, std::nullopt},
              .curve = {{Instant{30min}, 0}, {Instant{70min}, 18}, {Instant{150min}, 33}}}};
  r.sites = {{.devices = 30,
              .done = 28,
              .bytes = {Bytes{900}, Bytes{600}, Bytes{300}, Bytes{0}, Bytes{0}, Bytes{0}},
              .uploaded = {50},
              .upload_left = {5},
              .waiting = {1000, 0, 0, 0, 0, 3000, 0, 0, 0}},
             {.devices = 10,
              .done = 10,
              .finished = Instant{60min},
              .bytes = {Bytes{100}, Bytes{0}, Bytes{200}, Bytes{0}, Bytes{0}, Bytes{0}},
              .waiting = {0, 0, 0, 1000, 0, 0, 0, 0, 0}}};
  const Bytes full{3'600'000'000};  // What 8 Mbit/s carry in an hour.
  r.lines = {
      sample_line(LineKind::origin, 0, Direction::down, 1'000'000'000, {full, {100}, {0}}),
      sample_line(LineKind::origin, 0, Direction::up, 1'000'000'000, {{0}, {0}, {0}}),
      sample_line(LineKind::region, 0, Direction::down, 100'000'000, {full, {0}, {0}}, 5min),
      sample_line(LineKind::region, 0, Direction::up, 100'000'000, {{0}, {0}, {0}}),
      sample_line(LineKind::site, 0, Direction::down, 8'000'000,
                  {full, {1'800'000'000}, {1'800'000'000}}, 110min),
      sample_line(LineKind::site, 0, Direction::up, 8'000'000, {{50}, {0}, {0}}),
      sample_line(LineKind::site, 1, Direction::down, 16'000'000, {{0}, {200}, {0}}, 5min),
      sample_line(LineKind::site, 1, Direction::up, 16'000'000, {{0}, {0}, {0}}),
  };
  r.totals = {.mode = Mode::reflector,
              .origin = {4'000'000'000},
              .wan_down = {4'000'000'000},
              .wan_up = {50},
              .peak = BitRate{8'000'000},
              .devices = 40,
              .done = 37};
  r.direct = Totals{.mode = Mode::direct,
                    .origin = {40'000'000'000},
                    .wan_down = {40'000'000'000},
                    .peak = BitRate{80'000'000},
                    .devices = 40,
                    .done = 12};
  const auto replica = [&](std::uint64_t seed, std::optional<Duration> p95) {
    return Replica{seed,
                   {{.done = 4, .began = Instant{}, .completion = {10min, 20min, 20min}},
                    {.done = 33,
                     .failed = 1,
                     .began = Instant{30min},
                     .completion = {40min, p95, std::nullopt}}},
                   r.totals};
  };
  r.replicas = {replica(7, std::nullopt), replica(8, 90min), replica(9, 80min)};
  return r;
}

}  // namespace lamina::sim
