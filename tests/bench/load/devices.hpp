// Devices: what the simulated devices of many sites say to an origin, and how long it took to
// answer.
//
// Each site has one acting reflector that polls every 5 s; every other device has a waiting poll
// out (55 s, as a node asks for) and asks again 60 s after it asked last. While transfers run, the
// reflector also holds its site's lease and renews it each second, and everybody's missing bytes
// shrink. Runs on the Fleet's thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/wire/node.hpp"
#include "tests/bench/load/fleet.hpp"

namespace lamina::bench {

// What was answered since the last take_counts(), in milliseconds.
struct Counts {
  std::vector<double> at_once_ms;  // Polls that do not wait: until the answer.
  std::vector<double> late_ms;     // Waiting polls without news: after the end of the wait.
  std::vector<double> renew_ms;    // Lease renewals.
  std::vector<double> granted_ms;  // From lacking content to the lease, which a poll must ask for.
  std::uint64_t news = 0;          // Waiting polls that were answered before.
  std::uint64_t polls() const { return at_once_ms.size() + late_ms.size() + news; }
  std::map<std::string, std::uint64_t> failures;  // By what was answered.
};

class Devices {
 public:
  // `fleet` outlives this.
  explicit Devices(Fleet& fleet) : fleet_(fleet) {}

  // A device of `site` that calls from `source`. The first of a site is its acting reflector.
  Status add(const std::string& site, std::uint32_t source, const std::string& certificate_pem,
             const std::string& key_pem);

  // Connects every device; from its first poll on it polls as described above. From then on each
  // device is answered once in its period, whenever that began.
  void connect_all();
  void start_transfers();
  // Nobody asks anything new; what waits at the origin is answered in its time.
  void stop();
  void drop_all();

  Counts take_counts() { return std::exchange(counts_, {}); }
  double polls_per_second() const;  // Of all devices, when every poll takes its time.
  // Devices that hold a lease, as they were told last. Asked after every event: it is counted, not
  // looked for.
  std::size_t holders() const { return holders_; }

 private:
  struct Device {
    std::size_t number = 0;  // In the fleet.
    bool reflector = false;
    std::string address;
    std::uint64_t site_version = 0;
    std::uint64_t epoch = 0;  // Of the lease that it holds; 0: none.
    std::int64_t missing_bytes = 0;
    Instant wanted_since{};  // A reflector that lacks content and was granted no lease since.
    bool busy = false;       // A request is under way.
  };

  std::vector<wire::Want> wants(Device& device) const;
  void poll(Device& device, std::int64_t wait_ms, const std::function<void(bool)>& then);
  void take(Device& device, const wire::PollReply& reply);
  void hold(Device& device, std::uint64_t epoch);
  void poll_on(Device& device, std::int64_t wait_ms);
  void renew_on(Device& device);
  void note(const Reply& reply);

  Fleet& fleet_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::map<std::string, std::size_t> sites_;
  bool polling_ = false;
  std::size_t holders_ = 0;
  Counts counts_;
};

}  // namespace lamina::bench
