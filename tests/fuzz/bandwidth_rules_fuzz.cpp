// Bandwidth rules as CSV. What is accepted is written in one form, and that form reads back to the
// same rules; deciding by them must hold for every minute that an edge can make special.
#include <span>

#include "shared/base/assert.hpp"
#include "shared/base/bytes.hpp"
#include "shared/policy/bandwidth_rules.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto rules = policy::parse_bandwidth_rules(as_text(std::as_bytes(std::span(data, size))));
  if (!rules) return 0;
  const std::string csv = policy::to_csv(*rules);
  // Written out, many short rules may exceed what is read in.
  if (csv.size() <= static_cast<std::size_t>(policy::kRulesTextMax.count)) {
    const auto again = policy::parse_bandwidth_rules(csv);
    LAMINA_ASSERT(again && *again == *rules && policy::to_csv(*again) == csv);
  }
  const int minute = static_cast<int>(size % policy::kMinutesPerWeek);
  const auto wait = policy::next_change(*rules, "north", "10.1.4.7", minute);
  const auto now = policy::limits_at(*rules, "north", "10.1.4.7", minute);
  LAMINA_ASSERT(!wait || policy::limits_at(*rules, "north", "10.1.4.7",
                                           (minute + *wait) % policy::kMinutesPerWeek) != now);
  return 0;
}
