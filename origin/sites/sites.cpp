#include "origin/sites/sites.hpp"

#include <algorithm>
#include <limits>

#include "shared/base/log.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina::origin {
namespace {

using policy::SiteLease;

// Of all wants but the withheld ones.
Bytes missing_of(const std::vector<wire::Want>& wants, const std::set<LayerId>& withheld) {
  constexpr auto max = std::numeric_limits<std::int64_t>::max();
  std::int64_t sum = 0;
  for (const wire::Want& want : wants)
    if (!withheld.contains(want.layer))
      sum = want.missing_bytes > max - sum ? max : sum + want.missing_bytes;
  return {sum};
}

// A name of its own, so that the epochs of a device's site and of its budget never meet.
std::string budget_site(const DeviceId& device) { return "device+" + device.hex(); }

// Shorter ones say little: bytes are counted when a piece is whole.
constexpr Duration kRateOver = std::chrono::seconds{10};
constexpr double kRateMax = 1e13;  // 10 Tbit/s: devices say these numbers.

BitRate rate_over(Bytes bytes, Duration time) {
  const double bits = static_cast<double>(bytes.count) * 8;
  const double rate = bits / std::chrono::duration<double>(time).count();
  return {static_cast<std::int64_t>(std::min(rate, kRateMax))};
}

std::string_view name_of(SiteLease::EndReason reason) {
  switch (reason) {
    case SiteLease::EndReason::done: return "done";
    case SiteLease::EndReason::lapsed: return "lapsed";
    case SiteLease::EndReason::left: return "left";
    case SiteLease::EndReason::unfit: return "unfit";
    case SiteLease::EndReason::replaced: return "replaced";
  }
  return "unknown";
}

// Those whose lease lasts, the oldest first.
std::vector<SiteLease::Holder> holders_at(const SiteLease& lease, Instant now) {
  auto holders = lease.holders();
  std::erase_if(holders, [now](const auto& holder) { return holder.expires <= now; });
  std::ranges::sort(holders, {}, &SiteLease::Holder::epoch);
  return holders;
}

}  // namespace

Sites::Sites(Catalog& catalog, PrivateKey lease_key, Options options)
    : catalog_(catalog), lease_key_(std::move(lease_key)), options_(std::move(options)) {}

Result<Sites::Site*> Sites::open(const std::string& name, Moment moment) {
  if (const auto known = sites_.find(name); known != sites_.end()) return &known->second;
  auto epoch = catalog_.lease_epoch(name);
  if (!epoch) return fail(std::move(epoch.error()).in("opening site " + name));
  // Versions count on from the wall clock, and are each site's own, so that after a restart or a
  // move none equals one that a device remembers from before.
  const auto start =
      (static_cast<std::uint64_t>(std::max<std::int64_t>(1, moment.wall.ns / 1'000'000)) << 16U) +
      (xxh3(as_view(name)) & 0xffffU);
  auto info = catalog_.site(name);
  if (!info && info.error().kind() != ErrorKind::not_found)
    return fail(std::move(info.error()).in("opening site " + name));
  Site site{.lease = SiteLease(options_.lease, *epoch + 1),
            .version = start,
            .peers_version = start,
            .appoint = !info || info->appoint.value_or(true),
            .transport = info ? info->transport : std::nullopt};
  take_rules(name, site);
  if (options_.record != nullptr)
    options_.record->begin_site_lease(name, options_.lease, *epoch + 1);
  Site& opened = sites_.emplace(name, std::move(site)).first->second;
  if (info && (info->reflectors || info->reflector_devices)) {
    const auto named = info->reflector_devices.value_or(std::vector<DeviceId>{});
    // Of a site without members nothing follows from that yet.
    if (auto done = set_reflectors(name, info->reflectors.value_or(1), {named.begin(), named.end()},
                                   moment);
        !done)
      return fail(std::move(done.error()));
  }
  return &opened;
}

void Sites::changed(const std::string& name, Site& site) {
  site.peers_version = ++site.version;
  tell(name, site);
}

void Sites::members_changed(const std::string& name, Site& site, Instant now) {
  leases_changed(name, site, now);
  site.peers_version = site.version;
}

