// Who fetches for a site. policy::SiteLease decides; here it is told what happens, and obeyed.
//
// A holder renews its lease each second, a thousand million renewals in a day of ten thousand
// sites, and none of them changes anything. So the lease has a clock of its own: it runs with the
// run's while a holder that is gone has not lapsed, scaled so that this takes the scenario's
// takeover time; else an event moves it by a quarter of a lease at most. Holders that are up are
// renewed before their time on that clock is over.
#include <algorithm>
#include <bit>

#include "shared/base/assert.hpp"
#include "sim/model/draw.hpp"
#include "sim/model/site_run.hpp"

namespace lamina::sim {
namespace {

constexpr Duration kLease = policy::SiteLease::Limits{}.lease;

}  // namespace

void SiteRun::make_lease() {
  lease_ = std::make_unique<policy::SiteLease>(policy::SiteLease::Limits{}, next_epoch_);
  lease_told_ = now_;
  lease_renewed_ = lease_now_;
  lapse_ = kNever;
  tell_lease(policy::SiteLease::Configured{
      std::min(site_.reflectors, policy::SiteLease::kReflectorsMax), {}});
  for (std::uint32_t i = 0; i < count(); ++i) {
    const Device& device = devices_[i];
    if (device.up && device.wanted && missing(device) != 0) report_to_lease(i);
  }
}

// The site lacks nothing that anybody waits for.
void SiteRun::forget_lease() {
  if (!lease_) return;
  const std::vector<std::uint32_t> fetchers = fetchers_;
  for (const std::uint32_t device : fetchers) end_fetcher(device);
  next_epoch_ += 1'000;
  lease_.reset();
  lapse_ = kNever;
}

std::uint32_t SiteRun::device_of(const DeviceId& id) const { return name_of(Fleet::number(id)); }

void SiteRun::report_to_lease(std::uint32_t device) {
  if (const auto holder = lease_->holder(id(device)); holder && !devices_[device].is_fetcher) {
    // It is back before its lease lapsed.
    advance_lease();
    carry_out(lease_->on(
        policy::SiteLease::Renewed{id(device), holder->epoch, bytes_missing(devices_[device])},
        lease_now_));
    if (lease_->holder(id(device))) carry_out({policy::SiteLease::Granted{.device = id(device)}});
    return;
  }
  tell_lease(policy::SiteLease::Reported{id(device), bytes_missing(devices_[device]),
                                         devices_[device].is_wireless});
}

void SiteRun::tell_lease(const policy::SiteLease::Event& event) {
  advance_lease();
  carry_out(lease_->on(event, lease_now_));
}

void SiteRun::advance_lease() {
  const Duration passed = now_ - lease_told_;
  lease_told_ = now_;
  Instant now = lease_now_;
  if (lapse_ == kNever)
    now += std::min(passed, kLease / 4);
  else
    now += Duration(static_cast<std::int64_t>(static_cast<double>(kLease.count()) *
                                              (in_seconds(passed) / in_seconds(lapse_takes_))));
  while (now - lease_renewed_ > kLease / 2) renew(lease_renewed_ + kLease / 2);
  lease_now_ = now;
}

void SiteRun::renew(Instant at) {
  lease_now_ = std::max(lease_now_, at);
  lease_renewed_ = lease_now_;
  const std::vector<std::uint32_t> fetchers = fetchers_;
  for (const std::uint32_t device : fetchers) {
    const auto holder = lease_->holder(id(device));
    if (!holder) continue;
    carry_out(lease_->on(
        policy::SiteLease::Renewed{id(device), holder->epoch, bytes_missing(devices_[device])},
        lease_now_));
  }
}

void SiteRun::carry_out(const std::vector<policy::SiteLease::Action>& actions) {
  for (const policy::SiteLease::Action& action : actions) {
    if (const auto* granted = std::get_if<policy::SiteLease::Granted>(&action)) {
      const std::uint32_t name = device_of(granted->device);
      Device& device = devices_[name];
      if (!device.up) {  // Nobody told the origin yet: it never renews.
        if (lapse_ == kNever) {
          lapse_takes_ = plan_.scenario.rollout.takeover;
          lapse_ = now_ + lapse_takes_;
        }
        continue;
      }
      if (device.is_fetcher) continue;
      stop_lan(name);
      device.is_fetcher = true;
      fetchers_.push_back(name);
      fetch_changed_ = rebuild_ = true;
    } else if (const auto* ended = std::get_if<policy::SiteLease::Ended>(&action)) {
      end_fetcher(device_of(ended->device));
    }
  }
}

void SiteRun::end_fetcher(std::uint32_t name) {
  Device& device = devices_[name];
  if (!device.is_fetcher) return;
  if (fetching_) stop_fetch();  // While it is known whose flow is whose.
  const std::uint64_t lacks = missing(device);
  if (current_ >= 0 && lacks != 0 && std::countr_zero(lacks) == current_)
    device.partial = std::max(device.partial, frontier());
  device.is_fetcher = false;
  std::erase(fetchers_, name);
  fetch_changed_ = rebuild_ = true;
}

// A fetcher is gone, and nobody knows yet.
void SiteRun::start_lapse(std::uint32_t name, Duration takeover) {
  if (lease_) {
    advance_lease();
    renew(lease_now_);
  }
  end_fetcher(name);
  if (!lease_ || lapse_ != kNever) return;
  lapse_takes_ = std::max(takeover, Duration(1));
  lapse_ = now_ + lapse_takes_;
}

// The leases of those that are gone run out.
void SiteRun::lapse() {
  down();
  advance_lease();
  lapse_ = kNever;
  for (const policy::SiteLease::Holder& holder : lease_->holders()) {
    if (devices_[device_of(holder.device)].is_fetcher) continue;
    // Renewed with all others when it went: due now, but for a rounding; or one that went later.
    const Duration left = holder.expires - lease_now_;
    if (left <= std::chrono::milliseconds{1}) {
      lease_now_ = std::max(lease_now_, holder.expires);
    } else {
      lapse_ =
          now_ + Duration(1 + static_cast<std::int64_t>(in_seconds(left) / in_seconds(kLease) *
                                                        static_cast<double>(lapse_takes_.count())));
    }
  }
  if (lease_now_ - lease_renewed_ > kLease / 2) renew(lease_renewed_ + kLease / 2);
  carry_out(lease_->on(policy::SiteLease::Tick{}, lease_now_));
}

// One of the deaths in the scenario is due: it hits a share of the sites, and there one that
// fetches.
void SiteRun::die() {
  const std::size_t number = next_death_++;
  const ReflectorDeaths& death = plan_.scenario.deaths[number];
  const double offset = plan_.fleet.random().uniform(number, kDeath);
  if (!is_drawn(death.share, index_, offset) || fetchers_.empty()) return;
  const std::uint64_t random = plan_.fleet.random().bits(index_, kDeath, number + 1);
  const std::uint32_t name = fetchers_[random % fetchers_.size()];
  go(name, death.takeover);
  devices_[name].dead = true;
  devices_[name].edge = kNever;
  devices_[name].upload = kNever;
  schedule(name);
}

}  // namespace lamina::sim
