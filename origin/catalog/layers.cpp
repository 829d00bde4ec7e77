#include "origin/catalog/rows.hpp"
#include "origin/catalog/rules.hpp"
#include "origin/catalog/upgrade.hpp"

namespace lamina::origin {
namespace {

using wire::LayerInfo;

Status check_newer(const Rows& rows, const std::string& name, const std::string& version) {
  std::string newest;
  for (const char* names : {"layer-name/", "layer-removed/"}) {
    auto scanned = rows.scan(names + name + ":", [&](std::string_view key, std::string_view) {
      const std::string other(key.substr(key.rfind(':') + 1));
      if (newest.empty() || compare_versions(other, newest) > 0) newest = other;
      return true;
    });
    if (!scanned) return scanned;
  }
  if (newest.empty() || compare_versions(version, newest) > 0) return Done{};
  return fail(ErrorKind::refused, "version " + version + " of layer " + name +
                                      " is not newer than " + newest +
                                      "; versions only go up, choose a higher one");
}

// The members of a collection that can be given layers.
Result<std::vector<DeviceId>> placed_members(const Rows& rows, const std::string& collection) {
  auto members = load_members(rows, collection);
  if (!members) return fail(std::move(members.error()));
  std::vector<DeviceId> devices;
  for (const wire::DeviceInfo& device : *members)
    if (is_of_fleet(device)) devices.push_back(device.id);
  if (devices.empty())
    return fail(ErrorKind::refused, "collection " + collection +
                                        " has no device that is in a site; `lamina collection "
                                        "show " +
                                        collection + "` lists its members");
  return devices;
}

// The devices that a request names: a whole site's, a collection's or those listed.
Result<std::vector<DeviceId>> addressed(const Rows& rows, const wire::AssignmentRequest& request) {
  if (!request.site.empty() + !request.devices.empty() + request.collection.has_value() != 1)
    return fail(ErrorKind::invalid, "an assignment names either a site, a collection or devices");
  if (request.collection) return placed_members(rows, *request.collection);
  std::vector<DeviceId> devices;
  for (const DeviceId& id : request.devices) {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if (device->status != wire::DeviceStatus::assigned)
      return fail(ErrorKind::refused, "device " + id.hex() + " is " +
                                          std::string(wire::name_of(device->status)) +
                                          "; place it with `lamina device assign` first");
    devices.push_back(id);
  }
  if (request.site.empty()) return devices;
  if (auto site = load_site(rows, request.site); !site) return fail(std::move(site.error()));
  auto all = load_all(rows, "device/", wire::parse_device_info);
  if (!all) return fail(std::move(all.error()));
  for (const wire::DeviceInfo& device : *all)
    if (device.site == request.site && !device.reference.value_or(false))
      devices.push_back(device.id);
  if (devices.empty())
    return fail(ErrorKind::refused,
                "site " + request.site + " has no devices; place some with `lamina device assign`");
  return devices;
}

std::vector<LayerId> ids_of(const std::vector<LayerInfo>& layers) {
  std::vector<LayerId> ids;
  for (const LayerInfo& layer : layers) ids.push_back(layer.id);
  return ids;
}

// Gives a device its next target. What it shall have and stage stands in `device`, by name.
Status put_target(Rows& rows, const Act& act, wire::DeviceInfo& device,
                  const std::vector<LayerId>& stack, const std::vector<LayerId>& stage,
                  const Catalog::SignTarget& sign) {
  auto floor = load_floor(rows);
  if (!floor) return fail(std::move(floor.error()));
  device.target_sequence = std::max(device.target_sequence + 1, *floor);
  if (device.enforce && !device.enforce_number) device.enforce_number = device.target_sequence;
  if (device.enforce && (stack.empty() || device.applied_sequence >= *device.enforce_number)) {
    device.enforce.reset();
    device.enforce_number.reset();
  }
  auto target = sign(device, stack, stage);
  if (!target)
    return fail(std::move(target.error()).in("signing the target of " + device.id.hex()));
  if (auto put = rows.put("device-target/" + device.id.hex(), as_text(*target)); !put) return put;
  for (const LayerId& layer : stack)
    if (auto put = rows.put(device_layer_prefix(device.id) + layer.hex(), ""); !put) return put;
  if (auto put = store_device(rows, device); !put) return put;
  return append_audit(rows, act, "device.target", "device:" + device.id.hex(),
                      "sequence=" + std::to_string(device.target_sequence) +
                          " layers=" + joined(device.target) +
                          (device.staged ? " staged=" + joined(*device.staged) : "") +
                          (device.enforce ? " enforce=" + *device.enforce : ""));
}

Result<std::vector<LayerInfo>> sorted_layers(const Rows& rows) {
  auto layers = load_all(rows, "layer/", wire::parse_layer_info);
  if (layers)
    std::sort(layers->begin(), layers->end(), [](const LayerInfo& a, const LayerInfo& b) {
      if (a.name != b.name) return a.name < b.name;
      return compare_versions(a.version, b.version) < 0;
    });
  return layers;
}

bool holds(const std::vector<std::string>& stack, const std::string& name) {
  return std::find(stack.begin(), stack.end(), name) != stack.end();
}

// `refused` names the first of those that need the layer `name`, and how many there are.
Status check_unused(const Rows& rows, const std::string& name) {
  std::vector<std::string> users;
  auto devices = load_all(rows, "device/", wire::parse_device_info);
  if (!devices) return fail(std::move(devices.error()));
  for (const wire::DeviceInfo& device : *devices) {
    const std::string who =
        device.id.hex() + (device.host_name.empty() ? "" : " (" + device.host_name + ")");
    if (holds(device.target, name))
      users.push_back("it is assigned to device " + who);
    else if (device.staged && holds(*device.staged, name))
      users.push_back("it is staged on device " + who);
  }
  auto rollouts = load_all(rows, "rollout/", wire::parse_rollout_info);
  if (!rollouts) return fail(std::move(rollouts.error()));
  for (const wire::RolloutInfo& rollout : *rollouts)
    if (rollout.phase != "done" && rollout.phase != "stopped" && holds(rollout.plan.layers, name))
      users.push_back("rollout " + rollout.plan.name + " is " + rollout.phase + " with it");
  auto drivers = load_driver_rules(rows);
  if (!drivers) return fail(std::move(drivers.error()));
  for (const wire::DriverRule& rule : drivers->rules())
    if (rule.layer == name) users.push_back("a driver rule names it (`lamina driver rm`)");
  if (users.empty()) return Done{};
  const std::string others =
      users.size() == 1 ? "" : ", and " + std::to_string(users.size() - 1) + " more need it";
  return fail(ErrorKind::refused, "layer " + name + " is not removed: " + users.front() + others +
                                      "; assign other layers, or stop the rollout, first");
}

}  // namespace

Result<std::vector<LayerInfo>> load_layers(const Rows& rows,
                                           const std::vector<std::string>& names) {
  std::vector<LayerInfo> layers;
  for (const std::string& name : names) {
    auto layer = load_layer_named(rows, name);
    if (!layer) return fail(std::move(layer.error()));
    layers.push_back(std::move(*layer));
  }
  return layers;
}

Result<LayerInfo> load_layer_named(const Rows& rows, const std::string& name) {
  auto id = rows.get("layer-name/" + name);
  if (!id) return fail(std::move(id.error()));
  if (!*id)
    return fail(ErrorKind::not_found, "there is no layer '" + printable(name, 130) +
                                          "' (NAME:VERSION); `lamina layer ls` lists the layers");
  return load(rows, "layer/" + **id, wire::parse_layer_info, "layer " + **id + " is not there");
}

Status Catalog::check_new_version(const std::string& name, const std::string& version) const {
  return table_.read([&](const Rows& rows) { return check_newer(rows, name, version); });
}

Status Catalog::add_layer(const Act& act, const LayerInfo& layer,
                          const std::vector<ChunkId>& chunks) {
  if (auto ok = check_name("the layer's name", layer.name); !ok) return ok;
  if (auto ok = check_name("the layer's version", layer.version); !ok) return ok;
  if (layer.kind != "base" && layer.kind != "app" && layer.kind != "driver")
    return fail(ErrorKind::invalid, "layer " + full_name(layer) +
                                        " must be of kind 'base', 'app' or 'driver', not '" +
                                        printable(layer.kind, 40) + "'");
  return table_.write([&](Rows& rows) -> Status {
    if (auto newer = check_newer(rows, layer.name, layer.version); !newer) return newer;
    for (const ChunkId& chunk : chunks)
      if (auto put = rows.put("layer-chunk/" + layer.id.hex() + raw(chunk), ""); !put) return put;
    if (auto put = rows.put("layer/" + layer.id.hex(), wire::to_json(layer)); !put) return put;
    if (auto put = rows.put("layer-name/" + full_name(layer), layer.id.hex()); !put) return put;
    return append_audit(rows, act, "layer.publish", full_name(layer), "id=" + layer.id.hex());
  });
}

Result<std::vector<LayerInfo>> Catalog::layers() const {
  return reading<std::vector<LayerInfo>>(table_, sorted_layers);
}

Result<LayerInfo> Catalog::layer(const LayerId& id) const {
  return reading<LayerInfo>(table_, [&](const Rows& rows) {
    return load(rows, "layer/" + id.hex(), wire::parse_layer_info,
                "there is no layer " + id.hex() + "; `lamina layer ls` lists the layers");
  });
}

Result<LayerInfo> Catalog::layer(const std::string& name_and_version) const {
  return reading<LayerInfo>(
      table_, [&](const Rows& rows) { return load_layer_named(rows, name_and_version); });
}

Result<LayerInfo> Catalog::remove_layer(const Act& act, const LayerId& id) {
  return writing<LayerInfo>(table_, [&](Rows& rows) -> Result<LayerInfo> {
    auto layer = load(rows, "layer/" + id.hex(), wire::parse_layer_info,
                      "there is no layer " + id.hex() + "; `lamina layer ls` lists the layers");
    if (!layer) return layer;
    const std::string name = full_name(*layer);
    if (auto unused = check_unused(rows, name); !unused) return fail(std::move(unused.error()));
    for (const std::string& key : {"layer/" + id.hex(), "layer-name/" + name})
      if (auto erased = rows.erase(key); !erased) return fail(std::move(erased.error()));
    if (auto put = rows.put("layer-removed/" + name, id.hex()); !put)
      return fail(std::move(put.error()));
    if (auto noted = append_audit(rows, act, "layer.remove", name, "id=" + id.hex()); !noted)
      return fail(std::move(noted.error()));
    return layer;
  });
}

namespace {

// What devices get where a stack is asked for: driver layers that have a rule come and go by it.
class Stacks {
 public:
  struct Stack {
    std::vector<std::string> names;
    std::vector<LayerId> ids;
  };

