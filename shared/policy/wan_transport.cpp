#include "shared/policy/wan_transport.hpp"

namespace lamina::policy {

std::string_view name_of(WanTransport::Kind kind) {
  return kind == WanTransport::Kind::https ? "https" : "swarm";
}

std::optional<WanTransport::Kind> wan_transport_named(std::string_view name) {
  if (name == "swarm") return WanTransport::Kind::swarm;
  if (name == "https") return WanTransport::Kind::https;
  return std::nullopt;
}

std::string_view name_of(WanTransport::Reason reason) {
  switch (reason) {
    case WanTransport::Reason::rule: return "rule";
    case WanTransport::Reason::no_seeder_known: return "no-seeder-known";
    case WanTransport::Reason::no_seeder_reached: return "no-seeder-reached";
    case WanTransport::Reason::seeder_reached: return "seeder-reached";
  }
  return "unknown";
}

std::optional<WanTransport::Change> WanTransport::on(const Seen& seen, Instant now) {
  if (limits_.only) return change_to(*limits_.only, Reason::rule);
  if (seen.is_offered || !seen.is_wanted) waiting_since_ = now;
  if (seen.is_offered) return change_to(Kind::swarm, Reason::seeder_reached);
  if (!seen.is_wanted) return std::nullopt;
  if (!seen.knows_seeders) return change_to(Kind::https, Reason::no_seeder_known);
  if (now - waiting_since_ < limits_.patience) return std::nullopt;
  return change_to(Kind::https, Reason::no_seeder_reached);
}

std::optional<WanTransport::Change> WanTransport::change_to(Kind kind, Reason why) {
  if (kind_ == kind) return std::nullopt;
  kind_ = kind;
  return Change{kind, why};
}

}  // namespace lamina::policy