void Sites::leases_changed(const std::string& name, Site& site, Instant now) {
  ++site.version;
  changed_.insert(name);  // Some are told at once all the same.
  if (site.tell_due) return;
  site.tell_due = site.told_at ? std::max(now, *site.told_at + options_.tell_interval) : now;
  tell_due_.emplace(*site.tell_due, name);
}

void Sites::tell(const std::string& name, Site& site) {
  site.told_version = site.version;
  changed_.insert(name);
}

bool Sites::has_same_peers(const std::string& name, std::uint64_t version) const {
  const auto at = sites_.find(name);
  return at != sites_.end() && version != 0 && version >= at->second.peers_version &&
         version <= at->second.version;
}

bool Sites::is_news(const std::string& name, const DeviceId& device, std::uint64_t version) const {
  const auto at = sites_.find(name);
  if (at == sites_.end()) return version != 0;
  const Site& site = at->second;
  if (version == site.version) return false;
  // It knows nothing, something of another origin's time, or of before.
  if (version == 0 || version > site.version || version < site.told_version) return true;
  return site.lease.holder(device).has_value();
}

void Sites::seen(const DeviceId& device, Member& member, Instant now) {
  last_seen_.erase({member.seen, device});
  member.seen = now;
  last_seen_.emplace(now, device);
}

void Sites::forget(Site& site, const DeviceId& device) {
  const auto member = site.members.find(device);
  if (member == site.members.end()) return;
  last_seen_.erase({member->second.seen, device});
  site.members.erase(member);
}

Status Sites::carry_out(const std::string& name, Site& site, const SiteLease::Event& event,
                        Moment moment) {
  Status status = Done{};
  const auto actions = site.lease.on(event, moment.now);
  if (options_.record != nullptr) options_.record->decided(name, event, moment.now, actions);
  if (const auto due = site.lease.next_change(); due != site.lease_due) {
    if (site.lease_due) lease_due_.erase({*site.lease_due, name});
    if (due) lease_due_.emplace(*due, name);
    site.lease_due = due;
  }
  for (const SiteLease::Action& action : actions) {
    if (const auto* ended = std::get_if<SiteLease::Ended>(&action)) {
      switch (ended->reason) {
        case SiteLease::EndReason::done: ++tally_.done; break;
        case SiteLease::EndReason::lapsed: ++tally_.lapsed; break;
        case SiteLease::EndReason::left: ++tally_.left; break;
        case SiteLease::EndReason::unfit: ++tally_.unfit; break;
        case SiteLease::EndReason::replaced: ++tally_.replaced; break;
      }
      site.recorded_epochs.erase(ended->device);
      log::info("lease_ended", {{"site", name},
                                {"device", ended->device},
                                {"epoch", ended->epoch},
                                {"reason", name_of(ended->reason)}});
      leases_changed(name, site, moment.now);
    } else if (const auto* granted = std::get_if<SiteLease::Granted>(&action)) {
      leases_changed(name, site, moment.now);
      if (auto done =
              record_epoch(name, site, granted->device, granted->epoch, granted->shares, moment);
          !done) {
        status = std::move(done);
        continue;
      }
      ++tally_.granted;
    } else if (const auto* extended = std::get_if<SiteLease::Extended>(&action)) {
      if (auto done =
              record_epoch(name, site, extended->device, extended->epoch, extended->shares, moment);
          !done)
        status = std::move(done);
    } else if (const auto* refused = std::get_if<SiteLease::Refused>(&action)) {
      status = fail(ErrorKind::refused, "device " + refused->device.hex() +
                                            " does not hold the lease of site " + name +
                                            " in epoch " + std::to_string(refused->epoch) +
                                            "; stop fetching over the WAN and poll");
    }
  }
  return status;
}

Status Sites::record_epoch(const std::string& name, Site& site, const DeviceId& device,
                           std::uint64_t epoch, ShareSet shares, Moment moment) {
  std::uint64_t& recorded = site.recorded_epochs[device];
  if (recorded == epoch) return Done{};
  // An epoch that is not recorded must not be seen: a restarted origin would grant it again.
  // Without its token the holder cannot renew, and the lease lapses by itself.
  const Act act{"origin", moment.wall};
  if (auto noted = catalog_.note_lease_epoch(act, name, device, epoch); !noted)
    return fail(std::move(noted.error()).in("granting the lease of site " + name));
  log::info(recorded == 0 ? "lease_granted" : "lease_shares",
            {{"site", name},
             {"device", device},
             {"epoch", epoch},
             {"shares", static_cast<std::int64_t>(shares.size())}});
  recorded = epoch;
  return Done{};
}

