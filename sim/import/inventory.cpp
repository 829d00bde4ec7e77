#include "sim/import/inventory.hpp"

#include <set>

#include "shared/base/bytes.hpp"
#include "shared/format/signed_layer.hpp"

namespace lamina::sim {
namespace {

// Asks and reads the answer with `parse`.
template <class Parse>
auto ask(const Get& get, const std::string& path, const Parse& parse) -> decltype(parse("")) {
  const auto body = get(path);
  if (!body) return fail(body.error());
  auto answer = parse(*body);
  if (!answer) return fail(std::move(answer.error()).in(path));
  return answer;
}

}  // namespace

Result<Inventory> collect(const Get& get, const std::vector<std::string>& layers) {
  auto sites = ask(get, "/v1/sites", wire::parse_site_list);
  if (!sites) return fail(std::move(sites.error()));
  std::vector<KnownDevice> devices;
  auto listed = wire::for_each_device(get, [&](wire::DeviceInfo&& device) {
    if (device.status != wire::DeviceStatus::assigned || device.site.empty()) return;
    devices.push_back({device.id, std::move(device.site), std::move(device.lan_address),
                       device.seen_ms, std::move(device.applied)});
  });
  if (!listed) return fail(std::move(listed.error()));
  auto traffic = ask(get, "/v1/savings", wire::parse_savings_list);
  if (!traffic) return fail(std::move(traffic.error()));
  auto rules = ask(get, "/v1/rules", wire::parse_rule_set);
  if (!rules) return fail(std::move(rules.error()));
  const auto list = ask(get, "/v1/layers", wire::parse_layer_list);
  if (!list) return fail(list.error());

  std::map<std::string, LayerId> known;
  for (const wire::LayerInfo& layer : list->layers)
    known.emplace(layer.name + ':' + layer.version, layer.id);
  for (const std::string& layer : layers)
    if (!known.contains(layer))
      return fail(ErrorKind::not_found, "the origin has no layer '" + printable(layer, 80) +
                                            "'; `lamina layer ls` lists them");
  std::set<std::string> asked(layers.begin(), layers.end());
  for (const KnownDevice& device : devices)
    asked.insert(device.applied.begin(), device.applied.end());

  Inventory inventory{.sites = std::move(sites->sites),
                      .devices = std::move(devices),
                      .traffic = std::move(traffic->savings),
                      .rules = std::move(rules->csv),
                      .packs = {},
                      .ids = {}};
  for (const std::string& layer : asked) {
    const auto id = known.find(layer);
    if (id == known.end()) continue;  // Removed since: nothing of it helps.
    auto record = ask(get, "/v1/layers/" + id->second.hex() + "/distribution",
                      [&](const std::string& envelope) {
                        return format::open_distribution(id->second, as_view(envelope));
                      });
    if (!record) return fail(std::move(record.error()).in("layer " + layer));
    inventory.packs.emplace(layer, std::move(record->packs));
    inventory.ids.emplace(layer, id->second);
  }
  return inventory;
}

Result<wire::RolloutRequest> planned_rollout(const Get& get, const std::string& name) {
  auto list = ask(get, "/v1/rollouts", wire::parse_rollout_list);
  if (!list) return fail(std::move(list.error()));
  for (wire::RolloutInfo& rollout : list->rollouts)
    if (rollout.plan.name == name) return std::move(rollout.plan);
  return fail(ErrorKind::not_found,
              "there is no rollout '" + printable(name, 80) + "'; `lamina rollout ls` lists them");
}

}  // namespace lamina::sim
