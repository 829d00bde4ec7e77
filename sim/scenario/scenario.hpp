// Scenario: everything that a simulated rollout is computed from.
//
// The loader (load.hpp) makes one from files; the model turns it into a RunResult. It holds no
// device of its own: a site has a number of devices and a mix of kinds, from which the model draws
// them. A million devices in ten thousand sites take a few megabytes here.
//
// What the loader gives keeps every range that is named below, and every index points at an element
// that is there; who makes one by hand keeps them too. Rates, sizes and durations are never
// negative, and no number is infinite or none.
//
// Time: an `Instant` of the simulation counts from the start of the run, which is `run.start` on
// the calendar. "Minute of the day" and weekdays are local to a site. A site's distance from UTC
// stays the same all through the run.
//
// Randomness: shares (0 to 1) of devices or sites are drawn by `run.seed`. "Share of a site's
// devices" always means: the whole part of share * devices, and one more with the probability of
// the rest. So a share that gives whole numbers is exact, and 10 % of many sites with 4 devices is
// 10 % of all.
//
// Plain values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/units.hpp"
#include "shared/policy/admission.hpp"
#include "shared/policy/bandwidth_rules.hpp"
#include "shared/policy/rollout.hpp"
#include "shared/policy/site_lease.hpp"

namespace lamina::sim {

// Bounds of what a scenario may hold, so that a slip of the pen does not eat the machine.
inline constexpr std::int64_t kDevicesMax = 5'000'000;  // Of all sites together.
inline constexpr std::size_t kSitesMax = 100'000;
inline constexpr std::size_t kRegionsMax = 1'000;
inline constexpr std::size_t kWavesMax = 100;
inline constexpr std::size_t kPartsMax = 64;     // One bit each of a 64-bit set.
inline constexpr std::size_t kKindsMax = 1'000;  // Versions, presences, loads: of each.
inline constexpr std::size_t kAssumptionsMax = 50;
inline constexpr int kReplicasMax = 1'000;
inline constexpr Duration kDurationMax = std::chrono::hours{31 * 24};
inline constexpr BitRate kRateMax{10'000'000'000'000};  // 10 Tbit/s.
inline constexpr Bytes kBytesMax{1'000'000'000'000'000};
inline constexpr int kHoursPerWeek = 7 * 24;

using Index = std::uint32_t;

struct Run {
  std::uint64_t seed = 1;
  int replicas = 1;                            // Runs with the seeds seed, seed + 1...
  Duration duration = std::chrono::hours{24};  // Whole minutes, at most kDurationMax.
  WallTime start;                              // Whole minutes.
  // Of whoever reads the report: times on the calendar are shown in it. -14 h to 14 h.
  Duration utc_offset{};
  bool operator==(const Run&) const = default;
};

struct Origin {
  BitRate uplink;    // To the sites: all seeders of the origin together. Above 0.
  BitRate downlink;  // From the sites: uploads. Above 0.
  bool operator==(const Origin&) const = default;
};

// A part of the network that sites share: an MPLS aggregate, a country. Bytes of its sites cross
// its line as well as their own, and those of its parents.
struct Region {
  std::string name;
  std::optional<Index> parent;  // An earlier one, which has no parent itself.
  std::optional<BitRate> down;  // Above 0; none: no bottleneck.
  std::optional<BitRate> up;
  // A seeder that stands in the region and has the content already: its sites, and those of regions
  // in it, fetch layers from it at this rate in all, and not over the region's own line, its
  // parents' and the origin's. A seeder of the site's own region counts before one of its parent.
  // Uploads go to the origin all the same. Above 0.
  std::optional<BitRate> seeder;
  bool operator==(const Region&) const = default;
};

// What others send over a line, as a share of its rate (0 to 1) in each hour of the local week;
// index 0 is Monday 00:00. It goes first: the rollout gets the rest.
struct Load {
  std::string name;
  std::array<double, kHoursPerWeek> down{};
  std::array<double, kHoursPerWeek> up{};
  bool operator==(const Load&) const = default;
};

// When devices of a kind are up and connected to their site.
struct Presence {
  struct Window {
    policy::Weekdays days = policy::kEveryDay;  // Of the start; at least one.
    int start = 0;                              // Minute of the day, 0 to 1439.
    int end = 24 * 60;  // Minute of the day, 1 to 1440; not after the start: the next day.
    bool operator==(const Window&) const = default;
  };
  std::string name;
  std::vector<Window> windows;  // None: all the time. They may overlap.
  // Each start and end is moved by up to this, to either side, evenly drawn for each device, day
  // and edge. At most 4 h.
  Duration spread{};
  // Share of the days on which a device does not come at all; drawn for each device and day.
  double absent = 0;
  // Share of the days on which a device is a guest of another site; drawn for each device and day
  // (sim/MODEL.md, "Devices").
  double roaming = 0;
  // A device restarts once in each such period, at an even random time, and is away for
  // `reboot_takes`. 0: never. At least 1 h where it does, and longer than `reboot_takes`.
  Duration reboot_every{};
  Duration reboot_takes{};
  bool operator==(const Presence&) const = default;
};

enum class Access { by_site, wired, wireless };  // by_site: by the site's wireless_share.

// A kind of device in a mix: devices with the same version that come and go alike.
struct DeviceKind {
  double weight = 1;  // Its share of a site's devices is weight / sum of the mix's weights.
  Index version = 0;
  Index presence = 0;
  Access access = Access::by_site;
  bool operator==(const DeviceKind&) const = default;
};
struct Mix {
  std::string name;
  std::vector<DeviceKind> kinds;  // At least one; the sum of the weights is above 0.
  bool operator==(const Mix&) const = default;
};

// What the rollout brings. A part is content that devices fetch whole or not at all: the packs of
// one delta, or what two versions have to fetch both. A device fetches the parts of its version,
// and a site the union of its devices': each part crosses the site's line once.
struct Part {
  std::string name;
  Bytes bytes;  // On the wire without overhead: compressed. Above 0.
  bool operator==(const Part&) const = default;
};
struct Version {  // Installed before the rollout.
  std::string name;
  std::uint64_t parts = 0;  // Bit i: parts[i]. None: the device is up to date already.
  bool operator==(const Version&) const = default;
};
struct Content {
  std::vector<Part> parts;        // At most kPartsMax.
  std::vector<Version> versions;  // At least one.
  bool operator==(const Content&) const = default;
};

struct Site {
  std::string name;  // policy::is_site_name(), unique.
  std::optional<Index> region;
  Duration utc_offset{};     // Whole minutes, -14 h to 14 h.
  std::int64_t devices = 0;  // At least 1.
  Index mix = 0;
  BitRate wan_down;  // Above 0, both.
  BitRate wan_up;
  Duration rtt{};   // To the origin and back on an idle line. At most 10 s.
  double loss = 0;  // Share of packets, each direction; below 0.5.
  std::optional<Index> load;
  // Of one wired device's port, each direction; the switch carries all ports at once. Above 0.
  BitRate lan;
  // Share of the devices that are wireless, and what all of them share, both directions together.
  double wireless_share = 0;
  BitRate wireless;
  // Devices that fetch for the site at the same time, each its own part of the pieces (1 to
  // policy::SiteLease::kReflectorsMax).
  // 0: nobody is appointed, and each device fetches for itself as in Mode::direct.
  int reflectors = 1;
  std::string address;  // For bandwidth rules with a subnet; empty: in none.
  bool operator==(const Site&) const = default;
};

enum class Mode {
  direct,     // Every device fetches all it needs from the origin.
  reflector,  // The site's reflectors fetch, and serve the other devices.
  swarm,      // The site's reflectors fetch, and all devices serve each other.
};
inline constexpr Mode kModes[] = {Mode::direct, Mode::reflector, Mode::swarm};
std::string_view name_of(Mode mode);  // "direct", "reflector", "swarm".
std::optional<Mode> mode_named(std::string_view name);

struct Wave {
  // The first `percent` (1 to 100, rounded up) of the site's devices in a fixed random order, as in
  // policy::WaveNames::Share: waves with 10 and 50 % of a site share the first 10 %, which belong
  // to the earlier one. At most one member for a site and wave, ascending by site.
  struct Member {
    Index site = 0;
    int percent = 100;
    bool operator==(const Member&) const = default;
  };
  std::string name;
  std::vector<Member> members;
  Duration start{};         // Of the run: it does not begin earlier, whatever the gates say.
  policy::WaveGates gates;  // As in a rollout's file.
  bool operator==(const Wave&) const = default;
};

struct Rollout {
  Mode mode = Mode::swarm;
  std::vector<Wave> waves;  // At least one. Their starts do not fall.
  // How many sites fetch over their lines at the same time; none: all that lack something.
  std::optional<policy::Admission::Limits> admission;
  // From a wave's begin until its devices fetch: the order's way to them, the layers' records, the
  // lease, the connection. At most 1 h.
  Duration start_takes{};
  Duration apply_takes{};  // From the last byte to "applied". At most 1 day.
  // From the minute in which other bandwidth rules hold until the line shows it. At most 1 h.
  Duration rules_take{};
  // After a reflector went or died, until another device fetches for the site: the lease's end and
  // the appointment. At most 1 day.
  Duration takeover = std::chrono::seconds{17};
  double failure_share = 0;  // Share of the devices on which it fails, for the gates.
};

enum class Congestion { reno, cubic, bbr };
inline constexpr Congestion kCongestions[] = {Congestion::reno, Congestion::cubic, Congestion::bbr};
std::string_view name_of(Congestion congestion);  // "reno", "cubic", "bbr".
std::optional<Congestion> congestion_named(std::string_view name);

struct Tcp {
  Congestion congestion = Congestion::cubic;
  // Payload bytes for each byte on the wire: 1448 / 1514 for full Ethernet frames. (0, 1].
  double goodput = 0.956;
  Bytes window = 4_MiB;  // Of one connection. At least 4 KiB.
  int connections = 1;   // For each fetch, 1 to 64.
  // How unlike the shares are that devices get of their site's line when each fetches for itself:
  // they end as if each had from 1 - x to 1 + x of its content to fetch, evenly. 0 to 0.9.
  double unevenness = 0;
  bool operator==(const Tcp&) const = default;
};

// How much of the devices' upload rate a swarm in a LAN turns into downloads, measured for so many
// peers and pieces. Between measured points it changes evenly with the logarithm of either; beyond
// them it stays as it is at the last.
struct Efficiency {
  int peers = 2;   // At least 1.
  int pieces = 1;  // At least 1.
  double eta = 1;  // (0, 1].
  bool operator==(const Efficiency&) const = default;
};
struct Swarm {
  Bytes piece = 256_KiB;               // 16 KiB to 16 MiB.
  std::vector<Efficiency> efficiency;  // None: 1 everywhere. Ascending by peers, then pieces.
  bool operator==(const Swarm&) const = default;
};

// What devices upload: their CVDs' changes.
struct Uploads {
  Bytes per_day;  // By a device, in `times` equal uploads. 0: nothing.
  int times = 8;  // 1 to 96.
  // Each upload becomes due at an even random time between these minutes of the site's day (0 to
  // 1440, start below end), and waits until its device is up.
  int start = 0;
  int end = 24 * 60;
  bool relayed = true;  // Handed to the site's reflector at LAN speed, where there is one.
  bool operator==(const Uploads&) const = default;
};

// Acting reflectors that die and do not come back.
struct ReflectorDeaths {
  double share = 0;  // Of the sites, 0 to 1; in each, one of its reflectors.
  Instant at{};
  Duration takeover = Rollout{}.takeover;  // As there, of these deaths.
  bool operator==(const ReflectorDeaths&) const = default;
};

// What is not known exactly: each replica but the first multiplies every site's line rates, both
// directions alike, by a factor drawn evenly from 1 - x to 1 + x.
struct Uncertainty {
  double wan = 0;  // 0 to 0.9.
  bool operator==(const Uncertainty&) const = default;
};

struct Scenario {
  std::string name;
  // What whoever made the scenario took for granted, for reports to say. Printable; at most
  // kAssumptionsMax.
  std::vector<std::string> assumptions;
  // SHA-256 over all input files, 64 hex digits; empty when the scenario does not come from files.
  std::string input_hash;
  Run run;
  Origin origin;
  std::vector<Region> regions;
  std::vector<Load> loads;
  std::vector<Presence> presences;  // At least one.
  std::vector<Mix> mixes;           // At least one.
  Content content;
  std::vector<Site> sites;  // At least one.
  policy::BandwidthRules rules;
  Rollout rollout;
  Tcp tcp;
  Swarm swarm;
  Uploads uploads;
  std::vector<ReflectorDeaths> deaths;  // Ascending by time.
  Uncertainty uncertainty;
};

// Of all sites.
std::int64_t devices_of(const Scenario& scenario);

}  // namespace lamina::sim