Status Sites::reported(const std::string& name, const DeviceId& device,
                       const wire::PollRequest& poll, Moment moment) {
  const auto place = places_.find(device);
  if (place != places_.end() && place->second != name)
    if (auto gone = left(device, moment); !gone) return gone;
  auto opened = open(name, moment);
  if (!opened) return fail(std::move(opened.error()));
  Site& site = **opened;
  places_[device] = name;

  const auto [at, added] = site.members.try_emplace(device);
  Member& member = at->second;
  // One that has just started listens nowhere yet. It will again, where it did: the others need not
  // hear of it twice, nor turn it away meanwhile.
  const bool is_starting = !added && (poll.swarm_port == 0 || poll.lan_address.empty());
  if (!is_starting) {
    if (added || member.address != poll.lan_address || member.port != poll.swarm_port ||
        member.relay_port != poll.relay_port)
      members_changed(name, site, moment.now);
    member.address = poll.lan_address;
    member.port = poll.swarm_port;
    member.relay_port = poll.relay_port;
  }
  member.wants = poll.wants;
  member.unfit = poll.unfit.has_value();
  note_needs(name, site, device, member);
  seen(device, member, moment.now);
  Status status = carry_out(name, site, report_of(site, device, member), moment);
  if (poll.bytes)
    if (auto noted = note_rate(name, member, *poll.bytes, moment); status && !noted)
      status = std::move(noted);
  return status;
}

Status Sites::note_rate(const std::string& name, Member& member, const wire::ByteCounts& bytes,
                        Moment moment) {
  const Duration time = moment.now - member.counted_at;
  const bool is_same = member.counted && member.counted->since_ms == bytes.since_ms;
  if (is_same && time < kRateOver) return Done{};
  const std::int64_t more =
      is_same ? wire::over_line(bytes.by_source) - wire::over_line(member.counted->by_source) : 0;
  member.counted = bytes;
  member.counted_at = moment.now;
  if (more <= 0) return Done{};
  return catalog_.note_line_rate(name, rate_over(Bytes{more}, time), moment.wall);
}

SiteLease::Reported Sites::report_of(const Site& site, const DeviceId& device,
                                     const Member& member) const {
  const Bytes missing = missing_of(member.wants, site.withheld);
  return {device, policy::lease_claim(missing, mode_of(device), is_eligible(site, device)),
          member.unfit};
}

// Without appointment, only who was named is a candidate.
bool Sites::is_eligible(const Site& site, const DeviceId& device) {
  return site.appoint || site.named.contains(device);
}

bool Sites::may_lead(const Site& site, const DeviceId& device) const {
  return is_eligible(site, device) && policy::duties_of(mode_of(device)).leads;
}

void Sites::note_needs(const std::string& name, Site& site, const DeviceId& device,
                       Member& member) {
  SiteNeeds needs;
  if (!may_lead(site, device))
    for (const wire::Want& want : member.wants) {
      if (want.fresh.value_or(false)) needs.fresh.insert(want.layer);
      if (want.update) needs.updates.insert({want.layer, *want.update});
    }
  if (needs == member.needs) return;
  member.needs = std::move(needs);
  changed(name, site);
}

policy::ReflectorMode Sites::mode_of(const DeviceId& device) const {
  const auto mode = modes_.find(device);
  return mode == modes_.end() ? policy::ReflectorMode::active : mode->second;
}

Status Sites::set_mode(const DeviceId& device, policy::ReflectorMode mode, Moment moment) {
  if (mode == mode_of(device)) return Done{};
  modes_[device] = mode;
  if (mode == policy::ReflectorMode::active) modes_.erase(device);
  const auto place = places_.find(device);
  if (place == places_.end()) return Done{};
  Site& site = sites_.at(place->second);
  changed(place->second, site);
  return carry_out(place->second, site, report_of(site, device, site.members.at(device)), moment);
}

