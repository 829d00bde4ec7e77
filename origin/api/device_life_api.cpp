// Devices that leave service, and what is proven of those that were erased.
#include "origin/api/api.hpp"

#include "origin/api/answers.hpp"

namespace lamina::origin {

Result<wire::DecommissionReply> Api::decommission(const Act& act, const DeviceId& device,
                                                  const wire::DecommissionRequest& request,
                                                  Moment moment) {
  auto reply = catalog_.decommission(act, device, request);
  if (!reply || act.is_rehearsal) return reply;
  if (auto done = left_service(device, "it was decommissioned", reply->sites, moment); !done)
    return fail(std::move(done.error()));
  if (erasing_ && request.cvd == "erase") erasing_->begin();
  return reply;
}

std::optional<Api::Answer> Api::device_life(const Act& act, const std::string& noun,
                                            const DeviceId& device, const std::string& verb,
                                            const net::Request& request, Moment moment) {
  if (request.method != "POST") return std::nullopt;
  const std::string call = noun + '/' + verb;
  if (call == "devices/decommission") {
    auto message = wire::parse_decommission_request(request.body);
    if (!message) return fail(std::move(message.error()));
    return as_json(decommission(act, device, *message, moment));
  }
  if (call == "devices/merge") {
    auto message = wire::parse_move_request(request.body);
    if (!message) return fail(std::move(message.error()));
    auto reply = catalog_.merge_device(act, device, *message);
    if (reply && !act.is_rehearsal)
      if (auto done = left_service(device, "it was merged into another one", reply->sites, moment);
          !done)
        return fail(std::move(done.error()));
    return as_json(std::move(reply));
  }
  if (call == "devices/reference") {
    auto message = wire::parse_reference_request(request.body);
    if (!message) return fail(std::move(message.error()));
    return as_done(catalog_.set_reference(act, device, message->reference));
  }
  if (call == "cvds/archive") {
    auto message = wire::parse_archive_request(request.body);
    if (!message) return fail(std::move(message.error()));
    return as_done(catalog_.archive_cvd(act, device, message->archived));
  }
  if (call == "cvds/reassign") {
    auto message = wire::parse_move_request(request.body);
    if (!message) return fail(std::move(message.error()));
    return as_json(catalog_.reassign_cvd(act, device, *message));
  }
  if (call == "cvds/delete") {
    auto reply = catalog_.delete_cvd(act, device);
    if (reply && erasing_ && !act.is_rehearsal) erasing_->begin();
    return as_json(std::move(reply));
  }
  return std::nullopt;
}

// What this process knows of it: its leases end, it counts in no rollout, and comes first nowhere.
Status Api::left_service(const DeviceId& device, const std::string& why,
                         const std::vector<std::string>& sites, Moment moment) {
  seen_.erase(device);
  budgets_.erase(device);
  range_leases_.erase(device);
  tell_rollouts([&](Rollouts& rollouts) { return rollouts.removed(device, why, moment); }, moment);
  Status done = sites_.left(device, moment);
  for (const std::string& name : sites) {
    auto site = catalog_.site(name);
    if (!site) return fail(std::move(site.error()));
    const auto named = site->reflector_devices.value_or(std::vector<DeviceId>{});
    if (done)
      done = sites_.set_reflectors(name, site->reflectors.value_or(1), {named.begin(), named.end()},
                                   moment);
  }
  return done;
}

bool Api::check_integrity(const Act& act, const std::vector<std::string>& parts,
                          const net::Request& request, const Reply& reply) {
  if (!erasing_ || request.method != "GET" || parts.size() != 4 || parts[1] != "cvds" ||
      parts[3] != "integrity")
    return false;
  auto device = DeviceId::parse(parts[2]);
  if (!device) return reply(net::error_response(device.error())), true;
  if (auto noted = catalog_.audit(act, "cvd.verify", "device:" + device->hex(), ""); !noted)
    return reply(net::error_response(noted.error())), true;
  const bool read_data = request.query_value("read-data").has_value();
  offload_(
      [check = erasing_->check_cvd, device = *device, read_data, reply]() -> std::function<void()> {
        auto report = check(device, read_data);
        if (!report) return [reply, error = report.error()] { reply(net::error_response(error)); };
        return [reply, text = wire::to_json(*report)] { reply(net::json_response(text)); };
      });
  return true;
}

bool Api::prove_erasure(const std::vector<std::string>& parts, const net::Request& request,
                        const Reply& reply) {
  if (!erasing_ || request.method != "GET" || parts.size() != 4 || parts[1] != "devices" ||
      parts[3] != "proof")
    return false;
  auto device = DeviceId::parse(parts[2]);
  if (!device) return reply(net::error_response(device.error())), true;
  offload_([prove = erasing_->prove, device = *device, reply]() -> std::function<void()> {
    auto proof = prove(device);
    if (!proof) return [reply, error = proof.error()] { reply(net::error_response(error)); };
    return [reply, text = wire::to_json(*proof)] { reply(net::json_response(text)); };
  });
  return true;
}

}  // namespace lamina::origin
