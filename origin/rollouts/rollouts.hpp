// Rollouts: what becomes of each rollout, and which sites fetch it now.
//
// The decisions are policy::Rollout (waves) and policy::Admission (sites); this shell feeds them
// what devices say in polls and reports, gives a wave's devices their targets, tells Sites which
// layers a site may not fetch yet, and keeps everything in the catalogue, so that a restarted
// origin goes on where it was. A rollout lives on wall time: its soak times outlast restarts.
//
// Loop thread only. The caller tells the time; a wall clock that goes back stands still here.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "origin/sites/sites.hpp"
#include "shared/policy/admission.hpp"
#include "shared/policy/rollout.hpp"

namespace lamina::origin {

class Rollouts {
 public:
  // A signer of targets that are issued now with this WAN budget. `invalid`: it is none.
  using Signer = std::function<Result<Catalog::SignTarget>(
      WallTime now, const std::optional<std::string>& wan_budget)>;

  // `catalog` and `sites` outlive this.
  Rollouts(Catalog& catalog, Sites& sites, Signer signer)
      : catalog_(catalog), sites_(sites), signer_(std::move(signer)) {}

  // Reads what the catalogue holds. Call before anything else, until it succeeds; again: no effect.
  Status open(Moment moment);

  // A planned one. `invalid` when the plan is not good; else fails as Catalog::add_rollout does.
  Result<wire::RolloutInfo> create(const Act& act, const wire::RolloutRequest& plan);
  // `verb`: "start", "pause", "resume" or "stop". `refused` where the rollout's phase does not
  // allow it, `not_found` for another name or verb.
  Result<wire::RolloutInfo> command(const Act& act, const std::string& name,
                                    const std::string& verb, Moment moment);
  std::vector<wire::RolloutInfo> list() const;  // By name.
  Result<wire::RolloutDetail> show(const std::string& name) const;

  // What an assigned device says in a poll; `device` as the catalogue has it. Before
  // Sites::reported(), which asks for what is withheld.
  Status polled(const wire::DeviceInfo& device, const wire::PollRequest& poll, Moment moment);
  // What the holder of its site's lease still lacks.
  Status fetching(const wire::DeviceInfo& device, const std::vector<wire::Want>& wants,
                  Moment moment);
  Status reported(const DeviceId& device, const wire::Report& report, Moment moment);
  // It takes part no more; `why` is for people.
  Status removed(const DeviceId& device, const std::string& why, Moment moment);

  Status tick(Moment moment);
  // On the timeline of Moment::now, as far as the wall clock keeps pace with it.
  std::optional<Instant> next_change() const;

 private:
  // What a device lacks of each layer of the rollout, in their order; below 0: not known.
  using Lacks = std::vector<std::int64_t>;
  struct Running {
    wire::RolloutInfo info;
    std::vector<LayerId> layers;
    policy::Rollout rollout;
    policy::Admission admission;
    std::map<DeviceId, wire::RolloutDevice> devices;
    std::map<std::string, std::map<DeviceId, Lacks>> lacks;  // By site.
    std::map<DeviceId, std::string> lacks_at;  // In which site of `lacks` a device stands.
    std::string kept;                          // What the catalogue knows of `info`, in short.
    std::string problem;                       // Why the last assignment failed; empty: it did not.
  };
  using Map = std::map<std::string, Running>;

  // Of the plan's layers, in its order; `not_found` names one that is not there.
  Result<std::vector<LayerId>> layer_ids(const wire::RolloutRequest& plan) const;
  Result<Running> restore(wire::RolloutInfo info, Moment moment) const;
  Instant wall_instant(Moment moment);
  static bool is_engaged(const Running& running);

  // Feeds the policy, carries out what it wants and keeps what changed.
  Status feed(Running& running, policy::Rollout::Event event, Moment moment);
  Status assign(Running& running, std::uint32_t wave, Catalog::WaveStep step,
                std::deque<policy::Rollout::Event>& events, Moment moment);
  Status set_outcome(Running& running, wire::RolloutDevice& row, policy::Rollout::Outcome outcome,
                     const std::string& text, Moment moment);
  Status leave(Running& running, wire::RolloutDevice& row, const std::string& why, Moment moment);
  Status keep(Running& running, const Act& act, const std::string& action,
              const std::string& detail);
  static wire::RolloutInfo fresh(const Running& running);
  static std::string describe(const Running& running);

  Status note_lacks(Running& running, const wire::DeviceInfo& device, const Lacks& lacks,
                    Moment moment);
  Status forget_lacks(Running& running, const DeviceId& device, Moment moment);
  Status weigh_site(Running& running, const std::string& site, Moment moment);
  // `site`: the event's; empty for a Tick.
  Status admit(Running& running, const policy::Admission::Event& event, const std::string& site,
               Moment moment);
  Status withhold(const std::string& site, Moment moment);

  Catalog& catalog_;
  Sites& sites_;
  Signer signer_;
  bool opened_ = false;
  Instant opened_at_{};
  Moment last_{};       // Of the last call: what relates the two timelines.
  Instant wall_now_{};  // Never goes back.
  Map rollouts_;
  std::map<std::string, std::set<LayerId>> withheld_;  // As Sites knows it; none is empty.
};

}  // namespace lamina::origin
