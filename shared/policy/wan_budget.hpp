// The WAN budget: what a device may fetch over the line by itself, while it does not hold its
// site's lease.
//
// A target gives it. It is for sites where nobody fetches, or does not in time; a holder of the
// lease needs none. Pure functions.
#pragma once

#include <optional>

#include "shared/base/units.hpp"

namespace lamina::policy {

struct WanBudget {
  enum class Kind { never, after, up_to };
  Kind kind = Kind::never;
  Duration after{};  // after: since the target was issued; then without a bound.
  Bytes most;        // up_to: of payload, for the whole target.
};

// How a device stands that may have to use its budget.
struct WanBudgetNeed {
  bool is_wanted = false;   // Something is missing, and the device is not told to leave the line.
  bool has_holder = false;  // Another device fetches for the site.
  Instant issued{};         // Of the target.
  Instant waiting_since{};  // Nobody of the site fetches what the device lacks.
  Bytes spent;              // Of the budget.
};

// From when on the device may fetch; none: not at all, as things stand. `patience`: how long a
// budget of bytes waits for a holder, longer than a lease takes to move.
std::optional<Instant> may_spend_from(const WanBudget& budget, const WanBudgetNeed& need,
                                      Duration patience);

// What is left; none: there is no bound.
std::optional<Bytes> left_of(const WanBudget& budget, Bytes spent);

}  // namespace lamina::policy
