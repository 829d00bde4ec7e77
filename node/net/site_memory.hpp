// SiteMemory: what this device remembers of its site while the origin cannot be reached: the last
// member list that the origin signed, and when the origin was last heard.
//
// Both lie under STATE/net and are durable before anybody goes by them. A list counts only with
// the origin's signature, when it names this device, and when it is newer than the one before.
// Loop thread only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "node/state.hpp"
#include "shared/base/units.hpp"
#include "shared/format/record.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

class SiteMemory {
 public:
  // Who hands a list over. Only the origin, which says who it is, moves the device to another site.
  enum class From { origin, peer };

  // Reads what is remembered. What does not verify is logged and counts as nothing.
  SiteMemory(const StateDirectory& state, const DeviceId& device, const PublicKey& target_key);

  // The newest list; none: this device is in no site, as far as it knows.
  const std::optional<format::SiteMembers>& list() const { return list_; }
  const Buffer& envelope() const { return envelope_; }  // Of the list; empty: none.
  std::uint64_t sequence() const { return list_ ? list_->sequence : 0; }
  // The other members that the list has an address and a port of.
  std::vector<wire::Peer> peers() const;

  // Whether the list is a newer one, which is kept from now on; false: it is the known one.
  // `refused`, `corrupt` or `invalid` names what is wrong with it, an older sequence too.
  Result<bool> take(const Buffer& envelope, From from);
  // The origin says that this device is in no site.
  Status forget();

  // The origin answered. Written down at most once a minute; failed() writes down the rest.
  void heard(WallTime now);
  void failed();
  // When it last answered; none: never, as far as this device remembers.
  std::optional<WallTime> heard_at() const { return heard_at_; }

 private:
  Result<format::SiteMembers> verify(const Buffer& envelope) const;
  void write_heard();

  std::string list_path_;
  std::string heard_path_;
  DeviceId device_;
  PublicKey target_key_;
  Buffer envelope_;
  std::optional<format::SiteMembers> list_;
  std::optional<WallTime> heard_at_;
  WallTime written_;  // Of heard_at_, on disk.
};

}  // namespace lamina::node
