#include "origin/cli/remote_drivers.hpp"

#include "origin/cli/session.hpp"

namespace lamina::origin::cli {

Result<DriverRules> driver_rules_of(Session& session, const wire::LayerList& layers) {
  auto body = session.get("/v1/drivers");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_driver_rule_list(*body);
  if (!list) return fail(std::move(list.error()));
  return DriverRules::of(std::move(list->rules), layers.layers);
}

}  // namespace lamina::origin::cli
