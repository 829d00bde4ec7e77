#include "shared/policy/week.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "shared/base/bytes.hpp"

namespace lamina::policy {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

tl::unexpected<Error> wrong(std::string_view text, const char* what) {
  return fail(ErrorKind::invalid, '\'' + printable(text, 80) + "' is " + what);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The index in kDays; their number: it is none.
std::size_t day_of(std::string_view name) {
  std::string lower(trimmed(name));
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return static_cast<std::size_t>(std::ranges::find(kDays, lower) - kDays.begin());
}

// One or two digits, at most `most`.
std::optional<int> number_of(std::string_view text, int most) {
  if (text.empty() || text.size() > 2) return std::nullopt;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  if (value > most) return std::nullopt;
  return value;
}

bool has_day(Weekdays days, std::size_t day) { return (days >> day & 1) != 0; }

}  // namespace

Result<Weekdays> parse_weekdays(std::string_view text) {
  if (text == "*") return kEveryDay;
  unsigned days = 0;
  for (std::string_view rest = text;;) {
    const auto comma = rest.find(',');
    const std::string_view range = rest.substr(0, comma);
    const auto dash = range.find('-');
    const std::size_t first = day_of(range.substr(0, dash));
    const std::size_t last = dash == range.npos ? first : day_of(range.substr(dash + 1));
    if (first == kDays.size() || last == kDays.size())
      return wrong(text, "no list of days like mon-fri, \"sat,sun\" or *");
    for (std::size_t day = first;; day = (day + 1) % kDays.size()) {
      days |= 1U << day;
      if (day == last) break;
    }
    if (comma == rest.npos) return static_cast<Weekdays>(days);
    rest.remove_prefix(comma + 1);
  }
}

std::string text_of_weekdays(Weekdays days) {
  if (days == kEveryDay) return "*";
  std::string text;
  for (std::size_t day = 0; day < 7;) {
    if (!has_day(days, day)) {
      ++day;
      continue;
    }
    std::size_t last = day;
    while (last + 1 < 7 && has_day(days, last + 1)) ++last;
    if (last == day + 1) last = day;  // Two days read better as two names.
    if (!text.empty()) text += ',';
    text += kDays[day];
    if (last > day) text.append("-").append(kDays[last]);
    day = last + 1;
  }
  return text;
}

Result<int> parse_time_of_day(std::string_view text, int latest) {
  const auto colon = text.find(':');
  if (colon == 1 || colon == 2) {
    const auto hours = number_of(text.substr(0, colon), 24);
    const auto minutes = number_of(text.substr(colon + 1), 59);
    if (hours && minutes && text.size() - colon == 3 && *hours * 60 + *minutes <= latest)
      return *hours * 60 + *minutes;
  }
  return wrong(text, "no time like 08:30");
}

std::string text_of_time_of_day(int minute) {
  const auto two = [](int n) { return std::string{char('0' + n / 10), char('0' + n % 10)}; };
  return two(minute / 60) + ':' + two(minute % 60);
}

}  // namespace lamina::policy
