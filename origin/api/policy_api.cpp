#include <charconv>

#include "origin/api/answers.hpp"
#include "origin/api/api.hpp"
#include "shared/wire/policies.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::origin {
namespace {

Result<std::uint64_t> version_of(const std::string& text) {
  std::uint64_t version = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, version);
  if (error == std::errc() && at == end && version > 0) return version;
  return fail(ErrorKind::invalid,
              "a policy's versions are 1, 2, 3 ..., not '" + printable(text, 40) + "'");
}

}  // namespace

// `parts` is "v1", "policies", ...
Api::Answer Api::policies(const Act& act, const std::vector<std::string>& parts,
                          const net::Request& request) {
  const bool get = request.method == "GET", post = request.method == "POST";
  if (parts.size() == 2 && get) return as_json(catalog_.policies());
  if (parts.size() == 2 && post) {
    auto message = wire::parse_policy_request(request.body);
    if (!message) return fail(std::move(message.error()));
    return as_json(catalog_.set_policy(act, *message));
  }
  if (parts.size() == 3 && post && (parts[2] == "assign" || parts[2] == "unassign")) {
    auto message = wire::parse_policy_assign_request(request.body);
    if (!message) return fail(std::move(message.error()));
    if (message->policy.has_value() != (parts[2] == "assign"))
      return fail(ErrorKind::invalid, "/v1/policies/assign names a policy, unassign none");
    return as_json(catalog_.assign_policy(act, *message));
  }
  if (parts.size() == 3 && get) return as_json(catalog_.policy(parts[2]));
  if (parts.size() == 3 && request.method == "DELETE") {
    if (auto done = catalog_.remove_policy(act, parts[2]); !done)
      return fail(std::move(done.error()));
    return net::json_response("{}");
  }
  if (parts.size() >= 4 && parts[3] == "versions" && get) {
    if (parts.size() == 4) return as_json(catalog_.policy_versions(parts[2]));
    auto version = version_of(parts[4]);
    if (!version) return fail(std::move(version.error()));
    if (parts.size() == 5) return as_json(catalog_.policy(parts[2], *version));
  }
  return fail(ErrorKind::not_found, "there is no " + request.method + " " +
                                        printable(request.path, 120) +
                                        "; docs/api.md lists the calls");
}

Result<wire::DevicePolicy> Api::policy_of(const DeviceId& id) const {
  auto device = catalog_.device(id);
  if (!device) return fail(std::move(device.error()));
  auto policy = catalog_.policy_of(*device);
  if (!policy) return policy;
  if (const auto seen = seen_.find(id); seen != seen_.end())
    policy->held = seen->second.policy == policy->policy.id;
  return policy;
}

Api::Answer Api::snooze(const Act& act, const DeviceId& id, const net::Request& request) {
  auto message = wire::parse_snooze_request(request.body);
  if (!message) return fail(std::move(message.error()));
  const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(wire::kSnoozeMax);
  // Beyond what a Duration holds there would be nothing to compare.
  const std::chrono::milliseconds asked{std::min(message->for_ms, most.count() + 1)};
  return as_json(catalog_.snooze_device(act, id, asked));
}

Result<bool> Api::tell_policy(const wire::DeviceInfo& device, const wire::PollRequest& poll,
                              wire::PollReply& reply, Moment moment) {
  // A node that says nothing knows no policies, or no snoozes.
  if (poll.policy) {
    auto policy = catalog_.policy_of(device);
    if (!policy) return fail(std::move(policy.error()));
    if (*poll.policy != policy->policy.id) reply.policy = std::move(policy->policy);
  }
  if (poll.snooze && device.snooze && poll.snooze->number != device.snooze->number)
    reply.snooze = device.snooze;
  if (!reply.policy && !reply.snooze) {
    told_.erase(device.id);
    return false;
  }
  // At once only the first time: a node that cannot keep it must not ask in a spin. But to all
  // polls that wait then: one may be of a process that is no more.
  const std::string what = (reply.policy ? reply.policy->id : "") + '/' +
                           (reply.snooze ? std::to_string(reply.snooze->number) : "");
  const auto told = told_.try_emplace(device.id, Told{what, moment.now}).first;
  if (told->second.what != what) told->second = {what, moment.now};
  return told->second.at == moment.now;
}

}  // namespace lamina::origin
