#include "shared/wire/drivers.hpp"

#include "shared/wire/json_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, DriverRule& m) {
  a("layer", m.layer, 256);
  a("filter", m.filter);
  a("order", m.order);
  a("changed_ms", m.changed_ms);
}
template <class A>
void fields(A& a, DriverRuleList& m) {
  a("rules", m.rules);
}

std::string to_json(const DriverRule& message) { return write_message(message); }
std::string to_json(const DriverRuleList& message) { return write_message(message); }

Result<DriverRule> parse_driver_rule(std::string_view text) {
  return read_message<DriverRule>(text, "driver rule");
}
Result<DriverRuleList> parse_driver_rule_list(std::string_view text) {
  return read_message<DriverRuleList>(text, "list of driver rules");
}

}  // namespace lamina::wire
