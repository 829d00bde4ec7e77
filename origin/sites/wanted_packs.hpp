// WantedPacks: packs of layers that the origin lost, and who is asked to send them.
//
// A pack's name proves its bytes, so anybody who has it may bring it: mirrors, and devices that the
// layer is assigned to. One holder at a time is asked for a pack, so that a thousand devices do not
// send it a thousand times; who was asked and did not bring it within its time is not the next one
// asked. The answer to a poll may go to a connection that nobody has any more: only a holder that
// polls again has been asked. In memory: what is lost is found again at the start. Loop thread
// only.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"
#include "shared/wire/node.hpp"

namespace lamina::origin {

class WantedPacks {
 public:
  struct Limits {
    // A device polls again at once, a seeder within four seconds.
    Duration hear_within = std::chrono::seconds{15};
    // 16 MiB take 268 s at 0.5 Mbit/s.
    Duration ask_for = std::chrono::minutes{5};
    // A holder that did not bring a pack is asked again for it after so long.
    Duration ask_again = std::chrono::minutes{30};
    std::size_t at_once = wire::kWantedPacksMax;  // Of one holder.
  };
  using List = std::map<PackId, std::vector<LayerId>>;  // And the layers that have it.

  WantedPacks() : WantedPacks(Limits()) {}
  explicit WantedPacks(Limits limits) : limits_(limits) {}

  // What is wanted from now on. Who was asked stays asked.
  void set(const List& list);
  void arrived(const PackId& pack);
  std::size_t size() const { return wanted_.size(); }
  // Whether the pack is wanted, for this layer; for any.
  bool wants(const PackId& pack, const LayerId& layer) const;
  bool wants(const PackId& pack) const { return wanted_.contains(pack); }

  // A poll of `holder` came in: it has had the answers to those before. Call it ahead of ask().
  void heard_from(const DeviceId& holder, Instant now);
  // What `holder`, which has all packs of `layers`, is asked for now; it counts as asked.
  // Ascending.
  std::vector<wire::WantedPack> ask(const DeviceId& holder, const std::set<LayerId>& layers,
                                    Instant now);
  // Whether ask() would give any.
  bool would_ask(const DeviceId& holder, const std::set<LayerId>& layers, Instant now) const;
  // When somebody's time is over next.
  std::optional<Instant> next_change() const;
  // Whether somebody's time is over at `now`: others may be asked.
  bool expire(Instant now);

 private:
  struct Wanted {
    std::vector<LayerId> layers;
    DeviceId asked;                            // None: nobody.
    bool has_heard = false;                    // `asked` has.
    Instant until;                             // While `asked` has its time.
    std::map<DeviceId, Instant> asked_before;  // And until when they are not asked again.
  };
  void give_time(const PackId& pack, Wanted& wanted, Instant until);
  void release(const PackId& pack, Wanted& wanted);  // Nobody is asked for it.
  // The layer by which the holder has it, when it may be asked; none otherwise.
  static const LayerId* layer_of(const Wanted& wanted, const DeviceId& holder,
                                 const std::set<LayerId>& layers, Instant now);

  Limits limits_;
  std::map<PackId, Wanted> wanted_;
  std::set<std::pair<Instant, PackId>> asked_;  // By the end of their time.
};

}  // namespace lamina::origin
