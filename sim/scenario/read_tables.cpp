#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/scenario/quantities.hpp"
#include "sim/scenario/sections.hpp"

namespace lamina::sim {
namespace {

using namespace std::chrono_literals;

constexpr Range<double> kShare{0, 1};
// Shares that people add up in their heads: a tenth of a percent may be lost by rounding.
constexpr double kSumSlack = 0.001;

std::string numbered(const char* what, std::size_t index) {
  return std::string(what) + ' ' + std::to_string(index + 1);
}

// More elements than that are a slip of the pen. Whether there are few enough.
bool has_room(Fields& top, const char* key, std::size_t size, std::size_t most) {
  if (size <= most) return true;
  top.wrong(*top.find(key), std::string(key) + ": " + std::to_string(size) +
                                " are too many: at most " + std::to_string(most));
  return false;
}

// Runs `read` on the table of that name, if it is there.
template <class Read>
void section(Fields& top, const char* key, Reading& reading, const Read& read) {
  const Value* value = top.find(key);
  if (value == nullptr) return;
  Fields fields(*value, key, reading.findings);
  read(fields);
  fields.done();
}

// --- times

int parse_edge(Fields& fields, const char* key, int otherwise, int latest) {
  int minute = otherwise;
  fields.read(key, minute, policy::parse_time_of_day, latest);
  return minute;
}

// "days", "start" and "end".
Presence::Window read_window(Fields& fields) {
  Presence::Window window;
  fields.read("days", window.days, policy::parse_weekdays);
  window.start = parse_edge(fields, "start", window.start, policy::kMinutesPerDay - 1);
  window.end = parse_edge(fields, "end", window.end, policy::kMinutesPerDay);
  if (window.end == 0) window.end = policy::kMinutesPerDay;
  if (window.start == window.end)
    fields.wrong("it ends when it starts; the whole day is 00:00 to 24:00");
  return window;
}

// Gives the hours of the window a share. Whole hours only: the profile has no finer ones.
void paint(std::array<double, kHoursPerWeek>& hours, const Presence::Window& window, double share) {
  const int over = window.start < window.end ? 0 : policy::kMinutesPerDay;
  for (int day = 0; day < 7; ++day) {
    if ((window.days >> day & 1) == 0) continue;
    const int first = (day * policy::kMinutesPerDay + window.start) / 60;
    const int last = (day * policy::kMinutesPerDay + window.end + over) / 60;
    for (int hour = first; hour < last; ++hour)
      hours[static_cast<std::size_t>(hour % kHoursPerWeek)] = share;
  }
}

void read_profile(Fields& load, const char* key, std::array<double, kHoursPerWeek>& hours,
                  const std::string& what, Reading& reading) {
  const Value::List& list = load.list(key);
  for (std::size_t i = 0; i < list.size(); ++i) {
    Fields fields(list[i], what + ": " + numbered(key, i), reading.findings);
    const Presence::Window window = read_window(fields);
    if (window.start % 60 != 0 || window.end % 60 != 0)
      fields.wrong("start and end are whole hours, such as 08:00");
    double share = 0;
    if (fields.needs("share")) fields.read("share", share, parse_share, kShare);
    fields.done();
    paint(hours, window, share);
  }
}

// --- shares of kinds

// A finding at `place` if what was given does not add up to the whole.
void check_sum(const std::vector<double>& shares, const std::string& of, const Place& place,
               Fields& fields) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  if (std::abs(sum - 1) > kSumSlack)
    fields.wrong(place, "the shares of " + of + " add up to " +
                            std::to_string(static_cast<int>(std::lround(sum * 100))) +
                            "%: make them 100%");
}

// "share" of each element of a list. All have one, or none: then they are equal.
class Shares {
 public:
  void read(Fields& fields) {
    double share = 0;
    given_ += fields.has("share") ? 1 : 0;
    fields.read("share", share, parse_share, kShare);
    shares_.push_back(share);
  }
  // After the last of the list, which is `list` of `top`.
  std::vector<double> finish(const std::string& of, const Value& list, Fields& top) {
    if (shares_.empty()) return {};
    if (given_ == 0) {
      shares_.assign(shares_.size(), 1.0 / static_cast<double>(shares_.size()));
    } else if (given_ < shares_.size()) {
      top.wrong(list, "some of " + of + " have a share and some have none: give each its own");
    } else {
      check_sum(shares_, of, list.place, top);
    }
    return shares_;
  }

