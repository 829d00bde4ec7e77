// Seeders: the seeders on machines of their own as they say they stand, and which seeders a lease
// holder is told of.
//
// In memory only: they come back with their next poll, some seconds after a restart. Plain state,
// told the time; loop thread only.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"
#include "shared/wire/seeder.hpp"

namespace lamina::origin {

class Seeders {
 public:
  struct Limits {
    Duration silent_after = std::chrono::seconds{12};  // Four polls.
    std::size_t told_max = 2;  // Each keeps out of other traffic's way by itself: no more a line.
  };

  Seeders() : Seeders(Limits()) {}
  explicit Seeders(Limits limits) : limits_(limits) {}

  // What a seeder says, and the address that lease holders dial ("ADDRESS:PORT").
  void polled(const DeviceId& id, const std::string& address, wire::SeederPollRequest poll,
              Instant now, WallTime wall);
  void removed(const DeviceId& id) { all_.erase(id); }

  // Adds to `info` what the seeder said and how it stands. `listed`: layers that there are.
  void complete(wire::SeederInfo& info, std::int64_t listed, Instant now, WallTime wall) const;

  // Whether it polls, and with a certificate that is valid: whether holders are told of it.
  bool is_up(const DeviceId& id, Instant now, WallTime wall) const;

  // For the holder of the site's lease: the origin's `own` and those that are up and hold any of
  // `layers` (none: that are up), each site with another one first.
  std::vector<std::string> told(const std::vector<std::string>& own, const std::string& site,
                                const std::set<LayerId>& layers, Instant now, WallTime wall) const;

 private:
  struct Seeder {
    std::string address;
    wire::SeederPollRequest said;
    std::set<LayerId> holds;
    Instant seen;
    WallTime seen_wall;
  };
  bool is_up(const Seeder& seeder, Instant now, WallTime wall) const;

  Limits limits_;
  std::map<DeviceId, Seeder> all_;
};

}  // namespace lamina::origin
