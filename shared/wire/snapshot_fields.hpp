// The fields of a SnapshotInfo, which is part of two listings; for the .cpp files of this folder
// only.
#pragma once

#include "shared/wire/admin.hpp"
#include "shared/wire/json_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, SnapshotInfo& m) {
  a("id", m.id);
  a("number", m.number);
  a("created_ms", m.created_ms);
  a("reason", m.reason, 64);
  a("files", m.files);
  a("plain_bytes", m.plain_bytes);
}

}  // namespace lamina::wire
