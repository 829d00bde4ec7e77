// The fields of an AuditEntry, which is part of two listings; for the .cpp files of this folder
// only.
#pragma once

#include "shared/wire/admin.hpp"
#include "shared/wire/json_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, AuditEntry& m) {
  a("number", m.number);
  a("time_ms", m.time_ms);
  a("actor", m.actor, 256);
  a("action", m.action, 64);
  a("object", m.object, 512);
  a("detail", m.detail, 4096);
  a("hash", m.hash, 64);
}

}  // namespace lamina::wire
