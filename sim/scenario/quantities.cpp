#include "sim/scenario/quantities.hpp"

#include <charconv>
#include <cmath>

#include "shared/base/bytes.hpp"
#include "sim/scenario/findings.hpp"

namespace lamina::sim {
namespace {

std::string quoted(std::string_view text) { return '\'' + printable(text, 60) + '\''; }

tl::unexpected<Error> wrong(std::string text) { return fail(ErrorKind::invalid, std::move(text)); }

// Plain numbers, as short as they can be read back.
std::string plain(double number) {
  char text[40];
  const auto [end, error] = std::to_chars(text, text + sizeof text, number);
  return {text, end};
}

// Of each kind of value, how its bounds are said.
std::string said(std::int64_t count) { return std::to_string(count); }
std::string said(double number) { return plain(number); }
std::string said(BitRate rate) {
  const auto bits = rate.bits_per_second;
  if (bits % 1'000'000 == 0 && bits > 0) return std::to_string(bits / 1'000'000) + "Mbit";
  return std::to_string(bits) + "bit/s";
}
std::string said(Bytes bytes) {
  return bytes.count >= 1'000'000 && bytes.count % 1'000'000 == 0
             ? std::to_string(bytes.count / 1'000'000) + "MB"
             : std::to_string(bytes.count) + "B";
}
std::string said(Duration duration) {
  const auto s = duration.count() / 1'000'000'000;
  if (s > 0 && s % 3600 == 0) return std::to_string(s / 3600) + "h";
  if (s > 0 && s % 60 == 0) return std::to_string(s / 60) + "m";
  return std::to_string(s) + "s";
}

template <class T>
Result<T> within(std::string_view text, T value, Range<T> range) {
  if (value < range.least)
    return wrong(quoted(text) + " is too little: at least " + said(range.least));
  if (value > range.most) return wrong(quoted(text) + " is too much: at most " + said(range.most));
  return value;
}

// Quantities with units say themselves what is wrong, but a minus sign deserves its own word.
template <class T>
Result<T> within(std::string_view text, Result<T> value, Range<T> range) {
  if (!value && text.starts_with('-')) return wrong(quoted(text) + " is negative: it cannot be");
  if (!value) return value;
  return within(text, *value, range);
}

Result<double> number_of(std::string_view text, const char* example) {
  double number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || stop != text.data() + text.size() || !std::isfinite(number))
    return wrong(quoted(text) + " is no number like " + example);
  return number;
}

template <class T>
Result<T> one_of(std::string_view text, std::optional<T> found,
                 const std::vector<std::string_view>& names) {
  if (found) return *found;
  return wrong(quoted(text) + " is unknown here" + suggestion(text, names));
}

}  // namespace

Result<std::int64_t> parse_count(std::string_view text, Range<std::int64_t> range) {
  std::int64_t count = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc::result_out_of_range)
    return wrong(quoted(text) + " is out of range: from " + said(range.least) + " to " +
                 said(range.most));
  if (error != std::errc{} || stop != text.data() + text.size())
    return wrong(quoted(text) + " is no whole number");
  return within(text, count, range);
}

Result<double> parse_share(std::string_view text, Range<double> range) {
  if (!text.ends_with('%')) {
    auto share = number_of(text, "0.05 or 5%");
    if (share && *share > 1 && *share <= 100)
      return wrong(quoted(text) + " is more than all: write '" + std::string(text) +
                   "%' for percent");
    return share ? within(text, *share, range) : share;
  }
  std::string_view digits = text.substr(0, text.size() - 1);
  while (digits.ends_with(' ')) digits.remove_suffix(1);
  auto percent = number_of(digits, "0.05 or 5%");
  if (!percent) return wrong(quoted(text) + " is no number like 0.05 or 5%");
  return within(text, *percent / 100, range);
}

Result<double> parse_real(std::string_view text, Range<double> range) {
  auto number = number_of(text, "0.956");
  return number ? within(text, *number, range) : number;
}

Result<BitRate> parse_rate(std::string_view text, Range<BitRate> range) {
  return within(text, parse_bit_rate(text), range);
}

Result<Bytes> parse_size(std::string_view text, Range<Bytes> range) {
  return within(text, parse_bytes(text), range);
}

Result<Duration> parse_period(std::string_view text, Range<Duration> range) {
  return within(text, parse_duration(text), range);
}

Result<Duration> parse_utc_offset(std::string_view text) {
  constexpr int kMost = 14 * 60;
  if (text == "Z") return Duration{0};
  if (text.starts_with('+') || text.starts_with('-'))
    if (const auto minutes = policy::parse_time_of_day(text.substr(1), kMost))
      return std::chrono::minutes(text.front() == '-' ? -*minutes : *minutes);
  return wrong(quoted(text) + " is no distance from UTC like +01:00 (from -14:00 to +14:00) or Z");
}

std::string text_of_utc_offset(Duration offset) {
  const auto minutes = static_cast<int>(offset / std::chrono::minutes(1));
  return (minutes < 0 ? '-' : '+') + policy::text_of_time_of_day(std::abs(minutes));
}

Result<bool> parse_yes_no(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return wrong(quoted(text) + " is neither true nor false");
}

Result<Instant> parse_run_time(std::string_view text, const Run& run) {
  using std::chrono::minutes;
  if (text.find(':') != text.npos) {
    const auto minute = policy::parse_time_of_day(text, policy::kMinutesPerDay - 1);
    if (!minute) return fail(minute.error());
    const minutes start =
        std::chrono::duration_cast<minutes>(Duration{run.start.ns} + run.utc_offset);
    const auto since_midnight = start.count() % policy::kMinutesPerDay;
    return Instant{
        minutes((*minute - since_midnight + policy::kMinutesPerDay) % policy::kMinutesPerDay)};
  }
  const auto after = parse_duration(text);
  if (!after)
    return wrong(quoted(text) + " is neither a time of the day like 22:00 nor a time since the " +
                 "start of the run like 90m");
  const auto in_run = within(text, *after, Range<Duration>{Duration{0}, kDurationMax});
  if (!in_run) return fail(in_run.error());
  return Instant{*in_run};
}

Result<Mode> parse_mode(std::string_view text) {
  std::vector<std::string_view> names;
  for (const Mode mode : kModes) names.push_back(name_of(mode));
  return one_of(text, mode_named(text), names);
}

Result<Congestion> parse_congestion(std::string_view text) {
  std::vector<std::string_view> names;
  for (const Congestion congestion : kCongestions) names.push_back(name_of(congestion));
  return one_of(text, congestion_named(text), names);
}

Result<Access> parse_access(std::string_view text) {
  if (text == "by-site") return Access::by_site;
  if (text == "wired") return Access::wired;
  if (text == "wireless") return Access::wireless;
  return one_of<Access>(text, std::nullopt, {"by-site", "wired", "wireless"});
}

}  // namespace lamina::sim
