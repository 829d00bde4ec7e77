#include "shared/policy/site_lease.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "shared/base/assert.hpp"

namespace lamina::policy {

SiteLease::SiteLease(Limits limits, std::uint64_t first_epoch)
    : limits_(limits), next_epoch_(first_epoch) {
  LAMINA_ASSERT(limits_.lease.count() > 0);
}

std::vector<SiteLease::Action> SiteLease::on(const Event& event, Instant now) {
  LAMINA_ASSERT(now >= last_now_);
  last_now_ = now;
  lapse_if_due(now);
  std::visit([&](const auto& e) { apply(e, now); }, event);
  hand_over_if_unfit();
  grant_if_free(now);
  check_invariants();
  return std::exchange(actions_, {});
}

std::optional<Instant> SiteLease::next_change() const {
  if (!holder_) return std::nullopt;
  return holder_->expires;
}

void SiteLease::apply(const Reported& reported, Instant) {
  Member& member = members_[reported.device];
  member.missing = reported.missing;
  member.candidate = reported.missing.count > 0;
  member.unfit = reported.unfit;
  // A poll is no renewal, but a holder that says it has everything is done.
  if (holder_ && holder_->device == reported.device && !member.candidate) end(EndReason::done);
}

void SiteLease::apply(const Renewed& renewed, Instant now) {
  if (!holder_ || holder_->device != renewed.device || holder_->epoch != renewed.epoch) {
    actions_.push_back(Refused{renewed.device, renewed.epoch});
    return;
  }
  Member& member = members_[renewed.device];
  member.missing = renewed.missing;
  member.candidate = renewed.missing.count > 0;
  member.lapses = 0;
  if (!member.candidate) {
    end(EndReason::done);
    return;
  }
  holder_->expires = now + limits_.lease;
  actions_.push_back(Extended{holder_->device, holder_->epoch, holder_->expires});
}

void SiteLease::apply(const Left& left, Instant) {
  if (holder_ && holder_->device == left.device) end(EndReason::left);
  members_.erase(left.device);
}

void SiteLease::end(EndReason reason) {
  actions_.push_back(Ended{holder_->device, holder_->epoch, reason});
  holder_.reset();
}

void SiteLease::lapse_if_due(Instant now) {
  if (!holder_ || now < holder_->expires) return;
  Member& member = members_[holder_->device];
  ++member.lapses;
  member.candidate = false;
  end(EndReason::lapsed);
}

void SiteLease::hand_over_if_unfit() {
  if (!holder_ || !members_[holder_->device].unfit) return;
  const auto fit = [](const auto& entry) {
    return entry.second.candidate && !entry.second.unfit && entry.second.lapses == 0;
  };
  if (std::ranges::any_of(members_, fit)) end(EndReason::unfit);
}

void SiteLease::grant_if_free(Instant now) {
  if (holder_) return;
  const auto rank = [](const auto& entry) {
    const auto& [device, member] = entry;
    return std::tuple(!member.candidate, member.unfit, member.lapses, member.missing, device);
  };
  const auto best = std::ranges::min_element(members_, {}, rank);
  if (best == members_.end() || !best->second.candidate) return;

  holder_ = Holder{best->first, next_epoch_++, now + limits_.lease};
  actions_.push_back(Granted{holder_->device, holder_->epoch, holder_->expires});
}

void SiteLease::check_invariants() const {
  LAMINA_ASSERT(!holder_ || holder_->epoch + 1 == next_epoch_);
  LAMINA_ASSERT(!holder_ || holder_->expires > last_now_);
  LAMINA_ASSERT(holder_ || std::ranges::none_of(
                               members_, [](const auto& entry) { return entry.second.candidate; }));
}

}  // namespace lamina::policy
