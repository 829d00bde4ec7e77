// Which way a device's upload takes, and what becomes of a snapshot that was handed to a relay.
//
// A device hands its packs and its snapshot to a relay of its site at LAN speed, when there is one
// that is worth the way, and sends them to the origin itself otherwise. What was handed over is
// "at the site" until the origin has it; when nobody lists it any more, the device sends again.
// Pure functions; docs/operator.md, "Uploads through the site", tells the same in words.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

// Less than this goes to the origin at once: it is protected before a relay could ask about it.
inline constexpr Bytes kWorthRelaying = 256_KiB;

enum class RouteReason {
  no_key,            // Direct: the origin has not said how to seal for it.
  overtakes,         // Direct: another snapshot is at the site already.
  sent_again,        // Direct: what was handed over before got lost.
  small,             // Direct: not worth the way.
  no_relay,          // Direct: nobody at the site relays, or those who do have refused.
  holds_lease,       // Direct: this device is the acting reflector.
  is_best,           // Direct: nobody holds the lease, and this device is the one others turn to.
  acting_reflector,  // Relay: the holder of the site's lease.
  best_peer,         // Relay: nobody holds the lease; the peer with the lowest id.
};
// "no-key", "acting-reflector", ...: for logs and people.
std::string_view name_of(RouteReason reason);

struct UploadFacts {
  DeviceId self;
  bool has_key = false;
  bool origin_reachable = false;
  bool lost_before = false;        // The snapshot handed over last got lost.
  bool overtakes = false;          // One that was handed over is at the site still.
  std::optional<DeviceId> holder;  // Of the site's lease; may be this device.
  std::vector<DeviceId> relays;    // Peers of the site that relay and have not refused lately.
  Bytes size;                      // Of the pack that is ready.
};
struct UploadRoute {
  std::optional<DeviceId> relay;  // None: direct.
  RouteReason reason = RouteReason::no_relay;
  bool operator==(const UploadRoute&) const = default;
};
// Asked for each pack until one was handed over; what follows goes the same way. A device that
// cannot reach the origin takes any relay that there is.
UploadRoute choose_upload_route(const UploadFacts& facts);

// What the origin said about a handed snapshot in its last answer.
enum class HandedState {
  unknown,     // Neither has it the snapshot nor does a relay list it.
  at_site,     // A relay lists it.
  protected_,  // The origin has it.
  refused,     // The origin had it in hands and could not keep it.
};
enum class HandedVerdict { wait, settle, send_again };
struct HandedLimits {
  // Longer than the origin remembers what a relay last said (origin/sites/relays.hpp), so that it
  // is sure that none has it.
  Duration unlisted_max = std::chrono::minutes{2};
  // A relay that lists it and never passes it on: the line is down for long, or it lies.
  Duration age_max = std::chrono::hours{24};
};
// `unlisted`: since when no answer of the origin says that a relay has it, counted from the
// hand-over; only time with answers counts. `age`: since the hand-over, with answers too.
HandedVerdict judge_handed(HandedState state, Duration unlisted, Duration age,
                           const HandedLimits& limits);

// Whether a scan that is due starts while a snapshot is at the site. One at an interval waits: it
// would read again what is on its way. One that somebody asked for, or that an apply waits for,
// goes to the origin directly and overtakes it.
bool scans_while_at_site(std::string_view reason);

// When a relay passes on what it holds: after everything else that this device does with the line,
// but not never.
struct ForwardFacts {
  bool origin_reachable = false;
  bool leads = false;  // A layer is fetched over the line by this device.
  Duration waited{};   // The oldest parcel, since it was taken.
};
bool may_forward(const ForwardFacts& facts, Duration waited_max);

}  // namespace lamina::policy
