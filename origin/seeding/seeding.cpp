#include "origin/seeding/seeding.hpp"

#include <csignal>

#include "shared/base/log.hpp"
#include "shared/format/record.hpp"
#include "shared/net/loop.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/file.hpp"
#include "shared/swarm/seeder.hpp"

namespace lamina::origin {
namespace {

using namespace std::chrono_literals;

// A seeder looks for new torrents this often; assignments come long after a publication.
constexpr Duration kRescanEvery = 1s;
constexpr Duration kReportEvery = 60s;
constexpr Duration kPaceEvery = 50ms;
constexpr Duration kPaceIdle = 300ms;

}  // namespace

Status run_seeding(const DataDirectory& data, const SeedingOptions& options) {
  constexpr std::size_t kMost = 1 << 20;
  auto key = os::read_text(data.seed("seed.key"), kMost);
  if (!key) return fail(std::move(key.error()));
  auto certificate = os::read_text(data.seed("seed.pem"), kMost);
  if (!certificate) return fail(std::move(certificate.error()));
  auto lease_text = os::read_text(data.seed("lease.pub"), kMost);
  if (!lease_text) return fail(std::move(lease_text.error()));
  auto lease_key = PublicKey::parse(std::string_view(*lease_text).substr(0, 64));
  if (!lease_key) return fail(std::move(lease_key.error()).in(data.seed("lease.pub")));

  const auto check =
      [trusted = std::vector<PublicKey>{*lease_key}](ByteView token) -> Result<swarm::LeaseFacts> {
    auto opened = format::open_record(format::RecordType::lease, token, trusted);
    if (!opened) return fail(std::move(opened.error()));
    auto lease = format::parse_lease(opened->record);
    if (!lease) return fail(std::move(lease.error()));
    return swarm::LeaseFacts{lease->site, lease->device, lease->epoch, lease->expires,
                             lease->shares};
  };
  net::Loop loop;
  std::optional<swarm::Seeder> seeder;
  auto started = swarm::Seeder::start({.layers = data.layers(),
                                       .torrents = data.torrents(),
                                       .listen = options.host + ':' + std::to_string(options.port),
                                       .identity = {*certificate, *key},
                                       .check_lease = check,
                                       .clock = &os::system_clock()},
                                      [&loop, &seeder] {
                                        loop.post([&seeder] {
                                          if (seeder) seeder->step();
                                        });
                                      });
  if (!started) return fail(std::move(started.error()));
  seeder.emplace(std::move(*started));
  log::info("seeding", {{"address", options.host}, {"port", seeder->port()}});
  net::Timer rescan;
  net::Timer report;
  net::Timer pace;
  LinePacing lines({.port = seeder->port(),
                    .give_way = options.give_way,
                    .record = options.record,
                    .site_at = [&](const std::string& peer) { return seeder->site_at(peer); }});
  std::function<void()> look = [&] {
    if (auto done = seeder->rescan(); !done)
      log::error("rescan_failed", {{"error", done.error().text()}});
    rescan = loop.after(kRescanEvery, look);
  };
  std::function<void()> tell = [&] {
    log::info("seeded", {{"torrents", seeder->torrents()}, {"sent", seeder->sent()}});
    report = loop.after(kReportEvery, tell);
  };
  // A line is found within a step and a look; without lines, a look is all that happens.
  std::function<void()> pace_lines = [&] {
    lines.step(loop.now());
    pace = loop.after(lines.lines() > 0 ? kPaceEvery : kPaceIdle, pace_lines);
  };
  std::unique_ptr<Mirror> mirror;
  if (options.mirror) {
    auto opened = Mirror::open(
        loop, data,
        {.torrents_changed = [&look] { look(); },
         .load =
             [&seeder] {
               return MirrorEngine::Load{seeder->connections(), seeder->sent()};
             },
         .use_identity =
             [&seeder](swarm::SwarmIdentity renewed) { seeder->use_identity(std::move(renewed)); }},
        *options.mirror);
    if (!opened) return fail(std::move(opened.error()));
    mirror = std::move(*opened);
  }
  look();
  pace_lines();
  report = loop.after(kReportEvery, tell);
  loop.on_signal({SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  loop.run();
  log::info("stopped", {{"sent", seeder->sent()}});
  return Done{};
}

}  // namespace lamina::origin
