#include "origin/monitor/monitor.hpp"

#include "shared/base/log.hpp"
#include "shared/policy/alerts.hpp"

namespace lamina::origin {
namespace {

using metrics::Samples;

// Callers choose paths, so only these become labels.
std::string class_of(std::string_view path) {
  if (path == "/health") return "health";
  if (path == "/metrics") return "metrics";
  if (path == "/v1/enroll") return "enroll";
  if (path == "/v1/node/poll") return "poll";
  if (path == "/v1/node/lease" || path == "/v1/node/wan-budget") return "lease";
  if (path.starts_with("/v1/node/")) return "node";
  return "administrator";
}

std::string class_of(int status) {
  return status >= 100 && status < 600 ? std::to_string(status / 100) + "xx" : "other";
}

}  // namespace

void Monitor::answered(std::string_view path, int status) {
  requests_[{{"class", class_of(path)}, {"status", class_of(status)}}].add();
}

Result<std::string> Monitor::metrics(Moment moment, std::size_t waiting) const {
  metrics::Exposition out;
  if (auto done = add_catalogue(out); !done) return fail(std::move(done.error()));
  if (auto done = add_seeders(out, moment); !done) return fail(std::move(done.error()));
  add_sites(out);
  add_own(out, moment.wall, waiting);
  return out.text();
}

Status Monitor::add_catalogue(metrics::Exposition& out) const {
  auto bytes = catalog_.site_bytes();
  if (!bytes) return fail(std::move(bytes.error()));
  Samples by_source;
  for (const auto& [site, sources] : *bytes) {
    for (const std::string_view source : wire::kByteSources)
      by_source[{{"site", site}, {"source", std::string(source)}}] = 0;
    for (const auto& [source, count] : sources)
      by_source[{{"site", site}, {"source", source}}] = count;
  }
  out.counter("lamina_site_bytes_total",
              "Bytes of layers that the devices of a site received, by where they came from.",
              std::move(by_source));

  auto devices = catalog_.devices();
  if (!devices) return fail(std::move(devices.error()));
  Samples by_status, by_site;
  for (const auto status :
       {wire::DeviceStatus::pending, wire::DeviceStatus::assigned, wire::DeviceStatus::rejected})
    by_status[{{"status", std::string(wire::name_of(status))}}] = 0;
  for (const auto& [site, sources] : *bytes) by_site[{{"site", site}}] = 0;
  std::int64_t behind = 0;
  for (const wire::DeviceInfo& device : *devices) {
    ++by_status[{{"status", std::string(wire::name_of(device.status))}}];
    if (device.status != wire::DeviceStatus::assigned) continue;
    ++by_site[{{"site", device.site}}];
    behind += device.applied_sequence < device.target_sequence;
  }
  out.gauge("lamina_devices", "Registered devices by status.", std::move(by_status));
  out.gauge("lamina_site_devices", "Devices that are placed in a site.", std::move(by_site));
  out.gauge("lamina_devices_behind", "Devices that have not applied their newest target.",
            {{{}, behind}});

  auto alerts = catalog_.alerts();
  if (!alerts) return fail(std::move(alerts.error()));
  Samples by_kind;
  for (const auto kind : policy::Alerts::kKinds)
    by_kind[{{"kind", std::string(policy::Alerts::name_of(kind))}}] = 0;
  for (const wire::AlertInfo& alert : *alerts) ++by_kind[{{"kind", alert.kind}}];
  out.gauge("lamina_alerts", "Alerts that last, by kind.", std::move(by_kind));
  return Done{};
}

Status Monitor::add_seeders(metrics::Exposition& out, Moment moment) const {
  if (options_.seeders == nullptr) return Done{};
  auto joined = catalog_.seeders();
  if (!joined) return fail(std::move(joined.error()));
  Samples up, missing;
  for (wire::SeederInfo& seeder : *joined) {
    options_.seeders->complete(seeder, 0, moment.now, moment.wall);
    up[{{"seeder", seeder.name}}] = options_.seeders->is_up(seeder.id, moment.now, moment.wall);
    missing[{{"seeder", seeder.name}}] = seeder.missing_bytes;
  }
  out.gauge("lamina_seeder_up", "1 while a seeder that joined polls and may serve.", std::move(up));
  out.gauge("lamina_seeder_missing_bytes", "What a seeder still lacks, as it said last.",
            std::move(missing));
  return Done{};
}

void Monitor::add_sites(metrics::Exposition& out) const {
  Samples up, held, acting, missing;
  for (const Sites::Standing& site : sites_.standings()) {
    up[{{"site", site.site}}] = site.members;
    held[{{"site", site.site}}] = site.holders > 0 ? 1 : 0;
    acting[{{"site", site.site}}] = site.holders;
    missing[{{"site", site.site}}] = site.missing.count;
  }
  out.gauge("lamina_site_devices_up", "Devices of a site that polled lately.", std::move(up));
  out.gauge("lamina_site_lease_held", "1 while a device may fetch for its site.", std::move(held));
  out.gauge("lamina_site_reflectors_acting", "Devices that may fetch for their site now.",
            std::move(acting));
  out.gauge("lamina_site_missing_bytes", "The most that a device of the site lacks.",
            std::move(missing));
  const Sites::Tally& tally = sites_.tally();
  out.counter("lamina_leases_granted_total", "Leases granted since the start.",
              {{{}, tally.granted}});
  out.counter("lamina_leases_ended_total", "Leases that ended since the start, by reason.",
              {{{{"reason", "done"}}, tally.done},
               {{{"reason", "lapsed"}}, tally.lapsed},
               {{{"reason", "left"}}, tally.left},
               {{{"reason", "unfit"}}, tally.unfit},
               {{{"reason", "replaced"}}, tally.replaced}});
}

void Monitor::add_own(metrics::Exposition& out, WallTime now, std::size_t waiting) const {
  constexpr std::int64_t kSecond = 1'000'000'000;
  out.gauge("lamina_build_info", "The version that runs.",
            {{{{"program", "lamina-origin"}, {"version", LAMINA_VERSION}}, 1}});
  out.gauge("lamina_start_time_seconds", "When the API started, since 1970.",
            {{{}, started_.ns / kSecond}});
  out.gauge("lamina_polls_waiting", "Polls that wait for news.",
            {{{}, static_cast<std::int64_t>(waiting)}});
  if (options_.garbage) {
    const Options::Garbage garbage = options_.garbage();
    out.counter(
        "lamina_gc_total", "Collections of garbage since the start, by result.",
        {{{{"result", "done"}}, garbage.collections}, {{{"result", "failed"}}, garbage.failures}});
    out.counter("lamina_gc_freed_bytes_total", "What they freed of packs.",
                {{{}, garbage.freed.count}});
    out.gauge("lamina_gc_last_time_seconds", "When one came to its end last, since 1970; 0: never.",
              {{{}, garbage.last.ns / kSecond}});
  }
  const auto scrub = options_.scrub ? options_.scrub() : std::nullopt;
  if (scrub) {
    out.counter("lamina_scrub_packs_total", "Packs that the scrub read since the start, by result.",
                {{{{"result", "sound"}}, scrub->packs - scrub->set_aside},
                 {{{"result", "set_aside"}}, scrub->set_aside}});
    out.counter("lamina_scrub_mended_total", "Index rows and block hashes that it made right.",
                {{{}, scrub->mended}});
    out.counter("lamina_scrub_read_bytes_total", "What it read of packs.",
                {{{}, scrub->read.count}});
    out.counter("lamina_scrub_failures_total", "How often it could not go on.",
                {{{}, scrub->failures}});
    out.counter("lamina_scrub_rounds_total", "Rounds over all packs since the start.",
                {{{}, scrub->rounds}});
    out.gauge("lamina_scrub_last_round_time_seconds",
              "When a round came to its end last, since 1970; 0: never.",
              {{{}, scrub->round_ended.ns / kSecond}});
    Samples packs, chunks, bytes;
    for (const auto& [space, lost] : scrub->lost) {
      packs[{{"space", space}}] = lost.packs;
      chunks[{{"space", space}}] = lost.chunks;
      bytes[{{"space", space}}] = lost.bytes.count;
    }
    out.gauge("lamina_lost_packs", "Packs that are set aside and missed.", std::move(packs));
    out.gauge("lamina_lost_chunks", "Chunks that went with them and are not back.",
              std::move(chunks));
    out.gauge("lamina_lost_bytes", "Their plain bytes.", std::move(bytes));
    out.gauge("lamina_wanted_packs", "Packs of layers that whoever has them is asked for.",
              {{{}, scrub->wanted}});
  }
  Samples requests, certificates;
  for (const auto& [labels, counter] : requests_) requests[labels] = counter.value();
  out.counter("lamina_requests_total", "Requests by class and status since the start.",
              std::move(requests));
  for (const auto& [name, ends] : options_.certificates)
    certificates[{{"certificate", name}}] = (ends.ns - now.ns) / kSecond;
  out.gauge("lamina_certificate_seconds_left", "Until a certificate ends; negative: since.",
            std::move(certificates));
  Samples free, size;
  const auto disk = options_.disk();
  if (disk) {
    free[{}] = disk->free_bytes;
    size[{}] = disk->total_bytes;
  } else {
    log::warning("disk_unknown", {{"error", disk.error().text()}});
  }
  out.gauge("lamina_disk_free_bytes", "Free space of the data directory.", std::move(free));
  out.gauge("lamina_disk_size_bytes", "Size of the data directory's file system.", std::move(size));
}

}  // namespace lamina::origin