  static Result<Stacks> open(const Rows& rows, const std::vector<std::string>& asked) {
    auto rules = load_driver_rules(rows);
    if (!rules) return fail(std::move(rules.error()));
    auto layers = load_layers(rows, asked);
    if (!layers) return fail(std::move(layers.error()));
    return Stacks(rows, std::move(*rules), asked, std::move(*layers));
  }

  // `refused` where it does not fit together. Valid as long as this.
  Result<const Stack*> of(const wire::DeviceInfo& device) {
    auto names = asked_.empty() ? asked_ : rules_.stack_of(device, layers_.front(), asked_);
    const auto known = stacks_.find(names);
    if (known != stacks_.end()) return &known->second;
    auto layers = load_layers(rows_, names);
    if (!layers) return fail(std::move(layers.error()));
    if (auto fits = check_stack(*layers); !fits) return fail(std::move(fits.error()));
    return &stacks_.emplace(names, Stack{names, ids_of(*layers)}).first->second;
  }

 private:
  Stacks(const Rows& rows, DriverRules rules, std::vector<std::string> asked,
         std::vector<LayerInfo> layers)
      : rows_(rows),
        rules_(std::move(rules)),
        asked_(std::move(asked)),
        layers_(std::move(layers)) {}

  const Rows& rows_;
  DriverRules rules_;
  std::vector<std::string> asked_;
  std::vector<LayerInfo> layers_;  // Of these.
  std::map<std::vector<std::string>, Stack> stacks_;
};

}  // namespace

Status check_no_rule(const Rows& rows, const std::vector<std::string>& layers) {
  if (layers.empty()) return Done{};
  auto rules = load_driver_rules(rows);
  if (!rules) return fail(std::move(rules.error()));
  for (const std::string& layer : layers)
    if (rules->has(layer))
      return fail(ErrorKind::refused,
                  "driver layer " + printable(layer, 130) +
                      " comes and goes by its rule: leave it out; `lamina driver preview` shows "
                      "which devices get it");
  return Done{};
}

Status assign_stack(Rows& rows, const Act& act, const std::vector<DeviceId>& devices,
                    const std::vector<std::string>& layers, const Catalog::SignTarget& sign,
                    std::vector<wire::DeviceInfo>& assigned) {
  auto stacks = Stacks::open(rows, layers);
  if (!stacks) return fail(std::move(stacks.error()));
  for (const DeviceId& id : devices) {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    auto stack = stacks->of(*device);
    if (!stack) return fail(std::move(stack.error()));
    device->target = (*stack)->names;
    device->staged.reset();
    if (auto put = put_target(rows, act, *device, (*stack)->ids, {}, sign); !put) return put;
    assigned.push_back(std::move(*device));
  }
  return Done{};
}

Status assign_stage(Rows& rows, const Act& act, const std::vector<DeviceId>& devices,
                    const std::vector<std::string>& layers, const Catalog::SignTarget& sign,
                    std::vector<wire::DeviceInfo>& assigned) {
  auto stages = Stacks::open(rows, layers);
  if (!stages) return fail(std::move(stages.error()));
  for (const DeviceId& id : devices) {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    auto stack = load_layers(rows, device->target);
    if (!stack) return fail(std::move(stack.error()));
    auto stage = stages->of(*device);
    if (!stage) return fail(std::move(stage.error()));
    // A device takes a target that stages something for one that leaves its volume alone: when
    // nothing is staged any more, its own stack stands there.
    const auto ids = layers.empty() ? ids_of(*stack) : (*stage)->ids;
    device->staged = layers.empty() ? std::nullopt : std::optional((*stage)->names);
    if (auto put = put_target(rows, act, *device, ids_of(*stack), ids, sign); !put) return put;
    assigned.push_back(std::move(*device));
  }
  return Done{};
}

namespace {

// To each device the stack that it has with the changes that the request names.
Status change_stacks(Rows& rows, const Act& act, const std::vector<DeviceId>& devices,
                     const wire::AssignmentRequest& request, const Catalog::SignTarget& sign,
                     std::vector<wire::DeviceInfo>& assigned) {
  using Names = std::vector<std::string>;
  const auto add = request.add.value_or(Names{}), remove = request.remove.value_or(Names{});
  if (auto known = load_layers(rows, add); !known) return fail(std::move(known.error()));
  for (const Names* names : {&add, &remove})
    if (auto free = check_no_rule(rows, *names); !free) return free;
  for (const DeviceId& id : devices) {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    auto stack = changed_stack(device->target, add, remove);
    if (!stack) return fail(std::move(stack.error()).in("device " + id.hex()));
    if (add.empty() && remove.empty()) {
      // Asked for is what the driver rules say now: where they say nothing new, nothing is done.
      auto stacks = Stacks::open(rows, *stack);
      if (!stacks) return fail(std::move(stacks.error()));
      auto due = stacks->of(*device);
      if (!due) return fail(std::move(due.error()).in("device " + id.hex()));
      if ((*due)->names == device->target) continue;
    }
    if (auto given = assign_stack(rows, act, {id}, *stack, sign, assigned); !given)
      return fail(std::move(given.error()).in("device " + id.hex()));
  }
  return Done{};
}

constexpr std::string_view kNoMore = "none";  // What a device has not enforced yet, it need not.

// Each device is made equal to the stack that it has; what is staged stays so.
Status enforce_stacks(Rows& rows, const Act& act, const std::vector<DeviceId>& devices,
                      const std::string& mode, const Catalog::SignTarget& sign,
                      std::vector<wire::DeviceInfo>& assigned) {
  for (const DeviceId& id : devices) {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if (device->target.empty())
      return fail(ErrorKind::refused, "device " + id.hex() +
                                          " has no layers assigned that could be enforced; `lamina "
                                          "assign` assigns some");
    auto stack = load_layers(rows, device->target);
    if (!stack) return fail(std::move(stack.error()));
    auto stage = load_layers(rows, device->staged.value_or(std::vector<std::string>{}));
    if (!stage) return fail(std::move(stage.error()));
    device->enforce = mode == kNoMore ? std::nullopt : std::optional(mode);
    device->enforce_number.reset();  // The next target's.
    if (auto put = put_target(rows, act, *device, ids_of(*stack), ids_of(*stage), sign); !put)
      return put;
    assigned.push_back(std::move(*device));
  }
  return Done{};
}

}  // namespace

Result<wire::UpgradeReply> Catalog::upgrade(const Act& act, const wire::UpgradeRequest& request,
                                            const SignTarget& sign) {
  return writing<wire::UpgradeReply>(table_, [&](Rows& rows) -> Result<wire::UpgradeReply> {
    auto layers = sorted_layers(rows);
    if (!layers) return fail(std::move(layers.error()));
    auto devices = load_all(rows, "device/", wire::parse_device_info);
    if (!devices) return fail(std::move(devices.error()));
    auto rules = load_driver_rules(rows);
    if (!rules) return fail(std::move(rules.error()));
    auto reply = plan_upgrade(*layers, *devices, request.name, *rules);
    if (!reply) return reply;
    auto newest = load_layer_named(rows, reply->to);
    if (!newest) return fail(std::move(newest.error()));
    if (auto moved = move_driver_rule(rows, act, *newest); !moved)
      return fail(std::move(moved.error()));
    std::size_t moved = 0;
    for (const wire::UpgradeMove& move : reply->moves) {
      if (move.refused) continue;
      std::vector<wire::DeviceInfo> assigned;
      if (auto given = assign_stack(rows, act, move.devices, move.layers, sign, assigned); !given)
        return fail(std::move(given.error()));
      changed_devices_.insert(move.devices.begin(), move.devices.end());
      moved += move.devices.size();
    }
    if (auto noted =
            append_audit(rows, act, "layer.upgrade", reply->to, "devices=" + std::to_string(moved));
        !noted)
      return fail(std::move(noted.error()));
    return reply;
  });
}

Result<wire::AssignmentReply> Catalog::assign(const Act& act,
                                              const wire::AssignmentRequest& request,
                                              const SignTarget& sign) {
  return writing<wire::AssignmentReply>(table_, [&](Rows& rows) -> Result<wire::AssignmentReply> {
    const bool is_change = request.add || request.remove;
    if (is_change && (!request.layers.empty() || request.stage.value_or(false)))
      return fail(ErrorKind::invalid,
                  "an assignment names either a whole stack, or layers to add and to remove");
    if (request.enforce && (is_change || !request.layers.empty() || request.stage.value_or(false)))
      return fail(ErrorKind::invalid, "layers are assigned or enforced, not both at once");
    // A name that is none, or layers that do not fit, say more than a site without devices.
    auto layers = load_layers(rows, request.layers);
    if (!layers) return fail(std::move(layers.error()));
    if (auto fits = check_stack(*layers); !fits) return fail(std::move(fits.error()));
    if (auto free = check_no_rule(rows, request.layers); !free)
      return fail(std::move(free.error()));
    auto devices = addressed(rows, request);
    if (!devices) return fail(std::move(devices.error()));
    std::vector<wire::DeviceInfo> assigned;
    const auto give = request.stage.value_or(false) ? assign_stage : assign_stack;
    auto done = request.enforce
                    ? enforce_stacks(rows, act, *devices, *request.enforce, sign, assigned)
                : is_change ? change_stacks(rows, act, *devices, request, sign, assigned)
                            : give(rows, act, *devices, request.layers, sign, assigned);
    if (!done) return fail(std::move(done.error()));
    wire::AssignmentReply reply{.devices = {}, .accepted_ms = ms(act.now)};
    for (const wire::DeviceInfo& device : assigned) reply.devices.push_back(device.id);
    changed_devices_.insert(reply.devices.begin(), reply.devices.end());
    return reply;
  });
}

Result<Buffer> Catalog::target(const DeviceId& id) const {
  return reading<Buffer>(table_, [&](const Rows& rows) -> Result<Buffer> {
    auto value = rows.get("device-target/" + id.hex());
    if (!value) return fail(std::move(value.error()));
    if (!*value) return fail(ErrorKind::not_found, "device " + id.hex() + " has no target yet");
    return to_buffer(std::string_view(**value));
  });
}

Result<bool> Catalog::may_read_layer(const DeviceId& id, const LayerId& layer) const {
  return reading<bool>(table_, [&](const Rows& rows) -> Result<bool> {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    auto info = load(rows, "layer/" + layer.hex(), wire::parse_layer_info, "unknown layer");
    if (!info) {
      if (info.error().kind() == ErrorKind::not_found) return false;
      return fail(std::move(info.error()));
    }
    const std::string name = full_name(*info);
    return holds(device->target, name) || (device->staged && holds(*device->staged, name));
  });
}

}  // namespace lamina::origin
