#include "origin/catalog/upgrade.hpp"

#include <algorithm>
#include <map>

#include "origin/catalog/rules.hpp"

namespace lamina::origin {
namespace {

std::string full_name(const wire::LayerInfo& layer) { return layer.name + ':' + layer.version; }

// Why the stack is none; nothing when it is one.
std::optional<std::string> refusal(std::span<const wire::LayerInfo> known,
                                   const std::vector<std::string>& names) {
  std::vector<wire::LayerInfo> stack;
  for (const std::string& name : names) {
    const auto layer = std::ranges::find(known, name, full_name);
    if (layer == known.end()) return "layer " + name + " is not there any more";
    stack.push_back(*layer);
  }
  const auto fits = check_stack(stack);
  return fits ? std::nullopt : std::optional(fits.error().text());
}

}  // namespace

Result<wire::UpgradeReply> plan_upgrade(std::span<const wire::LayerInfo> layers,
                                        std::span<const wire::DeviceInfo> devices,
                                        const std::string& name, const DriverRules& rules) {
  const wire::LayerInfo* newest = nullptr;
  for (const wire::LayerInfo& layer : layers)
    if (layer.name == name) newest = &layer;
  if (newest == nullptr)
    return fail(ErrorKind::not_found, "there is no layer '" + printable(name, 130) +
                                          "'; `lamina layer ls` lists the layers");
  wire::UpgradeReply upgrade{.to = full_name(*newest), .moves = {}};
  std::map<std::vector<std::string>, wire::UpgradeMove> moves;  // By the stack that they have.
  for (const wire::DeviceInfo& device : devices) {
    if (!is_of_fleet(device)) continue;
    const auto old = std::ranges::find_if(device.target, [&](const std::string& layer) {
      return layer.starts_with(name + ':') && layer != upgrade.to;
    });
    if (old == device.target.end()) continue;
    auto [move, is_new] = moves.try_emplace(device.target);
    move->second.devices.push_back(device.id);
    if (!is_new) continue;
    move->second.from = *old;
    move->second.layers = device.target;
    std::ranges::replace(move->second.layers, *old, upgrade.to);
    // These are looked at for each device anew, and left out where they do not fit.
    auto without_drivers = move->second.layers;
    std::erase_if(without_drivers, [&](const std::string& layer) {
      return layer != upgrade.to && rules.has(layer);
    });
    move->second.refused = refusal(layers, without_drivers);
  }
  for (auto& [stack, move] : moves) upgrade.moves.push_back(std::move(move));
  return upgrade;
}

}  // namespace lamina::origin
