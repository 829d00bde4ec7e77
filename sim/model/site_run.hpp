// SiteRun is one site during a run: its devices come and go, fetch what their wave brings, and
// upload; its line changes its rate; its reflectors are appointed, die and are replaced.
//
// It decides nothing that the product decides: who fetches for the site is policy::SiteLease's
// answer, which way an upload takes policy::choose_upload_route's, when a relay may pass on
// policy::may_forward's. It owns its part of the time: next() says when to call process(). What
// goes over the line is the networks' business, what goes over the LAN lan_stage.hpp's.
//
// What uploads do never touches what is fetched, bit for bit: a run without them gives the same
// fetches. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "shared/policy/bandwidth_rules.hpp"
#include "shared/policy/site_lease.hpp"
#include "shared/policy/upload_route.hpp"
#include "sim/engine/indexed_heap.hpp"
#include "sim/engine/network.hpp"
#include "sim/model/lan_stage.hpp"
#include "sim/model/plan.hpp"
#include "sim/report/run_result.hpp"

namespace lamina::sim {

// What a device takes along to another site.
struct Belongings {
  std::uint64_t has = 0;      // Parts that it holds, also for others.
  double partial = 0;         // Of its first missing part; in direct mode of all that it needs.
  double pending_upload = 0;  // Due, and not handed over or sent.
  Instant upload = kNever;    // When its next upload is due.
  std::uint32_t uploads = 0;  // How many were due, from the first day's first on.
  bool dead = false;
  bool holds = false;     // All of it, and has said so.
  bool reported = false;  // Its outcome.
};

// A device on its way between two sites.
struct Traveller {
  std::uint64_t device = 0;  // The run's number.
  Belongings belongings;
};

// The other sites of a batch, as one of them sees them.
class Others {
 public:
  // From where it is; it comes to site `to`.
  virtual Traveller take(std::uint64_t device, Index to) = 0;
  virtual void send_home(const Traveller& traveller) = 0;

 protected:
  ~Others() = default;
};

// What the causes of waiting are behind a site's line. By the group that is full.
using GroupKinds = std::vector<Limit>;

class SiteRun {
 public:
  // `plan` outlives it. Waves that are known begin at their times; others by set_times().
  SiteRun(const Plan& plan, Index site, const std::vector<WaveTimes>& times);
  SiteRun(SiteRun&&) = delete;

  // Its lines, as they are at the start; before attach().
  SiteLines down_lines() const;
  SiteLines up_lines() const;
  // Its place in both networks, what their groups are, and where guests come from. They outlive it.
  void attach(Network& down, Network& up, std::uint32_t place, const GroupKinds& kinds,
              Others& others);

  // When process() is due without the networks' saying so.
  Instant next() const;
  // Does what is due at `now`, also in the networks, which stand at `now`.
  void process(Instant now);
  // The rates of its flows changed at `now`, because of others. Nothing is due.
  void moved(Instant now);

  void set_times(std::uint8_t wave, const WaveTimes& times);  // Known from now on; then process().

  // A device leaves for another site, or one that is at home here comes back. Nothing is due.
  Traveller give(Instant now, std::uint64_t device);
  void take_back(Instant now, const Traveller& traveller);

  // What it lacks at the site and could fetch now over the line; 0: nothing, or nobody is up.
  Bytes lacks() const;
  void set_admitted(Instant now, bool admitted);
  bool is_fetching() const { return fetching_; }

  // Nothing will happen to what is fetched any more unless set_times() says so.
  bool is_settled() const { return lacking_ == 0 && unreported_ == 0 && orders_.empty(); }

  // Ends the run at `now`: brings all figures up to then.
  void end(Instant now);
  // Figures; `result.bytes` and the like are filled in, waves are not looked at.
  SiteResult result() const;
  LineResult line(Direction direction) const;
  std::vector<Outcome> outcomes;
  std::vector<Held> held;

