// What stands in a field of a scenario, as a number with its bounds.
//
// Every function takes the text of a value ("20Mbit", "5%", "08:30"), whether it stood in TOML or
// in a table. `invalid` quotes it and says what is allowed. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/units.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

// Both ends belong to it.
template <class T>
struct Range {
  T least;
  T most;
};

// A rate of a line.
inline constexpr Range<BitRate> kLineRates{BitRate{1'000}, kRateMax};

Result<std::int64_t> parse_count(std::string_view text, Range<std::int64_t> range);
// "0.05" or "5%".
Result<double> parse_share(std::string_view text, Range<double> range);
// A plain number.
Result<double> parse_real(std::string_view text, Range<double> range);
Result<BitRate> parse_rate(std::string_view text, Range<BitRate> range);
Result<Bytes> parse_size(std::string_view text, Range<Bytes> range);
Result<Duration> parse_period(std::string_view text, Range<Duration> range);
// "+01:00", "-03:30", "Z".
Result<Duration> parse_utc_offset(std::string_view text);
std::string text_of_utc_offset(Duration offset);   // "+01:00".
Result<bool> parse_yes_no(std::string_view text);  // "true", "false".
// A moment of the run: "90m" after its start, or "22:00", the first such time from the start on by
// the clock of Run::utc_offset.
Result<Instant> parse_run_time(std::string_view text, const Run& run);
Result<Mode> parse_mode(std::string_view text);
Result<Congestion> parse_congestion(std::string_view text);
Result<Access> parse_access(std::string_view text);  // "by-site", "wired", "wireless".

}  // namespace lamina::sim
