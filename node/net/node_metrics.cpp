#include "node/net/node_metrics.hpp"

#include "shared/metrics/exposition.hpp"

namespace lamina::node {
namespace {

using metrics::Exposition;
using metrics::Samples;

std::int64_t seconds(Duration duration) { return duration / std::chrono::seconds{1}; }

template <class T, class Read>
Samples one(const std::optional<T>& value, const Read& read) {
  return value ? Samples{{{}, read(*value)}} : Samples{};
}
Samples one(const std::optional<Bytes>& bytes) {
  return one(bytes, [](Bytes b) { return b.count; });
}
Samples one(const std::optional<std::int64_t>& number) {
  return one(number, [](std::int64_t n) { return n; });
}
Samples one(const std::optional<Duration>& duration) { return one(duration, seconds); }
Samples one(const std::optional<bool>& is) {
  return one(is, [](bool b) { return std::int64_t{b}; });
}

void add_build_info(Exposition& out) {
  out.gauge("lamina_build_info", "The version that runs.",
            {{{{"program", "lamina-node"}, {"version", LAMINA_VERSION}}, 1}});
}

}  // namespace

std::string metrics_text(const NodeFigures& figures) {
  Exposition out;
  add_build_info(out);
  out.gauge("lamina_node_up", "1 while the network process answers and all of it has started.",
            {{{}, figures.is_running}});
  out.gauge("lamina_node_origin_reachable", "1 when the last call to the origin was answered.",
            {{{}, figures.is_origin_reachable}});
  out.gauge("lamina_node_lease_held", "1 while this device may fetch over the line.",
            {{{}, figures.holds_lease}});

  Samples received;
  if (figures.received) {
    for (const std::string_view source : wire::kByteSources)
      received[{{"source", std::string(source)}}] = 0;
    for (const auto& [source, bytes] : figures.received->by_source)
      received[{{"source", source}}] = bytes;
  }
  out.counter("lamina_node_bytes_total",
              "Bytes of layers by where they came from; restarts take nothing back.",
              std::move(received));
  out.counter("lamina_node_sent_bytes_total", "Bytes of layers given to the site's devices.",
              one(figures.sent));
  out.gauge("lamina_node_cache_bytes", "Size of the packs in the cache.", one(figures.cache));
  out.gauge("lamina_node_missing_bytes", "What is missing of the target's layers.",
            one(figures.missing));
  out.gauge("lamina_node_disk_free_bytes", "Free space on the cache's file system.",
            one(figures.disk, [](const wire::DiskSpace& disk) { return disk.free_bytes; }));
  out.gauge("lamina_node_disk_size_bytes", "Size of the cache's file system.",
            one(figures.disk, [](const wire::DiskSpace& disk) { return disk.total_bytes; }));
  out.gauge("lamina_node_peers", "Devices of the site that the origin has named.",
            one(figures.peers_known));
  out.gauge("lamina_node_peers_connected", "Addresses of the site that are connected.",
            one(figures.peers_connected));
  out.gauge("lamina_node_target_applied", "1 when the newest target is applied.",
            one(figures.is_target_applied));
  out.gauge("lamina_node_target_age_seconds", "Since the origin signed the newest target.",
            one(figures.target_age));
  out.gauge("lamina_node_last_sync_age_seconds", "Since the newest snapshot was kept.",
            one(figures.sync_age));
  Samples certificates;
  for (const auto& [name, left] : figures.certificates_left)
    certificates[{{"certificate", name}}] = seconds(left);
  out.gauge("lamina_node_certificate_seconds_left", "Until a certificate ends; negative: since.",
            std::move(certificates));
  return out.text();
}

std::string metrics_text_of_stopped() {
  Exposition out;
  add_build_info(out);
  out.gauge("lamina_node_up", "1 while the network process answers and all of it has started.",
            {{{}, 0}});
  return out.text();
}

}  // namespace lamina::node
