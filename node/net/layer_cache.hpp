// LayerCache: the layers in a device's cache that its target does not name. They stay for its site
// while there is room, so that a device which gets them later has them from the LAN.
//
// What the target names or stages, what is applied, and what these lean on (leaning_of) never
// leaves for want of room: a target may be reverted, and a scan reads what is applied. The others
// leave as whole layers, the least recently used first (policy::choose_evictions), when the cache
// is above its limit or the disk is nearly full.
//
// Works on the files of layer_files.hpp; blocking, short. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "node/net/layer_files.hpp"
#include "shared/policy/cache_eviction.hpp"
#include "shared/wire/reflector.hpp"

namespace lamina::node {

class LayerCache {
 public:
  LayerCache(StateDirectory state, TrustedKeys keys)
      : state_(std::move(state)), keys_(std::move(keys)) {}

  // What the device needs for itself.
  struct Needs {
    std::vector<LayerFiles> target;  // Every layer of it, staged ones too.
    std::vector<LayerId> applied;
    bool keeps_others = true;  // false: whatever is not needed leaves at once.
    bool unfinished = false;   // Packs that are not whole go too: nobody writes them now.
    std::optional<Bytes> limit = std::nullopt;  // None: a fifth of the disk.
  };
  // Takes in what lies in the cache, and lets leave what must. `leave` is called for each kept
  // layer before its files go: nobody may serve them then.
  Status settle(const Needs& needs, const std::function<void(const LayerId&)>& leave);

  // Takes what `lamina-node cache import` left into the cache: packs that `target` needs, and
  // layers that are whole with what is here. Whether anything came.
  bool take_in(const std::vector<LayerFiles>& target);

  // The layer left the target. True if it is whole: it is kept from now on.
  bool keep(const LayerFiles& layer);
  // The layer is wanted by the target again.
  void forget(const LayerId& layer) { kept_.erase(layer); }
  // It served somebody: it leaves later than those that did not.
  void used(const LayerId& layer) const;
  const std::map<LayerId, LayerFiles>& kept() const { return kept_; }

  // As of the last settle(), with the bytes of now.
  wire::CacheState look() const;

 private:
  Instant used_at(const LayerId& layer) const;  // Comparable among layers; no time of any clock.
  void load(const std::set<LayerId>& target);

  StateDirectory state_;
  TrustedKeys keys_;
  std::map<LayerId, LayerFiles> kept_;
  std::set<PackId> needed_;  // Of the target.
  Bytes limit_;
  Bytes over_;
};

}  // namespace lamina::node
