#include "origin/cli/remote_policy.hpp"

#include "origin/cli/session.hpp"
#include "shared/wire/policies.hpp"

namespace lamina::origin::cli {

Result<image::Protection> protection_of(Session& session, const std::string& device) {
  auto body = session.get("/v1/devices/" + encoded(device) + "/policy");
  if (!body && body.error().kind() == ErrorKind::not_found) return image::Protection();
  if (!body) return fail(std::move(body.error()).in("the device's policy"));
  auto policy = wire::parse_device_policy(*body);
  if (!policy) return fail(std::move(policy.error()));
  return image::Protection::make(policy->policy.rules);
}

}  // namespace lamina::origin::cli
