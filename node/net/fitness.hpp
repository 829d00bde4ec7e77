// Fitness looks at the machine: may this device fetch for its site and serve it without hurting the
// one who works on it? policy::Eligibility decides.
//
// Reads /sys and /proc; what they do not tell speaks neither way. Loop thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shared/policy/decision_log.hpp"
#include "shared/policy/eligibility.hpp"

namespace lamina::node {

class Fitness {
 public:
  struct Options {
    policy::Eligibility::Rules rules = {};
    bool user_allows = true;
    bool metered = false;                   // The user or an administrator says that its link is.
    std::string root = {};                  // Stands before /sys and /proc: for tests.
    policy::DecisionLog* record = nullptr;  // Of what is found; outlives this.
  };

  // `cache`: a directory on the disk that must have room.
  Fitness(Options options, std::string cache);

  // Nothing: it may serve. `works`: the device fetches for its site right now; then the processor's
  // load is its own and does not count. `now` must not be earlier than in the previous call.
  std::optional<policy::Unfit> look(bool works, Instant now);

 private:
  struct CpuTime {
    std::uint64_t idle = 0;
    std::uint64_t all = 0;
  };
  std::string read(const std::string& path) const;  // Empty if it cannot be read.
  std::optional<bool> on_battery() const;
  std::optional<bool> wireless() const;
  std::optional<CpuTime> cpu_time() const;
  std::optional<int> cpu_percent();

  Options options_;
  std::string cache_;
  policy::Eligibility eligibility_;
  std::optional<CpuTime> last_cpu_;
};

}  // namespace lamina::node