 private:
  std::vector<double> shares_;
  std::size_t given_ = 0;
};

// --- regions

struct RegionLink {
  std::string parent;  // Empty: none.
  Place place;
};

// The names of the regions from `first` upwards until one comes twice; empty: none does.
std::string circle_from(std::size_t first, const std::vector<std::optional<Index>>& parents,
                        const std::vector<Region>& regions) {
  std::string text = '\'' + regions[first].name + '\'';
  std::size_t at = first;
  for (std::size_t steps = 0; parents[at] && steps <= regions.size(); ++steps) {
    at = *parents[at];
    text += " in '" + regions[at].name + '\'';
    if (at == first) return text;
  }
  return {};
}

// Regions in regions in regions, and circles. Whether there are none.
bool check_parents(const std::vector<std::optional<Index>>& parents,
                   const std::vector<RegionLink>& links, Reading& reading) {
  const auto& regions = reading.scenario.regions;
  bool is_good = true;
  const auto wrong = [&](std::size_t i, const std::string& text) {
    reading.findings.add(links[i].place, "region '" + regions[i].name + "': " + text);
    is_good = false;
  };
  for (std::size_t i = 0; i < regions.size(); ++i) {
    if (!parents[i]) continue;
    if (const std::string circle = circle_from(i, parents, regions); !circle.empty())
      wrong(i, "the regions lie in a circle: " + circle + ": take one 'parent' away");
    else if (parents[*parents[i]])
      wrong(i, "its parent '" + regions[*parents[i]].name +
                   "' lies in a region itself: there are two levels at most");
  }
  return is_good;
}

// Parents in front, as Region says; indexes change with it.
void order_regions(const std::vector<std::optional<Index>>& parents, Reading& reading) {
  auto& regions = reading.scenario.regions;
  std::vector<std::size_t> order(regions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return parents[i].has_value(); });
  std::vector<Index> place_of(regions.size());
  for (std::size_t i = 0; i < order.size(); ++i) place_of[order[i]] = static_cast<Index>(i);
  std::vector<Region> ordered;
  Names names("region");
  for (const std::size_t i : order) {
    ordered.push_back(std::move(regions[i]));
    if (parents[i]) ordered.back().parent = place_of[*parents[i]];
    names.add(ordered.back().name, static_cast<Index>(ordered.size() - 1));
  }
  regions = std::move(ordered);
  reading.regions = std::move(names);
}

// --- content

// The set of parts that a version fetches: those that it names, and one of its own.
std::uint64_t read_parts_of(Fields& fields, const std::string& version, const Names& names,
                            Reading& reading) {
  std::uint64_t set = 0;
  for (const Value& value : fields.list("parts")) {
    const auto name = value.scalar();
    const auto part = names.find(name.value_or(""));
    if (part)
      set |= std::uint64_t{1} << *part;
    else
      fields.wrong(value, "parts: " + part.error().text());
  }
  Bytes own;
  fields.read("fetch", own, parse_size, Range<Bytes>{Bytes{0}, kBytesMax});
  auto& parts = reading.scenario.content.parts;
  if (own.count > 0 && parts.size() < kPartsMax) {
    set |= std::uint64_t{1} << parts.size();
    parts.push_back({"for " + version, own});
  } else if (own.count > 0) {
    fields.wrong(*fields.find("fetch"), "fetch: there are " + std::to_string(kPartsMax) +
                                            " parts already; give versions with the same content "
                                            "the same parts");
  }
  if (!fields.has("parts") && !fields.has("fetch"))
    fields.wrong("it says neither 'parts' nor 'fetch': how much does it fetch?");
  return set;
}

// --- mixes

struct Shared {
  std::vector<double> versions;
  std::vector<double> presences;
};

