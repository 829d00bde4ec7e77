#include "node/net/node_metrics.hpp"

#include <catch2/catch.hpp>

#include "tests/support/exposition_check.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace std::chrono_literals;

TEST_CASE("node metrics: every figure has its family, and nothing names a device", "[node]") {
  const NodeFigures figures{
      .is_running = true,
      .is_origin_reachable = true,
      .holds_lease = true,
      .received = wire::ByteCounts{1, {{"lan-peer", 70}, {"origin-by-lease", 30}}},
      .sent = Bytes{5},
      .cache = Bytes{4096},
      .missing = Bytes{9},
      .disk = wire::DiskSpace{100, 1000},
      .peers_known = 3,
      .peers_connected = 2,
      .is_target_applied = false,
      .target_age = 90s,
      .sync_age = 2h,
      .certificates_left = {{"device", 48h}, {"swarm", -5s}}};
  const auto checked = check_exposition(metrics_text(figures));
  CHECK(checked.findings == std::vector<std::string>{});
  const std::map<std::string, double> wanted{
      {"lamina_node_up", 1},
      {"lamina_node_lease_held", 1},
      {"lamina_node_bytes_total{source=\"lan-peer\"}", 70},
      {"lamina_node_bytes_total{source=\"origin-by-lease\"}", 30},
      {"lamina_node_bytes_total{source=\"reflector\"}", 0},
      {"lamina_node_sent_bytes_total", 5},
      {"lamina_node_cache_bytes", 4096},
      {"lamina_node_missing_bytes", 9},
      {"lamina_node_disk_free_bytes", 100},
      {"lamina_node_peers_connected", 2},
      {"lamina_node_target_applied", 0},
      {"lamina_node_target_age_seconds", 90},
      {"lamina_node_last_sync_age_seconds", 7200},
      {"lamina_node_certificate_seconds_left{certificate=\"device\"}", 172800},
      {"lamina_node_certificate_seconds_left{certificate=\"swarm\"}", -5}};
  for (const auto& [key, value] : wanted) {
    INFO(key);
    REQUIRE(checked.samples.contains(key));
    CHECK(checked.samples.at(key) == value);
  }
}

TEST_CASE("node metrics: what is not known has no sample; a stopped node says so", "[node]") {
  const auto starting = check_exposition(metrics_text({}));
  CHECK(starting.findings == std::vector<std::string>{});
  CHECK(starting.samples.at("lamina_node_up") == 0);
  CHECK_FALSE(starting.samples.contains("lamina_node_target_age_seconds"));
  const auto stopped = check_exposition(metrics_text_of_stopped());
  CHECK(stopped.findings == std::vector<std::string>{});
  CHECK(stopped.samples.at("lamina_node_up") == 0);
}
