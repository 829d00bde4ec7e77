#include "shared/policy/alerts.hpp"

#include <algorithm>

namespace lamina::policy {
namespace {

std::string ends_in(Duration left) {
  return left > Duration{0} ? "ends in " + to_text(left) : "ended " + to_text(-left) + " ago";
}

}  // namespace

std::string_view Alerts::name_of(Kind kind) {
  switch (kind) {
    case Kind::certificate_expiring: return "certificate-expiring";
    case Kind::disk_low: return "disk-low";
    case Kind::device_stale: return "device-stale";
    case Kind::reflector_down: return "reflector-down";
    case Kind::seeder_silent: return "seeder-silent";
    case Kind::quota_warning: return "quota-warning";
    case Kind::quota_reached: return "quota-reached";
  }
  return "unknown";
}

std::vector<Alerts::Action> Alerts::on(const Fact& fact, Instant now) {
  std::visit([&](const auto& f) { apply(f, now); }, fact);
  return std::exchange(actions_, {});
}

void Alerts::set(Kind kind, const std::string& object, bool is_so, const std::string& text) {
  if (is_so && active_.emplace(kind, object).second)
    actions_.push_back(Begin{kind, object, text});
  else if (!is_so && active_.erase({kind, object}) > 0)
    actions_.push_back(End{kind, object});
}

void Alerts::apply(const Certificate& certificate, Instant) {
  set(Kind::certificate_expiring, "certificate:" + certificate.name,
      certificate.left < limits_.certificate_left,
      "the origin's certificate '" + certificate.name + "' " + ends_in(certificate.left));
}

void Alerts::apply(const Disk& disk, Instant) {
  const Bytes low = std::min(Bytes{disk.total.count / 20}, limits_.disk_plenty);
  const bool was_low = active_.contains({Kind::disk_low, disk.object});
  // Half as much again must be free before it is over.
  const Bytes bound = was_low ? Bytes{low.count + low.count / 2} : low;
  set(Kind::disk_low, disk.object, disk.free < bound,
      to_text(disk.free) + " of " + to_text(disk.total) + " are free");
}

void Alerts::apply(const Device& device, Instant) {
  set(Kind::device_stale, device.object, device.silent >= limits_.stale_after,
      "no poll for " + to_text(device.silent));
  // One that is off renews when it comes back.
  if (!device.certificate_left) return;
  set(Kind::certificate_expiring, device.object,
      device.silent < limits_.up_within &&
          *device.certificate_left < limits_.device_certificate_left,
      "the device polls, but its certificate " + ends_in(*device.certificate_left) +
          " and was not renewed");
}

void Alerts::apply(const Site& site, Instant now) {
  const std::string object = "site:" + site.name;
  if (!site.has_work || site.has_holder) {
    waiting_.erase(object);
    return set(Kind::reflector_down, object, false, "");
  }
  const Instant since = waiting_.emplace(object, now).first->second;
  if (now - since < limits_.no_holder) return;
  set(Kind::reflector_down, object, true,
      site.appoint ? "devices wait for content, and none has taken the site's lease for " +
                         to_text(now - since)
                   : "devices wait for content, and the site appoints no reflector");
}

void Alerts::apply(const Seeder& seeder, Instant now) {
  const std::string object = "seeder:" + seeder.name;
  if (seeder.is_up) {
    waiting_.erase(object);
    return set(Kind::seeder_silent, object, false, "");
  }
  const Instant since = waiting_.emplace(object, now).first->second;
  if (now - since < limits_.seeder_silent) return;
  set(Kind::seeder_silent, object, true,
      "no good poll of the seeder for " + to_text(now - since) +
          ": see `lamina seeder ls`, and the log of lamina-origin seed on its machine");
}

void Alerts::apply(const Quota& quota, Instant) {
  set(Kind::quota_warning, quota.object, quota.level == Quota::Level::warning, quota.text);
  set(Kind::quota_reached, quota.object, quota.level == Quota::Level::hard, quota.text);
}

void Alerts::apply(const Gone& gone, Instant) {
  waiting_.erase(gone.object);
  for (const Kind kind : kKinds) set(kind, gone.object, false, "");
}

}  // namespace lamina::policy