// Every version with every presence: the share of one says nothing about the other.
std::vector<DeviceKind> product_of(const Shared& shares) {
  std::vector<DeviceKind> kinds;
  for (std::size_t v = 0; v < shares.versions.size(); ++v)
    for (std::size_t p = 0; p < shares.presences.size(); ++p)
      if (const double weight = shares.versions[v] * shares.presences[p]; weight > 0)
        kinds.push_back({weight, static_cast<Index>(v), static_cast<Index>(p), Access::by_site});
  return kinds;
}

// A table of names with shares: { "12.9" = "60%", "12.8" = "40%" }.
void read_shares_by_name(Fields& mix, const char* key, const Names& names,
                         std::vector<double>& shares) {
  const Value* value = mix.find(key);
  if (value == nullptr) return;
  if (value->table() == nullptr)
    return mix.wrong(*value, std::string(key) + ": a table is needed: { NAME = \"60%\", ... }");
  shares.assign(shares.size(), 0);
  for (const Entry& entry : *value->table()) {
    const auto index = names.find(entry.key);
    const auto text = entry.value.scalar();
    const auto share = parse_share(text.value_or(""), kShare);
    if (!index)
      mix.wrong(entry.place, std::string(key) + ": " + index.error().text());
    else if (!share)
      mix.wrong(entry.value, std::string(key) + ": " + share.error().text());
    else
      shares[*index] = *share;
  }
  check_sum(shares, std::string("its ") + key, value->place, mix);
}

std::vector<DeviceKind> read_kinds(Fields& mix, const std::string& what, Reading& reading) {
  std::vector<DeviceKind> kinds;
  std::vector<double> shares;
  const Value::List& list = mix.list("kinds");
  for (std::size_t i = 0; i < list.size(); ++i) {
    Fields fields(list[i], what + ": " + numbered("kind", i), reading.findings);
    DeviceKind kind;
    const auto version = [&](const std::string& name) { return reading.versions.find(name); };
    const auto presence = [&](const std::string& name) { return reading.presences.find(name); };
    for (const char* key : {"share", "version", "presence"}) fields.needs(key);
    fields.read("share", kind.weight, parse_share, kShare);
    fields.read("version", kind.version, version);
    fields.read("presence", kind.presence, presence);
    fields.read("access", kind.access, parse_access);
    fields.done();
    kinds.push_back(kind);
    shares.push_back(kind.weight);
  }
  if (!kinds.empty()) check_sum(shares, "its kinds", mix.find("kinds")->place, mix);
  std::erase_if(kinds, [](const DeviceKind& kind) { return kind.weight <= 0; });
  return kinds;
}

Presence read_presence(Fields& fields, const std::string& what, Findings& findings) {
  Presence presence;
  const Value::List& windows = fields.list("windows");
  for (std::size_t i = 0; i < windows.size(); ++i) {
    Fields window(windows[i], what + ": " + numbered("window", i), findings);
    presence.windows.push_back(read_window(window));
    window.done();
  }
  const bool is_short = fields.has("days") || fields.has("start") || fields.has("end");
  if (is_short && !windows.empty())
    fields.wrong("it has 'windows' and a window of its own: give one of them");
  else if (is_short)
    presence.windows.push_back(read_window(fields));
  fields.read("spread", presence.spread, parse_period, Range<Duration>{0s, 4h});
  fields.read("absent", presence.absent, parse_share, Range<double>{0, 0.99});
  fields.read("roaming", presence.roaming, parse_share, kShare);
  fields.read("reboot_every", presence.reboot_every, parse_period,
              Range<Duration>{1h, kDurationMax});
  if (presence.reboot_every > 0s) presence.reboot_takes = 3min;
  fields.read("reboot_takes", presence.reboot_takes, parse_period, Range<Duration>{1s, 24h});
  if (presence.reboot_every == 0s && fields.has("reboot_takes"))
    fields.wrong("'reboot_takes' without 'reboot_every': how often is it?");
  else if (presence.reboot_every > 0s && presence.reboot_takes >= presence.reboot_every)
    fields.wrong("a reboot takes longer than the time between two of them");
  return presence;
}

