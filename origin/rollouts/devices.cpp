#include <algorithm>

#include "origin/rollouts/rollouts.hpp"
#include "origin/rollouts/status.hpp"
#include "shared/base/log.hpp"

// What devices say about rollouts, and which sites may fetch them: the second half of Rollouts.
namespace lamina::origin {

using policy::Admission;
using policy::Rollout;

Status Rollouts::polled(const wire::DeviceInfo& device, const wire::PollRequest& poll,
                        Moment moment) {
  Status status = Done{};
  for (auto& [name, running] : rollouts_) {
    if (!is_engaged(running)) continue;
    const auto found = running.devices.find(device.id);
    if (found == running.devices.end() || found->second.outcome == kLeft) continue;
    wire::RolloutDevice& row = found->second;

    // What it does not speak of is as it was: its records are being fetched again, perhaps.
    const auto before = running.lacks_at.find(device.id);
    Lacks lacks = before == running.lacks_at.end() ? Lacks(running.layers.size(), -1)
                                                   : running.lacks[before->second][device.id];
    if (poll.applied == running.layers) lacks.assign(running.layers.size(), 0);
    for (std::size_t i = 0; i < running.layers.size(); ++i) {
      for (const wire::Want& want : poll.wants)
        if (want.layer == running.layers[i]) lacks[i] = want.missing_bytes;
      for (const wire::LayerState& state : poll.layers.value_or(std::vector<wire::LayerState>()))
        // Of a layer whose records are being fetched it does not know yet how much is missing.
        if (state.layer == running.layers[i] && state.reason != "waiting-for-records")
          lacks[i] = state.missing_bytes;
    }
    note(status, note_lacks(running, device, lacks, moment));
    const bool holds = std::ranges::all_of(lacks, [](std::int64_t bytes) { return bytes == 0; });
    if (holds != row.holds) {
      row.holds = holds;
      note(status, catalog_.note_rollout_device(name, row));
      note(status, feed(running, Rollout::Holds{device.id, holds}, moment));
    }
    if (running.rollout.step(static_cast<std::uint32_t>(row.wave)) != Rollout::Step::begun)
      continue;
    if (device.target != running.info.plan.layers)
      note(status, leave(running, row, "it was given other layers", moment));
    else if (poll.applied == running.layers)
      note(status, set_outcome(running, row, Rollout::Outcome::succeeded, "", moment));
    else if (row.outcome == policy::name_of(Rollout::Outcome::succeeded))
      note(status, set_outcome(running, row, Rollout::Outcome::failed,
                               "it went back to other layers", moment));
  }
  return status;
}

Status Rollouts::fetching(const wire::DeviceInfo& device, const std::vector<wire::Want>& wants,
                          Moment moment) {
  Status status = Done{};
  for (auto& [name, running] : rollouts_) {
    const auto at = running.lacks_at.find(device.id);
    if (at == running.lacks_at.end()) continue;
    Lacks lacks = running.lacks[at->second][device.id];
    for (std::size_t i = 0; i < lacks.size(); ++i) {
      // What it wanted and does not want any more is complete.
      if (lacks[i] > 0) lacks[i] = 0;
      for (const wire::Want& want : wants)
        if (want.layer == running.layers[i]) lacks[i] = want.missing_bytes;
    }
    note(status, note_lacks(running, device, lacks, moment));
  }
  return status;
}

Status Rollouts::reported(const DeviceId& device, const wire::Report& report, Moment moment) {
  Status status = Done{};
  if (report.operation != "apply") return status;
  for (auto& [name, running] : rollouts_) {
    const auto found = running.devices.find(device);
    if (found == running.devices.end() || found->second.outcome == kLeft || !is_engaged(running) ||
        report.target_sequence < found->second.target_sequence ||
        running.rollout.step(static_cast<std::uint32_t>(found->second.wave)) !=
            Rollout::Step::begun)
      continue;
    if (!report.ok) {
      note(status, set_outcome(running, found->second, Rollout::Outcome::failed,
                               printable(report.text, 100), moment));
    } else if (!found->second.bytes_by_source) {
      found->second.bytes_by_source = report.bytes_by_source;
      note(status, catalog_.note_rollout_device(name, found->second));
    }
  }
  return status;
}

Status Rollouts::removed(const DeviceId& device, const std::string& why, Moment moment) {
  Status status = Done{};
  for (auto& [name, running] : rollouts_) {
    const auto found = running.devices.find(device);
    if (found != running.devices.end() && found->second.outcome != kLeft)
      note(status, leave(running, found->second, why, moment));
  }
  return status;
}

// --- admission

Status Rollouts::note_lacks(Running& running, const wire::DeviceInfo& device, const Lacks& lacks,
                            Moment moment) {
  const bool known = std::ranges::any_of(lacks, [](std::int64_t bytes) { return bytes >= 0; });
  const auto at = running.lacks_at.find(device.id);
  Status status = Done{};
  if (at != running.lacks_at.end() && (!known || at->second != device.site))
    status = forget_lacks(running, device.id, moment);
  if (!known) return status;
  running.lacks_at[device.id] = device.site;
  running.lacks[device.site][device.id] = lacks;
  note(status, weigh_site(running, device.site, moment));
  return status;
}

Status Rollouts::forget_lacks(Running& running, const DeviceId& device, Moment moment) {
  const auto at = running.lacks_at.find(device);
  if (at == running.lacks_at.end()) return Done{};
  const std::string site = at->second;
  running.lacks_at.erase(at);
  running.lacks[site].erase(device);
  if (running.lacks[site].empty()) running.lacks.erase(site);
  return weigh_site(running, site, moment);
}

Status Rollouts::weigh_site(Running& running, const std::string& site, Moment moment) {
  // What one device of the site holds, the others need not fetch over the line.
  std::vector<std::int64_t> least(running.layers.size(), -1);
  if (const auto devices = running.lacks.find(site); devices != running.lacks.end())
    for (const auto& [id, lacks] : devices->second)
      for (std::size_t i = 0; i < least.size(); ++i)
        if (lacks[i] >= 0 && (least[i] < 0 || lacks[i] < least[i])) least[i] = lacks[i];
  Bytes left;
  for (const std::int64_t bytes : least) left += Bytes{std::max<std::int64_t>(bytes, 0)};
  return admit(running, Admission::Lacks{.site = site, .bytes_left = left}, site, moment);
}

Status Rollouts::admit(Running& running, const Admission::Event& event, const std::string& site,
                       Moment moment) {
  std::set<std::string> touched;
  if (!site.empty()) touched.insert(site);
  const std::size_t before = running.admission.admitted();
  const auto actions = running.admission.on(event, moment.now);
  for (const Admission::Action& action : actions) {
    const auto& name =
        std::visit([](const auto& a) -> const std::string& { return a.site; }, action);
    log::info(std::holds_alternative<Admission::Admit>(action) ? "site_admitted" : "site_withdrawn",
              {{"rollout", running.info.plan.name}, {"site", name}});
    touched.insert(name);
  }
  Status status = Done{};
  for (const std::string& name : touched) note(status, withhold(name, moment));
  if (!actions.empty() || running.admission.admitted() != before)
    note(status, keep(running, {"origin", moment.wall}, "", ""));
  return status;
}

Status Rollouts::withhold(const std::string& site, Moment moment) {
  std::set<LayerId> layers;
  for (const auto& [name, running] : rollouts_)
    if (running.admission.is_waiting(site))
      layers.insert(running.layers.begin(), running.layers.end());
  for (const auto& [name, running] : rollouts_)
    if (running.admission.is_admitted(site))
      for (const LayerId& layer : running.layers) layers.erase(layer);
  const auto known = withheld_.find(site);
  if (known == withheld_.end() ? layers.empty() : known->second == layers) return Done{};
  auto done = sites_.withhold(site, layers, moment);
  if (!done) return done;
  if (layers.empty())
    withheld_.erase(site);
  else
    withheld_[site] = std::move(layers);
  return Done{};
}

}  // namespace lamina::origin
