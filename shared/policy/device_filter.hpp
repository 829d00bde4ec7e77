// DeviceFilter: which devices a dynamic collection has, by what is known of them.
//
//   filter = group { "or" group }        group = test { "and" test }
//   test   = "not" test | "(" filter ")" | fact "=" value | fact "!=" value | fact "in" subnet
//   value  = letters without blanks and brackets, or anything between single quotes; '*' in it
//            stands for any run of characters. Upper and lower case count.
//
//   site = north and not host = 'till-*'
//   address in 10.1.0.0/16 or attribute.kernel = 6.*
//
// A fact may have several values, or none: "=" holds when one of them fits, "!=" when none does.
// Pure; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/policy/subnet.hpp"

namespace lamina::policy {

constexpr std::size_t kFilterMax = 4096;  // Bytes of its text.

class DeviceFilter {
 public:
  // The values of a fact of one device.
  using Facts = std::function<std::vector<std::string>(std::string_view fact)>;

  // `is_fact` knows the names of facts. `invalid` says what is wrong and where.
  static Result<DeviceFilter> parse(std::string_view text,
                                    const std::function<bool(std::string_view)>& is_fact);

  bool matches(const Facts& facts) const;

 private:
  friend class FilterParser;
  struct Step {  // In the order of evaluation: a test leaves its answer for the steps that follow.
    enum class Kind { equal, unequal, in, negate, both, either };
    Kind kind;
    std::string fact = {};
    std::string value = {};
    Subnet subnet = {};
  };
  std::vector<Step> steps_;
};

}  // namespace lamina::policy
