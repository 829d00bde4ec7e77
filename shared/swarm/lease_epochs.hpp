// LeaseEpochs remembers, for each share of a site, the newest epoch that a device showed a token
// of.
//
// A site may have several reflectors at a time, with tokens for different shares. A token holds as
// long as nobody else showed a newer one for any of its shares: the old holder of a share is shut
// out as soon as the new one comes, and those of other shares go on. A device's own older token
// holds beside its newer one until it expires, because its connections are not renewed at the same
// moment. Tokens are signed, so that sites are as many as there are. Values; one thread.
#pragma once

#include <array>
#include <map>

#include "shared/swarm/lease_extension.hpp"

namespace lamina::swarm {

class LeaseEpochs {
 public:
  // A peer shows this. False: another device showed a newer one for a share of it; nothing changes.
  bool see(const LeaseFacts& lease) {
    if (!is_current(lease)) return false;
    auto& newest = sites_[lease.site];
    for (int share = 0; share < ShareSet::kCount; ++share)
      if (Shown& shown = newest[static_cast<std::size_t>(share)];
          lease.shares.has(share) && shown.epoch < lease.epoch)
        shown = {lease.epoch, lease.device};
    return true;
  }

  // Whether a lease that was seen, or may be, still holds.
  bool is_current(const LeaseFacts& lease) const {
    const auto site = sites_.find(lease.site);
    if (site == sites_.end()) return true;
    for (int share = 0; share < ShareSet::kCount; ++share)
      if (const Shown& shown = site->second[static_cast<std::size_t>(share)];
          lease.shares.has(share) && shown.epoch > lease.epoch && shown.device != lease.device)
        return false;
    return true;
  }

 private:
  struct Shown {
    std::uint64_t epoch = 0;
    DeviceId device;
  };
  std::map<std::string, std::array<Shown, ShareSet::kCount>> sites_;
};

}  // namespace lamina::swarm
