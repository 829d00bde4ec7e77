#include "sim/lab/request.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "shared/policy/bandwidth_schedule.hpp"
#include "sim/model/draw.hpp"
#include "sim/model/fleet.hpp"

namespace lamina::sim {
namespace {

using namespace std::chrono_literals;
using json = nlohmann::ordered_json;

// Notes what the lab cannot do.
class Refusals {
 public:
  Refusals(const Scenario& scenario, const std::string& file) : s_(scenario), file_(file) {}

  Findings find() {
    look_at_size();
    look_at_sites();
    look_at_content();
    look_at_rollout();
    if (s_.uploads.per_day.count > 0)
      cannot("uploads.per_day", "the lab's devices upload nothing: leave [uploads] out");
    if (!s_.deaths.empty() && s_.rollout.mode == Mode::direct)
      cannot("reflector_deaths", "in mode \"direct\" no device fetches for others");
    return std::move(findings_);
  }

 private:
  void cannot(const std::string& key, const std::string& why) {
    findings_.add({file_, 0, 0}, key + ": " + why);
  }

  void look_at_size() {
    if (const auto devices = devices_of(s_); devices > kLabDevicesMax)
      cannot("sites", std::to_string(devices) + " devices are too many for the lab: at most " +
                          std::to_string(kLabDevicesMax));
    if (s_.run.duration > kLabDurationMax)
      cannot("run.duration", "the lab runs in real time: at most " + to_text(kLabDurationMax));
  }

  void look_at_sites() {
    std::int64_t lines = 0;
    for (const Site& site : s_.sites) {
      const std::string of = "site '" + site.name + "': ";
      lines += site.wan_down.bits_per_second;
      if (site.region) cannot(of + "region", "the lab has no lines above the sites'");
      if (site.load) cannot(of + "load", "the lab's lines carry nothing else");
      if (site.wireless_share > 0) cannot(of + "wireless_share", "the lab has no radio");
      if (site.reflectors > site.devices)
        cannot(of + "reflectors", "it has only " + std::to_string(site.devices) + " devices");
      for (const DeviceKind& kind : s_.mixes[site.mix].kinds)
        if (kind.access == Access::wireless) cannot(of + "access", "the lab has no radio");
    }
    if (s_.origin.uplink.bits_per_second < lines)
      cannot("origin.uplink", "the lab has no line in front of the sites' own, which take " +
                                  to_text(BitRate{lines}) + " together: make it at least that");
  }

  void look_at_content() {
    const auto is_always_up = [](const Presence& presence) {
      return presence.windows.empty() && presence.absent <= 0 && presence.roaming <= 0 &&
             presence.reboot_every == 0s;
    };
    bool same = true, up = true;
    std::optional<std::uint64_t> parts;
    for (const Site& site : s_.sites)
      for (const DeviceKind& kind : s_.mixes[site.mix].kinds) {
        const std::uint64_t of = s_.content.versions[kind.version].parts;
        same &= parts.value_or(of) == of;
        up &= is_always_up(s_.presences[kind.presence]);
        parts = of;
      }
    if (!same)
      cannot("content.version", "all devices of the lab start from the same version: give one");
    if (!up) cannot("presence", "the lab's devices are always up: leave it out");
    if (same && (lab_content(s_).count == 0 || lab_content(s_) > kLabContentMax))
      cannot("content", to_text(lab_content(s_)) +
                            " are none for the lab: more than nothing, and " +
                            to_text(kLabContentMax) + " at most");
  }

  void look_at_rollout() {
    const Rollout& rollout = s_.rollout;
    if (rollout.mode == Mode::reflector)
      cannot("rollout.mode",
             "the programs' devices always serve each other: \"swarm\" or \"direct\"");
    if (rollout.failure_share > 0)
      cannot("rollout.failures", "the lab's devices fail by themselves only");
    const auto& members = rollout.waves.front().members;
    const bool is_whole = std::ranges::all_of(
        members, [](const Wave::Member& member) { return member.percent == 100; });
    if (rollout.waves.size() != 1 || members.size() != s_.sites.size() || !is_whole)
      cannot("rollout.wave", "the lab carries out one wave, with all devices of all sites");
    const bool is_direct =
        rollout.mode == Mode::direct ||
        std::ranges::any_of(s_.sites, [](const Site& site) { return site.reflectors == 0; });
    if (is_direct && rollout.admission && rollout.admission->sites_max < s_.sites.size())
      cannot("rollout.sites_at_once",
             "where each device fetches for itself it is a site of its own in the lab, and none "
             "of them waits: make it " +
                 std::to_string(s_.sites.size()) + " or \"all\"");
  }

