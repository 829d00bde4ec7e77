// Driver layers: the rules by which devices get them.
#include "origin/catalog/device_facts.hpp"
#include "origin/catalog/rows.hpp"

namespace lamina::origin {
namespace {

constexpr std::string_view kRules = "driver-rule/";

std::string key_of(const std::string& layer) {
  return std::string(kRules) + layer.substr(0, layer.find(':'));
}

Status put_rule(Rows& rows, const Act& act, wire::DriverRule rule) {
  rule.changed_ms = ms(act.now);
  if (auto put = rows.put(key_of(rule.layer), wire::to_json(rule)); !put) return put;
  return append_audit(rows, act, "driver.set", rule.layer,
                      "filter=" + rule.filter + " order=" + std::to_string(rule.order));
}

}  // namespace

Result<DriverRules> load_driver_rules(const Rows& rows) {
  auto rules = load_all(rows, kRules, wire::parse_driver_rule);
  if (!rules) return fail(std::move(rules.error()));
  std::vector<std::string> names;
  for (const wire::DriverRule& rule : *rules) names.push_back(rule.layer);
  auto layers = load_layers(rows, names);
  if (!layers) return fail(std::move(layers.error()));
  return DriverRules::of(std::move(*rules), *layers);
}

Status move_driver_rule(Rows& rows, const Act& act, const wire::LayerInfo& layer) {
  auto value = rows.get(key_of(layer.name));
  if (!value) return fail(std::move(value.error()));
  if (!*value) return Done{};
  auto rule = wire::parse_driver_rule(**value);
  if (!rule) return fail(corrupt_row(key_of(layer.name)));
  if (rule->layer == full_name(layer)) return Done{};
  rule->layer = full_name(layer);
  return put_rule(rows, act, std::move(*rule));
}

Result<wire::DriverRuleList> Catalog::driver_rules() const {
  return reading<wire::DriverRuleList>(table_,
                                       [](const Rows& rows) -> Result<wire::DriverRuleList> {
                                         auto rules = load_driver_rules(rows);
                                         if (!rules) return fail(std::move(rules.error()));
                                         return wire::DriverRuleList{rules->rules()};
                                       });
}

Status Catalog::set_driver_rule(const Act& act, const wire::DriverRule& rule) {
  if (auto filter = parse_filter(rule.filter); !filter) return fail(std::move(filter.error()));
  if (rule.order > wire::kDriverOrderMax)
    return fail(ErrorKind::invalid,
                "the order of a driver layer is at most " + std::to_string(wire::kDriverOrderMax));
  return table_.write([&](Rows& rows) -> Status {
    auto layer = load_layer_named(rows, rule.layer);
    if (!layer) return fail(std::move(layer.error()));
    if (layer->kind != "driver")
      return fail(ErrorKind::refused, "layer " + rule.layer + " is of kind '" + layer->kind +
                                          "'; rules are for layers captured with --kind driver");
    return put_rule(rows, act, rule);
  });
}

Status Catalog::remove_driver_rule(const Act& act, const std::string& name) {
  return table_.write([&](Rows& rows) -> Status {
    auto rule = load(rows, key_of(name), wire::parse_driver_rule,
                     "there is no driver rule for layer '" + printable(name, 80) +
                         "'; `lamina driver ls` lists them");
    if (!rule) return fail(std::move(rule.error()));
    if (auto erased = rows.erase(key_of(name)); !erased) return erased;
    return append_audit(rows, act, "driver.remove", rule->layer, "filter=" + rule->filter);
  });
}

}  // namespace lamina::origin