bool Sites::is_up(const std::string& name, const DeviceId& device, Moment moment) const {
  const auto at = sites_.find(name);
  if (at == sites_.end()) return false;
  const auto member = at->second.members.find(device);
  return member != at->second.members.end() &&
         moment.now - member->second.seen < options_.member_timeout;
}

Status Sites::withhold(const std::string& name, std::set<LayerId> layers, Moment moment) {
  auto opened = open(name, moment);
  if (!opened) return fail(std::move(opened.error()));
  Site& site = **opened;
  if (site.withheld == layers) return Done{};
  site.withheld = std::move(layers);
  changed(name, site);
  return report_all(name, site, moment);
}

Status Sites::report_all(const std::string& name, Site& site, Moment moment) {
  Status status = Done{};
  for (const auto& [device, member] : site.members)
    if (auto done = carry_out(name, site, report_of(site, device, member), moment); !done)
      status = std::move(done);
  return status;
}

bool Sites::is_up(const std::string& name) const {
  const auto at = sites_.find(name);
  return at != sites_.end() && !at->second.members.empty();
}

Status Sites::set_appoint(const std::string& name, bool appoint, Moment moment) {
  auto opened = open(name, moment);
  if (!opened) return fail(std::move(opened.error()));
  Site& site = **opened;
  site.appoint = appoint;
  changed(name, site);
  if (appoint) return Done{};
  // Every member: the candidates would follow the holder one by one.
  Status status = Done{};
  for (const auto& [device, member] : site.members)
    if (!site.named.contains(device))
      if (auto done = carry_out(name, site, SiteLease::Left{device}, moment); !done)
        status = std::move(done);
  return status;
}

Status Sites::set_transport(const std::string& name, const std::string& transport, Moment moment) {
  auto opened = open(name, moment);
  if (!opened) return fail(std::move(opened.error()));
  Site& site = **opened;
  site.transport = transport == "auto" ? std::nullopt : std::optional(transport);
  changed(name, site);
  return Done{};
}

Status Sites::set_reflectors(const std::string& name, int count, std::set<DeviceId> named,
                             Moment moment) {
  if (count < 1 || count > SiteLease::kReflectorsMax)
    return fail(ErrorKind::invalid, "a site uses 1 to " +
                                        std::to_string(SiteLease::kReflectorsMax) +
                                        " reflectors, not " + std::to_string(count));
  auto opened = open(name, moment);
  if (!opened) return fail(std::move(opened.error()));
  Site& site = **opened;
  site.named = named;
  changed(name, site);
  auto done = carry_out(name, site, SiteLease::Configured{count, std::move(named)}, moment);
  if (!done) return done;
  // With appointment off, who is named now is a candidate, and who was is none any more.
  return report_all(name, site, moment);
}

bool Sites::take_rules(const std::string& name, Site& site) const {
  const auto rules = policy::rules_of_site(rules_, name);
  std::string csv = rules.empty() ? "" : policy::to_csv(rules);
  if (csv == site.rules) return false;
  site.rules = std::move(csv);
  // Named by their content: the same after a restart, and for every site that has the same.
  site.rules_version =
      site.rules.empty() ? 0 : std::max<std::uint64_t>(1, xxh3(as_view(site.rules)));
  return true;
}

void Sites::set_bandwidth_rules(policy::BandwidthRules rules) {
  rules_ = std::move(rules);
  for (auto& [name, site] : sites_)
    if (take_rules(name, site)) changed(name, site);
}

std::string Sites::bandwidth_rules(const std::string& name) const {
  const auto at = sites_.find(name);
  return at == sites_.end() ? "" : at->second.rules;
}

wire::LeaseView Sites::budget_lease(const DeviceId& device, std::uint64_t sequence,
                                    Moment moment) const {
  const Duration lasts = options_.lease.lease;
  const format::LeaseToken token{.site = budget_site(device),
                                 .device = device,
                                 .epoch = sequence,
                                 .expires = WallTime{moment.wall.ns + lasts.count()}};
  return {
      .holder = device,
      .epoch = sequence,
      .token = format::sign_record(format::RecordType::lease, format::encode(token), lease_key_),
      .expires_in_ms = lasts.count() / 1'000'000,
      .seeders = seeders_for(device.hex(), {}, moment)};
}

