// What an administrator's settings let a device do for its site, and how it stands there.
//
// A suspended device gives what it has and fetches from its site, but nothing over the line. A
// disabled one gives nothing: it is a plain device that fetches its own layers from the site.
// Neither is a candidate for the site's lease, whatever it lacks.
//
// Pure functions; any thread.
#pragma once

#include <string_view>

#include "shared/base/units.hpp"

namespace lamina::policy {

enum class ReflectorMode { active, suspended, disabled };

// "active", "suspended", "disabled".
std::string_view name_of(ReflectorMode mode);
// Any other name is "active": a device must not stop for a word that it does not know.
ReflectorMode reflector_mode(std::string_view name);

struct ReflectorDuties {
  bool leads = true;         // May hold the site's lease.
  bool uses_budget = true;   // May fetch over the line on its own WAN budget.
  bool serves = true;        // Gives pieces to peers, relays their uploads.
  bool keeps_others = true;  // Keeps layers for the site that its own target does not need.
  bool operator==(const ReflectorDuties&) const = default;
};
ReflectorDuties duties_of(ReflectorMode mode);

// What counts of `missing` when the site's lease is given away: nothing for a device that may not
// lead, or where nobody is appointed.
Bytes lease_claim(Bytes missing, ReflectorMode mode, bool site_appoints);

enum class ReflectorRole {
  acting,     // Fetches for its site now.
  standby,    // Would, if it came to it.
  suspended,  // By an administrator...
  disabled,   // ...likewise.
  unfit,      // It says that it should not: see eligibility.hpp.
  silent,     // It has not been heard of lately.
};
// "acting", "standby", "suspended", "disabled", "unfit", "silent".
std::string_view name_of(ReflectorRole role);

struct ReflectorFacts {
  ReflectorMode mode = ReflectorMode::active;
  bool holds_lease = false;
  bool is_up = false;
  bool is_unfit = false;
};
// The strongest word first: one that acts is called so even while it is unfit or being suspended.
ReflectorRole role_of(const ReflectorFacts& facts);

}  // namespace lamina::policy
