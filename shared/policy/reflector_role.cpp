#include "shared/policy/reflector_role.hpp"

namespace lamina::policy {

std::string_view name_of(ReflectorMode mode) {
  switch (mode) {
    case ReflectorMode::active: return "active";
    case ReflectorMode::suspended: return "suspended";
    case ReflectorMode::disabled: return "disabled";
  }
  return "unknown";
}

ReflectorMode reflector_mode(std::string_view name) {
  for (const auto mode : {ReflectorMode::suspended, ReflectorMode::disabled})
    if (name == name_of(mode)) return mode;
  return ReflectorMode::active;
}

ReflectorDuties duties_of(ReflectorMode mode) {
  switch (mode) {
    case ReflectorMode::active: break;
    case ReflectorMode::suspended: return {.leads = false, .uses_budget = false};
    case ReflectorMode::disabled: return {.leads = false, .serves = false, .keeps_others = false};
  }
  return {};
}

Bytes lease_claim(Bytes missing, ReflectorMode mode, bool site_appoints) {
  return site_appoints && duties_of(mode).leads ? missing : Bytes{};
}

std::string_view name_of(ReflectorRole role) {
  switch (role) {
    case ReflectorRole::acting: return "acting";
    case ReflectorRole::standby: return "standby";
    case ReflectorRole::suspended: return "suspended";
    case ReflectorRole::disabled: return "disabled";
    case ReflectorRole::unfit: return "unfit";
    case ReflectorRole::silent: return "silent";
  }
  return "unknown";
}

ReflectorRole role_of(const ReflectorFacts& facts) {
  if (facts.holds_lease) return ReflectorRole::acting;
  if (facts.mode == ReflectorMode::disabled) return ReflectorRole::disabled;
  if (facts.mode == ReflectorMode::suspended) return ReflectorRole::suspended;
  if (!facts.is_up) return ReflectorRole::silent;
  return facts.is_unfit ? ReflectorRole::unfit : ReflectorRole::standby;
}

}  // namespace lamina::policy
