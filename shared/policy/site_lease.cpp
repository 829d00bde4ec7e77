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

std::vector<SiteLease::Holder> SiteLease::holders() const {
  std::vector<Holder> list;
  for (const auto& [device, holder] : holders_) list.push_back(holder);
  return list;
}

std::optional<SiteLease::Holder> SiteLease::holder(const DeviceId& device) const {
  const auto at = holders_.find(device);
  if (at == holders_.end()) return std::nullopt;
  return at->second;
}

std::optional<Instant> SiteLease::next_change() const {
  std::optional<Instant> next;
  for (const auto& [device, holder] : holders_)
    next = next ? std::min(*next, holder.expires) : holder.expires;
  return next;
}

void SiteLease::say(Member& member, Bytes missing) {
  member.missing = missing;
  member.candidate = missing.count > 0;
  if (!member.candidate) member.lapses = 0;
}

void SiteLease::apply(const Reported& reported, Instant) {
  Member& member = members_[reported.device];
  say(member, reported.missing);
  member.unfit = reported.unfit;
  // A poll is no renewal, but a holder that says it has everything is done.
  const auto holder = holders_.find(reported.device);
  if (holder != holders_.end() && !member.candidate) end(holder, EndReason::done);
}

void SiteLease::apply(const Renewed& renewed, Instant now) {
  const auto at = holders_.find(renewed.device);
  if (at == holders_.end() ||
      (at->second.epoch != renewed.epoch && at->second.epoch_before != renewed.epoch)) {
    actions_.push_back(Refused{renewed.device, renewed.epoch});
    return;
  }
  State& holder = at->second;
  Member& member = members_[renewed.device];
  say(member, renewed.missing);
  member.lapses = 0;
  if (!member.candidate) {
    end(at, EndReason::done);
    return;
  }
  if (renewed.epoch == holder.epoch) {
    holder.epoch_before.reset();
    holder.leaving = {};
    holder.idle = renewed.left && renewed.left->count == 0;
    if (is_replaced(holder)) {
      end(at, EndReason::replaced);
      return;
    }
    if (const int give = to_give(holder, renewed.left); give > 0) {
      const ShareSet leaving = holder.shares.highest(give);
      change_shares(holder, holder.shares - leaving);
      holder.leaving = leaving;
    } else if (const ShareSet more = to_take(holder); !more.empty()) {
      change_shares(holder, holder.shares | more);
    }
  }
  holder.expires = now + limits_.lease;
  actions_.push_back(Extended{holder.device, holder.epoch, holder.expires, holder.shares});
}

void SiteLease::apply(const Left& left, Instant) {
  if (const auto holder = holders_.find(left.device); holder != holders_.end())
    end(holder, EndReason::left);
  members_.erase(left.device);
}

void SiteLease::apply(const Configured& configured, Instant) {
  LAMINA_ASSERT(configured.reflectors >= 1 && configured.reflectors <= kReflectorsMax);
  configured_ = configured;
}

void SiteLease::change_shares(State& holder, ShareSet shares) {
  holder.shares = shares;
  holder.epoch_before = holder.epoch;
  holder.epoch = next_epoch_++;
  holder.idle = false;
  if (shares.size() >= share_aim()) holder.filling = false;
}

SiteLease::Holders::iterator SiteLease::end(Holders::iterator holder, EndReason reason) {
  actions_.push_back(Ended{holder->first, holder->second.epoch, reason});
  return holders_.erase(holder);
}

void SiteLease::lapse_if_due(Instant now) {
  for (auto holder = holders_.begin(); holder != holders_.end();) {
    if (now < holder->second.expires) {
      ++holder;
      continue;
    }
    Member& member = members_[holder->first];
    ++member.lapses;
    member.candidate = false;
    holder = end(holder, EndReason::lapsed);
  }
}

void SiteLease::hand_over_if_unfit() {
  const auto is_fit = [this](const auto& entry) { return !members_[entry.first].unfit; };
  for (auto holder = holders_.begin(); holder != holders_.end();) {
    const bool hands_over =
        members_[holder->first].unfit && (newcomers() > 0 || std::ranges::any_of(holders_, is_fit));
    holder = hands_over ? end(holder, EndReason::unfit) : std::next(holder);
  }
}

bool SiteLease::is_newcomer(const DeviceId& device, const Member& member) const {
  return member.candidate && !member.unfit && member.lapses == 0 && !holders_.contains(device);
}

int SiteLease::newcomers() const {
  return static_cast<int>(std::ranges::count_if(
      members_, [this](const auto& entry) { return is_newcomer(entry.first, entry.second); }));
}

