#include "sim/model/site_run.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "shared/base/assert.hpp"
#include "shared/policy/bandwidth_schedule.hpp"
#include "sim/model/draw.hpp"
#include "sim/model/efficiency.hpp"
#include "sim/model/presence.hpp"
#include "sim/model/tcp.hpp"

namespace lamina::sim {
namespace {

constexpr Duration kHour = std::chrono::hours{1};
constexpr std::uint32_t kWiredBundle = 0;
constexpr std::uint32_t kRadioBundle = 1;
constexpr std::size_t kHeldByCount = 4;
// A part is whole when less than this is missing: what roundings leave.
constexpr double kHalfByte = 0.5;

template <class Visit>
void for_each_part(std::uint64_t parts, Visit&& visit) {
  for (; parts != 0; parts &= parts - 1) visit(static_cast<std::size_t>(std::countr_zero(parts)));
}

std::uint64_t bit(std::size_t part) { return std::uint64_t{1} << part; }

std::size_t hours_of(Instant end) {
  return static_cast<std::size_t>((end.time_since_epoch() + kHour - Duration(1)) / kHour);
}

}  // namespace

SiteRun::SiteRun(const Plan& plan, Index site, const std::vector<WaveTimes>& times)
    : plan_(plan),
      site_(plan.scenario.sites[site]),
      index_(site),
      mode_(site_.reflectors == 0 ? Mode::direct : plan.mode),
      first_(plan.fleet.first_device(site)),
      residents_(static_cast<std::uint32_t>(site_.devices)),
      guests_(plan.roaming.guests(site)),
      local_start_(local_start_ns(plan.scenario.run.start, site_.utc_offset)),
      rules_(policy::rules_of_site(plan.scenario.rules, site_.name)),
      times_(plan.scenario.rollout.waves.size()),
      lan_(0, 0, 0) {
  const Scenario& scenario = plan.scenario;
  std::vector<DrawnDevice> drawn = plan.fleet.site(site);
  for (const Roaming::Guest& guest : guests_) drawn.push_back(guest.drawn);
  devices_.resize(drawn.size());
  ids_.reserve(drawn.size());
  for (std::uint32_t i = 0; i < drawn.size(); ++i) {
    ids_.push_back(drawn[i].id);
    Device& device = devices_[i];
    device.need = drawn[i].need;
    device.presence = drawn[i].presence;
    device.wave = drawn[i].wave;
    device.is_wireless = drawn[i].is_wireless;
    device.fails = drawn[i].fails;
    device.here = !is_guest(i);
    by_rank_.push_back(i);
  }
  std::ranges::sort(by_rank_, {}, [this](std::uint32_t i) { return ids_[i]; });
  for (std::uint32_t rank = 0; rank < by_rank_.size(); ++rank) devices_[by_rank_[rank]].rank = rank;
  if (mode_ == Mode::direct) spread_work();
  up_ranks_.resize((drawn.size() + 63) / 64);
  available_.assign(scenario.content.parts.size(), 0);
  holders_.assign(scenario.content.parts.size(), 0);
  lack_.assign(scenario.content.parts.size(), 0);
  admitted_ = !plan.bounded || !scenario.rollout.admission;

  tcp_ = tcp_cap(scenario.tcp, site_.rtt, site_.loss);
  port_ = plan.content(site_.lan);
  wireless_ = plan.content(site_.wireless);
  lan_ = LanStage(count(), port_, wireless_);
  down_hours_.assign(hours_of(plan.end()), 0);
  up_hours_.assign(hours_of(plan.end()), 0);
  next_hour_ = Instant(kHour);

  device_events_ = IndexedHeap<Instant>(devices_.size(), kNever);
  for (std::uint32_t i = 0; i < count(); ++i) {
    Device& device = devices_[i];
    if (device.wave == kNoWave && !plan.with_uploads) continue;
    if (plan.with_uploads && scenario.uploads.per_day.count > 0 && device.here)
      device.upload = upload_due(i, 0);
    device.edge = Instant{};  // To be looked at in the beginning.
    schedule(i);
  }
  for (std::uint8_t wave = 0; wave < times.size(); ++wave) set_times(wave, times[wave]);
}

void SiteRun::set_times(std::uint8_t wave, const WaveTimes& times) {
  const auto is_in = [&](const Device& device) { return device.wave == wave; };
  if (times == times_[wave] || std::ranges::none_of(devices_, is_in)) return;
  times_[wave] = times;
  for (const Instant at : {times.staged, times.begun})
    if (at != kNever) orders_.emplace_back(at + plan_.scenario.rollout.start_takes, wave);
  std::ranges::sort(orders_, std::greater<>());
}

SiteLines SiteRun::down_lines() const {
  return SiteLines(0, {kInfinite, wireless_}, {{.segment = 0}, {.segment = 1}},
                   count() + kSiteFlows);
}

SiteLines SiteRun::up_lines() const { return down_lines(); }

void SiteRun::attach(Network& down, Network& up, std::uint32_t place, const GroupKinds& kinds,
                     Others& others) {
  others_ = &others;
  down_ = &down;
  up_ = &up;
  place_ = place;
  kinds_ = &kinds;
}

std::uint64_t SiteRun::number(std::uint32_t name) const {
  return is_guest(name) ? guests_[name - residents_].device : first_ + name;
}

std::uint32_t SiteRun::name_of(std::uint64_t number) const {
  if (number >= first_ && number < first_ + residents_)
    return static_cast<std::uint32_t>(number - first_);
  const auto guest = std::ranges::lower_bound(guests_, number, {}, &Roaming::Guest::device);
  LAMINA_ASSERT(guest != guests_.end() && guest->device == number);
  return residents_ + static_cast<std::uint32_t>(guest - guests_.begin());
}

Index SiteRun::home_of(std::uint32_t name) const {
  return is_guest(name) ? guests_[name - residents_].home : index_;
}

std::int64_t SiteRun::home_start(std::uint32_t name) const {
  if (!is_guest(name)) return local_start_;
  return local_start_ns(plan_.scenario.run.start, plan_.scenario.sites[home_of(name)].utc_offset);
}

double SiteRun::bytes_of(std::uint64_t parts) const {
  double bytes = 0;
  for_each_part(parts, [&](std::size_t part) {
    bytes += static_cast<double>(plan_.scenario.content.parts[part].bytes.count);
  });
  return bytes;
}

Bytes SiteRun::bytes_missing(const Device& device) const {
  return {std::max<std::int64_t>(
      missing(device) != 0, static_cast<std::int64_t>(bytes_of(missing(device)) - device.partial))};
}

// ---------------------------------------------------------------- time

Instant SiteRun::next() const {
  Instant next = std::min({lan_.next(), next_lines_, next_hour_, lapse_, relay_at_});
  if (!orders_.empty()) next = std::min(next, orders_.back().first);
  if (next_death_ < plan_.scenario.deaths.size())
    next = std::min(next, plan_.scenario.deaths[next_death_].at);
  // Who comes and goes makes no difference when nobody waits, here or at a guest's home.
  const bool idle = lacking_ == 0 && unreported_ == 0 && !plan_.with_uploads && guests_.empty();
  if (!idle && !device_events_.empty()) next = std::min(next, device_events_.top_key());
  return next;
}

void SiteRun::process(Instant now) {
  now_ = now;
  if (down_->is_due(place_)) {
    down();
    done_.clear();
    down_->finish(place_, done_);
    if (mode_ == Mode::direct) {
      const std::vector<std::uint32_t> done = done_;
      for (const std::uint32_t device : done) {
        const Rate rate =
            down_->rate(place_, devices_[device].is_wireless ? kRadioBundle : kWiredBundle);
        gain(device, devices_[device].need);
        complete(device, start_delay(plan_.scenario.tcp, site_.rtt, rate));
      }
    } else {
      bool all = true;
      for (std::uint32_t i = 0; i < fetch_flows_; ++i)
        all &= !down_->lines(place_).runs(count() + i);
      if (fetching_ && all) finish_part();
    }
  }
  if (up_->is_due(place_)) {
    up();
    done_.clear();
    up_->finish(place_, done_);
  }
  if (lan_.next() <= now_) {
    down();
    done_.clear();
    lan_.finish(done_);
    const std::vector<std::uint32_t> done = done_;
    for (const std::uint32_t device : done) {
      devices_[device].partial = 0;
      gain(device, devices_[device].lan_parts);
      if (missing(devices_[device]) == 0)
        complete(device, {});
      else
        start_lan(device);
    }
  }
  if (next_lines_ <= now_) change_lines();
  while (next_hour_ <= now_) close_hour();
  while (!orders_.empty() && orders_.back().first <= now_) order();
  while (next_death_ < plan_.scenario.deaths.size() &&
         plan_.scenario.deaths[next_death_].at <= now_)
    die();
  if (lapse_ <= now_) lapse();
  while (!device_events_.empty() && device_events_.top_key() <= now_) turn(device_events_.top());
  if (down_open_) decide();
  relay();
  share();
}

SiteLines& SiteRun::down() {
  SiteLines& lines = down_->open(place_);
  if (!down_open_) {
    down_open_ = true;
    lan_.touch(now_, frontier());
    account();
  }
  return lines;
}

SiteLines& SiteRun::up() {
  up_open_ = true;
  return up_->open(place_);
}

double SiteRun::frontier() const {
  if (current_ < 0) return 0;
  const auto part = static_cast<std::size_t>(current_);
  if (!fetching_) return available_[part];
  double left = 0;
  for (std::uint32_t i = 0; i < fetch_flows_; ++i)
    if (down_->lines(place_).runs(count() + i)) left += down_->lines(place_).left(count() + i);
  return std::max(available_[part], bytes_of(bit(part)) - left);
}

// What was waited for since the last time, and where the bytes came from.
void SiteRun::account() {
  const double seconds = in_seconds(now_ - accounted_);
  accounted_ = now_;
  const auto add = [this](Limit limit, double device_seconds) {
    waiting_[static_cast<std::size_t>(limit)] += device_seconds;
  };
  add(Limit::offline, seconds * static_cast<double>(lacking_ - lacking_up_));
  if (mode_ == Mode::direct) {
    double served = 0;
    for (const std::uint32_t bundle : {kWiredBundle, kRadioBundle}) {
      for (std::size_t i = 0; i < kHeldByCount; ++i) {
        const auto held_by = static_cast<HeldBy>(i);
        const double all = down_->lines(place_).seconds(bundle, held_by);
        const double since = all - held_counted_[bundle][i];
        held_counted_[bundle][i] = all;
        served += since;
        add(limit_of(held_by, bundle == kRadioBundle), since);
      }
    }
    add(Limit::admission, std::max(0.0, seconds * static_cast<double>(lacking_up_) - served));
  } else {
    const auto in_lan = static_cast<double>(lan_.waiting());
    add(Limit::lan, seconds * in_lan);
    add(fetch_limit_, seconds * std::max(0.0, static_cast<double>(lacking_up_) - in_lan));
    const double carried = lan_.carried() - lan_counted_;
    lan_counted_ = lan_.carried();
    double from_reflectors = 1;
    if (mode_ == Mode::swarm && members_up_ > 0)
      from_reflectors = static_cast<double>(fetchers_.size()) / static_cast<double>(members_up_);
    bytes_[static_cast<std::size_t>(Source::reflector)] += carried * from_reflectors;
    bytes_[static_cast<std::size_t>(Source::lan_peer)] += carried * (1 - from_reflectors);
  }
}

Limit SiteRun::limit_of(HeldBy held_by, bool is_wireless) const {
  switch (held_by) {
    case HeldBy::cap: return is_wireless ? radio_cap_is_ : down_cap_is_;
    case HeldBy::segment: return Limit::lan;
    case HeldBy::site: return Limit::wan;
    case HeldBy::above: return (*kinds_)[down_->full_group(place_)];
  }
  return Limit::wan;
}

// What holds up those who have all that the site has.
Limit SiteRun::fetch_limit() const {
  if (fetchers_.empty()) return Limit::reflector;
  if (!admitted_) return Limit::admission;
  const bool is_wireless = devices_[fetchers_.front()].is_wireless;
  return limit_of(down_->lines(place_).held_by(is_wireless ? kRadioBundle : kWiredBundle),
                  is_wireless);
}

void SiteRun::close_hour() {
  const auto hour = static_cast<std::size_t>(next_hour_.time_since_epoch() / kHour) - 1;
  if (hour < down_hours_.size()) {
    // Bytes since the last full hour; nothing moved in hours that nobody looked at.
    const SiteLines& fetched = down();
    down_hours_[hour] = fetched.carried(kForeground) - down_counted_;
    down_counted_ = fetched.carried(kForeground);
    const SiteLines& sent = up();
    up_hours_[hour] = sent.carried(kForeground) - up_counted_;
    up_counted_ = sent.carried(kForeground);
  }
  next_hour_ += kHour;
}

void SiteRun::end(Instant now) {
  now_ = now;
  down();
  up();
  for (std::uint32_t i = 0; i < count(); ++i) collect_uploads(i);  // Also of those who are away.
  while (next_hour_ <= now_) close_hour();
  if (next_hour_ - kHour < now_) close_hour();
}

// ---------------------------------------------------------------- lines

void SiteRun::change_lines() {
  // At a full minute of the run, which is one on the calendar too, or `rules_take` after one.
  next_lines_ = kNever;
  double left_down = 1, left_up = 1;
  const std::int64_t local = local_start_ + now_.time_since_epoch().count();
  if (site_.load) {
    const Load& load = plan_.scenario.loads[*site_.load];
    const auto hour = static_cast<std::size_t>(local / kHour.count()) % kHoursPerWeek;
    left_down = 1 - load.down[hour];
    left_up = 1 - load.up[hour];
    next_lines_ = now_ + Duration(kHour.count() - local % kHour.count());
  }
  Rate rule_down = kInfinite, rule_up = kInfinite;
  if (!rules_.empty()) {
    // What the line shows is what held a moment ago.
    const WallTime wall{plan_.scenario.run.start.ns + now_.time_since_epoch().count() -
                        plan_.scenario.rollout.rules_take.count()};
    const policy::BandwidthForecast forecast = policy::forecast(
        rules_, site_.name, site_.address, wall, [this](WallTime) { return site_.utc_offset; });
    if (forecast.limits.download) rule_down = plan_.content(*forecast.limits.download);
    if (forecast.limits.upload) rule_up = plan_.content(*forecast.limits.upload);
    if (forecast.until)
      next_lines_ = std::min(next_lines_, now_ + Duration(forecast.until->ns - wall.ns));
  }
  const double factor = plan_.fleet.line_factor(index_);
  SiteLines& down_lines = down();
  down_lines.set_line(plan_.content(site_.wan_down) * factor * left_down);
  down_lines.set_cap(kWiredBundle, std::min({tcp_, rule_down, port_}));
  down_lines.set_cap(kRadioBundle, std::min(tcp_, rule_down));
  radio_cap_is_ = rule_down < tcp_ ? Limit::rule : Limit::tcp;
  down_cap_is_ = port_ < std::min(tcp_, rule_down) ? Limit::lan : radio_cap_is_;
  SiteLines& up_lines = up();
  up_lines.set_line(plan_.content(site_.wan_up) * factor * left_up);
  up_lines.set_cap(kWiredBundle, std::min({tcp_, rule_up, port_}));
  up_lines.set_cap(kRadioBundle, std::min(tcp_, rule_up));
}

// All ports that serve, or the radio alone when nobody is on a wire: then each byte takes it twice.
void SiteRun::set_serving() {
  double eta = 1;
  if (mode_ == Mode::swarm)
    eta = swarm_efficiency(
        plan_.scenario.swarm, static_cast<double>(members_up_),
        std::max(1.0,
                 std::ceil(union_bytes_ / static_cast<double>(plan_.scenario.swarm.piece.count))));
  if (wired_up_ == 0) {
    lan_.set_serving(kInfinite);
    lan_.set_wireless(wireless_ / 2 * eta);
    return;
  }
  double ports = static_cast<double>(wired_up_);
  if (mode_ == Mode::reflector)
    ports = std::min(
        ports, std::max(1.0, static_cast<double>(fetchers_.empty()
                                                     ? static_cast<std::size_t>(site_.reflectors)
                                                     : fetchers_.size())));
  lan_.set_serving(ports * port_ * eta);
  lan_.set_wireless(wireless_);
}

void SiteRun::set_frontier_rate() {
  Rate rate = 0;
  if (fetching_)
    for (std::uint32_t i = 0; i < fetch_flows_; ++i)
      if (down_->lines(place_).runs(count() + i))
        rate +=
            down_->rate(place_, devices_[fetchers_[i]].is_wireless ? kRadioBundle : kWiredBundle);
  lan_.set_frontier_rate(rate);
  fetch_limit_ = fetch_limit();
}

void SiteRun::share() {
  if (down_open_) {
    if (mode_ != Mode::direct) {
      down().watch(lan_.has_behind());
      set_serving();
    }
    down_->close(place_);
    if (mode_ != Mode::direct) {
      set_frontier_rate();
      lan_.evaluate();
    }
    down_open_ = false;
  }
  if (up_open_) up_->close(place_);
  up_open_ = false;
}

void SiteRun::moved(Instant now) {
  if (mode_ == Mode::direct) return;
  now_ = now;
  lan_.touch(now_, frontier());
  account();
  set_frontier_rate();
  lan_.evaluate();
}

// ---------------------------------------------------------------- devices

void SiteRun::schedule(std::uint32_t device) {
  const Device& of = devices_[device];
  device_events_.set(device, std::min(of.edge, of.up ? of.upload : kNever));
}

// Its time to come or go, or to upload.
void SiteRun::turn(std::uint32_t name) {
  Device& device = devices_[name];
  if (device.edge <= now_) {
    const auto sites = static_cast<Index>(plan_.scenario.sites.size());
    const PresenceOf presence(plan_.scenario.presences[device.presence], plan_.fleet.random(),
                              number(name), home_start(name),
                              {.sites = sites, .home = home_of(name), .at = index_});
    const PresenceOf::Now found = presence.at(now_, plan_.end());
    device.edge = found.until;
    if (device.dead) {
      device.edge = kNever;
    } else if (is_guest(name)) {
      if (found.up != device.here) change_site(name, found.up);
    } else if (device.here && found.up != device.up) {
      if (found.up)
        come(name);
      else
        go(name, plan_.scenario.rollout.takeover);
    }
  }
  if (device.up && device.upload <= now_) {
    collect_uploads(name);
    upload(name);
  }
  schedule(name);
}

// A guest comes, or goes home. It is here only while it is up.
void SiteRun::change_site(std::uint32_t name, bool comes) {
  if (!comes) return others_->send_home(release(name));
  receive(others_->take(number(name), index_));
  if (devices_[name].dead)
    devices_[name].edge = kNever;
  else
    come(name);
}

Traveller SiteRun::release(std::uint32_t name) {
  down();
  Device& device = devices_[name];
  collect_uploads(name);
  if (device.up) go(name, plan_.scenario.rollout.takeover);
  if (device.wanted) {
    unreported_ -= !device.reported;
    lacking_ -= missing(device) != 0;
  }
  device.wanted = false;
  device.here = false;
  upload_due_bytes_ -= device.pending_upload;
  const Traveller traveller{.device = number(name), .belongings = device};
  device.pending_upload = 0;
  device.upload = kNever;
  schedule(name);
  return traveller;
}

Traveller SiteRun::give(Instant now, std::uint64_t number) {
  now_ = now;
  const Traveller traveller = release(name_of(number));
  decide();
  share();
  return traveller;
}

// It is here now, and not up yet.
void SiteRun::receive(const Traveller& traveller) {
  down();
  const std::uint32_t name = name_of(traveller.device);
  Device& device = devices_[name];
  static_cast<Belongings&>(device) = traveller.belongings;
  device.here = true;
  upload_due_bytes_ += device.pending_upload;
  // Where each device fetches for itself, what it got may be more than the first part.
  for_each_part(missing(device), [&](std::size_t part) {
    if (mode_ == Mode::direct || device.partial < bytes_of(bit(part)) - kHalfByte) return;
    device.partial = std::max(0.0, device.partial - bytes_of(bit(part)));
    device.has |= bit(part);
  });
  if (device.wave == kNoWave) return;
  const WaveTimes& times = times_[device.wave];
  const auto is_due = [&](Instant at) {
    return at != kNever && at + plan_.scenario.rollout.start_takes <= now_;
  };
  if (is_due(times.begun)) device.begun = true;
  if (is_due(times.begun) || is_due(times.staged)) want(name);
}

void SiteRun::take_back(Instant now, const Traveller& traveller) {
  now_ = now;
  receive(traveller);
  const std::uint32_t name = name_of(traveller.device);
  devices_[name].edge = now_;
  turn(name);
  decide();
  share();
}

void SiteRun::come(std::uint32_t name) {
  Device& device = devices_[name];
  device.up = true;
  up_ranks_[device.rank / 64] |= bit(device.rank % 64);
  if (++up_count_ == 1 && relayed_ > 0) relay_at_ = now_;
  if (device.wanted) join(name);
  collect_uploads(name);
  upload(name);
}

void SiteRun::go(std::uint32_t name, Duration takeover) {
  Device& device = devices_[name];
  if (device.wanted) leave(name, takeover);
  stop_upload(name);
  device.up = false;
  up_ranks_[device.rank / 64] &= ~bit(device.rank % 64);
  if (--up_count_ == 0) stop_relay();
}

// A wave that is due: its devices want the layers, or may apply them.
void SiteRun::order() {
  const auto [at, wave] = orders_.back();
  orders_.pop_back();
  for (std::uint32_t i = 0; i < count(); ++i) {
    Device& device = devices_[i];
    if (device.wave != wave || !device.here) continue;
    // It may be long ago that somebody looked.
    if (device.edge <= now_) turn(i);
    device.begun |= times_[wave].begun <= now_;
    if (!device.wanted) {
      want(i);
      if (device.up) join(i);
    } else if (device.up && missing(device) == 0 && !device.reported) {
      complete(i, {});
    }
  }
}

void SiteRun::want(std::uint32_t name) {
  Device& device = devices_[name];
  down();
  device.wanted = true;
  union_bytes_ += bytes_of(device.need & ~union_parts_);
  union_parts_ |= device.need;
  unreported_ += !device.reported;
  lacking_ += missing(device) != 0;
}

// It is up and wanted.
void SiteRun::join(std::uint32_t name) {
  Device& device = devices_[name];
  down();
  ++members_up_;
  wired_up_ += !device.is_wireless;
  for_each_part(device.has, [this](std::size_t part) {
    if (holders_[part]++ == 0 && lack_[part] > 0) rebuild_ = true;
  });
  if (missing(device) == 0) {
    if (!device.reported) complete(name, {});
    return;
  }
  ++lacking_up_;
  for_each_part(missing(device), [this](std::size_t part) { ++lack_[part]; });
  if (mode_ == Mode::direct) {
    if (admitted_) start_direct(name);
    return;
  }
  const auto first = static_cast<std::size_t>(std::countr_zero(missing(device)));
  const bool is_current = static_cast<int>(first) == current_;
  if (device.partial > (is_current ? frontier() : available_[first])) {
    // It brings more of it than the site has.
    if (is_current) {
      stop_all_lan();
      if (fetching_) stop_fetch();
      rebuild_ = true;
    }
    available_[first] = device.partial;
  }
  if (!rebuild_) start_lan(name);
  if (lease_) report_to_lease(name);
}

// It goes, or dies; it is up and wanted still.
void SiteRun::leave(std::uint32_t name, Duration takeover) {
  Device& device = devices_[name];
  down();
  if (missing(device) != 0) {
    if (mode_ == Mode::direct)
      stop_direct(name);
    else
      stop_lan(name);
  }
  if (device.is_fetcher) {
    start_lapse(name, takeover);
  } else if (lease_ && missing(device) != 0) {
    tell_lease(policy::SiteLease::Reported{id(name), {0}, device.is_wireless});
  }
  --members_up_;
  wired_up_ -= !device.is_wireless;
  if (missing(device) != 0) {
    --lacking_up_;
    for_each_part(missing(device), [this](std::size_t part) { --lack_[part]; });
  }
  carriers_changed_ = true;
  for_each_part(device.has, [this](std::size_t part) { --holders_[part]; });
}

// It is up, and holds these parts from now on.
void SiteRun::gain(std::uint32_t name, std::uint64_t parts) {
  Device& device = devices_[name];
  const std::uint64_t before = missing(device);
  const std::uint64_t fresh = parts & ~device.has;
  device.has |= fresh;
  for_each_part(fresh, [this](std::size_t part) {
    ++holders_[part];
    available_[part] = bytes_of(bit(part));
  });
  for_each_part(before & fresh, [this](std::size_t part) { --lack_[part]; });
  if (before != 0 && missing(device) == 0) {
    device.partial = 0;
    --lacking_;
    --lacking_up_;
  }
}

// It is up and holds all of it.
void SiteRun::complete(std::uint32_t name, Duration late) {
  Device& device = devices_[name];
  if (lease_) tell_lease(policy::SiteLease::Reported{id(name), {0}, device.is_wireless});
  if (!device.holds) held.push_back({now_, number(name)});
  device.holds = true;
  if (!device.begun || device.reported) return;
  device.reported = true;
  --unreported_;
  outcomes.push_back(
      {now_ + late + plan_.scenario.rollout.apply_takes, number(name), device.wave, device.fails});
}

// ---------------------------------------------------------------- fetching

// Over the residents of each wave, in the order of their ids, which are random: what crosses the
// line stays the same.
void SiteRun::spread_work() {
  const double unevenness = plan_.scenario.tcp.unevenness;
  if (unevenness <= 0) return;
  std::array<std::uint32_t, kNoWave + 1> devices{}, seen{};
  for (std::uint32_t name = 0; name < residents_; ++name) ++devices[devices_[name].wave];
  for (const std::uint32_t name : by_rank_) {
    if (is_guest(name)) continue;
    Device& device = devices_[name];
    const double place = (seen[device.wave]++ + 0.5) / devices[device.wave];
    device.work = 1 + unevenness * (2 * place - 1);
  }
}

void SiteRun::start_direct(std::uint32_t name) {
  const Device& device = devices_[name];
  down().add(name, device.is_wireless ? kRadioBundle : kWiredBundle,
             std::max(0.0, bytes_of(missing(device)) - device.partial) * device.work);
}

void SiteRun::stop_direct(std::uint32_t name) {
  Device& device = devices_[name];
  if (!down().runs(name)) return;
  device.partial = std::max(0.0, bytes_of(missing(device)) - down().remove(name) / device.work);
}

void SiteRun::set_admitted(Instant now, bool admitted) {
  if (admitted == admitted_) return;
  now_ = now;
  down();
  admitted_ = admitted;
  if (mode_ == Mode::direct) {
    for (std::uint32_t i = 0; i < count(); ++i) {
      const Device& device = devices_[i];
      if (!device.up || !device.wanted || missing(device) == 0) continue;
      if (admitted)
        start_direct(i);
      else
        stop_direct(i);
    }
  }
  decide();
  share();
}

Bytes SiteRun::lacks() const {
  double bytes = 0;
  if (mode_ == Mode::direct) {
    for (std::uint32_t i = 0; i < count(); ++i) {
      const Device& device = devices_[i];
      if (!device.up || !device.wanted || missing(device) == 0) continue;
      bytes += down_->lines(place_).runs(i) ? down_->lines(place_).left(i) / device.work
                                            : bytes_of(missing(device)) - device.partial;
    }
  } else {
    for (std::size_t part = 0; part < lack_.size(); ++part)
      if (lack_[part] > 0 && holders_[part] == 0)
        bytes += bytes_of(bit(part)) -
                 (static_cast<int>(part) == current_ ? frontier() : available_[part]);
  }
  return {static_cast<std::int64_t>(std::ceil(std::max(0.0, bytes)))};
}

// Which part the site fetches, whether it may, and who does. After all that changed.
void SiteRun::decide() {
  if (mode_ == Mode::direct) return;
  if (carriers_changed_) check_carriers();
  const auto is_lacked = [this](std::size_t part) {
    return lack_[part] > 0 && holders_[part] == 0;
  };
  if (current_ < 0 || !is_lacked(static_cast<std::size_t>(current_))) {
    if (fetching_) stop_fetch();
    if (current_ >= 0 && lan_.has_followers()) {
      stop_all_lan();
      rebuild_ = true;
    }
    int part = -1;
    for (std::size_t i = 0; i < lack_.size() && part < 0; ++i)
      if (is_lacked(i)) part = static_cast<int>(i);
    if (part != current_) rebuild_ = true;
    if (rebuild_) stop_all_lan();
    current_ = part;
    lan_.restart_frontier(frontier());
  }
  if (current_ < 0) {
    forget_lease();
  } else {
    if (!lease_) make_lease();
    const bool may = admitted_ && !fetchers_.empty();
    if (fetching_ && (!may || fetch_changed_)) stop_fetch();
    if (!fetching_ && may) start_fetch();
  }
  if (rebuild_) rebuild();
}

void SiteRun::start_fetch() {
  const auto part = static_cast<std::size_t>(current_);
  fetch_flows_ = static_cast<std::uint32_t>(fetchers_.size());
  const double bytes = std::max(0.0, bytes_of(bit(part)) - available_[part]) / fetch_flows_;
  for (std::uint32_t i = 0; i < fetch_flows_; ++i)
    down().add(count() + i, devices_[fetchers_[i]].is_wireless ? kRadioBundle : kWiredBundle,
               bytes);
  fetching_ = true;
  fetch_changed_ = false;
}

void SiteRun::stop_fetch() {
  available_[static_cast<std::size_t>(current_)] = frontier();
  for (std::uint32_t i = 0; i < fetch_flows_; ++i)
    if (down().runs(count() + i)) down().remove(count() + i);
  fetching_ = false;
}

// All of the current part is at the site.
void SiteRun::finish_part() {
  const auto part = static_cast<std::size_t>(current_);
  const double bytes = bytes_of(bit(part));
  const Duration late = start_delay(
      plan_.scenario.tcp, site_.rtt,
      down_->rate(place_, devices_[fetchers_.front()].is_wireless ? kRadioBundle : kWiredBundle));
  lan_.touch(now_, bytes);  // The last fraction of a nanosecond's bytes.
  available_[part] = bytes;
  fetching_ = false;
  finished_late_ = late;
  const std::vector<std::uint32_t> fetchers = fetchers_;
  stop_all_lan();
  for (const std::uint32_t name : fetchers) {
    Device& device = devices_[name];
    if (missing(device) != 0 && static_cast<std::size_t>(std::countr_zero(missing(device))) == part)
      device.partial = 0;
    gain(name, bit(part));
    if ((device.need & bit(part)) != 0 && missing(device) == 0) complete(name, late);
  }
  finished_late_ = {};
  rebuild_ = true;
}

// Parts of which a device that left may have had the most.
void SiteRun::check_carriers() {
  carriers_changed_ = false;
  for (std::size_t part = 0; part < lack_.size(); ++part) {
    if (holders_[part] > 0 || available_[part] <= 0) continue;
    const bool is_current = static_cast<int>(part) == current_;
    if (is_current && !fetchers_.empty()) continue;  // They have all of it.
    if (is_current && fetching_) stop_fetch();
    stop_all_lan();
    rebuild_ = true;
    if (holders_[part] > 0) continue;  // Somebody had just got it all.
    double most = 0;
    for (const Device& device : devices_)
      if (device.up && device.wanted && missing(device) != 0 &&
          static_cast<std::size_t>(std::countr_zero(missing(device))) == part)
        most = std::max(most, device.partial);
    available_[part] = most;
    if (is_current) lan_.restart_frontier(most);
  }
}

void SiteRun::stop_all_lan() {
  for (std::uint32_t i = 0; i < count(); ++i) stop_lan(i);
}

// Gives each device anew what the site has.
void SiteRun::rebuild() {
  rebuild_ = false;
  stop_all_lan();
  lan_.restart_frontier(frontier());
  for (std::uint32_t i = 0; i < count(); ++i)
    if (devices_[i].up && devices_[i].wanted && missing(devices_[i]) != 0) start_lan(i);
}

// What the site has of what the device lacks, in the order of parts; the last of it may be what is
// fetched right now.
void SiteRun::start_lan(std::uint32_t name) {
  Device& device = devices_[name];
  if (lan_.runs(name)) return;
  device.lan_parts = 0;
  device.lan_follows = false;
  for (std::uint64_t rest = missing(device); rest != 0; rest &= rest - 1) {
    const auto part = static_cast<std::size_t>(std::countr_zero(rest));
    if (holders_[part] == 0) {
      device.lan_follows = static_cast<int>(part) == current_ && !device.is_fetcher;
      break;
    }
    device.lan_parts |= bit(part);
  }
  const double there = bytes_of(device.lan_parts) - device.partial;
  if (device.lan_follows) {
    lan_.add_behind(name, access(device), there + frontier());
  } else if (device.lan_parts != 0) {
    lan_.add_fixed(name, access(device), std::max(0.0, there));
  }
}

void SiteRun::stop_lan(std::uint32_t name) {
  if (!lan_.runs(name)) return;
  Device& device = devices_[name];
  double got = bytes_of(device.lan_parts) - lan_.remove(name);
  std::uint64_t parts = device.lan_parts;
  if (device.lan_follows) {
    got += frontier();
    parts |= bit(static_cast<std::size_t>(current_));
  }
  std::uint64_t whole = 0;
  for (std::uint64_t rest = parts; rest != 0; rest &= rest - 1) {
    const std::uint64_t part = rest & -rest;
    if (got < bytes_of(part) - kHalfByte) break;
    got -= bytes_of(part);
    whole |= part;
  }
  device.partial = std::max(0.0, got);
  device.lan_parts = 0;
  device.lan_follows = false;
  gain(name, whole);
  if (whole != 0 && missing(device) == 0) complete(name, finished_late_);
}

// ---------------------------------------------------------------- figures

SiteResult SiteRun::result() const {
  SiteResult result;
  result.devices = std::count_if(devices_.begin(), devices_.begin() + residents_,
                                 [](const Device& device) { return device.wave != kNoWave; });
  const auto whole = [](double bytes) { return Bytes{std::llround(std::max(0.0, bytes))}; };
  for (std::size_t i = 0; i < kSources; ++i) result.bytes[i] = whole(bytes_[i]);
  const double fetched = down_->lines(place_).carried(kForeground);
  const Source source = mode_ == Mode::direct ? Source::origin_by_budget : Source::origin_by_lease;
  result.bytes[static_cast<std::size_t>(source)] = whole(fetched);
  const double sent = up_->lines(place_).carried(kForeground);
  result.uploaded = whole(sent);
  result.upload_left = whole(upload_due_bytes_ - sent);
  for (std::size_t i = 0; i < kLimits; ++i) result.waiting[i] = std::llround(waiting_[i] * 1e3);
  return result;
}

LineResult SiteRun::line(Direction direction) const {
  const bool is_down = direction == Direction::down;
  LineResult line{.kind = LineKind::site, .index = index_, .direction = direction};
  const double factor = plan_.fleet.line_factor(index_);
  const BitRate rate = is_down ? site_.wan_down : site_.wan_up;
  line.rate = {std::llround(static_cast<double>(rate.bits_per_second) * factor)};
  for (const double bytes : is_down ? down_hours_ : up_hours_)
    line.hours.push_back({std::llround(std::max(0.0, bytes) / plan_.scenario.tcp.goodput)});
  const double full = (is_down ? down_ : up_)->lines(place_).full_seconds();
  line.saturated = Duration(std::llround(full * 1e9));
  return line;
}

}  // namespace lamina::sim
