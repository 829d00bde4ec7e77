#include "origin/catalog/rows.hpp"
#include "origin/catalog/rules.hpp"

namespace lamina::origin {
namespace {

std::string device_prefix(const std::string& rollout) { return "rollout-device/" + rollout + '/'; }

Status put_rollout(Rows& rows, const wire::RolloutInfo& rollout) {
  return rows.put("rollout/" + rollout.plan.name, wire::to_json(rollout));
}

Status check_names(const Rows& rows, const wire::RolloutWave& wave) {
  for (const std::string& site : wave.sites)
    if (auto known = load_site(rows, site); !known) return fail(std::move(known.error()));
  for (const wire::RolloutShare& share : wave.shares)
    if (auto known = load_site(rows, share.site); !known) return fail(std::move(known.error()));
  for (const DeviceId& device : wave.devices)
    if (auto known = load_device(rows, device); !known) return fail(std::move(known.error()));
  return Done{};
}

}  // namespace

Status Catalog::add_rollout(const Act& act, const wire::RolloutInfo& rollout) {
  const wire::RolloutRequest& plan = rollout.plan;
  if (auto ok = check_name("the rollout's name", plan.name); !ok) return ok;
  return table_.write([&](Rows& rows) -> Status {
    auto taken = rows.get("rollout/" + plan.name);
    if (!taken) return fail(std::move(taken.error()));
    if (*taken) return fail(ErrorKind::refused, "there is a rollout '" + plan.name + "' already");
    auto stack = load_layers(rows, plan.layers);
    if (!stack) return fail(std::move(stack.error()));
    if (auto fits = check_stack(*stack); !fits) return fits;
    if (auto free = check_no_rule(rows, plan.layers); !free) return free;
    for (std::size_t i = 0; i < plan.waves.size(); ++i)
      if (auto known = check_names(rows, plan.waves[i]); !known)
        return fail(std::move(known.error()).in("wave " + std::to_string(i + 1)));
    if (auto put = put_rollout(rows, rollout); !put) return put;
    return append_audit(rows, act, "rollout.create", plan.name,
                        "waves=" + std::to_string(plan.waves.size()) +
                            " layers=" + std::to_string(plan.layers.size()));
  });
}

Result<std::vector<wire::RolloutInfo>> Catalog::rollouts() const {
  return reading<std::vector<wire::RolloutInfo>>(table_, [](const Rows& rows) {
    return load_all(rows, "rollout/", wire::parse_rollout_info);
  });
}

Result<std::vector<wire::RolloutDevice>> Catalog::rollout_devices(const std::string& name) const {
  return reading<std::vector<wire::RolloutDevice>>(table_, [&](const Rows& rows) {
    return load_all(rows, device_prefix(name), wire::parse_rollout_device);
  });
}

Status Catalog::note_rollout(const Act& act, const wire::RolloutInfo& rollout,
                             const std::string& action, const std::string& detail) {
  return table_.write([&](Rows& rows) -> Status {
    if (auto put = put_rollout(rows, rollout); !put) return put;
    if (action.empty()) return Done{};
    return append_audit(rows, act, action, rollout.plan.name, detail);
  });
}

Status Catalog::note_rollout_device(const std::string& rollout, const wire::RolloutDevice& device) {
  return table_.write([&](Rows& rows) {
    return rows.put(device_prefix(rollout) + device.device.hex(), wire::to_json(device));
  });
}

Status Catalog::assign_wave(const Act& act, const wire::RolloutInfo& rollout, WaveStep step,
                            std::vector<wire::RolloutDevice>& devices, const SignTarget& sign) {
  const wire::RolloutRequest& plan = rollout.plan;
  return table_.write([&](Rows& rows) -> Status {
    std::vector<DeviceId> ids;
    for (const wire::RolloutDevice& device : devices) ids.push_back(device.device);
    changed_devices_.insert(ids.begin(), ids.end());
    std::vector<wire::DeviceInfo> assigned;
    const auto assign = step == WaveStep::begun ? assign_stack : assign_stage;
    if (auto done = assign(rows, act, ids, plan.layers, sign, assigned); !done) return done;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      devices[i].target_sequence = assigned[i].target_sequence;
      if (auto put = rows.put(device_prefix(plan.name) + ids[i].hex(), wire::to_json(devices[i]));
          !put)
        return put;
    }
    if (auto put = put_rollout(rows, rollout); !put) return put;
    return append_audit(rows, act, step == WaveStep::begun ? "rollout.begin" : "rollout.stage",
                        plan.name, "devices=" + std::to_string(devices.size()));
  });
}

}  // namespace lamina::origin