std::vector<std::string> Sites::seeders_for(const std::string& name,
                                            const std::set<LayerId>& layers, Moment moment) const {
  if (options_.elsewhere == nullptr) return options_.seeders;
  return options_.elsewhere->told(options_.seeders, name, layers, moment.now, moment.wall);
}

Result<format::LeaseToken> Sites::check_token(ByteView token, const std::string& name,
                                              const DeviceId& device, std::uint64_t target,
                                              Moment moment) const {
  const auto refuse = [&](const std::string& why) {
    return fail(ErrorKind::refused,
                "device " + device.hex() + " may not fetch over the WAN: " + why);
  };
  const PublicKey key = lease_key_.public_key();
  auto opened = format::open_record(format::RecordType::lease, token, std::span(&key, 1));
  if (!opened) return refuse("its lease token is none of this origin's; poll for a lease");
  auto lease = format::parse_lease(opened->record);
  if (!lease) return refuse("its lease token cannot be read; poll for a lease");
  if (lease->device != device) return refuse("the lease is another device's");
  if (lease->expires <= moment.wall) return refuse("its lease has run out; renew it");
  if (lease->site == budget_site(device)) {
    if (lease->epoch != target) return refuse("its WAN budget is of an older target; poll");
    return *lease;
  }
  if (lease->site != name) return refuse("the lease is of another site");
  const auto at = sites_.find(name);
  const auto holder = at == sites_.end() ? std::nullopt : at->second.lease.holder(device);
  // Until it is known to have its newest token, the one before is as good.
  if (!holder || holder->expires <= moment.now ||
      (holder->epoch != lease->epoch && holder->epoch_before != lease->epoch))
    return refuse("it holds the lease of site " + name + " no more; poll");
  return *lease;
}

Result<wire::LeaseReply> Sites::renewed(const std::string& name, const DeviceId& device,
                                        const wire::LeaseRequest& request, Moment moment) {
  auto opened = open(name, moment);
  if (!opened) return fail(std::move(opened.error()));
  Site& site = **opened;
  if (const auto member = site.members.find(device); member != site.members.end()) {
    seen(device, member->second, moment.now);
    member->second.wants = request.wants;
  }
  SiteLease::Renewed event{
      device, request.epoch,
      policy::lease_claim(missing_of(request.wants, site.withheld), mode_of(device), true)};
  if (request.left_bytes) event.left = Bytes{*request.left_bytes};
  if (auto done = carry_out(name, site, event, moment); !done) return fail(std::move(done.error()));
  wire::LeaseReply reply;
  if (site.lease.holder(device)) reply.lease = lease_view(name, site, device, moment);
  return reply;
}

Status Sites::left(const DeviceId& device, Moment moment) {
  const auto place = places_.find(device);
  if (place == places_.end()) return Done{};
  const std::string name = place->second;
  places_.erase(place);
  Site& site = sites_.at(name);
  forget(site, device);
  members_changed(name, site, moment.now);
  return carry_out(name, site, SiteLease::Left{device}, moment);
}

Status Sites::tick(Moment moment) {
  Status status = Done{};
  // A grant that follows runs out later than now, so each site comes up once.
  while (!lease_due_.empty() && lease_due_.begin()->first <= moment.now) {
    const std::string name = lease_due_.begin()->second;
    if (auto done = carry_out(name, sites_.at(name), SiteLease::Tick{}, moment); !done)
      status = std::move(done);
  }
  while (!tell_due_.empty() && tell_due_.begin()->first <= moment.now) {
    Site& site = sites_.at(tell_due_.begin()->second);
    site.told_at = moment.now;
    site.tell_due.reset();
    tell(tell_due_.begin()->second, site);
    tell_due_.erase(tell_due_.begin());
  }
  while (!last_seen_.empty() && moment.now - last_seen_.begin()->first >= options_.member_timeout) {
    const DeviceId silent = last_seen_.begin()->second;
    if (auto done = left(silent, moment); !done) status = std::move(done);
  }
  return status;
}

std::optional<Instant> Sites::next_change() const {
  std::optional<Instant> next;
  const auto consider = [&](Instant at) { next = next ? std::min(*next, at) : at; };
  if (!lease_due_.empty()) consider(lease_due_.begin()->first);
  if (!tell_due_.empty()) consider(tell_due_.begin()->first);
  if (!last_seen_.empty()) consider(last_seen_.begin()->first + options_.member_timeout);
  return next;
}

