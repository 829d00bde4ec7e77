#include <algorithm>

#include "shared/base/bytes.hpp"
#include "sim/scenario/quantities.hpp"
#include "sim/scenario/sections.hpp"

namespace lamina::sim {
namespace {

using namespace std::chrono_literals;

constexpr Range<std::int64_t> kPercent{0, 100};
constexpr Range<std::int64_t> kWavePercent{1, 100};

// "*" stands for any letters, none too.
bool matches(std::string_view pattern, std::string_view name) {
  const auto star = pattern.find('*');
  if (star == pattern.npos) return pattern == name;
  if (!name.starts_with(pattern.substr(0, star))) return false;
  pattern.remove_prefix(star);
  name.remove_prefix(star);
  // Each piece between stars at its first place: what follows has the most left then.
  while (true) {
    pattern.remove_prefix(std::min(pattern.find_first_not_of('*'), pattern.size()));
    if (pattern.empty()) return true;
    const auto next = pattern.find('*');
    const std::string_view piece = pattern.substr(0, next);
    if (next == pattern.npos) return name.ends_with(piece);
    const auto at = name.find(piece);
    if (at == name.npos) return false;
    name.remove_prefix(at + piece.size());
    pattern.remove_prefix(next);
  }
}

bool is_in(std::optional<Index> region, Index wanted, const std::vector<Region>& regions) {
  for (; region; region = regions[*region].parent)
    if (*region == wanted) return true;
  return false;
}

// How many percent of each site's devices a wave takes, 0 of those that it does not name: `percent`
// of what stands in "sites" and "regions", of all sites if it names none, and what "shares" say.
std::vector<int> percents_of_wave(Fields& wave, int percent, Reading& reading) {
  const Scenario& scenario = reading.scenario;
  if (scenario.sites.empty()) {  // Noted already: what is chosen of them says nothing new.
    for (const char* key : {"sites", "regions", "shares"}) wave.find(key);
    return {};
  }
  const bool names_some = wave.has("sites") || wave.has("regions") || wave.has("shares");
  std::vector<int> chosen(scenario.sites.size(), names_some ? 0 : percent);
  for (const Value& value : wave.list("sites")) {
    const std::string pattern = value.scalar().value_or("");
    if (pattern.find('*') == pattern.npos) {
      if (const auto site = reading.sites.find(pattern))
        chosen[*site] = percent;
      else
        wave.wrong(value, "sites: " + site.error().text());
      continue;
    }
    bool has_any = false;
    for (std::size_t i = 0; i < chosen.size(); ++i)
      if (matches(pattern, scenario.sites[i].name)) {
        chosen[i] = percent;
        has_any = true;
      }
    if (!has_any) wave.wrong(value, "sites: '" + printable(pattern, 80) + "' fits no site's name");
  }
  for (const Value& value : wave.list("regions")) {
    const auto region = reading.regions.find(value.scalar().value_or(""));
    if (!region) {
      wave.wrong(value, "regions: " + region.error().text());
      continue;
    }
    for (std::size_t i = 0; i < chosen.size(); ++i)
      if (is_in(scenario.sites[i].region, *region, scenario.regions)) chosen[i] = percent;
  }
  for (const Value& value : wave.list("shares")) {
    Fields share(value, "a share", reading.findings);
    std::string name;
    int part = 0;
    if (share.needs("site")) share.text("site", name);
    if (share.needs("percent")) share.read("percent", part, parse_count, kWavePercent);
    share.done();
    const auto site = reading.sites.find(name);
    if (site)
      chosen[*site] = part;
    else if (!name.empty())
      wave.wrong(value, "shares: " + site.error().text());
  }
  return chosen;
}

Wave read_wave(Fields& fields, Reading& reading) {
  Wave wave;
  int percent = 100;
  Instant start{};
  fields.read("percent", percent, parse_count, kWavePercent);
  fields.read("start", start, parse_run_time, reading.scenario.run);
  wave.start = start.time_since_epoch();
  fields.read("warm", wave.gates.warm_percent, parse_count, kPercent);
  fields.read("success", wave.gates.success_percent, parse_count, kPercent);
  fields.read("failure", wave.gates.failure_percent, parse_count, kPercent);
  fields.read("soak", wave.gates.soak, parse_period, Range<Duration>{0s, kDurationMax});
  const std::vector<int> percents = percents_of_wave(fields, percent, reading);
  for (std::size_t i = 0; i < percents.size(); ++i)
    if (percents[i] > 0) wave.members.push_back({static_cast<Index>(i), percents[i]});
  return wave;
}

// The first `percent` of the devices, rounded up.
std::int64_t part_of(std::int64_t devices, int percent) { return (devices * percent + 99) / 100; }

// Takes what the wave names into `taken`, the devices of each site that are in a wave. Whether
// there was any that was in none.
bool takes_any(const Wave& wave, const std::vector<Site>& sites, std::vector<std::int64_t>& taken) {
  bool any = false;
  for (const Wave::Member& member : wave.members) {
    const auto part = part_of(sites[member.site].devices, member.percent);
    any = any || part > taken[member.site];
    taken[member.site] = std::max(taken[member.site], part);
  }
  return any;
}

void read_waves(Fields& rollout, Reading& reading) {
  Scenario& scenario = reading.scenario;
  const Value::List& list = rollout.list("wave");
  if (list.empty()) rollout.wrong("it has no [[rollout.wave]]: who gets it, and when?");
  if (list.size() > kWavesMax)
    return rollout.wrong(std::to_string(list.size()) + " waves are too many: at most " +
                         std::to_string(kWavesMax));
  Names names("wave");
  std::vector<std::int64_t> taken(scenario.sites.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    Fields fields(list[i], "wave " + std::to_string(i + 1), reading.findings);
    const std::string name = read_name(fields, names, static_cast<Index>(i));
    Wave wave = read_wave(fields, reading);
    wave.name = name;
    fields.done();
    const Value& start = fields.has("start") ? *fields.find("start") : list[i];
    if (wave.start >= scenario.run.duration) {
      fields.wrong(start, "it begins after the end of the run: make run.duration longer");
    } else if (i > 0 && wave.start < scenario.rollout.waves.back().start) {
      if (fields.has("start"))
        fields.wrong(start,
                     "it starts before the wave in front of it; a time of the day is the "
                     "first one of the run: write \"26h\" for the next day's");
      wave.start = scenario.rollout.waves.back().start;
    }
    const bool has_devices = takes_any(wave, scenario.sites, taken);
    if (!has_devices && reading.findings.empty())
      fields.wrong(
          "all its devices are in earlier waves already: 'percent' counts from the first "
          "device of a site, so that 10 and then 50 make half of it");
    scenario.rollout.waves.push_back(std::move(wave));
  }
}

// How many sites at once; "all": no bound.
Result<std::optional<policy::Admission::Limits>> parse_admission(const std::string& text) {
  if (text == "all") return std::nullopt;
  auto sites = parse_count(text, Range<std::int64_t>{1, 10'000});
  if (!sites) return fail(std::move(sites.error()).in("neither \"all\" nor a number of sites"));
  policy::Admission::Limits limits;
  limits.sites_max = static_cast<std::size_t>(*sites);
  return limits;
}

}  // namespace

void read_rollout(Fields& top, Reading& reading) {
  Rollout& rollout = reading.scenario.rollout;
  rollout.admission.emplace();  // As in the product, if nothing else is said.
  if (!top.needs("rollout")) return;
  Fields fields(*top.find("rollout"), "rollout", reading.findings);
  fields.read("mode", rollout.mode, parse_mode);
  fields.read("sites_at_once", rollout.admission, parse_admission);
  fields.read("start_takes", rollout.start_takes, parse_period, Range<Duration>{0s, 1h});
  fields.read("rules_take", rollout.rules_take, parse_period, Range<Duration>{0s, 1h});
  fields.read("takeover", rollout.takeover, parse_period, Range<Duration>{0s, 24h});
  fields.read("apply_takes", rollout.apply_takes, parse_period, Range<Duration>{0s, 24h});
  fields.read("failures", rollout.failure_share, parse_share, Range<double>{0, 1});
  read_waves(fields, reading);
  fields.done();
}

}  // namespace lamina::sim
