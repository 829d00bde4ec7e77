// Batch runs some sites of a plan together, on lines that they share or each for itself.
//
// Where no line above the sites can be full, a site's run does not depend on any other's: then each
// is a batch of its own, which keeps its few kilobytes in the processor's cache and uses as many
// threads as there are. Else all are one batch. The results are the same, bit by bit, as long as
// nothing above is full.
//
// Not thread-safe; batches do not share anything that changes.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "shared/policy/admission.hpp"
#include "sim/model/demand_bound.hpp"
#include "sim/model/site_run.hpp"
#include "sim/model/waves.hpp"

namespace lamina::sim {

class Batch final : Others {
 public:
  // What is given outlives it. Admission counts only in a bounded plan.
  Batch(const Plan& plan, const Groups& groups, std::vector<Index> sites,
        const std::vector<WaveTimes>& times);

  // Until the plan's end, or until nothing can happen any more to what is fetched. `waves`, if
  // given, hears what devices do and says when further waves begin. `bound`, if given, gets all
  // that crosses the sites' lines.
  void run(Waves* waves, DemandBound* bound);

  // Told how much of the run's time has passed, from 0 to 1, at most a hundred times; or empty.
  std::function<void(double share)> progress;

  // What came of devices, in the order in which it was known; not that of Outcome::at.
  std::vector<Outcome> outcomes;
  std::vector<Held> held;

  std::size_t count() const { return runs_.size(); }
  SiteRun& site(std::size_t place) { return *runs_[place]; }
  const Network& down() const { return *down_; }
  const Network& up() const { return *up_; }

 private:
  // Others. Guests are only where all sites are one batch: a site's place is its index.
  Traveller take(std::uint64_t device, Index to) override;
  void send_home(const Traveller& traveller) override;

  void process(std::uint32_t place);
  // `change` moves the site's time; what crossed its lines since is added to the bound.
  template <class Change>
  void bounded(std::uint32_t place, Change&& change);
  void update(std::uint32_t place);
  void settle();
  void tell_admission(std::uint32_t place);
  void carry_out(const std::vector<policy::Admission::Action>& actions);

  const Plan& plan_;
  std::vector<Index> sites_;
  GroupKinds kinds_;
  std::vector<std::unique_ptr<SiteRun>> runs_;
  std::unique_ptr<Network> down_, up_;
  IndexedHeap<Instant> events_;  // By place: SiteRun::next().
  std::vector<std::uint32_t> moved_;
  std::unordered_map<std::uint64_t, std::uint32_t> abroad_;  // Devices' places; looked up only.
  std::vector<std::uint32_t> left_;  // Places from or to which somebody just went.
  Instant now_;
  Waves* waves_ = nullptr;
  DemandBound* bound_ = nullptr;

  std::optional<policy::Admission> admission_;
  std::unordered_map<std::string, std::uint32_t> places_;  // By name; looked up only.
  IndexedHeap<Instant> reports_;                           // By place: to the admission.
};

}  // namespace lamina::sim
