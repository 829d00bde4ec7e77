// The lease extension: an origin's seeder serves the holder of a site's lease and nobody else.
//
// The holder sends its token in the extension handshake (BEP 10, key "lamina_lease") and again, as
// an extended message, whenever the lease was renewed. The seeder answers no request before it has
// seen a valid token, shuts out older ones of the site that lease_epochs.hpp tells it, disconnects
// a peer at its token's expiry, and one that shows no token within kTokenWithin. libtorrent 2.0.8
// has no hook for hash requests (BEP 52): who has a certificate of the swarm but no lease may learn
// hashes in those seconds, never content. Facts are values; the objects are used on libtorrent's
// thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "shared/base/bytes.hpp"
#include "shared/base/ids.hpp"
#include "shared/base/share_set.hpp"
#include "shared/base/units.hpp"

namespace lamina::swarm {

constexpr std::chrono::seconds kTokenWithin{5};
constexpr std::size_t kTokenMax = 4096;

struct LeaseFacts {
  std::string site;
  DeviceId device;
  std::uint64_t epoch = 0;
  WallTime expires;
  ShareSet shares = ShareSet::all();
};
// Judges a token's bytes: signature and form. Called on libtorrent's thread.
using CheckLease = std::function<Result<LeaseFacts>(ByteView token)>;

// The token that a WAN session shows. Any thread.
class LeaseTicket {
 public:
  void set(Buffer token) {
    const std::lock_guard lock(mutex_);
    token_ = std::move(token);
    ++version_;
  }
  // The token and a number that changes with it.
  std::pair<Buffer, std::uint64_t> get() const {
    const std::lock_guard lock(mutex_);
    return {token_, version_};
  }

 private:
  mutable std::mutex mutex_;
  Buffer token_;
  std::uint64_t version_ = 0;
};

}  // namespace lamina::swarm