  const Scenario& s_;
  const std::string& file_;
  Findings findings_;
};

// The site's bandwidth rules during the run, as minutes from its start.
json limits_of(const Scenario& scenario, const Site& site) {
  json limits = json::array();
  const auto rules = policy::rules_of_site(scenario.rules, site.name);
  const WallTime start = scenario.run.start;
  const WallTime end{start.ns + scenario.run.duration.count()};
  for (WallTime at = start; at < end;) {
    const auto found = policy::forecast(rules, site.name, site.address, at,
                                        [&](WallTime) { return site.utc_offset; });
    const WallTime until = std::min(found.until.value_or(end), end);
    const auto minute = [&](WallTime time) { return Duration(time.ns - start.ns) / 1min; };
    const auto kilobytes = [](const std::optional<BitRate>& rate) {
      constexpr std::int64_t kBitsPerKilobyte = 8000;
      return rate ? json(rate->bits_per_second / kBitsPerKilobyte) : json(nullptr);
    };
    if (found.limits.download || found.limits.upload)
      limits.push_back({{"from_minute", minute(at)},
                        {"until_minute", minute(until)},
                        {"download_kb", kilobytes(found.limits.download)},
                        {"upload_kb", kilobytes(found.limits.upload)}});
    at = until;
  }
  return limits;
}

// When a reflector of the site dies: drawn as a run draws it.
json deaths_of(const Scenario& scenario, Index site) {
  const Fleet fleet(scenario, scenario.run.seed);
  json deaths = json::array();
  for (std::size_t number = 0; number < scenario.deaths.size(); ++number) {
    const ReflectorDeaths& death = scenario.deaths[number];
    if (is_drawn(death.share, site, fleet.random().uniform(number, kDeath)))
      deaths.push_back(death.at.time_since_epoch() / 1ms);
  }
  return deaths;
}

json record_of(const Scenario& scenario, Index index) {
  const Site& site = scenario.sites[index];
  const bool is_direct = scenario.rollout.mode == Mode::direct;
  json record{{"name", site.name},
              {"devices", site.devices},
              {"reflectors", is_direct ? 0 : site.reflectors},
              {"down_bits_per_s", site.wan_down.bits_per_second},
              {"up_bits_per_s", site.wan_up.bits_per_second},
              {"rtt_ms", static_cast<double>(site.rtt.count()) * 1e-6},
              {"loss", site.loss}};
  if (site.lan < kLabPortMax) record["lan_bits_per_s"] = site.lan.bits_per_second;
  record["limits"] = limits_of(scenario, site);
  record["deaths_ms"] = deaths_of(scenario, index);
  return record;
}

}  // namespace

Bytes lab_content(const Scenario& scenario) {
  const Site& site = scenario.sites.front();
  const auto& kinds = scenario.mixes[site.mix].kinds;
  const std::uint64_t set = scenario.content.versions[kinds.front().version].parts;
  Bytes sum;
  for (std::size_t i = 0; i < scenario.content.parts.size(); ++i)
    if ((set >> i & 1) != 0) sum += scenario.content.parts[i].bytes;
  return sum;
}

tl::expected<std::string, Findings> lab_request(const Scenario& scenario, const std::string& file) {
  Findings wrong = Refusals(scenario, file).find();
  if (!wrong.empty()) return tl::unexpected<Findings>(std::move(wrong));
  json sites = json::array();
  for (Index site = 0; site < scenario.sites.size(); ++site)
    sites.push_back(record_of(scenario, site));
  const Rollout& rollout = scenario.rollout;
  const auto at_once = rollout.admission ? rollout.admission->sites_max : scenario.sites.size();
  const json request{{"format", kRequestFormat},
                     {"version", kRequestVersion},
                     {"name", scenario.name},
                     {"seed", scenario.run.seed},
                     {"duration_ms", scenario.run.duration / 1ms},
                     {"begin_ms", rollout.waves.front().start / 1ms},
                     {"until_applied", rollout.apply_takes > 0s},
                     {"content_bytes", lab_content(scenario).count},
                     {"congestion", name_of(scenario.tcp.congestion)},
                     {"sites_at_once", at_once},
                     {"sites", std::move(sites)}};
  return request.dump(1, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace lamina::sim
