// Asking: gets from another device of the site what that one made of an update at great cost
// (delta::is_costly): one of them closes the containers that take long, the others take the result
// over the LAN.
//
// Asked are those that fetched the layer for the site, in turn, every few seconds: they have the
// update first. Asked no more is who says that it never will have it, and who was not reached for a
// while. When nobody is left, or the patience is over, the device makes it by itself.
//
// Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "shared/base/result.hpp"
#include "shared/net/loop.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

class Asking : public std::enable_shared_from_this<Asking> {
 public:
  using Files = std::vector<std::string>;  // Paths of packs, nobody's word for their content.
  using Then = std::function<void(Result<Files>)>;
  struct Calls {
    // Who may have made what the layer needs.
    std::function<std::vector<wire::Peer>(const LayerId& layer)> makers;
    // `refused`: it never will have it; `unavailable`: it was not reached; other errors: not now.
    std::function<void(const wire::Peer& from, const LayerId& layer, Then then)> fetch;
    // Once for each ask(): the packs, or an error when there is nobody to wait for.
    std::function<void(const LayerId& layer, Result<Files> files)> ended;
  };
  struct Limits {
    Duration again = std::chrono::seconds{5};
    // Unreached for so long, it counts as gone: a node that starts anew takes seconds.
    Duration unreached = std::chrono::seconds{30};
    // m: 400 MB of kernel modules take 100 s of a processor that has nothing else to do.
    Duration patience = std::chrono::minutes{15};
  };

  static std::shared_ptr<Asking> make(net::Loop& loop, Calls calls, Limits limits) {
    return std::shared_ptr<Asking>(new Asking(loop, std::move(calls), limits));
  }

  // Asked already: no effect.
  void ask(const LayerId& layer);
  void forget(const LayerId& layer) { asked_.erase(layer); }

 private:
  struct Asked {
    Instant until;
    std::set<DeviceId> hopeless;
    std::map<DeviceId, Instant> unreached_since;
    std::size_t turn = 0;
    bool is_fetching = false;
    net::Timer again;
  };

  Asking(net::Loop& loop, Calls calls, Limits limits)
      : loop_(loop), calls_(std::move(calls)), limits_(limits) {}
  void next(const LayerId& layer);
  void heard(const LayerId& layer, const DeviceId& from, Result<Files> files);
  void note(Asked& asked, const DeviceId& from, ErrorKind why) const;
  void end(const LayerId& layer, Result<Files> files);

  net::Loop& loop_;
  Calls calls_;
  Limits limits_;
  std::map<LayerId, Asked> asked_;
};

}  // namespace lamina::node
