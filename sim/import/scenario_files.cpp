#include "sim/import/scenario_files.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "shared/base/bytes.hpp"
#include "shared/base/csv.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/policy/subnet.hpp"
#include "shared/policy/wave_members.hpp"
#include "sim/scenario/quantities.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {
namespace {

using std::chrono::minutes;

constexpr std::size_t kScenarioNameMax = 64;  // read_name()
// What the model takes a byte on the wire to carry (Tcp::goodput): measured is content.
constexpr double kGoodput = Tcp{}.goodput;

// `text` as a name in a scenario: printable ASCII without what TOML would have to escape.
std::string name_in_scenario(const std::string& text) {
  std::string name;
  for (const char c : text) name += c >= ' ' && c <= '~' && c != '"' && c != '\\' ? c : '_';
  return name.substr(0, kScenarioNameMax);
}

// Makes names differ that would be the same.
class UniqueNames {
 public:
  std::string add(const std::string& wanted) {
    std::string name = wanted;
    for (int i = 2; !taken_.insert(name).second; ++i) {
      const std::string end = '~' + std::to_string(i);
      name = wanted.substr(0, kScenarioNameMax - end.size()) + end;
    }
    return name;
  }

 private:
  std::set<std::string> taken_;
};

std::string quoted(const std::string& text) { return '"' + text + '"'; }

template <class Items, class Text>
std::string listed(const Items& items, const Text& text) {
  std::string list;
  for (const auto& item : items) list += (list.empty() ? "" : ", ") + text(item);
  return '[' + list + ']';
}

// Three digits: nobody measures a line better.
std::string rate_text(double bits_per_second) {
  std::int64_t kbit = std::max<std::int64_t>(1, std::llround(bits_per_second / 1000));
  std::int64_t unit = 1;
  while (kbit / unit >= 1000) unit *= 10;
  kbit = (kbit + unit / 2) / unit * unit;
  return kbit % 1000 == 0 ? std::to_string(kbit / 1000) + "Mbit" : std::to_string(kbit) + "kbit";
}
std::string rate_text(BitRate rate) { return rate_text(static_cast<double>(rate.bits_per_second)); }

std::string counted(std::size_t count, const std::string& what) {
  return std::to_string(count) + ' ' + what + (count == 1 ? "" : "s");
}

// --- who is there, and in which wave

struct Fleet {
  std::vector<const KnownDevice*> devices;  // Heard of, at the waves' sites; by site and id.
  // By wave, of each site: its devices in that wave or an earlier one.
  std::vector<std::map<std::string, std::int64_t>> so_far;
  std::map<std::string, std::int64_t> at_site;
  std::size_t silent = 0;
};

Fleet fleet_of(const Inventory& inventory, const wire::RolloutRequest& plan,
               const ImportOptions& options) {
  std::vector<policy::PlacedDevice> placed;
  std::map<DeviceId, const KnownDevice*> by_id;
  for (const KnownDevice& device : inventory.devices) {
    placed.push_back({device.site, device.id});
    by_id.emplace(device.id, &device);
  }
  std::ranges::sort(placed);
  const std::int64_t oldest = (options.now.ns - options.silent_after.count()) / 1'000'000;
  const auto is_heard = [&](const DeviceId& id) { return by_id.at(id)->seen_ms >= oldest; };

  Fleet fleet;
  std::set<DeviceId> taken;
  std::map<std::string, std::int64_t> so_far;
  for (const wire::RolloutWave& wave : plan.waves) {
    policy::WaveNames names{.sites = wave.sites, .devices = wave.devices, .shares = {}};
    for (const wire::RolloutShare& share : wave.shares)
      names.shares.push_back({share.site, share.percent});
    for (const policy::PlacedDevice& member : policy::wave_members(
             names, placed, [&](const DeviceId& id) { return taken.contains(id); })) {
      taken.insert(member.device);
      if (is_heard(member.device)) ++so_far[member.site];
    }
    fleet.so_far.push_back(so_far);
  }
  for (const policy::PlacedDevice& one : placed) {
    if (!is_heard(one.device)) {
      fleet.silent += taken.count(one.device);
    } else if (so_far.contains(one.site)) {
      fleet.devices.push_back(by_id.at(one.device));
      ++fleet.at_site[one.site];
    }
  }
  return fleet;
}

// --- what they fetch

struct Kind {  // Of devices that lack the same.
  std::string name;
  std::vector<bool> lacks;  // By pack of the plan.
};
struct FetchPart {
  std::string name;
  std::int64_t bytes = 0;
  std::vector<bool> lacked;  // By kind.
};
struct Lacking {
  std::vector<Kind> kinds;  // By name.
  std::vector<FetchPart> parts;
  std::vector<std::size_t> kind_of;  // By device of the fleet.
  std::size_t merged = 0;            // Parts that are in the last one because there are too many.
};

struct WantedPack {
  std::uint64_t size = 0;
  std::string layer;  // The first that has it.
};

// Every device has the packs of the layers that it applied. It fetches what it needs with the
// cheapest update that there is from one of these.
std::vector<bool> lacks_of(const KnownDevice& device, const Inventory& inventory,
                           const std::vector<std::string>& wanted,
                           const std::map<PackId, std::size_t>& numbers) {
  std::set<LayerId> held;
  std::set<PackId> there;
  for (const std::string& layer : device.applied) {
    const auto packs = inventory.packs.find(layer);
    if (packs == inventory.packs.end()) continue;
    held.insert(inventory.ids.at(layer));
    for (const format::DistributedPack& pack : packs->second) there.insert(pack.id);
  }
  std::vector<bool> lacks(numbers.size());
  for (const std::string& layer : wanted)
    if (!held.contains(inventory.ids.at(layer)))
      for (const auto& [pack, size] : format::needed_packs(inventory.packs.at(layer), held, there))
        lacks[numbers.at(pack)] = true;
  return lacks;
}

std::string stack_text(const KnownDevice& device) {
  if (device.applied.empty()) return "nothing";
  std::string text;
  for (const std::string& layer : device.applied) text += (text.empty() ? "" : " + ") + layer;
  return text;
}

// Parts with the same kinds lack the same packs. Too many for a scenario: the smallest become one,
// which all fetch that lack any of it.
void bound_parts(Lacking& content) {
  auto& parts = content.parts;
  if (parts.size() <= kPartsMax) return;
  std::ranges::stable_sort(parts, std::greater(), &FetchPart::bytes);
  FetchPart rest{"all smaller parts", 0, std::vector<bool>(content.kinds.size())};
  content.merged = parts.size() - (kPartsMax - 1);
  for (std::size_t i = kPartsMax - 1; i < parts.size(); ++i) {
    rest.bytes += parts[i].bytes;
    for (std::size_t kind = 0; kind < rest.lacked.size(); ++kind)
      if (parts[i].lacked[kind]) rest.lacked[kind] = true;
  }
  parts.resize(kPartsMax - 1);
  parts.push_back(std::move(rest));
}

Lacking content_of(const Inventory& inventory, const wire::RolloutRequest& plan,
                   const Fleet& fleet) {
  std::map<PackId, std::size_t> numbers;
  std::vector<WantedPack> packs;
  for (const std::string& layer : plan.layers)
    for (const format::DistributedPack& pack : inventory.packs.at(layer))
      if (numbers.emplace(pack.id, packs.size()).second) packs.push_back({pack.size, layer});

  // The name is the least stack of those that lack the same.
  std::map<std::vector<bool>, std::string> names;
  std::map<std::vector<std::string>, std::vector<bool>> known;  // By applied layers.
  std::vector<std::vector<bool>> lacks;
  for (const KnownDevice* device : fleet.devices) {
    const auto [at, is_new] = known.try_emplace(device->applied);
    if (is_new) at->second = lacks_of(*device, inventory, plan.layers, numbers);
    lacks.push_back(at->second);
    const std::string stack = stack_text(*device);
    const auto [name, added] = names.emplace(lacks.back(), stack);
    if (!added) name->second = std::min(name->second, stack);
  }
  Lacking content;
  for (const auto& [lacked, name] : names) content.kinds.push_back({name, lacked});
  std::ranges::sort(content.kinds, {}, &Kind::name);
  UniqueNames unique;
  std::map<std::vector<bool>, std::size_t> kinds;
  for (std::size_t i = 0; i < content.kinds.size(); ++i) {
    content.kinds[i].name = unique.add(name_in_scenario(content.kinds[i].name));
    kinds.emplace(content.kinds[i].lacks, i);
  }
  for (const std::vector<bool>& lacked : lacks) content.kind_of.push_back(kinds.at(lacked));

  std::map<std::vector<bool>, std::size_t> parts;  // By kinds that lack it.
  UniqueNames part_names;
  for (std::size_t pack = 0; pack < packs.size(); ++pack) {
    std::vector<bool> lacked;
    for (const Kind& kind : content.kinds) lacked.push_back(kind.lacks[pack]);
    if (std::ranges::none_of(lacked, std::identity())) continue;
    const auto [at, is_new] = parts.emplace(lacked, content.parts.size());
    if (is_new)
      content.parts.push_back({part_names.add(name_in_scenario(packs[pack].layer)), 0, lacked});
    content.parts[at->second].bytes += static_cast<std::int64_t>(packs[pack].size);
  }
  bound_parts(content);
  return content;
}

// --- the lines

struct Lines {
  std::map<std::string, std::int64_t> measured;  // Bits of content per second, by site.
  std::size_t assumed = 0;                       // Sites.
  std::size_t without_reflector = 0;
};

Lines lines_of(const Inventory& inventory, const Fleet& fleet) {
  Lines lines;
  for (const wire::SiteSavings& traffic : inventory.traffic)
    if (traffic.wan_rate && *traffic.wan_rate > 0) {
      std::int64_t& rate = lines.measured[traffic.site];
      rate = std::max(rate, *traffic.wan_rate);
    }
  for (const auto& [site, devices] : fleet.at_site) lines.assumed += 1 - lines.measured.count(site);
  for (const wire::SiteInfo& site : inventory.sites)
    if (fleet.at_site.contains(site.name) && !site.appoint.value_or(true) &&
        site.reflector_devices.value_or(std::vector<DeviceId>{}).empty())
      ++lines.without_reflector;
  return lines;
}

// --- the files

std::string sites_csv(const Inventory& inventory, const Fleet& fleet, const Lines& lines) {
  std::map<std::string, const wire::SiteInfo*> sites;
  for (const wire::SiteInfo& site : inventory.sites) sites.emplace(site.name, &site);
  std::map<std::string, std::string> addresses;  // Of each site's first device that has one.
  for (const KnownDevice* device : fleet.devices)
    if (policy::parse_address(device->lan_address))
      addresses.emplace(device->site, device->lan_address);
  std::string csv = "site,wan_down,utc,reflectors,address\n";
  for (const auto& [name, devices] : fleet.at_site) {
    const auto rate = lines.measured.find(name);
    const auto site = sites.find(name);
    const int reflectors = site == sites.end() ? 1 : site->second->reflectors.value_or(1);
    csv +=
        csv_field(name) + ',' +
        (rate == lines.measured.end() ? ""
                                      : rate_text(static_cast<double>(rate->second) / kGoodput)) +
        ",," + std::to_string(reflectors) + ',' + csv_field(addresses[name]) + '\n';
  }
  return csv;
}

std::string devices_csv(const Fleet& fleet, const Lacking& content) {
  std::map<std::pair<std::string, std::size_t>, std::int64_t> counts;
  for (std::size_t i = 0; i < fleet.devices.size(); ++i)
    ++counts[{fleet.devices[i]->site, content.kind_of[i]}];
  std::string csv = "site,devices,version\n";
  for (const auto& [key, count] : counts)
    csv += csv_field(key.first) + ',' + std::to_string(count) + ',' +
           csv_field(content.kinds[key.second].name) + '\n';
  return csv;
}

// "2026-03-02T20:00:00+01:00", cut to the minute.
std::string start_text(const ImportOptions& options) {
  constexpr std::int64_t kMinute = std::int64_t{60} * 1'000'000'000;
  const std::int64_t local = options.start.ns + options.utc_offset.count();
  std::string text = to_iso8601(WallTime{local / kMinute * kMinute});
  text.pop_back();  // "Z"
  return text + text_of_utc_offset(options.utc_offset);
}

std::string duration_text(Duration duration) {
  const auto minute = duration / minutes(1);
  if (minute % (24 * 60) == 0) return std::to_string(minute / (24 * 60)) + 'd';
  return minute % 60 == 0 ? std::to_string(minute / 60) + 'h' : std::to_string(minute) + 'm';
}

// Says of each wave which sites it takes whole, and of which it takes the first so many percent.
class WaveMembers {
 public:
  explicit WaveMembers(const Fleet& fleet) : fleet_(fleet) {}

