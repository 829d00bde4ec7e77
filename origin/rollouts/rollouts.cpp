#include "origin/rollouts/rollouts.hpp"

#include <algorithm>

#include "origin/catalog/rules.hpp"
#include "origin/rollouts/plan.hpp"
#include "origin/rollouts/status.hpp"
#include "shared/base/log.hpp"

namespace lamina::origin {
namespace {

using policy::Admission;
using policy::Rollout;

// After a restart members come back with their next poll; until then a site is not taken for dead.
constexpr Duration kGrace = std::chrono::seconds{150};
constexpr std::size_t kNextSitesShown = 10;

Instant instant_of(std::int64_t wall_ms) { return Instant{std::chrono::milliseconds{wall_ms}}; }
std::int64_t ms_of(Instant wall) { return wall.time_since_epoch().count() / 1'000'000; }

template <class Enum>
Enum value_of(const std::string& name, std::initializer_list<Enum> values, Enum otherwise) {
  for (const Enum value : values)
    if (policy::name_of(value) == name) return value;
  return otherwise;
}

Rollout::Phase phase_of(const std::string& name) {
  using enum Rollout::Phase;
  return value_of(name, {planned, running, paused, stopped, done}, planned);
}
Rollout::StopReason stop_reason_of(const std::string& name) {
  using enum Rollout::StopReason;
  return value_of(name, {none, failures, administrator, unassignable}, none);
}
Rollout::Outcome outcome_of(const std::string& name) {
  using enum Rollout::Outcome;
  return value_of(name, {open, succeeded, failed}, open);
}
Rollout::Step step_of(const std::string& name) {
  using enum Rollout::Step;
  return value_of(name, {untouched, staged, begun}, untouched);
}

Rollout::Member member_of(const wire::RolloutDevice& row) {
  return {row.device, row.site, outcome_of(row.outcome), row.holds};
}

Admission::Limits admission_limits(const wire::RolloutRequest& plan) {
  return {.sites_max = static_cast<std::size_t>(plan.sites_at_once)};
}

Error no_rollout(const std::string& name) {
  return Error(ErrorKind::not_found,
               "there is no rollout '" + printable(name, 80) + "'; `lamina rollout ls` lists them");
}

}  // namespace

Status Rollouts::open(Moment moment) {
  if (opened_) return Done{};
  auto all = catalog_.rollouts();
  if (!all) return fail(std::move(all.error()).in("opening the rollouts"));
  Map opened;
  for (wire::RolloutInfo& info : *all) {
    const std::string name = info.plan.name;
    auto running = restore(std::move(info), moment);
    if (!running) return fail(std::move(running.error()).in("opening rollout " + name));
    opened.emplace(name, std::move(*running));
  }
  rollouts_ = std::move(opened);
  opened_at_ = moment.now;
  last_ = moment;
  opened_ = true;
  Status status = Done{};
  for (auto& [name, running] : rollouts_)
    if (running.rollout.phase() == Rollout::Phase::running)
      note(status, feed(running, Rollout::Tick{}, moment));
  return status;
}

Result<std::vector<LayerId>> Rollouts::layer_ids(const wire::RolloutRequest& plan) const {
  std::vector<LayerId> ids;
  for (const std::string& name : plan.layers) {
    auto layer = catalog_.layer(name);
    if (!layer) return fail(std::move(layer.error()));
    ids.push_back(layer->id);
  }
  return ids;
}

Result<Rollouts::Running> Rollouts::restore(wire::RolloutInfo info, Moment moment) const {
  if (auto good = check_plan(info.plan); !good) return fail(std::move(good.error()));
  const std::size_t waves = info.plan.waves.size();
  if (info.waves.size() != waves || static_cast<std::size_t>(info.current) >= waves)
    return fail(ErrorKind::corrupt, "its waves do not fit its plan");
  auto layers = layer_ids(info.plan);
  if (!layers) return fail(std::move(layers.error()));
  auto rows = catalog_.rollout_devices(info.plan.name);
  if (!rows) return fail(std::move(rows.error()));
  Rollout::Memory memory{.phase = phase_of(info.phase),
                         .reason = stop_reason_of(info.stop_reason),
                         .current = static_cast<std::uint32_t>(info.current),
                         .success_since = std::nullopt,
                         .waves = std::vector<Rollout::Wave>(waves)};
  if (info.success_since_ms > 0) memory.success_since = instant_of(info.success_since_ms);
  for (std::size_t i = 0; i < waves; ++i) memory.waves[i].step = step_of(info.waves[i].step);
  std::map<DeviceId, wire::RolloutDevice> devices;
  for (wire::RolloutDevice& row : *rows) {
    if (static_cast<std::size_t>(row.wave) >= waves)
      return fail(ErrorKind::corrupt, "device " + row.device.hex() + " is in no wave of it");
    if (row.outcome != kLeft)
      memory.waves[static_cast<std::size_t>(row.wave)].members.push_back(member_of(row));
    devices.emplace(row.device, std::move(row));
  }
  Running running{.info = info,
                  .layers = std::move(*layers),
                  .rollout = Rollout({}, gates_of(info.plan), std::move(memory)),
                  .admission = Admission(admission_limits(info.plan)),
                  .devices = std::move(devices),
                  .lacks = {},
                  .lacks_at = {},
                  .kept = {},
                  .problem = {}};
  if (info.admitted.size() <= static_cast<std::size_t>(info.plan.sites_at_once))
    running.admission.restore(info.admitted, moment.now);
  return running;
}

Instant Rollouts::wall_instant(Moment moment) {
  wall_now_ = std::max(wall_now_, Instant{Duration{moment.wall.ns}});
  last_ = moment;
  return wall_now_;
}

// A rollout that is over stays engaged while sites fetch it: stopping it must not let all those
// loose at once that wait for admission.
bool Rollouts::is_engaged(const Running& running) {
  return running.rollout.phase() != Rollout::Phase::planned;
}

Result<wire::RolloutInfo> Rollouts::create(const Act& act, const wire::RolloutRequest& plan) {
  if (auto good = check_plan(plan); !good) return fail(std::move(good.error()));
  if (auto good = signer_(act.now, plan.wan_budget); !good) return fail(std::move(good.error()));
  auto layers = layer_ids(plan);
  if (!layers) return fail(std::move(layers.error()));
  wire::RolloutInfo info{.plan = plan, .created_ms = act.now.ns / 1'000'000};
  info.waves.resize(plan.waves.size());
  Running running{.info = std::move(info),
                  .layers = std::move(*layers),
                  .rollout = Rollout({}, gates_of(plan)),
                  .admission = Admission(admission_limits(plan)),
                  .devices = {},
                  .lacks = {},
                  .lacks_at = {},
                  .kept = {},
                  .problem = {}};
  running.info = fresh(running);
  if (auto added = catalog_.add_rollout(act, running.info); !added)
    return fail(std::move(added.error()));
  if (act.is_rehearsal) return running.info;
  return rollouts_.insert_or_assign(plan.name, std::move(running)).first->second.info;
}

Result<wire::RolloutInfo> Rollouts::command(const Act& act, const std::string& name,
                                            const std::string& verb, Moment moment) {
  if (!rollouts_.contains(name)) return fail(no_rollout(name));
  Running& running = rollouts_.at(name);
  const Rollout::Phase phase = running.rollout.phase();
  const std::int64_t now = ms_of(wall_instant(moment));
  Rollout::Event event;
  wire::RolloutInfo after = fresh(running);
  bool fits = false;
  if (verb == "start") {
    event = Rollout::Start{}, fits = phase == Rollout::Phase::planned;
    after.phase = policy::name_of(Rollout::Phase::running), after.started_ms = now;
  } else if (verb == "pause") {
    event = Rollout::Pause{}, fits = phase == Rollout::Phase::running;
    after.phase = policy::name_of(Rollout::Phase::paused);
  } else if (verb == "resume") {
    event = Rollout::Resume{}, fits = phase == Rollout::Phase::paused;
    after.phase = policy::name_of(Rollout::Phase::running);
  } else if (verb == "stop") {
    event = Rollout::Stop{};
    fits = phase != Rollout::Phase::stopped && phase != Rollout::Phase::done;
    after.phase = policy::name_of(Rollout::Phase::stopped), after.ended_ms = now;
    after.stop_reason = policy::name_of(Rollout::StopReason::administrator);
  } else {
    return fail(ErrorKind::not_found, "a rollout has no '" + printable(verb, 40) +
                                          "'; it has start, pause, resume and stop");
  }
  if (!fits)
    return fail(ErrorKind::refused, "rollout " + name + " is " +
                                        std::string(policy::name_of(phase)) + ": it cannot " +
                                        verb + " now");
  // Written first: what an administrator was told has happened outlasts a crash.
  if (auto noted = catalog_.note_rollout(act, after, "rollout." + verb, ""); !noted)
    return fail(std::move(noted.error()));
  if (act.is_rehearsal) return after;
  running.info = std::move(after);
  if (auto done = feed(running, std::move(event), moment); !done)
    log::error("rollout_failed", {{"rollout", name}, {"error", done.error().text()}});
  return fresh(running);
}

std::vector<wire::RolloutInfo> Rollouts::list() const {
  std::vector<wire::RolloutInfo> all;
  for (const auto& [name, running] : rollouts_) all.push_back(fresh(running));
  return all;
}

Result<wire::RolloutDetail> Rollouts::show(const std::string& name) const {
  if (!rollouts_.contains(name)) return fail(no_rollout(name));
  const Running& running = rollouts_.at(name);
  wire::RolloutDetail detail{.rollout = fresh(running), .devices = {}};
  for (const auto& [id, row] : running.devices) detail.devices.push_back(row);
  return detail;
}

// --- the waves

Status Rollouts::feed(Running& running, Rollout::Event event, Moment moment) {
  const Act act{"origin", moment.wall};
  Status status = Done{};
  std::deque<Rollout::Event> events;
  events.push_back(std::move(event));
  while (!events.empty()) {
    const Rollout::Event next = std::move(events.front());
    events.pop_front();
    for (const Rollout::Action& action : running.rollout.on(next, wall_instant(moment))) {
      const wire::RolloutRequest& plan = running.info.plan;
      if (const auto* stage = std::get_if<Rollout::Stage>(&action)) {
        note(status, assign(running, stage->wave, Catalog::WaveStep::staged, events, moment));
      } else if (const auto* begin = std::get_if<Rollout::Begin>(&action)) {
        note(status, assign(running, begin->wave, Catalog::WaveStep::begun, events, moment));
      } else if (const auto* passed = std::get_if<Rollout::Passed>(&action)) {
        log::info("rollout_wave_passed", {{"rollout", plan.name}, {"wave", passed->wave + 1}});
        note(status, keep(running, act, "rollout.pass", wave_text(plan, passed->wave)));
      } else if (const auto* ended = std::get_if<Rollout::Ended>(&action)) {
        running.info.ended_ms = ms_of(wall_now_);
        log::info("rollout_ended", {{"rollout", plan.name},
                                    {"phase", policy::name_of(ended->phase)},
                                    {"reason", policy::name_of(ended->reason)}});
        note(status, keep(running, act,
                          ended->phase == Rollout::Phase::done ? "rollout.done" : "rollout.stopped",
                          describe(running)));
      }
    }
  }
  note(status, keep(running, act, "", ""));
  return status;
}

Status Rollouts::assign(Running& running, std::uint32_t wave, Catalog::WaveStep step,
                        std::deque<Rollout::Event>& events, Moment moment) {
  const wire::RolloutRequest& plan = running.info.plan;
  auto all = catalog_.devices();
  if (!all) return fail(std::move(all.error()));
  std::vector<policy::PlacedDevice> fleet;
  for (const wire::DeviceInfo& device : *all)
    if (is_of_fleet(device)) fleet.push_back({device.site, device.id});
  std::ranges::sort(fleet);

  std::vector<wire::RolloutDevice> rows;
  for (const auto& [id, row] : running.devices)
    if (row.outcome != kLeft && static_cast<std::uint32_t>(row.wave) == wave) rows.push_back(row);
  for (const policy::PlacedDevice& placed :
       policy::wave_members(names_of(plan.waves[wave]), fleet,
                            [&](const DeviceId& id) { return running.devices.contains(id); }))
    rows.push_back({.device = placed.device,
                    .site = placed.site,
                    .wave = static_cast<int>(wave),
                    .outcome = std::string(policy::name_of(Rollout::Outcome::open)),
                    .text = {}});

  const bool begun = step == Catalog::WaveStep::begun;
  auto sign = signer_(moment.wall, plan.wan_budget);
  Status done = Done{};
  if (!sign) {
    done = fail(std::move(sign.error()));
  } else {
    wire::RolloutInfo after = running.info;
    wire::RolloutWaveState& state = after.waves[wave];
    state.step = policy::name_of(begun ? Rollout::Step::begun : Rollout::Step::staged);
    if (begun && !state.began_ms) state.began_ms = ms_of(wall_instant(moment));
    done = catalog_.assign_wave({"rollout:" + plan.name, moment.wall}, after, step, rows, *sign);
    if (done) running.info = std::move(after);
  }
  if (!done) {
    running.problem = wave_text(plan, wave) + ": " + done.error().text();
    const ErrorKind kind = done.error().kind();
    if (kind == ErrorKind::refused || kind == ErrorKind::invalid || kind == ErrorKind::not_found) {
      events.push_back(Rollout::Unassignable{});
      return Done{};
    }
    return done;  // The policy asks again.
  }
  running.problem.clear();
  log::info(begun ? "rollout_wave_begun" : "rollout_wave_staged",
            {{"rollout", plan.name}, {"wave", wave + 1}, {"devices", rows.size()}});
  std::vector<Rollout::Member> members;
  for (wire::RolloutDevice& row : rows) {
    members.push_back(member_of(row));
    running.devices.insert_or_assign(row.device, std::move(row));
  }
  if (begun)
    events.push_back(Rollout::Begun{wave, std::move(members)});
  else
    events.push_back(Rollout::Staged{wave, std::move(members)});
  return Done{};
}

Status Rollouts::set_outcome(Running& running, wire::RolloutDevice& row, Rollout::Outcome outcome,
                             const std::string& text, Moment moment) {
  const std::string name(policy::name_of(outcome));
  if (row.outcome == name && row.text == text) return Done{};
  if (row.outcome != name) row.outcome_ms = ms_of(wall_instant(moment));
  row.outcome = name;
  row.text = text;
  Status status = catalog_.note_rollout_device(running.info.plan.name, row);
  if (outcome == Rollout::Outcome::succeeded)
    note(status, feed(running, Rollout::Succeeded{row.device}, moment));
  else
    note(status, feed(running, Rollout::Failed{row.device}, moment));
  return status;
}

Status Rollouts::leave(Running& running, wire::RolloutDevice& row, const std::string& why,
                       Moment moment) {
  row.outcome = kLeft;
  row.outcome_ms = ms_of(wall_instant(moment));
  row.text = why;
  Status status = catalog_.note_rollout_device(running.info.plan.name, row);
  note(status, forget_lacks(running, row.device, moment));
  note(status, feed(running, Rollout::Left{row.device}, moment));
  return status;
}

// Writes the rollout's row if it says anything new, or if `action` is to be audited. Counts come
// from the devices' rows and texts from both: they alone are no reason to write.
Status Rollouts::keep(Running& running, const Act& act, const std::string& action,
                      const std::string& detail) {
  running.info = fresh(running);
  const wire::RolloutInfo& info = running.info;
  std::string text = info.phase + ' ' + info.stop_reason + ' ' + std::to_string(info.current) +
                     ' ' + std::to_string(info.success_since_ms);
  for (const wire::RolloutWaveState& wave : info.waves) text += ' ' + wave.step;
  for (const std::string& site : info.admitted) text += ' ' + site;
  if (text == running.kept && action.empty()) return Done{};
  auto kept = catalog_.note_rollout(act, info, action, detail);
  if (kept) running.kept = std::move(text);
  return kept;
}

wire::RolloutInfo Rollouts::fresh(const Running& running) {
  wire::RolloutInfo info = running.info;
  const Rollout& rollout = running.rollout;
  info.phase = policy::name_of(rollout.phase());
  info.stop_reason = policy::name_of(rollout.stop_reason());
  info.waits_for = policy::name_of(rollout.waits_for().what);
  info.current = static_cast<int>(rollout.current());
  info.success_since_ms = rollout.success_since() ? ms_of(*rollout.success_since()) : 0;
  for (std::uint32_t i = 0; i < rollout.waves(); ++i) {
    const Rollout::Counts& counts = rollout.counts(i);
    info.waves[i] = {.step = std::string(policy::name_of(rollout.step(i))),
                     .devices = counts.devices,
                     .succeeded = counts.succeeded,
                     .failed = counts.failed,
                     .sites = counts.sites,
                     .warm_sites = counts.warm_sites,
                     .began_ms = info.waves[i].began_ms};
  }
  info.admitted = running.admission.admitted_sites();
  info.sites_waiting = static_cast<std::int64_t>(running.admission.waiting());
  info.next_sites = running.admission.waiting_sites(kNextSitesShown);
  info.text = describe(running);
  return info;
}

std::string Rollouts::describe(const Running& running) {
  const Rollout& rollout = running.rollout;
  const wire::RolloutRequest& plan = running.info.plan;
  const std::string wave = wave_text(plan, rollout.current());
  const Rollout::Wait wait = rollout.waits_for();
  const auto counted = [&](const std::string& what) {
    return wave + ": " + std::to_string(wait.have) + " of " + std::to_string(wait.all) + " " +
           what + ", " + std::to_string(wait.need) + " are needed";
  };
  switch (wait.what) {
    case Rollout::Waits::start: return "`lamina rollout start " + plan.name + "` starts it";
    case Rollout::Waits::resume:
      return "paused in " + wave + "; `lamina rollout resume " + plan.name + "` goes on";
    case Rollout::Waits::assignment:
      return running.problem.empty() ? wave + " is being assigned" : running.problem;
    case Rollout::Waits::warm: return counted("sites hold the layers");
    case Rollout::Waits::success: return counted("devices have applied the layers");
    case Rollout::Waits::soak:
      return wave + ": " + std::to_string(wait.have) + " of " + std::to_string(wait.all) +
             " devices have applied the layers; soaks until " +
             to_iso8601(WallTime{wait.until->time_since_epoch().count()});
    case Rollout::Waits::nothing: break;
  }
  switch (rollout.stop_reason()) {
    case Rollout::StopReason::none: return "every wave has passed its gates";
    case Rollout::StopReason::administrator: return "stopped by an administrator in " + wave;
    case Rollout::StopReason::unassignable: return running.problem;
    case Rollout::StopReason::failures: break;
  }
  for (std::uint32_t i = 0; i <= rollout.current(); ++i) {
    const Rollout::Counts& counts = rollout.counts(i);
    const int most = rollout.gates(i).failure_percent;
    if (counts.failed * 100 > most * counts.devices)
      return wave_text(plan, i) + ": " + std::to_string(counts.failed) + " of " +
             std::to_string(counts.devices) + " devices failed, more than " + std::to_string(most) +
             " %";
  }
  return "too many devices failed";  // They have left, or succeeded since.
}

// --- time

Status Rollouts::tick(Moment moment) {
  Status status = Done{};
  const Instant wall = wall_instant(moment);
  for (auto& [name, running] : rollouts_) {
    if (const auto due = running.rollout.next_change(); due && *due <= wall)
      note(status, feed(running, Rollout::Tick{}, moment));
    if (const auto due = running.admission.next_change(); due && *due <= moment.now)
      note(status, admit(running, Admission::Tick{}, "", moment));
    if (moment.now - opened_at_ < kGrace || running.admission.admitted() == 0) continue;
    for (const std::string& site : running.admission.admitted_sites()) {
      if (sites_.is_up(site)) continue;
      for (const auto& [device, lacks] : running.lacks[site]) running.lacks_at.erase(device);
      running.lacks.erase(site);
      note(status, admit(running, Admission::Gone{site}, site, moment));
    }
  }
  return status;
}

std::optional<Instant> Rollouts::next_change() const {
  std::optional<Instant> next;
  const auto at = [&](Instant when) { next = next ? std::min(*next, when) : when; };
  for (const auto& [name, running] : rollouts_) {
    if (const auto due = running.rollout.next_change()) at(last_.now + (*due - wall_now_));
    if (const auto due = running.admission.next_change()) at(*due);
  }
  return next;
}

}  // namespace lamina::origin
