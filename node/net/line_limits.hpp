// LineLimits: how fast this device may use its line now, by the bandwidth rules of its site.
//
// The rules that the origin sent last are kept on disk with the site's name and the device's
// address, so that they hold while the origin is away and after a restart. The wall clock and the
// time zone are looked at when the limits are due to change, and every half minute besides: clocks
// are set, and zones changed, without a word to anybody.
//
// Loop thread only.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "shared/net/loop.hpp"
#include "shared/policy/bandwidth_schedule.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

class LineLimits {
 public:
  // The device's calendar; tests bring their own.
  struct Calendar {
    std::function<WallTime()> now;
    policy::UtcOffset utc_offset;
    static Calendar of_device();
  };
  using OnChange = std::function<void(const policy::BandwidthLimits&)>;

  // `path` names the file. One that cannot be read is logged, and as good as none: the origin sends
  // its rules anew. `on_change` is called from the loop and from heard(), never from here: ask for
  // limits() first. The loop outlives the object.
  LineLimits(net::Loop& loop, std::string path, Calendar calendar, OnChange on_change);
  LineLimits(const LineLimits&) = delete;
  LineLimits& operator=(const LineLimits&) = delete;

  // What a poll said of the site, and the address by which the device reached the origin (empty:
  // the one known so far). Rules that cannot be read are logged and leave the old ones in force.
  void heard(const wire::SiteView& site, const std::string& address);

  // Names the rules that are held, for the next poll; none: there are none.
  std::optional<std::uint64_t> version() const { return version_; }
  const policy::BandwidthLimits& limits() const { return now_.limits; }
  // A limit of nothing at all.
  bool no_download() const { return now_.limits.download == BitRate{}; }
  bool no_upload() const { return now_.limits.upload == BitRate{}; }
  // `unavailable`: that a rule forbids it, and until when.
  Error upload_forbidden() const;
  // Other limits hold from then on; none: these hold for good.
  std::optional<WallTime> until() const { return now_.until; }
  // "2026-11-23 18:00": `until` by the device's time zone; empty: none.
  std::string until_local() const;

 private:
  Status load();
  void keep();
  void look();  // At the clock.

  net::Loop& loop_;
  std::string path_;
  Calendar calendar_;
  OnChange on_change_;
  std::string site_;
  std::string address_;
  std::optional<std::uint64_t> version_;
  policy::BandwidthRules rules_;
  policy::BandwidthForecast now_;
  net::Timer timer_;
};

}  // namespace lamina::node
