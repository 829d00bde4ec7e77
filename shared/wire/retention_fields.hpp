// The fields of a retention rule, which policies have too; for the .cpp files of this folder only.
#pragma once

#include "shared/wire/json_fields.hpp"
#include "shared/wire/retention.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, RetentionRule& m) {
  a("newest", m.newest);
  a("hourly", m.hourly);
  a("daily", m.daily);
  a("weekly", m.weekly);
  a("monthly", m.monthly);
}

}  // namespace lamina::wire
