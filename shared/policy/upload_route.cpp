#include "shared/policy/upload_route.hpp"

#include <algorithm>

namespace lamina::policy {

std::string_view name_of(RouteReason reason) {
  switch (reason) {
    case RouteReason::no_key: return "no-key";
    case RouteReason::overtakes: return "overtakes";
    case RouteReason::sent_again: return "sent-again";
    case RouteReason::small: return "small";
    case RouteReason::no_relay: return "no-relay";
    case RouteReason::holds_lease: return "holds-lease";
    case RouteReason::is_best: return "is-best";
    case RouteReason::acting_reflector: return "acting-reflector";
    case RouteReason::best_peer: return "best-peer";
  }
  return "unknown";
}

UploadRoute choose_upload_route(const UploadFacts& facts) {
  const auto direct = [](RouteReason reason) { return UploadRoute{std::nullopt, reason}; };
  if (!facts.has_key) return direct(RouteReason::no_key);
  if (facts.relays.empty()) return direct(RouteReason::no_relay);
  const DeviceId best = *std::ranges::min_element(facts.relays);
  const bool holder_relays =
      facts.holder && std::ranges::find(facts.relays, *facts.holder) != facts.relays.end();
  if (facts.origin_reachable) {
    if (facts.overtakes) return direct(RouteReason::overtakes);
    if (facts.lost_before) return direct(RouteReason::sent_again);
    if (facts.size < kWorthRelaying) return direct(RouteReason::small);
    if (facts.holder == facts.self) return direct(RouteReason::holds_lease);
    if (!holder_relays && facts.self < best) return direct(RouteReason::is_best);
  }
  if (holder_relays) return {facts.holder, RouteReason::acting_reflector};
  return {best, RouteReason::best_peer};
}

HandedVerdict judge_handed(HandedState state, Duration unlisted, Duration age,
                           const HandedLimits& limits) {
  if (state == HandedState::protected_) return HandedVerdict::settle;
  const bool lost = state == HandedState::unknown && unlisted >= limits.unlisted_max;
  if (state == HandedState::refused || lost || age >= limits.age_max)
    return HandedVerdict::send_again;
  return HandedVerdict::wait;
}

bool scans_while_at_site(std::string_view reason) { return reason != "interval"; }

bool may_forward(const ForwardFacts& facts, Duration waited_max) {
  return facts.origin_reachable && (!facts.leads || facts.waited >= waited_max);
}

}  // namespace lamina::policy
