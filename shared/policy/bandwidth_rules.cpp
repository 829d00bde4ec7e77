#include "shared/policy/bandwidth_rules.hpp"

#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>

#include "shared/base/assert.hpp"
#include "shared/base/bytes.hpp"
#include "shared/base/csv.hpp"

namespace lamina::policy {
namespace {

constexpr std::array<std::string_view, 7> kColumns = {
    "subnet", "site", "download KB/s", "upload KB/s", "start", "end", "days"};
constexpr std::size_t kSiteNameMax = 64;
constexpr std::int64_t kBitsPerKilobyte = 8000;

std::string quoted(std::string_view text) { return '\'' + printable(text, 80) + '\''; }

tl::unexpected<Error> wrong(std::string text) { return fail(ErrorKind::invalid, std::move(text)); }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Digits only, at most `max`.
std::optional<std::int64_t> number_of(std::string_view text, std::int64_t max) {
  std::int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || !is_digit(text.front()) || error != std::errc{} ||
      stop != text.data() + text.size() || value > max)
    return std::nullopt;
  return value;
}

Result<std::optional<Subnet>> subnet_or_none(std::string_view text) {
  if (text.empty()) return std::nullopt;
  auto subnet = parse_subnet(text);
  if (!subnet) return fail(std::move(subnet.error()));
  return *subnet;
}

// --- the other fields

Result<std::string> parse_site(std::string_view text) {
  if (!text.empty() && !is_site_name(text)) return wrong(quoted(text) + " is no name of a site");
  return std::string(text);
}

Result<std::optional<std::int64_t>> parse_kilobytes(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto value = number_of(text, kKilobytesMax);
  if (!value)
    return wrong(quoted(text) + " is no whole number of KB/s up to " +
                 std::to_string(kKilobytesMax) + ", nor empty (no limit)");
  return value;
}

bool has_day(const BandwidthRule& rule, int day) { return (rule.days >> day & 1) != 0; }

// --- lines

using Fields = std::vector<std::string>;

Result<Fields> split_line(std::string_view line) {
  auto split = split_csv_line(line);
  if (!split) return wrong(std::move(split.error().text));
  if (split->size() != kColumns.size())
    return wrong("it has " + std::to_string(split->size()) + " fields instead of 7: subnet,site," +
                 "download KB/s,upload KB/s,start,end,days");
  Fields fields;
  for (CsvField& field : *split) fields.push_back(std::move(field.text));
  return fields;
}

// The header names the columns in their order. Another unit there would be another limit.
Status check_header(const Fields& fields) {
  for (std::size_t i = 0; i < kColumns.size(); ++i)
    if (lower(fields[i]) != lower(kColumns[i]))
      return wrong("the header has " + quoted(fields[i]) + " where '" + std::string(kColumns[i]) +
                   "' belongs");
  return Done{};
}

Result<BandwidthRule> rule_of(const Fields& fields) {
  BandwidthRule rule;
  std::optional<Error> error;
  const auto take = [&](std::size_t column, auto parsed, auto& into) {
    if (parsed)
      into = std::move(*parsed);
    else if (!error)
      error = std::move(parsed.error()).in("field '" + std::string(kColumns[column]) + "'");
  };
  take(0, subnet_or_none(fields[0]), rule.subnet);
  take(1, parse_site(fields[1]), rule.site);
  take(2, parse_kilobytes(fields[2]), rule.download_kb);
  take(3, parse_kilobytes(fields[3]), rule.upload_kb);
  take(4, parse_time_of_day(fields[4], kMinutesPerDay - 1), rule.start);
  take(5, parse_time_of_day(fields[5], kMinutesPerDay), rule.end);
  take(6, parse_weekdays(fields[6]), rule.days);
  if (error) return fail(std::move(*error));
  if (rule.start == rule.end)
    return wrong(
        "field 'end': a rule that ends when it starts is none; the whole day is 00:00 to "
        "24:00");
  return rule;
}

// --- which rule counts

bool is_of_site(const BandwidthRule& rule, std::string_view site) {
  return rule.site.empty() || rule.site == site;
}

bool is_in_force(const BandwidthRule& rule, int minute) {
  const int day = minute / kMinutesPerDay;
  const int time = minute % kMinutesPerDay;
  if (rule.start < rule.end) return has_day(rule, day) && rule.start <= time && time < rule.end;
  return (has_day(rule, day) && time >= rule.start) ||
         (has_day(rule, (day + 6) % 7) && time < rule.end);
}

// The larger, the more specific.
auto rank_of(const BandwidthRule& rule) {
  return std::tuple(rule.subnet.has_value(), rule.subnet && !rule.site.empty(),
                    rule.subnet ? rule.subnet->prefix : 0, !rule.site.empty());
}

using Applicable = std::vector<const BandwidthRule*>;

Applicable applicable(const BandwidthRules& rules, std::string_view site,
                      std::string_view address) {
  const auto place = parse_address(address);
  Applicable found;
  for (const BandwidthRule& rule : rules)
    if (is_of_site(rule, site) && (!rule.subnet || (place && contains(*rule.subnet, *place))))
      found.push_back(&rule);
  return found;
}

std::optional<std::int64_t> lower_of(std::optional<std::int64_t> a, std::optional<std::int64_t> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

BandwidthLimits limits_among(const Applicable& rules, int minute) {
  const BandwidthRule* first = nullptr;
  std::optional<std::int64_t> download, upload;
  for (const BandwidthRule* rule : rules) {
    if (!is_in_force(*rule, minute)) continue;
    const bool is_better = first == nullptr || rank_of(*rule) > rank_of(*first);
    if (!is_better && rank_of(*rule) < rank_of(*first)) continue;
    download = is_better ? rule->download_kb : lower_of(download, rule->download_kb);
    upload = is_better ? rule->upload_kb : lower_of(upload, rule->upload_kb);
    first = is_better ? rule : first;
  }
  const auto rate = [](std::optional<std::int64_t> kb) -> std::optional<BitRate> {
    if (!kb) return std::nullopt;
    return BitRate{*kb * kBitsPerKilobyte};
  };
  return {rate(download), rate(upload)};
}

}  // namespace

bool is_site_name(std::string_view text) {
  const auto is_allowed = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("._+-~").find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= kSiteNameMax && std::ranges::all_of(text, is_allowed);
}

Result<BandwidthRules> parse_bandwidth_rules(std::string_view csv) {
  if (csv.size() > static_cast<std::size_t>(kRulesTextMax.count))
    return wrong("the bandwidth rules have more than " + lamina::to_text(kRulesTextMax));
  BandwidthRules rules;
  bool is_first = true;
  for (CsvLines lines(csv); lines.next();) {
    const auto at_line = [&](Error error) {
      return fail(std::move(error).in("line " + std::to_string(lines.number())));
    };
    auto fields = split_line(lines.text());
    if (!fields) return at_line(std::move(fields.error()));
    if (std::exchange(is_first, false) && lower(fields->front()) == kColumns.front()) {
      if (auto good = check_header(*fields); !good) return at_line(std::move(good.error()));
      continue;
    }
    auto rule = rule_of(*fields);
    if (!rule) return at_line(std::move(rule.error()));
    if (rules.size() == kRulesMax)
      return at_line(
          {ErrorKind::invalid, "there are more than " + std::to_string(kRulesMax) + " rules"});
    rules.push_back(std::move(*rule));
  }
  return rules;
}

std::string to_csv(const BandwidthRule& rule) {
  const auto text = [](std::optional<std::int64_t> kb) { return kb ? std::to_string(*kb) : ""; };
  return (rule.subnet ? text_of(*rule.subnet) : "") + ',' + rule.site + ',' +
         text(rule.download_kb) + ',' + text(rule.upload_kb) + ',' +
         text_of_time_of_day(rule.start) + ',' + text_of_time_of_day(rule.end) + ',' +
         csv_field(text_of_weekdays(rule.days));
}

std::string to_csv(const BandwidthRules& rules) {
  std::string csv;
  for (const std::string_view column : kColumns) {
    if (!csv.empty()) csv += ',';
    csv += column;
  }
  csv += '\n';
  for (const BandwidthRule& rule : rules) csv += to_csv(rule) + '\n';
  return csv;
}

BandwidthRules rules_of_site(const BandwidthRules& rules, std::string_view site) {
  BandwidthRules found;
  std::ranges::copy_if(rules, std::back_inserter(found),
                       [&](const BandwidthRule& rule) { return is_of_site(rule, site); });
  return found;
}

BandwidthLimits limits_at(const BandwidthRules& rules, std::string_view site,
                          std::string_view address, int minute) {
  LAMINA_ASSERT(minute >= 0 && minute < kMinutesPerWeek);
  return limits_among(applicable(rules, site, address), minute);
}

std::optional<int> next_change(const BandwidthRules& rules, std::string_view site,
                               std::string_view address, int minute) {
  LAMINA_ASSERT(minute >= 0 && minute < kMinutesPerWeek);
  const Applicable here = applicable(rules, site, address);
  // Limits change only where a rule starts or ends.
  std::set<int> waits;
  for (const BandwidthRule* rule : here)
    for (int day = 0; day < 7; ++day) {
      if (!has_day(*rule, day)) continue;
      const int midnight = day * kMinutesPerDay;
      const int over = rule->start < rule->end ? 0 : kMinutesPerDay;
      for (const int edge : {midnight + rule->start, midnight + over + rule->end})
        waits.insert((edge - minute + 2 * kMinutesPerWeek) % kMinutesPerWeek);
    }
  const BandwidthLimits now = limits_among(here, minute);
  for (const int wait : waits)
    if (limits_among(here, (minute + wait) % kMinutesPerWeek) != now) return wait;
  return std::nullopt;
}

}  // namespace lamina::policy