int SiteLease::share_aim() const {
  const int all = static_cast<int>(holders_.size()) + newcomers();
  return ShareSet::kCount / std::clamp(all, 1, configured_.reflectors);
}

ShareSet SiteLease::free() const {
  ShareSet free = ShareSet::all();
  for (const auto& [device, holder] : holders_) free = free - holder.shares - holder.leaving;
  return free;
}

void SiteLease::grant_if_free(Instant now) {
  const auto rank = [this](const auto& entry) {
    const auto& [device, member] = entry;
    const bool named = configured_.named.contains(device);
    return std::tuple(!member.candidate || holders_.contains(device), member.unfit, member.lapses,
                      !named, member.missing, device);
  };
  while (static_cast<int>(holders_.size()) < configured_.reflectors) {
    const ShareSet rest = free();
    const auto best = std::ranges::min_element(members_, {}, rank);
    if (rest.empty() || best == members_.end()) return;
    const auto& [device, member] = *best;
    // Beside another, only one that is sure to serve; with nobody, any candidate.
    if (!is_newcomer(device, member) && !(holders_.empty() && member.candidate)) return;

    const bool counts = is_newcomer(device, member);
    const int all = static_cast<int>(holders_.size()) + newcomers() + (counts ? 0 : 1);
    const int aim = ShareSet::kCount / std::clamp(all, 1, configured_.reflectors);
    State holder;
    holder.device = device;
    holder.epoch = next_epoch_++;
    holder.expires = now + limits_.lease;
    holder.shares = rest.lowest(aim);
    holder.filling = holder.shares.size() < aim;
    actions_.push_back(Granted{device, holder.epoch, holder.expires, holder.shares});
    holders_.emplace(device, holder);
  }
}

// Whether others come first in all the places that there are: holders that are named or older, and
// named newcomers before one that is not.
bool SiteLease::is_replaced(const State& holder) const {
  const auto place = [this](const State& of) {
    return std::pair(!configured_.named.contains(of.device), of.epoch);
  };
  auto before = std::ranges::count_if(
      holders_, [&](const auto& other) { return place(other.second) < place(holder); });
  if (!configured_.named.contains(holder.device))
    before += std::ranges::count_if(configured_.named, [this](const DeviceId& device) {
      const auto member = members_.find(device);
      return member != members_.end() && is_newcomer(device, member->second);
    });
  return before >= configured_.reflectors;
}

int SiteLease::to_give(const State& holder, std::optional<Bytes> left) const {
  const int size = holder.shares.size();
  const int aim = share_aim();
  const int places = configured_.reflectors - static_cast<int>(holders_.size());
  int wanted = std::clamp(newcomers(), 0, std::max(0, places)) * aim - free().size();
  bool is_other_idle = false, is_moving = false;
  for (const auto& [device, other] : holders_) {
    if (other.filling) wanted += std::max(0, aim - other.shares.size());
    wanted -= other.leaving.size();
    is_moving |= !other.leaving.empty();
    is_other_idle |= other.idle && device != holder.device;
  }
  if (size > aim && wanted > 0) return std::min(size - aim, wanted);
  const bool has_tail = left && *left >= limits_.tail;
  return has_tail && is_other_idle && !is_moving && free().empty() ? size / 2 : 0;
}

ShareSet SiteLease::to_take(const State& holder) const {
  const ShareSet rest = free();
  const int aim = share_aim();
  const bool is_for_newcomer =
      newcomers() > 0 && static_cast<int>(holders_.size()) < configured_.reflectors;
  if (is_for_newcomer) return {};
  if (rest.empty() || holder.idle) return rest;
  bool is_other_short = false;
  for (const auto& [device, other] : holders_) {
    if (device == holder.device) continue;
    if (other.idle) return {};  // It takes them when it renews.
    is_other_short |= other.shares.size() < aim;
  }
  if (!is_other_short) return rest;
  return rest.lowest(std::max(0, aim - holder.shares.size()));
}

void SiteLease::check_invariants() const {
  ShareSet owned;
  std::set<std::uint64_t> epochs;
  for (const auto& [device, holder] : holders_) {
    LAMINA_ASSERT(!holder.shares.empty() && !owned.overlaps(holder.shares | holder.leaving));
    owned = owned | holder.shares | holder.leaving;
    LAMINA_ASSERT(holder.epoch < next_epoch_ && epochs.insert(holder.epoch).second);
    LAMINA_ASSERT(holder.expires > last_now_);
    LAMINA_ASSERT(holder.leaving.empty() || holder.epoch_before);
  }
  LAMINA_ASSERT(!holders_.empty() || std::ranges::none_of(members_, [](const auto& entry) {
    return entry.second.candidate;
  }));
}

}  // namespace lamina::policy
