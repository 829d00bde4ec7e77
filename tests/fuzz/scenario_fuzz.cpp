// A scenario's files: the TOML text, then sites.csv, devices.csv, rules.csv and calibration.toml,
// each behind a zero byte. What is accepted keeps the ranges and indexes that
// sim/scenario/scenario.hpp names, and loads a second time to the same hash.
#include <cmath>
#include <map>
#include <span>

#include "shared/base/assert.hpp"
#include "shared/base/bytes.hpp"
#include "sim/scenario/load.hpp"

using namespace lamina;
using namespace lamina::sim;

namespace {

bool is_share(double share) { return std::isfinite(share) && share >= 0 && share <= 1; }
bool is_rate(BitRate rate) { return rate > BitRate{0} && rate <= kRateMax; }
bool is_size(Bytes bytes) { return bytes >= Bytes{0} && bytes <= kBytesMax; }
bool is_within(Duration time, Duration most) { return time >= Duration{0} && time <= most; }
bool is_offset(Duration offset) {
  return offset % std::chrono::minutes(1) == Duration{0} &&
         std::chrono::abs(offset) <= std::chrono::hours(14);
}

void check_network(const Scenario& s) {
  LAMINA_ASSERT(is_rate(s.origin.uplink) && is_rate(s.origin.downlink));
  for (std::size_t i = 0; i < s.regions.size(); ++i) {
    const Region& region = s.regions[i];
    LAMINA_ASSERT(!region.parent || (*region.parent < i && !s.regions[*region.parent].parent));
    for (const auto& rate : {region.down, region.up, region.seeder})
      LAMINA_ASSERT(!rate || is_rate(*rate));
  }
  for (const Load& load : s.loads)
    for (std::size_t hour = 0; hour < kHoursPerWeek; ++hour)
      LAMINA_ASSERT(is_share(load.down[hour]) && is_share(load.up[hour]));
  std::int64_t devices = 0;
  for (const Site& site : s.sites) {
    LAMINA_ASSERT(policy::is_site_name(site.name) && is_offset(site.utc_offset));
    LAMINA_ASSERT(!site.region || *site.region < s.regions.size());
    LAMINA_ASSERT(!site.load || *site.load < s.loads.size());
    LAMINA_ASSERT(site.mix < s.mixes.size() && site.devices >= 1);
    for (const BitRate rate : {site.wan_down, site.wan_up, site.lan, site.wireless})
      LAMINA_ASSERT(is_rate(rate));
    LAMINA_ASSERT(is_within(site.rtt, std::chrono::seconds(10)));
    LAMINA_ASSERT(is_share(site.loss) && site.loss < 0.5 && is_share(site.wireless_share));
    LAMINA_ASSERT(site.reflectors >= 0 && site.reflectors <= policy::SiteLease::kReflectorsMax);
    devices += site.devices;
  }
  LAMINA_ASSERT(!s.sites.empty() && devices <= kDevicesMax && devices == devices_of(s));
}

void check_devices(const Scenario& s) {
  LAMINA_ASSERT(!s.content.versions.empty() && s.content.parts.size() <= kPartsMax);
  for (const Part& part : s.content.parts)
    LAMINA_ASSERT(is_size(part.bytes) && part.bytes.count > 0);
  for (const Version& version : s.content.versions)
    LAMINA_ASSERT(s.content.parts.size() == kPartsMax ||
                  version.parts >> s.content.parts.size() == 0);
  LAMINA_ASSERT(!s.presences.empty() && !s.mixes.empty());
  for (const Presence& presence : s.presences) {
    for (const auto& window : presence.windows)
      LAMINA_ASSERT(window.days >= 1 && window.days <= policy::kEveryDay && window.start >= 0 &&
                    window.start < 1440 && window.end >= 1 && window.end <= 1440);
    LAMINA_ASSERT(is_within(presence.spread, std::chrono::hours(4)));
    LAMINA_ASSERT(is_share(presence.absent) && presence.absent < 1 && is_share(presence.roaming));
    LAMINA_ASSERT(presence.reboot_every == Duration{0} ||
                  presence.reboot_every > presence.reboot_takes);
  }
  for (const Mix& mix : s.mixes) {
    LAMINA_ASSERT(!mix.kinds.empty());
    for (const DeviceKind& kind : mix.kinds)
      LAMINA_ASSERT(kind.weight > 0 && std::isfinite(kind.weight) &&
                    kind.version < s.content.versions.size() && kind.presence < s.presences.size());
  }
}

void check_rollout(const Scenario& s) {
  LAMINA_ASSERT(is_within(s.run.duration, kDurationMax) && s.run.duration > Duration{0});
  LAMINA_ASSERT(s.run.replicas >= 1 && s.run.replicas <= kReplicasMax &&
                is_offset(s.run.utc_offset));
  LAMINA_ASSERT(!s.rollout.waves.empty() && s.rollout.waves.size() <= kWavesMax);
  Duration before{};
  for (const Wave& wave : s.rollout.waves) {
    LAMINA_ASSERT(wave.start >= before && wave.start < s.run.duration && !wave.members.empty());
    before = wave.start;
    for (std::size_t i = 0; i < wave.members.size(); ++i) {
      LAMINA_ASSERT(wave.members[i].site < s.sites.size());
      LAMINA_ASSERT(wave.members[i].percent >= 1 && wave.members[i].percent <= 100);
      LAMINA_ASSERT(i == 0 || wave.members[i - 1].site < wave.members[i].site);
    }
  }
  LAMINA_ASSERT(!s.rollout.admission || s.rollout.admission->sites_max >= 1);
  LAMINA_ASSERT(is_share(s.rollout.failure_share));
  LAMINA_ASSERT(is_within(s.rollout.start_takes, std::chrono::hours(1)) &&
                is_within(s.rollout.rules_take, std::chrono::hours(1)) &&
                is_within(s.rollout.takeover, std::chrono::hours(24)));
  LAMINA_ASSERT(s.tcp.goodput > 0 && s.tcp.goodput <= 1 && s.tcp.connections >= 1);
  LAMINA_ASSERT(s.tcp.unevenness >= 0 && s.tcp.unevenness <= 0.9);
  for (const Efficiency& point : s.swarm.efficiency)
    LAMINA_ASSERT(point.eta > 0 && point.eta <= 1 && point.peers >= 1 && point.pieces >= 1);
  LAMINA_ASSERT(is_size(s.uploads.per_day) && s.uploads.start < s.uploads.end);
  for (const ReflectorDeaths& deaths : s.deaths)
    LAMINA_ASSERT(is_share(deaths.share) && deaths.at < Instant{s.run.duration});
  LAMINA_ASSERT(is_share(s.uncertainty.wan) && s.uncertainty.wan <= 0.9);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = as_text(std::as_bytes(std::span(data, size)));
  std::map<std::string, std::string_view> files;
  for (const char* name :
       {"scenario.toml", "sites.csv", "devices.csv", "rules.csv", "calibration.toml"}) {
    const auto end = std::min(rest.find('\0'), rest.size());
    files[name] = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const auto load = [&] {
    return load_scenario("scenario.toml", files["scenario.toml"],
                         [&](const std::string& name) -> Result<std::string> {
                           const auto file = files.find(name);
                           if (file == files.end())
                             return fail(ErrorKind::not_found, "no such file");
                           return std::string(file->second);
                         });
  };
  const auto scenario = load();
  if (!scenario) {
    LAMINA_ASSERT(!scenario.error().empty() && scenario.error().text().ends_with('\n'));
    return 0;
  }
  check_network(*scenario);
  check_devices(*scenario);
  check_rollout(*scenario);
  const auto again = load();
  LAMINA_ASSERT(again && again->input_hash == scenario->input_hash);
  return 0;
}
