#include "origin/monitor/watch.hpp"

#include <algorithm>

#include "origin/catalog/quotas.hpp"
#include "shared/base/log.hpp"

namespace lamina::origin {
namespace {

using policy::Alerts;

std::string object_of(const DeviceId& device) { return "device:" + device.hex(); }

std::optional<Alerts::Kind> kind_named(std::string_view name) {
  for (const Alerts::Kind kind : Alerts::kKinds)
    if (Alerts::name_of(kind) == name) return kind;
  return std::nullopt;
}

}  // namespace

Result<Watch> Watch::open(Catalog& catalog, const Sites& sites, Options options, Moment moment) {
  auto known = catalog.alerts();
  if (!known) return fail(std::move(known.error()));
  std::set<Alerts::Key> active;
  for (const wire::AlertInfo& alert : *known)
    if (const auto kind = kind_named(alert.kind)) active.emplace(*kind, alert.object);
  return Watch(catalog, sites, std::move(options), std::move(active), moment);
}

Watch::Watch(Catalog& catalog, const Sites& sites, Options options, std::set<Alerts::Key> active,
             Moment moment)
    : catalog_(catalog),
      sites_(sites),
      options_(std::move(options)),
      alerts_(options_.limits, std::move(active)),
      started_(moment.now),
      next_sites_(moment.now),
      next_devices_(moment.now),
      next_audit_(moment.now) {}

Status Watch::look(Moment moment, const Devices& devices) {
  Status done = Done{};
  if (moment.now >= next_sites_) {
    next_sites_ = moment.now + options_.sites_every;
    look_at_sites(moment);
    done = look_at_seeders(moment);
  }
  if (moment.now >= next_devices_) {
    next_devices_ = moment.now + options_.devices_every;
    look_at_origin(moment);
    if (auto looked = look_at_devices(moment, devices); !looked) done = std::move(looked);
  }
  if (auto kept = keep(); !kept) return kept;
  if (moment.now >= next_audit_) {
    next_audit_ = moment.now + options_.audit_every;
    if (auto told = tell_audit_head(); !told) done = std::move(told);
  }
  return done;
}

void Watch::look_at_sites(Moment moment) {
  std::set<std::string> heard;
  for (const Sites::Standing& site : sites_.standings()) {
    heard.insert("site:" + site.site);
    feed(Alerts::Site{.name = site.site,
                      .has_work = site.missing.count > 0,
                      .has_holder = site.holders > 0,
                      .appoint = site.appoint},
         moment);
  }
  if (moment.now - started_ >= options_.sites_known_after) end_absent("site:", heard, moment);
}

Status Watch::look_at_seeders(Moment moment) {
  if (options_.seeders == nullptr) return Done{};
  auto joined = catalog_.seeders();
  if (!joined) return fail(std::move(joined.error()));
  std::set<std::string> present;
  for (const wire::SeederInfo& seeder : *joined) {
    present.insert("seeder:" + seeder.name);
    const bool is_up = options_.seeders->is_up(seeder.id, moment.now, moment.wall);
    feed(Alerts::Seeder{.name = seeder.name, .is_up = is_up}, moment);
  }
  end_absent("seeder:", present, moment);
  return Done{};
}

void Watch::look_at_origin(Moment moment) {
  for (const auto& [name, ends] : options_.certificates)
    feed(Alerts::Certificate{name, Duration{ends.ns - moment.wall.ns}}, moment);
  const auto disk = options_.disk();
  if (disk)
    feed(Alerts::Disk{"origin", {disk->free_bytes}, {disk->total_bytes}}, moment);
  else
    log::warning("disk_unknown", {{"error", disk.error().text()}});
}

Status Watch::look_at_devices(Moment moment, const Devices& devices) {
  auto quotas = catalog_.quotas();
  if (!quotas) return fail(std::move(quotas.error()));
  if (!quotas->empty())
    if (auto done = catalog_.apply_quotas({"origin", moment.wall}); !done) return done;
  auto all = devices();
  if (!all) return fail(std::move(all.error()));
  const std::int64_t now = moment.wall.ns / 1'000'000;
  std::set<std::string> present;
  for (const wire::DeviceInfo& device : *all) {
    if (device.status != wire::DeviceStatus::assigned) continue;
    const std::string object = object_of(device.id);
    present.insert(object);
    const std::int64_t heard = std::max(device.seen_ms, device.enrolled_ms);
    Alerts::Device fact{
        .object = object, .silent = std::chrono::milliseconds{now - heard}, .certificate_left = {}};
    if (device.certificate_expires_ms > 0)
      fact.certificate_left = std::chrono::milliseconds{device.certificate_expires_ms - now};
    feed(fact, moment);
    if (device.disk)
      feed(Alerts::Disk{object, {device.disk->free_bytes}, {device.disk->total_bytes}}, moment);
  }
  end_absent("device:", present, moment);
  look_at_quotas(*quotas, present, moment);
  return Done{};
}

void Watch::look_at_quotas(const std::vector<wire::QuotaStanding>& quotas,
                           const std::set<std::string>& devices, Moment moment) {
  using Level = Alerts::Quota::Level;
  std::set<std::string> bound;
  for (const wire::QuotaStanding& standing : quotas) {
    const std::string object =
        standing.device ? object_of(*standing.device) : "collection:" + *standing.collection;
    if (standing.device && !devices.contains(object)) continue;
    bound.insert(object);
    const Level level = standing.level == "hard"      ? Level::hard
                        : standing.level == "warning" ? Level::warning
                                                      : Level::ok;
    feed(Alerts::Quota{object, level, level == Level::ok ? "" : how_full(standing)}, moment);
  }
  // Those whose quota was taken away.
  const std::set<Alerts::Key> active = alerts_.active();
  for (const auto& [kind, object] : active)
    if ((kind == Alerts::Kind::quota_warning || kind == Alerts::Kind::quota_reached) &&
        !bound.contains(object))
      feed(Alerts::Quota{.object = object}, moment);
}

// What was written elsewhere shows that a log was cut off or written anew
// (catalog/audit_chain.hpp).
Status Watch::tell_audit_head() {
  if (options_.audit == nullptr) return Done{};
  auto head = options_.audit->head();
  if (!head) return fail(std::move(head.error()));
  if (*head == told_head_) return Done{};
  log::info("audit_head", {{"head", to_text(*head)}});
  told_head_ = *head;
  return Done{};
}

void Watch::end_absent(std::string_view prefix, const std::set<std::string>& present,
                       Moment moment) {
  const std::set<Alerts::Key> active = alerts_.active();
  for (const auto& [kind, object] : active)
    if (object.starts_with(prefix) && !present.contains(object)) feed(Alerts::Gone{object}, moment);
}

void Watch::feed(const Alerts::Fact& fact, Moment moment) {
  for (const Alerts::Action& action : alerts_.on(fact, moment.now)) {
    if (const auto* begin = std::get_if<Alerts::Begin>(&action))
      log::warning("alert_begins", {{"kind", Alerts::name_of(begin->kind)},
                                    {"object", begin->object},
                                    {"text", begin->text}});
    else if (const auto* end = std::get_if<Alerts::End>(&action))
      log::info("alert_ends", {{"kind", Alerts::name_of(end->kind)}, {"object", end->object}});
    unkept_.push_back({action, moment.wall});
  }
}

Status Watch::keep() {
  for (; !unkept_.empty(); unkept_.pop_front()) {
    const Change& change = unkept_.front();
    const Act act{"origin", change.at};
    Status done = Done{};
    if (const auto* begin = std::get_if<Alerts::Begin>(&change.action))
      done = catalog_.begin_alert(act, {.kind = std::string(Alerts::name_of(begin->kind)),
                                        .object = begin->object,
                                        .since_ms = change.at.ns / 1'000'000,
                                        .text = begin->text});
    else if (const auto* end = std::get_if<Alerts::End>(&change.action))
      done = catalog_.end_alert(act, std::string(Alerts::name_of(end->kind)), end->object);
    if (!done) return fail(std::move(done.error()).in("keeping an alert"));
  }
  return Done{};
}

}  // namespace lamina::origin
