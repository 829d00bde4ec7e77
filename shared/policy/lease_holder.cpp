#include "shared/policy/lease_holder.hpp"

#include <utility>

#include "shared/base/assert.hpp"

namespace lamina::policy {

std::vector<LeaseHolder::Action> LeaseHolder::on(const Event& event, Instant now) {
  LAMINA_ASSERT(now >= last_now_);
  last_now_ = now;
  if (expires_ && now >= *expires_) close(CloseReason::lapsed);
  std::visit([&](const auto& e) { apply(e, now); }, event);
  LAMINA_ASSERT(!expires_ || *expires_ > now);
  return std::exchange(actions_, {});
}

void LeaseHolder::apply(const Led& led, Instant now) {
  if (led.expires <= now || led.epoch < epoch_) return;
  const bool was_open = is_open();
  // An answer that was overtaken by a later one does not shorten the lease.
  expires_ = was_open && led.epoch == epoch_ ? std::max(*expires_, led.expires) : led.expires;
  epoch_ = led.epoch;
  if (was_open)
    actions_.push_back(Refresh{epoch_});
  else
    actions_.push_back(Open{epoch_});
}

void LeaseHolder::apply(const Resigned&, Instant) {
  if (is_open()) close(CloseReason::resigned);
}

void LeaseHolder::close(CloseReason reason) {
  expires_.reset();
  actions_.push_back(Close{reason});
}

}  // namespace lamina::policy