 private:
  static constexpr std::uint32_t kNobody = UINT32_MAX;
  // Flows over the line: devices by their number (those that fetch for themselves or upload), and
  // after them the site's: one for each reflector, or the relay's.
  static constexpr std::uint32_t kSiteFlows = policy::SiteLease::kReflectorsMax;

  struct Device : Belongings {
    std::uint64_t need = 0;
    double work = 1;              // What it ends with, as a share of its content (Tcp::unevenness).
    std::uint64_t lan_parts = 0;  // Whole parts that it fetches in the LAN right now.
    Instant edge = kNever;        // When it comes or goes next.
    std::uint32_t rank = 0;       // By id.
    std::uint32_t presence = 0;
    std::uint8_t wave = kNoWave;
    bool is_wireless = false;
    bool fails = false;
    bool up = false;
    bool here = true;     // Not at another site: only then the rest is so.
    bool wanted = false;  // To hold the layers: staged or begun.
    bool begun = false;
    bool lan_follows = false;  // It fetches the current part in the LAN.
    bool is_fetcher = false;
  };

  std::uint64_t missing(const Device& device) const { return device.need & ~device.has; }
  double bytes_of(std::uint64_t parts) const;
  Bytes bytes_missing(const Device& device) const;
  const DeviceId& id(std::uint32_t device) const { return ids_[device]; }
  bool is_guest(std::uint32_t device) const { return device >= residents_; }
  std::uint64_t number(std::uint32_t device) const;  // The run's.
  std::uint32_t name_of(std::uint64_t number) const;
  Index home_of(std::uint32_t device) const;
  std::int64_t home_start(std::uint32_t device) const;  // As local_start_, of its home.
  std::uint32_t count() const { return static_cast<std::uint32_t>(devices_.size()); }
  static LanStage::Access access(const Device& device) {
    return device.is_wireless ? LanStage::kWireless : LanStage::kWired;
  }

  // Time and lines.
  SiteLines& down();  // Brought to now_, with the LAN and the account of waiting.
  SiteLines& up();
  void account();
  double frontier() const;
  void change_lines();
  void close_hour();
  void share();
  void set_frontier_rate();
  void set_serving();
  Limit limit_of(HeldBy held_by, bool is_wireless) const;
  Limit fetch_limit() const;

  // Devices.
  void schedule(std::uint32_t device);
  void order();
  void want(std::uint32_t device);
  void come(std::uint32_t device);
  void go(std::uint32_t device, Duration takeover);
  void turn(std::uint32_t device);
  void change_site(std::uint32_t device, bool comes);
  Traveller release(std::uint32_t device);
  void receive(const Traveller& traveller);
  void join(std::uint32_t device);
  void leave(std::uint32_t device, Duration takeover);
  void gain(std::uint32_t device, std::uint64_t parts);
  void complete(std::uint32_t device, Duration late);

  // The site's fetch.
  void decide();
  void start_fetch();
  void stop_fetch();
  void finish_part();
  void check_carriers();
  void rebuild();
  void start_lan(std::uint32_t device);
  void stop_lan(std::uint32_t device);
  void stop_all_lan();
  void spread_work();
  void start_direct(std::uint32_t device);
  void stop_direct(std::uint32_t device);

  // Who fetches.
  void tell_lease(const policy::SiteLease::Event& event);
  void renew(Instant at);
  void advance_lease();
  void report_to_lease(std::uint32_t device);
  void carry_out(const std::vector<policy::SiteLease::Action>& actions);
  void start_lapse(std::uint32_t device, Duration takeover);
  void lapse();
  void die();
  void make_lease();
  void forget_lease();
  void end_fetcher(std::uint32_t device);
  std::uint32_t device_of(const DeviceId& id) const;

  // Uploads.
  Instant upload_due(std::uint32_t device, std::uint32_t upload) const;
  void collect_uploads(std::uint32_t device);
  void upload(std::uint32_t device);
  void stop_upload(std::uint32_t device);
  void relay();
  void stop_relay();

