#include "shared/base/units.hpp"

#include <cctype>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "shared/base/bytes.hpp"

namespace lamina {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

// "<number> <unit>" with one of `units`; the result is rounded to a whole number of base units.
template <std::size_t N>
Result<std::int64_t> parse_quantity(std::string_view text, const Unit (&units)[N],
                                    std::string_view example) {
  const auto wrong = [&] {
    return fail(ErrorKind::invalid, "'" + printable(text, 80) + "' is not a quantity like '" +
                                        std::string(example) + "'");
  };
  std::size_t digits = 0;
  while (digits < text.size() &&
         (std::isdigit(static_cast<unsigned char>(text[digits])) != 0 || text[digits] == '.'))
    ++digits;
  if (digits == 0 || digits > 18) return wrong();
  double number = 0;
  int used = 0;
  const std::string head(text.substr(0, digits));
  if (std::sscanf(head.c_str(), "%lf%n", &number, &used) != 1 ||
      static_cast<std::size_t>(used) != digits)
    return wrong();
  std::string_view unit = text.substr(digits);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  std::string names;
  for (const Unit& known : units) {
    if (known.name != unit) {
      names += (names.empty() ? "" : ", ") + std::string(known.name);
      continue;
    }
    const double value = std::round(number * known.factor);
    if (value > 9.0e18) return wrong();
    return static_cast<std::int64_t>(value);
  }
  return fail(ErrorKind::invalid,
              '\'' + printable(text, 80) +
                  (unit.empty() ? "' has no unit: it is one of " : "' has none of the units ") +
                  names);
}

std::string one_decimal(double value, std::string_view unit) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f ", value);
  return text + std::string(unit);
}

}  // namespace

std::string to_iso8601(WallTime time) {
  // Floor, not truncate: times before 1970 exist on real disks.
  std::int64_t seconds = time.ns / 1000000000;
  if (time.ns % 1000000000 < 0) --seconds;
  const std::time_t whole = seconds;
  tm parts{};
  gmtime_r(&whole, &parts);
  char text[40];
  const std::size_t used = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return std::string(text, used);
}

std::string to_text(Bytes bytes) {
  const auto count = static_cast<double>(bytes.count);
  if (bytes.count < 1024) return std::to_string(bytes.count) + " B";
  if (count < 1024.0 * 1024) return one_decimal(count / 1024, "KiB");
  if (count < 1024.0 * 1024 * 1024) return one_decimal(count / 1024 / 1024, "MiB");
  return one_decimal(count / 1024 / 1024 / 1024, "GiB");
}

std::string to_text(BitRate rate) {
  const auto bits = static_cast<double>(rate.bits_per_second);
  if (bits < 1e6) return one_decimal(bits / 1e3, "kbit/s");
  if (bits < 1e9) return one_decimal(bits / 1e6, "Mbit/s");
  return one_decimal(bits / 1e9, "Gbit/s");
}

std::string to_text(Duration duration) {
  const std::int64_t ms = duration.count() / 1000000;
  if (ms < 1000) return std::to_string(ms) + " ms";
  if (ms < 60000) return one_decimal(static_cast<double>(ms) / 1000, "s");
  const std::int64_t s = ms / 1000;
  if (s < 3600) return std::to_string(s / 60) + " min " + std::to_string(s % 60) + " s";
  return std::to_string(s / 3600) + " h " + std::to_string(s / 60 % 60) + " min";
}

Result<Bytes> parse_bytes(std::string_view text) {
  static constexpr Unit units[] = {{"", 1},
                                   {"B", 1},
                                   {"KiB", 1024.0},
                                   {"MiB", 1048576.0},
                                   {"GiB", 1073741824.0},
                                   {"TiB", 1099511627776.0},
                                   {"kB", 1e3},
                                   {"KB", 1e3},
                                   {"MB", 1e6},
                                   {"GB", 1e9},
                                   {"TB", 1e12}};
  auto count = parse_quantity(text, units, "64 MiB");
  if (!count) return fail(std::move(count.error()));
  return Bytes{*count};
}

Result<BitRate> parse_bit_rate(std::string_view text) {
  static constexpr Unit units[] = {{"bit/s", 1},    {"kbit/s", 1e3}, {"kbit", 1e3},
                                   {"Mbit/s", 1e6}, {"Mbit", 1e6},   {"Gbit/s", 1e9},
                                   {"Gbit", 1e9},   {"KB/s", 8e3},   {"MB/s", 8e6}};
  auto bits = parse_quantity(text, units, "20 Mbit/s");
  if (!bits) return fail(std::move(bits.error()));
  return BitRate{*bits};
}

Result<Duration> parse_duration(std::string_view text) {
  static constexpr Unit units[] = {{"ms", 1e6},   {"s", 1e9},    {"m", 60e9},
                                   {"min", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
  auto ns = parse_quantity(text, units, "30 s");
  if (!ns) return fail(std::move(ns.error()));
  return Duration{*ns};
}

}  // namespace lamina
