// RelaySpool: the parcels of other devices that this one holds until the origin has them.
//
//   cache/relay/<device>/<sequence>-<number>-<parcel id>    16 and 8 hex digits, so that names sort
//   cache/relay/incoming/                                   what is being received
//
// incoming/ is emptied at the start. A parcel has its name only once it is whole and durable. What
// may be held is bounded for each device and in all, and some space of the disk stays free. Loop
// thread, except check_parcel() and store_parcel().
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/units.hpp"
#include "shared/format/parcel.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

// (slow) The head of the parcel at `path`, once the file is whole: its box has the size and digest
// that the head says, its id is `id` and it is `from`'s. `corrupt`, `invalid` or `refused`
// otherwise. The signature is the origin's to judge: the sender's connection has proven who it is.
Result<format::ParcelHead> check_parcel(const std::string& path, const format::ParcelId& id,
                                        const DeviceId& from);
// (slow) Moves it to its durable name below `spool`.
Status store_parcel(const std::string& path, const std::string& spool,
                    const format::ParcelHead& head);

class RelaySpool {
 public:
  struct Limits {
    Bytes device_max = 4_GiB;
    int device_parcels_max = 1024;  // A pack has 16 MiB: far more than it needs.
    Bytes total_max = 8_GiB;
    Bytes space_reserve = 512_MiB;  // Stays free on the disk.
    // What the origin did not take for so long is given up; the device has sent it again by then.
    Duration keep = std::chrono::hours{7 * 24};
  };

  // Finds what a former run held. Files of other names are left alone.
  static Result<RelaySpool> open(std::string directory, Limits limits, Instant now, WallTime wall);

  std::string incoming() const { return directory_ + "/incoming"; }
  const std::string& directory() const { return directory_; }

  // Whether a parcel that comes would have room now; `out_of_space` names the limit.
  Status check_room(const DeviceId& device, Bytes size) const;
  // Takes that room until added() or released().
  Status reserve(const DeviceId& device, Bytes size);
  void released(const DeviceId& device, Bytes size);
  void added(const format::ParcelHead& head, Bytes size, Instant now);
  bool has(const format::ParcelId& id) const;

  struct Held {
    format::ParcelId id;
    format::ParcelHead head;
    Bytes size;
    Instant taken;
    std::string path;
  };
  // Of the device that has waited longest its first parcel; none: nothing is held.
  std::optional<Held> next() const;
  Status remove(const format::ParcelId& id);
  // Gives up what is older than Limits::keep; says how many.
  std::size_t expire(Instant now);

  // For polls and status.
  std::vector<wire::RelayedSnapshot> snapshots(Instant now) const;
  Bytes size() const { return total_; }

 private:
  struct Key {
    DeviceId device;
    std::uint64_t sequence = 0;
    std::uint32_t number = 0;
    format::ParcelId id;
    auto operator<=>(const Key&) const = default;
  };

  RelaySpool(std::string directory, Limits limits)
      : directory_(std::move(directory)), limits_(limits) {}
  std::map<Key, Held>::const_iterator find(const format::ParcelId& id) const;

  std::string directory_;
  Limits limits_;
  std::map<Key, Held> held_;  // In the order in which a device's parcels are passed on.
  struct Used {
    Bytes size;
    int parcels = 0;
  };
  std::map<DeviceId, Used> used_;  // Held and reserved.
  Bytes total_;                    // Of all devices.
};

}  // namespace lamina::node
