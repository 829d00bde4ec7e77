#include "origin/catalog/driver_rules.hpp"

#include <algorithm>
#include <tuple>

#include "origin/catalog/device_facts.hpp"
#include "origin/catalog/rules.hpp"

namespace lamina::origin {
namespace {

std::string_view name_of(std::string_view layer) { return layer.substr(0, layer.find(':')); }

}  // namespace

Result<DriverRules> DriverRules::of(std::vector<wire::DriverRule> rules,
                                    std::span<const wire::LayerInfo> layers) {
  DriverRules all;
  std::ranges::sort(
      rules, {}, [](const wire::DriverRule& rule) { return std::tuple(rule.order, rule.layer); });
  for (const wire::DriverRule& rule : rules) {
    auto filter = parse_filter(rule.filter);
    if (!filter) return fail(std::move(filter.error()).in("the driver rule of " + rule.layer));
    const auto layer = std::ranges::find_if(layers, [&](const wire::LayerInfo& known) {
      return known.name + ':' + known.version == rule.layer;
    });
    if (layer == layers.end())
      return fail(ErrorKind::not_found,
                  "layer " + printable(rule.layer, 130) + " of a driver rule is not there");
    all.filters_.push_back(std::move(*filter));
    all.layers_.push_back(*layer);
  }
  all.rules_ = std::move(rules);
  return all;
}

bool DriverRules::has(std::string_view layer) const {
  return std::ranges::any_of(
      rules_, [&](const wire::DriverRule& rule) { return name_of(rule.layer) == name_of(layer); });
}

DriverRules::Verdict DriverRules::judge(std::size_t at, const wire::DeviceInfo& device,
                                        const wire::LayerInfo& base) const {
  if (!matches(filters_[at], device)) return Verdict::other_machine;
  return check_fits(base, layers_[at]) ? Verdict::gets : Verdict::other_system;
}

std::vector<std::string> DriverRules::stack_of(const wire::DeviceInfo& device,
                                               const wire::LayerInfo& base,
                                               const std::vector<std::string>& stack) const {
  if (stack.empty()) return {};
  std::vector<std::string> result{stack.front()};
  for (std::size_t at = 0; at < rules_.size(); ++at)
    if (judge(at, device, base) == Verdict::gets) result.push_back(rules_[at].layer);
  for (const std::string& layer : std::span(stack).subspan(1))
    if (!has(layer)) result.push_back(layer);
  return result;
}

}  // namespace lamina::origin