std::vector<double> read_presences(Fields& top, Reading& reading) {
  auto& presences = reading.scenario.presences;
  const Value::List& list = top.list("presence");
  if (!has_room(top, "presence", list.size(), kKindsMax)) return {};
  if (list.empty()) {
    presences.push_back({.name = "always"});
    reading.presences.add("always", 0);
    return {1.0};
  }
  Shares shares;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Fields fields(list[i], numbered("presence", i), reading.findings);
    const std::string name = read_name(fields, reading.presences, static_cast<Index>(i));
    presences.push_back(read_presence(fields, numbered("presence", i), reading.findings));
    presences.back().name = name;
    shares.read(fields);
    fields.done();
  }
  return shares.finish("all presences", *top.find("presence"), top);
}

// Of the content's versions, which read_content() has taken in.
std::vector<double> shares_of_versions(Fields& top) {
  const Value* content = top.find("content");
  if (content == nullptr) return {};
  Findings noted;  // The list was read before: what is wrong with it is known.
  Fields fields(*content, "", noted);
  Shares shares;
  for (const Value& value : fields.list("version")) {
    Fields version(value, "", noted);
    shares.read(version);
  }
  const Value* list = fields.find("version");
  return list == nullptr ? std::vector<double>{} : shares.finish("all versions", *list, top);
}

}  // namespace

void read_run(Fields& top, Reading& reading) {
  Run& run = reading.scenario.run;
  if (!top.needs("run")) return;
  section(top, "run", reading, [&](Fields& fields) {
    if (fields.needs("start")) {
      const Value& start = *fields.find("start");
      const Moment* moment = start.moment();
      if (moment == nullptr || moment->time.ns % Duration(1min).count() != 0) {
        fields.wrong(start,
                     "start: a date with its distance from UTC is needed, from 1970 to 2200, in "
                     "whole minutes and without quotes: 2026-03-02T18:00:00+01:00");
      } else {
        run.start = moment->time;
        run.utc_offset = moment->utc_offset;
      }
    }
    if (fields.has("duration")) {
      run.duration = kDurationMax;  // Where it is wrong, nothing else is because of it.
      fields.read("duration", run.duration, parse_period, Range<Duration>{1min, kDurationMax});
    }
    if (run.duration % 1min != 0s) fields.wrong("duration: whole minutes are needed");
    // Seeds count upwards from it.
    fields.read("seed", run.seed, parse_count, Range<std::int64_t>{0, 1'000'000'000'000});
    fields.read("replicas", run.replicas, parse_count, Range<std::int64_t>{1, kReplicasMax});
  });
}

void read_origin(Fields& top, Reading& reading) {
  Origin& origin = reading.scenario.origin;
  if (!top.needs("origin")) return;
  section(top, "origin", reading, [&](Fields& fields) {
    fields.needs("uplink");
    fields.read("uplink", origin.uplink, parse_rate, kLineRates);
    origin.downlink = origin.uplink;
    fields.read("downlink", origin.downlink, parse_rate, kLineRates);
  });
}

void read_regions(Fields& top, Reading& reading) {
  auto& regions = reading.scenario.regions;
  const Value::List& list = top.list("region");
  if (!has_room(top, "region", list.size(), kRegionsMax)) return;
  std::vector<RegionLink> links;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Fields fields(list[i], numbered("region", i), reading.findings);
    Region region;
    region.name = read_name(fields, reading.regions, static_cast<Index>(i));
    fields.read("down", region.down, parse_rate, kLineRates);
    fields.read("up", region.up, parse_rate, kLineRates);
    fields.read("seeder", region.seeder, parse_rate, kLineRates);
    RegionLink link;
    fields.text("parent", link.parent);
    link.place = fields.has("parent") ? fields.find("parent")->place : list[i].place;
    fields.done();
    regions.push_back(std::move(region));
    links.push_back(std::move(link));
  }
  std::vector<std::optional<Index>> parents(regions.size());
  for (std::size_t i = 0; i < regions.size(); ++i) {
    if (links[i].parent.empty()) continue;
    const auto parent = reading.regions.find(links[i].parent);
    if (parent)
      parents[i] = *parent;
    else
      reading.findings.add(links[i].place,
                           numbered("region", i) + ": parent: " + parent.error().text());
  }
  if (check_parents(parents, links, reading)) order_regions(parents, reading);
}

