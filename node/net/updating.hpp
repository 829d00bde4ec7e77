// Updating: takes the updates of layers whose packs are here, one after the other.
//
// The old layer, if there is one, is read from the cache, every chunk by its digest, so that files
// which a user has changed make no difference; what comes out lies among the packs and is read
// beside them. Where the cache is damaged, or an encoder is missing, chunks are lacking: the frames
// of the layer's own packs that have them are fetched (shared/store/pack_part.hpp) and kept beside
// what came out, or the whole pack where that is hardly more.
//
// Loop thread only; the work is done in the loop's pool.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/net/layer_files.hpp"
#include "shared/net/loop.hpp"

namespace lamina::node {

struct Updated {
  LayerId layer;
  LayerId base;                       // Or format::kNoLayer; everywhere here.
  std::int64_t started_ms = 0;        // Since the epoch.
  std::uint64_t chunks = 0;           // That came out of the update.
  Bytes bytes;                        // Theirs, plain.
  Bytes fetched;                      // Of the update's packs.
  std::uint64_t fallback_chunks = 0;  // That did not...
  Bytes fallback;                     // ...and what was, or will be, fetched for them.
  std::vector<std::string> troubles;  // Why.
  // Of packs in part, for take_parts(): it is not over. 0: what is lacking still are whole packs.
  Bytes waits_for = {};
  std::size_t awaits = 0;  // Chunks of another device of the site, for take_from_site().
};

struct UpdateOutcome;  // Of updating.cpp.

class Updating : public std::enable_shared_from_this<Updating> {
 public:
  using Then = std::function<void(Result<Updated>)>;

  // What an interrupted run left is removed. `state` and `keys` outlive the object.
  static std::shared_ptr<Updating> open(net::Loop& loop, const StateDirectory& state,
                                        const TrustedKeys& keys);

  // Takes the update of `layer` from `base`, whose packs are whole. `then` is called later, once;
  // after success find_bases() sees what came of it. What cannot be made anything of succeeds too,
  // with everything lacking; an error (`out_of_space`, `unavailable`) may not be one next time.
  // `leaves_costly`: what takes long to make is awaited.
  void take(const LayerFiles& layer, const LayerId& base, std::int64_t started_ms,
            bool leaves_costly, Then then);
  // Likewise, what Leaning::partly names is here. The figures are those of the update until now.
  void take_parts(const LayerFiles& layer, Then then);
  // Likewise, another device of the site gave packs with what is awaited: files at these paths, as
  // good as a stranger's. `corrupt`: that is not in them, all of it and right; nothing is kept.
  void take_from_site(const LayerFiles& layer, std::vector<std::string> packs, Then then);
  bool is_taking(const LayerId& layer) const;
  // The update's packs are not to be had: from now on the layer's own are needed.
  Status give_up(const LayerFiles& layer, const LayerId& base) const;

 private:
  struct Job {
    LayerFiles layer;
    // In the loop's pool.
    std::function<Result<UpdateOutcome>()> work;
    Then then;
  };

  Updating(net::Loop& loop, const StateDirectory& state, const TrustedKeys& keys)
      : loop_(loop), state_(state), keys_(keys) {}
  void add(Job job);
  void next();

  net::Loop& loop_;
  const StateDirectory& state_;
  const TrustedKeys& keys_;
  std::deque<Job> jobs_;                                  // The first is under way.
  std::map<LayerId, std::vector<std::string>> troubles_;  // Of updates that wait for parts.
};

}  // namespace lamina::node
