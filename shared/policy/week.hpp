// Weekdays and times of the day, as administrators write them in rules and schedules.
//
// Always local time, and no word of which. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shared/base/result.hpp"

namespace lamina::policy {

// A minute of the week counts from Monday 00:00.
inline constexpr int kMinutesPerDay = 24 * 60;
inline constexpr int kMinutesPerWeek = 7 * kMinutesPerDay;

using Weekdays = std::uint8_t;  // Bit 0 is Monday.
inline constexpr Weekdays kEveryDay = 0x7f;

// "mon-fri", "sat,sun", "fri-mon" (over Sunday), "mon,wed-fri" or "*"; at least one day. `invalid`
// quotes the text.
Result<Weekdays> parse_weekdays(std::string_view text);
std::string text_of_weekdays(Weekdays days);

// "8:30" or "08:30" as the minute of the day, at most `latest` (1440: "24:00"). `invalid` quotes
// the text.
Result<int> parse_time_of_day(std::string_view text, int latest);
std::string text_of_time_of_day(int minute);  // "08:30".

}  // namespace lamina::policy