void read_loads(Fields& top, Reading& reading) {
  const Value::List& list = top.list("load");
  if (!has_room(top, "load", list.size(), kKindsMax)) return;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string what = numbered("load", i);
    Fields fields(list[i], what, reading.findings);
    Load load;
    load.name = read_name(fields, reading.loads, static_cast<Index>(i));
    fields.needs("down");
    read_profile(fields, "down", load.down, what, reading);
    load.up = load.down;
    if (fields.has("up")) {
      load.up.fill(0);
      read_profile(fields, "up", load.up, what, reading);
    }
    const auto is_full = [](double share) { return share >= 1; };
    if (std::ranges::all_of(load.down, is_full) || std::ranges::all_of(load.up, is_full))
      fields.wrong("it leaves nothing of the line in any hour: nobody would ever finish");
    fields.done();
    reading.scenario.loads.push_back(std::move(load));
  }
}

void read_content(Fields& top, Reading& reading) {
  Content& content = reading.scenario.content;
  if (!top.needs("content")) return;
  section(top, "content", reading, [&](Fields& fields) {
    Names parts("part");
    const Value::List& part_list = fields.list("part");
    if (!has_room(fields, "part", part_list.size(), kPartsMax)) return;
    for (std::size_t i = 0; i < part_list.size(); ++i) {
      Fields part(part_list[i], "content: " + numbered("part", i), reading.findings);
      Bytes bytes{1};
      const std::string name = read_name(part, parts, static_cast<Index>(i));
      part.needs("size");
      part.read("size", bytes, parse_size, Range<Bytes>{Bytes{1}, kBytesMax});
      part.done();
      content.parts.push_back({name, bytes});
    }
    const Value::List& list = fields.list("version");
    if (!has_room(fields, "version", list.size(), kKindsMax)) return;
    if (list.empty()) fields.wrong("it has no [[content.version]]: what is installed before?");
    for (std::size_t i = 0; i < list.size(); ++i) {
      Fields version(list[i], "content: " + numbered("version", i), reading.findings);
      const std::string name = read_name(version, reading.versions, static_cast<Index>(i));
      const std::uint64_t set = read_parts_of(version, name, parts, reading);
      Shares().read(version);  // For read_mixes(); here what is wrong with it is noted.
      version.done();
      content.versions.push_back({name, set});
    }
    if (!list.empty() && content.parts.empty())
      fields.wrong("no version fetches anything: there is no rollout");
  });
}

void read_mixes(Fields& top, Reading& reading) {
  auto& mixes = reading.scenario.mixes;
  const Shared all{shares_of_versions(top), read_presences(top, reading)};
  const Value::List& list = top.list("mix");
  if (!has_room(top, "mix", list.size(), kKindsMax)) return;
  if (list.empty()) {
    mixes.push_back({"all", product_of(all)});
    reading.mixes.add("all", 0);
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string what = numbered("mix", i);
    Fields fields(list[i], what, reading.findings);
    Mix mix;
    mix.name = read_name(fields, reading.mixes, static_cast<Index>(i));
    Shared own = all;
    read_shares_by_name(fields, "versions", reading.versions, own.versions);
    read_shares_by_name(fields, "presences", reading.presences, own.presences);
    mix.kinds = fields.has("kinds") ? read_kinds(fields, what, reading) : product_of(own);
    if (fields.has("kinds") && (fields.has("versions") || fields.has("presences")))
      fields.wrong("it has 'kinds' and 'versions' or 'presences': give one or the other");
    else if (mix.kinds.empty())
      fields.wrong("no kind of device has a share in it");
    fields.done();
    mixes.push_back(std::move(mix));
  }
}

void read_tcp(Fields& top, Reading& reading) {
  Tcp& tcp = reading.scenario.tcp;
  section(top, "tcp", reading, [&](Fields& fields) {
    fields.read("congestion", tcp.congestion, parse_congestion);
    fields.read("goodput", tcp.goodput, parse_real, Range<double>{0.1, 1});
    fields.read("window", tcp.window, parse_size, Range<Bytes>{4_KiB, 1_GiB});
    fields.read("connections", tcp.connections, parse_count, Range<std::int64_t>{1, 64});
    fields.read("unevenness", tcp.unevenness, parse_real, Range<double>{0, 0.9});
  });
}