  // Of the next wave; empty: nobody is in it who is in no earlier one.
  std::string next() {
    std::vector<std::string> whole;
    std::vector<std::string> shares;
    for (const auto& [site, members] : fleet_.so_far[wave_]) {
      std::int64_t& before = before_[site];
      if (before == members) continue;
      before = members;
      const std::int64_t devices = fleet_.at_site.at(site);
      if (members == devices)
        whole.push_back(site);
      else
        shares.push_back("{ site = " + quoted(site) +
                         ", percent = " + std::to_string(percent(site, members, devices)) + " }");
    }
    ++wave_;
    std::string text;
    if (whole.size() == fleet_.at_site.size()) return "# All sites.\n";
    if (!whole.empty()) text += "sites = " + listed(whole, quoted) + '\n';
    if (!shares.empty())
      text += "shares = " + listed(shares, [](const auto& share) { return share; }) + '\n';
    return text;
  }

 private:
  // The model takes the first devices, rounded up: exact for sites of up to 100 devices. In larger
  // ones a wave has at least one percent more than the one before.
  int percent(const std::string& site, std::int64_t members, std::int64_t devices) {
    int& known = percents_[site];
    known = std::clamp(static_cast<int>(100 * members / devices), known + 1, 99);
    return known;
  }

  const Fleet& fleet_;
  std::size_t wave_ = 0;
  std::map<std::string, std::int64_t> before_;  // Devices in waves so far, by site.
  std::map<std::string, int> percents_;
};

std::string wave_toml(const wire::RolloutWave& wave, const std::string& name,
                      const std::string& members) {
  if (members.empty()) return "\n# Wave " + quoted(name) + " has no device that was heard of.\n";
  std::string text = "\n[[rollout.wave]]\nname = " + quoted(name) + '\n' + members;
  text += "warm = " + std::to_string(wave.warm_percent) +
          "\nsuccess = " + std::to_string(wave.success_percent) +
          "\nfailure = " + std::to_string(wave.failure_percent) + '\n';
  if (wave.soak_ms > 0) text += "soak = \"" + std::to_string(wave.soak_ms / 1000) + "s\"\n";
  return text;
}

std::vector<std::string> assumptions_of(const Inventory& inventory, const Fleet& fleet,
                                        const Lacking& content, const Lines& lines,
                                        const ImportOptions& options) {
  std::vector<std::string> list;
  if (lines.assumed > 0)
    list.push_back(counted(lines.assumed, "site") + " of " + std::to_string(fleet.at_site.size()) +
                   ", whose line nobody measured, have " + rate_text(options.line));
  if (lines.assumed < fleet.at_site.size())
    list.push_back("a line carries no more than the most that one of its devices received in the " +
                   std::string("last 28 days"));
  list.push_back("the origin sends at most " + rate_text(options.uplink));
  list.push_back(
      "the heard devices are up all the time, wired with 1Gbit, 30ms from the origin, "
      "and upload nothing");
  list.push_back("a device still has the packs of the layers that it applied");
  if (fleet.silent > 0)
    list.push_back(counted(fleet.silent, "device") +
                   " of the waves that the origin has not heard " + "of for " +
                   duration_text(options.silent_after) + " are left out");
  if (lines.without_reflector > 0)
    list.push_back("at " + counted(lines.without_reflector, "site") +
                   " nobody may fetch for the others until you appoint a reflector: here one does");
  if (content.merged > 0)
    list.push_back(std::to_string(content.merged) + " small parts count as one: some sites fetch " +
                   "less than this says");
  if (!inventory.rules.empty())
    list.push_back(
        "bandwidth rules go by one clock at all sites: an imported sites.csv takes others as utc");
  return list;
}

std::string scenario_toml(const Inventory& inventory, const wire::RolloutRequest& plan,
                          const Fleet& fleet, const Lacking& content, const Lines& lines,
                          const ImportOptions& options) {
  std::string text =
      "# Made by `lamina-sim import` from what an origin knows. Change what you know better:\n"
      "# `lamina-sim init DIR` writes an example that explains every value.\n\n"
      "name = " +
      quoted(name_in_scenario(plan.name)) + "\nsites = \"sites.csv\"\ndevices = \"devices.csv\"\n";
  if (!inventory.rules.empty()) text += "rules = \"bandwidth.csv\"\n";
  text += "# What the origin does not know. Reports say it too.\nassumptions = [\n";
  for (const std::string& one : assumptions_of(inventory, fleet, content, lines, options))
    text += "  " + quoted(one) + ",\n";
  text += "]\n\n[run]\nstart = " + start_text(options) +
          "\nduration = " + quoted(duration_text(options.duration / minutes(1) * minutes(1))) +
          "\n\n[origin]\nuplink = " + quoted(rate_text(options.uplink)) +
          "\n\n[defaults]\nwan_down = " + quoted(rate_text(options.line)) +
          "   # Where sites.csv has none: put in what the contract says.\n" +
          "# rtt = \"30ms\"\n# load = \"office\"         # What others send over the lines.\n";
  text += "\n# Packs that the same devices lack are one part.\n";
  for (const FetchPart& part : content.parts)
    text += "[[content.part]]\nname = " + quoted(part.name) + "\nsize = \"" +
            std::to_string(part.bytes) + "B\"\n\n";
  text += "# What devices have applied, and what they lack.\n";
  for (std::size_t kind = 0; kind < content.kinds.size(); ++kind) {
    std::vector<std::string> parts;
    for (const FetchPart& part : content.parts)
      if (part.lacked[kind]) parts.push_back(part.name);
    text += "[[content.version]]\nname = " + quoted(content.kinds[kind].name) +
            "\nparts = " + listed(parts, quoted) + "\n\n";
  }
  text += "[rollout]\nmode = \"swarm\"\nsites_at_once = " +
          (plan.sites_at_once == kAllAtOnce ? quoted("all") : std::to_string(plan.sites_at_once)) +
          '\n';
  const std::vector<std::string> names = wave_names(plan);
  WaveMembers members(fleet);
  for (std::size_t i = 0; i < plan.waves.size(); ++i)
    text += wave_toml(plan.waves[i], names[i], members.next());
  return text;
}

}  // namespace

