// The fields of what is part of polls and of the administrator's messages about policies; for the
// .cpp files of this folder only.
#pragma once

#include "shared/wire/json_fields.hpp"
#include "shared/wire/policy.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, format::ProtectionRule& m) {
  a("name", m.name, 128);
  a("paths", m.paths, format::kProtectionPatternsMax);
  a("except", m.except, format::kProtectionPatternsMax);
}

template <class A>
void fields(A& a, Policy& m) {
  a("id", m.id, 64);
  a("name", m.name, 128);
  a("version", m.version);
  a("unprotected", m.rules.unprotected, format::kProtectionRulesMax);
  a("user", m.rules.user, format::kProtectionRulesMax);
  a.if_any("volumes", m.rules.volumes, format::kProtectedVolumesMax);
  a("interval_ms", m.interval_ms);
}

template <class A>
void fields(A& a, Snooze& m) {
  a("number", m.number);
  a("until_ms", m.until_ms);
}

}  // namespace lamina::wire