  const Plan& plan_;
  const Site& site_;
  Index index_;
  Mode mode_;
  std::uint64_t first_;      // The run's number of device 0.
  std::uint32_t residents_;  // Devices that are at home here; guests have the names from there on.
  const std::vector<Roaming::Guest>& guests_;
  std::int64_t local_start_;
  policy::BandwidthRules rules_;
  std::vector<DeviceId> ids_;
  std::vector<Device> devices_;
  std::vector<std::uint32_t> by_rank_;
  std::vector<std::uint64_t> up_ranks_;  // Bits.
  IndexedHeap<Instant> device_events_;
  std::vector<WaveTimes> times_;
  std::vector<std::pair<Instant, std::uint8_t>> orders_;  // Waves to look at; the next one last.

  Network* down_ = nullptr;
  Network* up_ = nullptr;
  std::uint32_t place_ = 0;
  const GroupKinds* kinds_ = nullptr;
  Others* others_ = nullptr;
  LanStage lan_;
  Instant now_;
  bool down_open_ = false;
  bool up_open_ = false;

  // Rates that hold now.
  Rate tcp_, port_, wireless_;
  Limit down_cap_is_ = Limit::tcp;  // The least of those that make up a wired device's cap.
  Limit radio_cap_is_ = Limit::tcp;
  Instant next_lines_;  // When to look at them again.
  Instant next_hour_;

  // Waiting.
  Instant accounted_;
  std::int64_t lacking_ = 0;     // Wanted devices that miss something...
  std::int64_t lacking_up_ = 0;  // ... and are up.
  std::int64_t unreported_ = 0;  // Wanted devices whose outcome is to come.
  Limit fetch_limit_ = Limit::offline;
  std::array<double, kLimits> waiting_{};                // Seconds.
  std::array<std::array<double, 4>, 2> held_counted_{};  // SiteLines::seconds(), by bundle.

  // The site's content.
  std::vector<double> available_;        // Of each part, at the site.
  std::vector<std::uint32_t> holders_;   // Devices that are up and hold it whole.
  std::vector<std::uint32_t> lack_;      // Wanted devices that are up and miss it.
  int current_ = -1;                     // The part that is fetched.
  std::vector<std::uint32_t> fetchers_;  // Acting reflectors.
  std::uint32_t fetch_flows_ = 0;        // While fetching.
  bool fetching_ = false;
  bool fetch_changed_ = false;  // Others fetch than when it began.
  bool rebuild_ = false;
  bool carriers_changed_ = false;
  bool admitted_ = true;
  std::int64_t members_up_ = 0;    // Devices that are up and wanted...
  std::int64_t wired_up_ = 0;      // ... and on a wire.
  std::uint64_t union_parts_ = 0;  // That wanted devices need, and their bytes.
  double union_bytes_ = 0;
  Duration finished_late_{};  // Of those who get a part together with the site.

  // The lease. Its clock runs only when something happens (site_run.cpp, "Who fetches").
  std::unique_ptr<policy::SiteLease> lease_;
  Instant lease_now_;
  Instant lease_told_;     // When by the run's clock.
  Instant lease_renewed_;  // By its own.
  Instant lapse_ = kNever;
  Duration lapse_takes_{};
  std::uint64_t next_epoch_ = 1;
  std::size_t next_death_ = 0;

  // Uploads.
  double relayed_ = 0;  // At the site and not on its way.
  Instant relayed_since_;
  Instant relay_at_ = kNever;
  bool relaying_ = false;
  std::uint32_t up_count_ = 0;
  double upload_due_bytes_ = 0;
  policy::UploadFacts upload_facts_;

  // Figures.
  std::array<double, kSources> bytes_{};
  double lan_counted_ = 0;
  std::vector<double> down_hours_, up_hours_;  // Content.
  double down_counted_ = 0, up_counted_ = 0;
  std::vector<std::uint32_t> done_;  // Scratch.
};

}  // namespace lamina::sim
