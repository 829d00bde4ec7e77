// PackOffers: packs of layers that the origin lost and asked this device for.
//
// They are sent one after the other, at the pace of uploads; each is read back first, since what is
// damaged here too is no help. What cannot be sent is dropped: the origin asks again, or somebody
// else. Loop thread only; packs are read in the loop's pool.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "node/net/origin_link.hpp"

namespace lamina::node {

class PackOffers : public std::enable_shared_from_this<PackOffers> {
 public:
  // `send` is OriginLink::send_layer_pack(); `damaged` is told of a layer whose pack is not sound
  // here. The loop outlives the object.
  struct Calls {
    std::function<void(const wire::WantedPack&, const std::string& path,
                       std::function<void(Result<Done>)> then)>
        send;
    std::function<void(const LayerId&)> damaged;
  };
  static std::shared_ptr<PackOffers> open(net::Loop& loop, const StateDirectory& state,
                                          Calls calls);

  // Of those that wait already each counts once.
  void asked(const std::vector<wire::WantedPack>& packs);

 private:
  PackOffers(net::Loop& loop, StateDirectory state, Calls calls)
      : loop_(loop), state_(std::move(state)), calls_(std::move(calls)) {}
  void next();
  void ended(const wire::WantedPack& pack, const Status& done);

  net::Loop& loop_;
  StateDirectory state_;
  Calls calls_;
  std::deque<wire::WantedPack> waiting_;  // The first one is being read or sent.
};

}  // namespace lamina::node