std::optional<wire::LeaseView> Sites::lease_view(const std::string& name, const Site& site,
                                                 const DeviceId& device, Moment moment) const {
  auto holders = holders_at(site.lease, moment.now);
  std::erase_if(holders, [&site](const auto& holder) {
    const auto recorded = site.recorded_epochs.find(holder.device);
    return recorded == site.recorded_epochs.end() || recorded->second != holder.epoch;
  });
  if (holders.empty()) return std::nullopt;
  auto holder = std::ranges::find(holders, device, &SiteLease::Holder::device);
  const bool is_own = holder != holders.end();
  if (!is_own) holder = holders.begin();
  wire::LeaseView view{.holder = holder->device, .epoch = holder->epoch};
  if (holders.size() > 1)
    for (const auto& each : holders) {
      if (!view.holders) view.holders.emplace();
      view.holders->push_back(each.device);
    }
  if (!is_own) return view;

  if (!holder->shares.is_all()) view.shares = holder->shares;
  const Duration left = holder->expires - moment.now;
  const format::LeaseToken token{.site = name,
                                 .device = device,
                                 .epoch = holder->epoch,
                                 .expires = WallTime{moment.wall.ns + left.count()},
                                 .shares = holder->shares};
  view.token = format::sign_record(format::RecordType::lease, format::encode(token), lease_key_);
  view.expires_in_ms = left.count() / 1'000'000;
  std::set<LayerId> layers;
  if (const auto member = site.members.find(device); member != site.members.end())
    for (const wire::Want& want : member->second.wants) layers.insert(want.layer);
  view.seeders = seeders_for(name, layers, moment);
  return view;
}

Sites::View Sites::view(const std::string& name, const DeviceId& device, Moment moment) const {
  View view;
  view.site.name = name;
  const auto at = sites_.find(name);
  if (at == sites_.end()) return view;
  const Site& site = at->second;
  view.site.version = site.version;
  if (!site.appoint) view.site.appoint = false;
  view.site.transport = site.transport;
  if (!site.withheld.empty())
    view.site.withheld.emplace(site.withheld.begin(), site.withheld.end());
  if (site.rules_version != 0) view.site.rules_version = site.rules_version;
  SiteNeeds needs;
  if (may_lead(site, device))
    for (const auto& [other, member] : site.members) {
      needs.fresh.insert(member.needs.fresh.begin(), member.needs.fresh.end());
      needs.updates.insert(member.needs.updates.begin(), member.needs.updates.end());
    }
  const auto tell = [](const auto& all, auto& told) {
    const std::size_t count = std::min(all.size(), wire::kFreshMax);
    if (count > 0) told.emplace(all.begin(), std::next(all.begin(), std::ptrdiff_t(count)));
  };
  tell(needs.fresh, view.site.fresh);
  tell(needs.updates, view.site.updates);
  for (const auto& [other, member] : site.members)
    if (other != device && !member.address.empty() && member.port != 0) {
      wire::Peer peer{other, member.address, member.port, member.relay_port};
      if (!policy::duties_of(mode_of(other)).serves) {
        peer.serves = false;
        peer.relay_port.reset();
      }
      view.site.peers.push_back(std::move(peer));
    }
  view.lease = lease_view(name, site, device, moment);
  return view;
}

std::vector<Sites::Standing> Sites::standings() const {
  std::vector<Standing> list;
  for (const auto& [name, site] : sites_) {
    Standing standing{.site = name,
                      .members = static_cast<std::int64_t>(site.members.size()),
                      .missing = {},
                      .appoint = site.appoint,
                      .holders = static_cast<std::int64_t>(site.lease.holders().size())};
    for (const auto& [device, member] : site.members)
      standing.missing = std::max(standing.missing, missing_of(member.wants, {}));
    list.push_back(std::move(standing));
  }
  return list;
}

std::set<std::string> Sites::take_changed() { return std::exchange(changed_, {}); }

std::vector<DeviceId> Sites::lease_holders(const std::string& name) const {
  const auto at = sites_.find(name);
  std::vector<DeviceId> list;
  if (at == sites_.end()) return list;
  for (const auto& holder : holders_at(at->second.lease, {})) list.push_back(holder.device);
  return list;
}

}  // namespace lamina::origin
