// Reflecting: what this device does for its site beyond its own target, within what administrators
// settled: which layers it keeps and shares, whom it serves, and the commands that it carries out
// once. The service fetches; this decides what stays.
//
// Loop thread only; a rebuild reads the cache in the loop's pool.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "node/net/layer_cache.hpp"
#include "node/net/layer_swarm.hpp"
#include "node/net/remembered.hpp"
#include "node/net/settled.hpp"
#include "shared/net/loop.hpp"

namespace lamina::node {

class Reflecting : public std::enable_shared_from_this<Reflecting> {
 public:
  // What the device needs for itself now.
  struct Needs {
    std::vector<LayerFiles> layers;  // Of the target, staged ones too.
    std::set<LayerId> complete;      // Those of them that count as whole.
    std::vector<LayerId> applied;
    // There is a target, and `layers` are all that it names: what is of none of them may go.
    bool is_all = false;
  };
  struct Ended {            // A command.
    std::string operation;  // "reflector-sync" or "reflector-rebuild"
    std::int64_t started_ms = 0;
    std::map<std::string, std::int64_t> counts;
  };
  // Called from the loop.
  struct Calls {
    std::function<Needs()> needs;
    std::function<void()> changed;             // settled() says something else.
    std::function<void()> hurry;               // What waits for its next try is tried now.
    std::function<void(const LayerId&)> lose;  // A layer of the target lacks packs after all.
    std::function<void(const Ended&)> ended;
  };

  // `cache_limit`: where nothing is settled about it; none: a fifth of the disk.
  // `patrol_every`: how often one pack of the cache is read back, one after the other, to see
  // whether the disk still has it; none: never.
  static std::shared_ptr<Reflecting> open(net::Loop& loop, const StateDirectory& state,
                                          const TrustedKeys& keys, std::optional<Bytes> cache_limit,
                                          Calls calls,
                                          std::optional<Duration> patrol_every = std::nullopt);

  // The swarm has opened; it outlives this, or stop() is called first.
  void use(LayerSwarm& swarm);
  void stop() { swarm_ = nullptr; }

  const Settled& settled() const { return settled_; }
  void heard(const wire::PollReply& reply);
  // `sent`: to peers, ever. What the cache holds and whom the device serves may be 10 s old: the
  // first reads the state of every pack's file, the second waits for the swarm's own thread.
  void add_to(wire::PollRequest& request, Bytes sent);

  // The layer left the target. True: it stays in the swarm, for the site.
  bool keep(const LayerFiles& layer);
  // The layer is about to be joined for the target.
  void wanted(const LayerId& layer);
  // Lets leave what is not needed and has no room, and shares what the cache has besides.
  // `unfinished`: nobody writes packs now; those that are not whole go too.
  void tidy(bool unfinished = false);
  // Now and then: layers that served since are marked, so that others leave first.
  void look();

  // Packs of the layer that an origin asked for proved damaged, or might be: all of it is read
  // back, and what is damaged is fetched again.
  void suspect(const LayerId& layer);

  // As they are now.
  wire::CacheState cache() const { return cache_.look(); }
  wire::ServingState serving() const;
  // Layers that stay for the site.
  const std::map<LayerId, LayerFiles>& kept() const { return cache_.kept(); }

 private:
  Reflecting(net::Loop& loop, const StateDirectory& state, const TrustedKeys& keys,
             std::optional<Bytes> cache_limit, Calls calls, std::optional<Duration> patrol_every)
      : loop_(loop),
        state_(state),
        cache_limit_(cache_limit),
        patrol_every_(patrol_every),
        calls_(std::move(calls)),
        settled_(state.reflector_settings()),
        cache_(state, keys) {}

  std::optional<Bytes> limit() const;
  void configure();
  void next_command();
  void synchronize(std::uint64_t number);
  void rebuild(std::uint64_t number);
  void patrol_later();
  void patrol();
  std::vector<LayerFiles> all_layers() const;
  // Reads the packs of `packs_of` back; what is damaged is gone from `layers` before `then`.
  void verify(std::vector<LayerFiles> packs_of, std::vector<LayerFiles> layers,
              std::function<void(const Result<PackCheck>&)> then);
  void found_damaged(const std::vector<LayerFiles>& layers, const std::set<PackId>& damaged);
  void command_ended(std::uint64_t number, const Ended& ended);

  net::Loop& loop_;
  StateDirectory state_;
  std::optional<Bytes> cache_limit_;
  std::optional<Duration> patrol_every_;
  Calls calls_;
  Settled settled_;
  LayerCache cache_;
  LayerSwarm* swarm_ = nullptr;
  net::Timer patrol_timer_;
  PackId patrolled_;               // The last one.
  std::map<LayerId, Bytes> sent_;  // Of kept layers, when last looked at.
  bool is_commanded_ = false;      // A command is being carried out.
  Remembered<wire::CacheState> said_cache_{std::chrono::seconds{10}};
  Remembered<wire::ServingState> said_serving_{std::chrono::seconds{10}};
};

}  // namespace lamina::node