void read_efficiency_point(Fields& point, Swarm& swarm) {
  Efficiency& efficiency = swarm.efficiency.emplace_back();
  for (const char* key : {"peers", "pieces"}) point.needs(key);
  point.read("peers", efficiency.peers, parse_count, Range<std::int64_t>{1, 1'000'000});
  point.read("pieces", efficiency.pieces, parse_count, Range<std::int64_t>{1, 100'000'000});
}

void order_efficiency(Fields& fields, Swarm& swarm) {
  const auto at = [](const Efficiency& point) { return std::pair(point.peers, point.pieces); };
  std::ranges::stable_sort(swarm.efficiency, {}, at);
  if (std::ranges::adjacent_find(swarm.efficiency, {}, at) != swarm.efficiency.end())
    fields.wrong("two efficiencies are for the same peers and pieces");
}

void read_swarm(Fields& top, Reading& reading) {
  Swarm& swarm = reading.scenario.swarm;
  section(top, "swarm", reading, [&](Fields& fields) {
    fields.read("piece", swarm.piece, parse_size, Range<Bytes>{16_KiB, 16_MiB});
    if (!fields.has("efficiency")) return;
    swarm.efficiency.clear();  // Those of a calibration.
    const Value::List& list = fields.list("efficiency");
    if (!has_room(fields, "efficiency", list.size(), kKindsMax)) return;
    for (std::size_t i = 0; i < list.size(); ++i) {
      Fields point(list[i], "swarm: " + numbered("efficiency", i), reading.findings);
      read_efficiency_point(point, swarm);
      point.needs("eta");
      point.read("eta", swarm.efficiency.back().eta, parse_real, Range<double>{0.01, 1});
      point.done();
    }
    order_efficiency(fields, swarm);
  });
}

void read_uploads(Fields& top, Reading& reading) {
  Uploads& uploads = reading.scenario.uploads;
  section(top, "uploads", reading, [&](Fields& fields) {
    fields.needs("per_day");
    fields.read("per_day", uploads.per_day, parse_size, Range<Bytes>{Bytes{0}, kBytesMax});
    fields.read("times", uploads.times, parse_count, Range<std::int64_t>{1, 96});
    uploads.start = parse_edge(fields, "start", 0, policy::kMinutesPerDay - 1);
    uploads.end = parse_edge(fields, "end", policy::kMinutesPerDay, policy::kMinutesPerDay);
    if (uploads.start >= uploads.end)
      fields.wrong("'end' is not after 'start': uploads become due within one day");
    fields.read("relayed", uploads.relayed, parse_yes_no);
  });
}

void read_deaths(Fields& top, Reading& reading) {
  Scenario& scenario = reading.scenario;
  const Value::List& list = top.list("reflector_deaths");
  if (!has_room(top, "reflector_deaths", list.size(), kKindsMax)) return;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Fields fields(list[i], numbered("reflector_deaths", i), reading.findings);
    ReflectorDeaths deaths{.takeover = scenario.rollout.takeover};
    fields.needs("share");
    fields.needs("at");
    fields.read("share", deaths.share, parse_share, kShare);
    fields.read("at", deaths.at, parse_run_time, scenario.run);
    if (deaths.at.time_since_epoch() >= scenario.run.duration)
      fields.wrong("it happens after the end of the run");
    fields.read("takeover", deaths.takeover, parse_period, Range<Duration>{0s, 24h});
    fields.done();
    scenario.deaths.push_back(deaths);
  }
  std::ranges::stable_sort(scenario.deaths, {}, &ReflectorDeaths::at);
}

void read_uncertainty(Fields& top, Reading& reading) {
  section(top, "uncertainty", reading, [&](Fields& fields) {
    fields.read("wan", reading.scenario.uncertainty.wan, parse_share, Range<double>{0, 0.9});
  });
}

}  // namespace lamina::sim
