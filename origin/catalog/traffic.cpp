// Bytes that sites received by source: what is new in each device's totals is added to its site's
// total and to its site's day, in the transaction that keeps the device's totals. A total that is
// said again adds nothing, whoever was restarted in between.
#include "origin/catalog/traffic.hpp"

#include <charconv>
#include <limits>

namespace lamina::origin {
namespace {

constexpr std::int64_t kDayMs = std::int64_t{24} * 3600 * 1000;
// Days that are kept of each site: savings look back 28, and today.
constexpr std::uint64_t kDaysKept = 40;
constexpr std::int64_t kPeriods[] = {7, 28};

std::uint64_t day_of(WallTime time) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, ms(time) / kDayMs));
}

// Devices say these numbers: the largest one holds more of them.
void add(std::int64_t& sum, std::int64_t more) {
  sum = more > std::numeric_limits<std::int64_t>::max() - sum
            ? std::numeric_limits<std::int64_t>::max()
            : sum + more;
}

// A source that this version does not know must not become a label of its own.
std::string label_of(const std::string& source) {
  return std::ranges::find(wire::kByteSources, source) == std::end(wire::kByteSources) ? "other"
                                                                                       : source;
}

Status add_to_row(Rows& rows, const std::string& key, WallTime now, const BytesBySource& more) {
  auto value = rows.get(key);
  if (!value) return fail(std::move(value.error()));
  wire::ByteCounts counts{.since_ms = ms(now)};
  if (*value) {
    auto known = wire::parse_byte_counts(**value);
    if (!known) return fail(corrupt_row(key));
    counts = std::move(*known);
  }
  for (const auto& [source, bytes] : more) add(counts.by_source[label_of(source)], bytes);
  return rows.put(key, wire::to_json(counts));
}

std::string day_prefix(const std::string& site) { return "site-day/" + site + '/'; }
std::string rate_prefix(const std::string& site) { return "site-rate/" + site + '/'; }

// Of rows whose key is `prefix` and a day.
Status forget_old_days(Rows& rows, const std::string& prefix, std::uint64_t today) {
  std::vector<std::string> old;
  const std::string oldest = prefix + digits(today - std::min<std::uint64_t>(today, kDaysKept - 1));
  auto scanned = rows.scan(prefix, [&](std::string_view key, std::string_view) {
    if (key >= oldest) return false;
    old.emplace_back(key);
    return true;
  });
  if (!scanned) return scanned;
  for (const std::string& key : old)
    if (auto gone = rows.erase(key); !gone) return gone;
  return Done{};
}

// Bits per second; none: none was noted on that day.
Result<std::optional<std::int64_t>> rate_of_day(const Rows& rows, const std::string& key) {
  auto value = rows.get(key);
  if (!value) return fail(std::move(value.error()));
  if (!*value) return std::optional<std::int64_t>();
  std::int64_t rate = 0;
  const char* end = (*value)->data() + (*value)->size();
  if (const auto read = std::from_chars((*value)->data(), end, rate);
      read.ec != std::errc() || read.ptr != end || rate < 0)
    return fail(corrupt_row(key));
  return std::optional(rate);
}

bool is_lan(const std::string& source) { return source == "lan-peer" || source == "reflector"; }

}  // namespace

BytesBySource take_new(std::optional<wire::ByteCounts>& known, const wire::ByteCounts& said) {
  // Another beginning is another ledger: the device's state was lost.
  if (!known || known->since_ms != said.since_ms) known = wire::ByteCounts{said.since_ms, {}};
  BytesBySource more;
  for (const auto& [source, bytes] : said.by_source) {
    std::int64_t& before = known->by_source[source];
    if (bytes <= before) continue;
    more[source] = bytes - before;
    before = bytes;
  }
  return more;
}

Status add_site_bytes(Rows& rows, WallTime now, const std::string& site,
                      const BytesBySource& more) {
  if (more.empty()) return Done{};
  const std::uint64_t today = day_of(now);
  if (auto done = add_to_row(rows, "site-bytes/" + site, now, more); !done) return done;
  if (auto done = add_to_row(rows, day_prefix(site) + digits(today), now, more); !done) return done;
  return forget_old_days(rows, day_prefix(site), today);
}

Status Catalog::note_line_rate(const std::string& site, BitRate rate, WallTime now) {
  const std::uint64_t today = day_of(now);
  const std::string key = rate_prefix(site) + digits(today);
  std::int64_t known = 0;
  auto looked = table_.read([&](const Rows& rows) -> Status {
    auto before = rate_of_day(rows, key);
    if (!before) return fail(std::move(before.error()));
    known = before->value_or(0);
    return Done{};
  });
  if (!looked || rate.bits_per_second <= known) return looked;
  return table_.write([&](Rows& rows) -> Status {
    if (auto put = rows.put(key, std::to_string(rate.bits_per_second)); !put) return put;
    return forget_old_days(rows, rate_prefix(site), today);
  });
}

Result<std::map<std::string, BytesBySource>> Catalog::site_bytes() const {
  using Sites = std::map<std::string, BytesBySource>;
  return reading<Sites>(table_, [&](const Rows& rows) -> Result<Sites> {
    auto sites = load_all(rows, "site/", wire::parse_site_info);
    if (!sites) return fail(std::move(sites.error()));
    Sites all;
    for (const wire::SiteInfo& site : *sites) {
      const std::string key = "site-bytes/" + site.name;
      auto value = rows.get(key);
      if (!value) return fail(std::move(value.error()));
      BytesBySource& bytes = all[site.name];
      if (!*value) continue;
      auto counts = wire::parse_byte_counts(**value);
      if (!counts) return fail(corrupt_row(key));
      bytes = std::move(counts->by_source);
    }
    return all;
  });
}

Result<std::vector<wire::SiteSavings>> Catalog::savings(WallTime now) const {
  using List = std::vector<wire::SiteSavings>;
  return reading<List>(table_, [&](const Rows& rows) -> Result<List> {
    auto sites = load_all(rows, "site/", wire::parse_site_info);
    if (!sites) return fail(std::move(sites.error()));
    const std::uint64_t today = day_of(now);
    List list;
    for (const wire::SiteInfo& site : *sites)
      for (const std::int64_t days : kPeriods) {
        wire::SiteSavings savings{.site = site.name, .days = days};
        const auto before = static_cast<std::uint64_t>(days);
        const std::uint64_t first = today - std::min(today, before - 1);
        for (std::uint64_t day = first; day <= today; ++day) {
          auto rate = rate_of_day(rows, rate_prefix(site.name) + digits(day));
          if (!rate) return fail(std::move(rate.error()));
          if (*rate) savings.wan_rate = std::max(savings.wan_rate.value_or(0), **rate);
          const std::string key = day_prefix(site.name) + digits(day);
          auto value = rows.get(key);
          if (!value) return fail(std::move(value.error()));
          if (!*value) continue;
          auto counts = wire::parse_byte_counts(**value);
          if (!counts) return fail(corrupt_row(key));
          for (const auto& [source, bytes] : counts->by_source) {
            if (is_lan(source)) add(savings.lan_bytes, bytes);
            if (wire::is_over_line(source)) add(savings.wan_bytes, bytes);
          }
        }
        list.push_back(std::move(savings));
      }
    return list;
  });
}

}  // namespace lamina::origin
