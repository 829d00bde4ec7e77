// Snoozing: until when this device makes no snapshots by itself, as its user or an administrator
// said last. Kept on disk: a restart ends no snooze.
//
// Loop thread only.
#pragma once

#include <string>

#include "shared/base/units.hpp"
#include "shared/wire/policy.hpp"

namespace lamina::node {

class Snoozing {
 public:
  // `path` names the file. One that cannot be read is logged, and as good as none.
  explicit Snoozing(std::string path);

  // How long it lasts from `now` on; at most wire::kSnoozeMax, whatever happened to the clock.
  Duration left(WallTime now) const;
  // As the polls say it.
  wire::Snooze said(WallTime now) const;

  // `invalid` for a duration that snooze() would not take.
  static Status check(Duration duration);
  // By the user: `invalid` when it is too long or less than nothing. Zero ends it.
  Status snooze(Duration duration, WallTime now);
  // By an administrator, with the origin's clock. Whether it is news.
  bool heard(const wire::Snooze& word, std::int64_t server_time_ms, WallTime now);

 private:
  Status load();
  Status keep(const wire::Snooze& snooze);

  std::string path_;
  wire::Snooze snooze_;  // With this device's clock.
};

}  // namespace lamina::node
