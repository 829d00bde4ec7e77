// PieceSource: another way for a lease holder's pieces to come over the WAN than from a seeder.
//
// What arrives is believed no more than a peer: whoever asks checks it. Called on the loop's
// thread; answers come from the loop, never from inside a call.
#pragma once

#include <cstdint>
#include <functional>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::swarm {

class PieceSource {
 public:
  struct Range {
    LayerId layer;  // One that has the pack.
    PackId pack;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  // Exactly `size` bytes. `refused`: not on this lease; `unavailable`: try again later.
  using Then = std::function<void(Result<Buffer>)>;

  virtual ~PieceSource() = default;

  // Several may be under way. `lease_token` is what a seeder would be shown.
  virtual void fetch(const Range& range, const Buffer& lease_token, Then then) = 0;
  // Nothing is received any more: what is under way ends now, without an answer.
  virtual void stop() = 0;
  // Payload since the start, also of ranges that were not received whole.
  virtual Bytes received() const = 0;
};

}  // namespace lamina::swarm
