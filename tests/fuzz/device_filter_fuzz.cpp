// Filters of dynamic collections. What is accepted has an answer for every device, and the opposite
// one with "not" before it.
#include <span>

#include "shared/base/assert.hpp"
#include "shared/base/bytes.hpp"
#include "shared/policy/device_filter.hpp"

using namespace lamina;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto is_fact = [](std::string_view name) { return name == "site" || name == "address"; };
  const std::string text(as_text(std::as_bytes(std::span(data, size))));
  const auto filter = policy::DeviceFilter::parse(text, is_fact);
  if (!filter) return 0;
  const auto facts = [](std::string_view name) {
    return name == "site" ? std::vector<std::string>{"north", "x"}
                          : std::vector<std::string>{"10.1.4.7"};
  };
  const bool answer = filter->matches(facts);
  // Brackets and the word may exceed a limit that the filter kept.
  if (const auto opposite = policy::DeviceFilter::parse("not (" + text + ")", is_fact))
    LAMINA_ASSERT(opposite->matches(facts) != answer);
  return 0;
}
