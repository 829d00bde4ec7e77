// ShutOut remembers which peers of the site sent content that was not what they said, and for how
// long nothing is taken from them and nothing given to them.
//
// A device whose disk fails is not one for good, and one that gave a piece together with a liar may
// be blamed for it: the first time it is out for a moment, and each time that it is caught again
// for twice as long. While it is out it fetches over the line what it lacks.
//
// Deterministic; no clock, no I/O. Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "shared/base/units.hpp"

namespace lamina::policy {

class ShutOut {
 public:
  struct Limits {
    Duration first = std::chrono::seconds{30};
    Duration most = std::chrono::hours{24};
  };

  ShutOut() : ShutOut(Limits()) {}
  explicit ShutOut(Limits limits) : limits_(limits) {}

  // The peer at `address` was caught: for how long it is out from now on; nothing: it is out
  // already. `now` must not be earlier than in the previous call.
  std::optional<Duration> caught(const std::string& address, Instant now);
  bool is_out(const std::string& address, Instant now) const;

 private:
  struct Peer {
    Instant until;
    Duration length{};
  };

  Limits limits_;
  std::map<std::string, Peer> peers_;
};

}  // namespace lamina::policy
