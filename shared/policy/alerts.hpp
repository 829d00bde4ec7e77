// Alerts decides what an operator should look at, and when that is over.
//
// It is a plain state machine: feed it facts with the time they were seen, and carry out the
// actions it returns. A fact that is not known is not fed, and leaves what is known of it as it
// was. An alert begins once and ends once; between the two bounds of a disk it stays as it is, so
// that it does not flicker.
//
// Invariant: at most one alert of a kind and object is active.
// Not thread-safe; all calls come from one event loop.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "shared/base/units.hpp"

namespace lamina::policy {

class Alerts {
 public:
  enum class Kind {
    certificate_expiring,
    disk_low,
    device_stale,
    reflector_down,
    seeder_silent,
    quota_warning,
    quota_reached
  };
  static constexpr Kind kKinds[] = {
      Kind::certificate_expiring, Kind::disk_low,      Kind::device_stale, Kind::reflector_down,
      Kind::seeder_silent,        Kind::quota_warning, Kind::quota_reached};
  // "certificate-expiring"...
  static std::string_view name_of(Kind kind);

  struct Limits {
    // The origin's own certificates are renewed by hand: time to plan it.
    Duration certificate_left = std::chrono::hours{30 * 24};
    // A device renews with 4 of 7 days left, and tries again within the hour.
    Duration device_certificate_left = std::chrono::hours{3 * 24};
    // A device that was heard of since then is up: polls last a minute, and after a restart the
    // origin knows the last one to the hour.
    Duration up_within = std::chrono::hours{2};
    Duration stale_after = std::chrono::hours{7 * 24};
    // A disk is low with less than a twentieth free, but not with more than this.
    Bytes disk_plenty = 20_GiB;
    Duration no_holder = std::chrono::minutes{1};
    // A seeder polls every few seconds; after a restart of the origin it is back within one.
    Duration seeder_silent = std::chrono::minutes{1};
  };

  // What is so now.
  struct Certificate {  // Of the origin.
    std::string name;
    Duration left;  // Below 0: it ended.
  };
  struct Disk {
    std::string object;  // "origin", "device:HEX"
    Bytes free;
    Bytes total;
  };
  struct Device {
    std::string object;  // "device:HEX"
    Duration silent;     // Since its last poll.
    std::optional<Duration> certificate_left;
  };
  struct Site {
    std::string name;
    bool has_work = false;  // A device that is up lacks content.
    bool has_holder = false;
    bool appoint = true;
  };
  struct Seeder {  // One that joined.
    std::string name;
    bool is_up = true;
  };
  struct Quota {         // Of a device's CVD or of a collection's.
    std::string object;  // "device:HEX", "collection:NAME"
    enum class Level { ok, warning, hard } level = Level::ok;
    std::string text = {};  // How far it is used up.
  };
  struct Gone {  // The object is none any more.
    std::string object;
  };
  using Fact = std::variant<Certificate, Disk, Device, Site, Seeder, Quota, Gone>;

  struct Begin {
    Kind kind = Kind::disk_low;
    std::string object;
    std::string text;
    bool operator==(const Begin&) const = default;
  };
  struct End {
    Kind kind = Kind::disk_low;
    std::string object;
    bool operator==(const End&) const = default;
  };
  using Action = std::variant<Begin, End>;

  using Key = std::pair<Kind, std::string>;

  // `active`: those that had begun, and not ended, before a restart.
  Alerts(Limits limits, std::set<Key> active) : limits_(limits), active_(std::move(active)) {}

  // `now` must not be earlier than in the previous call.
  std::vector<Action> on(const Fact& fact, Instant now);

  const std::set<Key>& active() const { return active_; }

 private:
  void apply(const Certificate& certificate, Instant now);
  void apply(const Disk& disk, Instant now);
  void apply(const Device& device, Instant now);
  void apply(const Site& site, Instant now);
  void apply(const Seeder& seeder, Instant now);
  void apply(const Quota& quota, Instant now);
  void apply(const Gone& gone, Instant now);
  void set(Kind kind, const std::string& object, bool is_so, const std::string& text);

  Limits limits_;
  std::set<Key> active_;
  // By object, sites with work and no holder and seeders that are not up: since when.
  std::map<std::string, Instant> waiting_;
  std::vector<Action> actions_;  // Collected while one fact is handled.
};

}  // namespace lamina::policy
