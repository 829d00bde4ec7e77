// Mirror: keeps a seeder's packs in step with the origin's, over HTTPS, and says how it stands.
//
// The shell around plan_mirror(): it polls every few seconds, asks for records, fetches packs in
// ranges, and puts torrents where the seeder of the same process looks for them. The origin may be
// away: what is here is served on. Loop thread only; packs are read and written in the loop's pool.
#pragma once

#include <functional>
#include <memory>

#include "origin/mirror/identity.hpp"
#include "shared/net/loop.hpp"
#include "shared/swarm/session.hpp"

namespace lamina::origin {

// The seeder of the same process.
struct MirrorEngine {
  std::function<void()> torrents_changed;
  struct Load {
    std::int64_t connections = 0;
    Bytes sent;
  };
  std::function<Load()> load;
  std::function<void(swarm::SwarmIdentity)> use_identity;
};

struct MirrorOptions {
  BitRate most = {};  // Of what it fetches, on average over some seconds; 0: no limit.
  Duration poll_every = std::chrono::seconds{3};
  std::size_t packs_at_once = 3;
  Bytes reserve = 512_MiB;  // Left free on the disk.
  // After a failure; doubled up to a minute.
  Duration retry_after = std::chrono::seconds{1};
  Duration renew_before = std::chrono::hours{84};  // Half of what certificates last.
  // How often one pack is read back, one after the other, to see whether the disk still has it.
  Duration patrol_every = std::chrono::minutes{1};
};

class Mirror {
 public:
  // For a machine that has joined. `loop` outlives the mirror. Torrents of layers that are not
  // whole are taken away before this returns. Errors are those of its files, naming them.
  static Result<std::unique_ptr<Mirror>> open(net::Loop& loop, const DataDirectory& data,
                                              MirrorEngine engine, MirrorOptions options);
  ~Mirror();  // What is under way is given up, and continued at the next start.

  struct Standing {
    std::size_t layers = 0;  // Whole and served.
    std::size_t listed = 0;  // By the origin, as of its last answer.
    Bytes held;
    Bytes missing;
    std::string trouble;  // What keeps it from going on; empty: nothing.
  };
  Standing standing() const;

 private:
  struct State;
  explicit Mirror(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lamina::origin
