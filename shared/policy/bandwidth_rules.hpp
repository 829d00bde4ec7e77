// Bandwidth rules: how fast a device may use the line, by site or subnet, local time and weekday.
//
// Administrators keep them as CSV, one rule a line, after a header line that may be missing:
//
//   subnet,site,download KB/s,upload KB/s,start,end,days
//   ,north,250,125,08:00,18:00,mon-fri
//   10.1.4.0/24,,,0,22:00,06:00,"sat,sun"
//
//   subnet    "10.1.4.0/24", "10.1.4.7" or the like in IPv6; empty: every address
//   site      its name; empty: every site
//   KB/s      1000 bytes a second, whole; empty: no limit; 0: nothing
//   start     HH:MM, local time of the device
//   end       HH:MM, up to 24:00; before the start: over midnight, and the day is that of the start
//   days      "mon-fri", "sat,sun" (quoted), "mon,wed-fri", or "*"
//
// At each minute one kind of rule counts, the most specific that applies: subnet and site, then
// subnet alone, a longer prefix before a shorter one, then site alone, then neither. Several of
// that kind: the lower limit in each direction. Where no rule applies there is no limit.
//
// Plain values and pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/units.hpp"
#include "shared/policy/subnet.hpp"
#include "shared/policy/week.hpp"

namespace lamina::policy {

struct BandwidthRule {
  std::optional<Subnet> subnet;             // None: every address.
  std::string site;                         // Empty: every site.
  std::optional<std::int64_t> download_kb;  // KB/s, at most kKilobytesMax; none: no limit.
  std::optional<std::int64_t> upload_kb;
  int start = 0;              // Minute of the day.
  int end = kMinutesPerDay;   // Minute of the day, 0 to 1440; never the start.
  Weekdays days = kEveryDay;  // At least one.
  bool operator==(const BandwidthRule&) const = default;
};
using BandwidthRules = std::vector<BandwidthRule>;

// None: no limit. {0}: nothing at all.
struct BandwidthLimits {
  std::optional<BitRate> download;
  std::optional<BitRate> upload;
  bool operator==(const BandwidthLimits&) const = default;
};

inline constexpr std::size_t kRulesMax = 10'000;
inline constexpr Bytes kRulesTextMax = 512_KiB;
inline constexpr std::int64_t kKilobytesMax = 1'000'000'000;  // 8 Tbit/s.

// As the origin names sites: 1 to 64 letters, digits and "._+-~".
bool is_site_name(std::string_view text);

// `invalid` names line and field: "line 3, field 'start': '25:00' is no time like 08:30". Bounded
// by kRulesMax and kRulesTextMax.
Result<BandwidthRules> parse_bandwidth_rules(std::string_view csv);
// The CSV with its header line, "\n" at each line's end; parsed again it gives the same rules.
std::string to_csv(const BandwidthRules& rules);
// One line of it, without the line's end.
std::string to_csv(const BandwidthRule& rule);

// The rules that a device of `site` may ever need, in their order.
BandwidthRules rules_of_site(const BandwidthRules& rules, std::string_view site);

// What holds at `minute` of the week (0 to kMinutesPerWeek - 1) for the device of `site` at
// `address`. An address that is none is in no subnet.
BandwidthLimits limits_at(const BandwidthRules& rules, std::string_view site,
                          std::string_view address, int minute);

// In how many minutes from `minute`, 1 to kMinutesPerWeek, other limits hold first; none: never.
std::optional<int> next_change(const BandwidthRules& rules, std::string_view site,
                               std::string_view address, int minute);

}  // namespace lamina::policy
