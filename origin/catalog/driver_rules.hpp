// Which driver layers a device gets by what it is made of.
//
// A driver layer whose name has a rule comes to a device by that rule alone: its filter has to take
// the device, and the layer has to be made for the device's base layer. In a stack such layers
// stand between the base and the applications, in the rules' order. Pure; any thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "shared/policy/device_filter.hpp"
#include "shared/wire/admin.hpp"
#include "shared/wire/drivers.hpp"

namespace lamina::origin {

class DriverRules {
 public:
  // Every layer of the rules is among `layers`: `not_found` otherwise. `invalid` for a filter that
  // does not parse.
  static Result<DriverRules> of(std::vector<wire::DriverRule> rules,
                                std::span<const wire::LayerInfo> layers);

  // In the order in which they come to a stack.
  const std::vector<wire::DriverRule>& rules() const { return rules_; }
  // Whether a layer of this name ("NAME" or "NAME:VERSION") comes by rule.
  bool has(std::string_view layer) const;

  enum class Verdict { gets, other_machine, other_system };
  // Of rules()[at], for a device that has this base.
  Verdict judge(std::size_t at, const wire::DeviceInfo& device, const wire::LayerInfo& base) const;

  // `stack` ("NAME:VERSION", `base` first) as the device gets it.
  std::vector<std::string> stack_of(const wire::DeviceInfo& device, const wire::LayerInfo& base,
                                    const std::vector<std::string>& stack) const;

 private:
  std::vector<wire::DriverRule> rules_;
  std::vector<policy::DeviceFilter> filters_;  // Of each rule...
  std::vector<wire::LayerInfo> layers_;        // ...and its layer.
};

}  // namespace lamina::origin
