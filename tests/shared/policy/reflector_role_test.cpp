#include "shared/policy/reflector_role.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;

namespace {
using enum ReflectorMode;
using Role = ReflectorRole;
}  // namespace

TEST_CASE("reflector role: settings that are known by name, and others", "[reflector_role]") {
  for (const auto mode : {active, suspended, disabled})
    CHECK(reflector_mode(name_of(mode)) == mode);
  CHECK(reflector_mode("") == active);
  CHECK(reflector_mode("hibernating") == active);
}

TEST_CASE("reflector role: what each mode lets a device do", "[reflector_role]") {
  CHECK(duties_of(active) == ReflectorDuties{});
  CHECK(
      duties_of(suspended) ==
      ReflectorDuties{.leads = false, .uses_budget = false, .serves = true, .keeps_others = true});
  CHECK(duties_of(disabled) == ReflectorDuties{
                                   .leads = false,
                                   .uses_budget = true,
                                   .serves = false,
                                   .keeps_others = false,
                               });
}

TEST_CASE("reflector role: only a device that may lead claims the lease", "[reflector_role]") {
  const auto [mode, appoints, claim] = GENERATE(table<ReflectorMode, bool, std::int64_t>({
      {active, true, 7},
      {active, false, 0},
      {suspended, true, 0},
      {suspended, false, 0},
      {disabled, true, 0},
      {disabled, false, 0},
  }));
  CHECK(lease_claim({7}, mode, appoints) == Bytes{claim});
  CHECK(lease_claim({}, mode, appoints) == Bytes{});
}

TEST_CASE("reflector role: how a device stands at its site", "[reflector_role]") {
  const auto [mode, holds, up, unfit, role] =
      GENERATE(table<ReflectorMode, bool, bool, bool, ReflectorRole>({
          {active, false, true, false, Role::standby},
          {active, true, true, false, Role::acting},
          {active, true, true, true, Role::acting},
          {active, false, true, true, Role::unfit},
          {active, false, false, true, Role::silent},
          {active, false, false, false, Role::silent},
          {suspended, false, true, false, Role::suspended},
          {suspended, true, true, false, Role::acting},
          {suspended, false, false, true, Role::suspended},
          {disabled, false, true, true, Role::disabled},
          {disabled, false, false, false, Role::disabled},
      }));
  CHECK(role_of({mode, holds, up, unfit}) == role);
}
