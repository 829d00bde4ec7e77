// LanDatagrams: one UDP port on every network that this machine is in, for short messages to
// whoever listens there.
//
// Each message goes to a multicast group (239.255.76.66, administratively scoped: no router passes
// it on) and, for switches that lose multicast, to each network's broadcast address; on interfaces
// that have no IPv4 address but an IPv6 address beside the one of the link, from that to the link's
// group ff12::4c42. Networks that come and go are noticed at each sending. The port is shared with
// other programs that open it the same way. Owns its sockets; loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "shared/base/bytes.hpp"
#include "shared/net/loop.hpp"

namespace lamina::net {

class LanDatagrams {
 public:
  static constexpr const char* kGroup = "239.255.76.66";
  static constexpr const char* kGroup6 = "ff12::4c42";  // Transient, of the link.

  struct Options {
    std::uint16_t port = 0;
    std::size_t size_max = 1400;   // Longer ones are dropped unread.
    std::size_t at_once_max = 64;  // Taken in one turn of the loop; the rest waits for the next.
    bool only_loopback = false;    // IPv4 alone; for tests on one machine.
  };
  // `from` is an IP address; what this machine sent comes back too.
  using OnDatagram = std::function<void(const std::string& from, ByteView datagram)>;

  // `unavailable`: the port can be opened in no family. The loop outlives the object.
  static Result<std::unique_ptr<LanDatagrams>> open(Loop& loop, Options options,
                                                    OnDatagram on_datagram);
  ~LanDatagrams();

  // To every network. What cannot be sent is lost, as any datagram may be. How many were sent.
  std::size_t send(ByteView datagram);

 private:
  struct Impl;
  explicit LanDatagrams(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamina::net
