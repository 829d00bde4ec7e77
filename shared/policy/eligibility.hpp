// Eligibility decides whether a device serves others, and fetches for them, without hurting the one
// who works on it.
//
// Facts in, a reason out. The processor's load moves all the time, so it counts only when it lasts:
// a device becomes unfit when it was above the limit for `cpu_patience`, and fit again when it was
// not for as long. Everything else counts at once.
//
// Deterministic; no clock, no I/O. Not thread-safe; all calls come from one event loop.
#pragma once

#include <optional>
#include <string_view>

#include "shared/base/units.hpp"

namespace lamina::policy {

// Why a device should not serve others, the strongest reason first.
enum class Unfit { user, disk, battery, metered, wireless, cpu };

// "user-says-no", "disk-low", "on-battery", "metered-link", "wireless-link", "cpu-busy".
std::string_view name_of(Unfit reason);

class Eligibility {
 public:
  struct Rules {
    bool on_battery = false;  // Whether it may serve so.
    bool on_metered = false;
    bool on_wireless = false;
    int cpu_percent_max = 80;
    Duration cpu_patience = std::chrono::seconds{30};
    // Of the file system with the cache.
    Bytes disk_free_min = 1_GiB;
  };

  // As the machine is now. What is not known is absent and speaks neither way.
  struct Facts {
    bool user_allows = true;
    std::optional<bool> on_battery = std::nullopt;
    std::optional<bool> metered = std::nullopt;
    std::optional<bool> wireless = std::nullopt;
    std::optional<int> cpu_percent = std::nullopt;  // Of all processors, since the last look.
    std::optional<Bytes> disk_free = std::nullopt;
  };

  explicit Eligibility(Rules rules) : rules_(rules) {}

  // Nothing: it may serve. `now` must not be earlier than in the previous call.
  std::optional<Unfit> look(const Facts& facts, Instant now);

 private:
  void weigh_cpu(std::optional<int> percent, Instant now);

  Rules rules_;
  Instant last_now_{};
  bool cpu_busy_ = false;
  std::optional<Instant> cpu_other_since_;  // Since when the load says the opposite of cpu_busy_.
};

}  // namespace lamina::policy
