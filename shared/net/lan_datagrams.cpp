#include "shared/net/lan_datagrams.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <vector>

namespace lamina::net {
namespace {

struct Network {
  in_addr own{};
  in_addr broadcast{};
  bool has_broadcast = false;
};

// Those that are up, IPv4.
std::vector<Network> networks(bool loopback) {
  std::vector<Network> list;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return list;
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    if ((at->ifa_flags & IFF_UP) == 0) continue;
    if (((at->ifa_flags & IFF_LOOPBACK) != 0) != loopback) continue;
    sockaddr_in own{};
    std::memcpy(&own, at->ifa_addr, sizeof own);
    Network network{.own = own.sin_addr};
    if ((at->ifa_flags & IFF_BROADCAST) != 0 && at->ifa_broadaddr != nullptr) {
      sockaddr_in broadcast{};
      std::memcpy(&broadcast, at->ifa_broadaddr, sizeof broadcast);
      network.broadcast = broadcast.sin_addr;
      network.has_broadcast = true;
    }
    list.push_back(network);
  }
  ::freeifaddrs(all);
  return list;
}

in_addr group() {
  in_addr address{};
  ::inet_pton(AF_INET, LanDatagrams::kGroup, &address);
  return address;
}

}  // namespace

struct LanDatagrams::Impl {
  Impl(Options with, OnDatagram call) : options(with), on_datagram(std::move(call)) {}
  ~Impl() {
    watch = {};
    if (descriptor >= 0) ::close(descriptor);
  }

  Status open(Loop& loop) {
    descriptor = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return unusable("a UDP socket cannot be made");
    const int on = 1;
    const unsigned char hops = 1;
    if (::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::setsockopt(descriptor, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) != 0 ||
        ::setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops) != 0)
      return unusable("the UDP socket cannot be set up");
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_port = htons(options.port);
    if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0)
      return unusable("UDP port " + std::to_string(options.port) + " cannot be opened");
    join(networks(options.only_loopback));
    watch = loop.watch_readable(descriptor, [this] { receive(); });
    return Done{};
  }

  static Status unusable(const std::string& what) {
    return fail(ErrorKind::unavailable, what + ": " + std::strerror(errno));
  }

  // Groups that a network takes part in; one that is gone is forgotten with its address.
  void join(const std::vector<Network>& list) {
    std::set<std::uint32_t> now;
    for (const Network& network : list) {
      now.insert(network.own.s_addr);
      if (joined.contains(network.own.s_addr)) continue;
      const ip_mreqn request{
          .imr_multiaddr = group(), .imr_address = network.own, .imr_ifindex = 0};
      // Joined already through another address of the same network: that does as well.
      static_cast<void>(
          ::setsockopt(descriptor, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request));
    }
    joined = std::move(now);
  }

  std::size_t send(ByteView datagram) {
    const auto list = networks(options.only_loopback);
    join(list);
    std::size_t sent = 0;
    for (const Network& network : list) {
      const ip_mreqn out{.imr_multiaddr = {}, .imr_address = network.own, .imr_ifindex = 0};
      if (::setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) == 0)
        sent += send_to(group(), datagram);
      if (network.has_broadcast) sent += send_to(network.broadcast, datagram);
    }
    return sent;
  }

  std::size_t send_to(in_addr address, ByteView datagram) const {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(options.port);
    to.sin_addr = address;
    return ::sendto(descriptor, datagram.data(), datagram.size(), 0,
                    reinterpret_cast<const sockaddr*>(&to), sizeof to) >= 0
               ? 1
               : 0;
  }

  void receive() {
    Buffer bytes(options.size_max + 1);
    for (std::size_t i = 0; i < options.at_once_max; ++i) {
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const auto count = ::recvfrom(descriptor, bytes.data(), bytes.size(), 0,
                                    reinterpret_cast<sockaddr*>(&from), &size);
      if (count < 0) return;
      if (static_cast<std::size_t>(count) > options.size_max) continue;
      char text[INET_ADDRSTRLEN] = {};
      if (::inet_ntop(AF_INET, &from.sin_addr, text, sizeof text) == nullptr) continue;
      on_datagram(text, ByteView(bytes).first(static_cast<std::size_t>(count)));
    }
  }

  Options options;
  OnDatagram on_datagram;
  int descriptor = -1;
  std::set<std::uint32_t> joined;
  Watch watch;
};

LanDatagrams::LanDatagrams(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LanDatagrams::~LanDatagrams() = default;

Result<std::unique_ptr<LanDatagrams>> LanDatagrams::open(Loop& loop, Options options,
                                                         OnDatagram on_datagram) {
  auto impl = std::make_unique<Impl>(options, std::move(on_datagram));
  if (auto done = impl->open(loop); !done) return fail(std::move(done.error()));
  return std::unique_ptr<LanDatagrams>(new LanDatagrams(std::move(impl)));
}

std::size_t LanDatagrams::send(ByteView datagram) { return impl_->send(datagram); }

}  // namespace lamina::net