Result<wire::RolloutRequest> rollout_of(const wire::AssignmentRequest& assignment) {
  wire::RolloutWave wave{.name = "assignment", .devices = assignment.devices};
  if (!assignment.site.empty()) wave.sites = {assignment.site};
  if (wave.sites.empty() && wave.devices.empty())
    return fail(ErrorKind::invalid, "the assignment names no site and no device");
  return wire::RolloutRequest{.name = "assignment",
                              .layers = assignment.layers,
                              .wan_budget = assignment.wan_budget,
                              .sites_at_once = kAllAtOnce,
                              .waves = {wave}};
}

std::vector<std::string> wave_names(const wire::RolloutRequest& plan) {
  UniqueNames unique;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < plan.waves.size(); ++i) {
    const std::string name = name_in_scenario(plan.waves[i].name);
    names.push_back(unique.add(name.empty() ? "wave " + std::to_string(i + 1) : name));
  }
  return names;
}

Result<ScenarioFiles> scenario_files(const Inventory& inventory, const wire::RolloutRequest& plan,
                                     const ImportOptions& options) {
  for (const std::string& layer : plan.layers)
    if (!inventory.packs.contains(layer))
      return fail(ErrorKind::not_found, "nothing is known of layer " + printable(layer, 80));
  const Fleet fleet = fleet_of(inventory, plan, options);
  if (fleet.devices.empty())
    return fail(ErrorKind::invalid,
                "no device of the waves was heard of: `lamina device ls` lists them" +
                    std::string(fleet.silent > 0 ? ", --silent-after takes older ones in" : ""));
  const Lacking content = content_of(inventory, plan, fleet);
  if (content.parts.empty())
    return fail(ErrorKind::invalid,
                "all devices at the waves' sites have all of it: there is nothing to fetch");
  const Lines lines = lines_of(inventory, fleet);
  return ScenarioFiles{.scenario = scenario_toml(inventory, plan, fleet, content, lines, options),
                       .sites = sites_csv(inventory, fleet, lines),
                       .devices = devices_csv(fleet, content),
                       .bandwidth = inventory.rules};
}

}  // namespace lamina::sim
