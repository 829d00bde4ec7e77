#include "shared/net/lan_datagrams.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
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

// What an interface is reached by over IPv6.
struct Link {
  in6_addr own{};
  bool has_ipv4 = false;
};

// Those that are up, can multicast and have an address that is good beyond their link, which the
// swarm can dial; by number. Not the loopback: it has no IPv6 multicast.
std::map<unsigned, Link> links() {
  std::map<unsigned, Link> list;
  std::set<unsigned> with_ipv4;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return list;
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    constexpr unsigned wanted = IFF_UP | IFF_MULTICAST;
    if (at->ifa_addr == nullptr || (at->ifa_flags & wanted) != wanted ||
        (at->ifa_flags & IFF_LOOPBACK) != 0)
      continue;
    const unsigned number = ::if_nametoindex(at->ifa_name);
    if (number == 0) continue;
    if (at->ifa_addr->sa_family == AF_INET) with_ipv4.insert(number);
    if (at->ifa_addr->sa_family != AF_INET6) continue;
    sockaddr_in6 own{};
    std::memcpy(&own, at->ifa_addr, sizeof own);
    if (!IN6_IS_ADDR_LINKLOCAL(&own.sin6_addr)) list.try_emplace(number, Link{own.sin6_addr});
  }
  ::freeifaddrs(all);
  for (auto& [number, link] : list) link.has_ipv4 = with_ipv4.contains(number);
  return list;
}

// Numeric. Empty: an address that is good on its link only, and which nobody can dial.
std::string text_of(const sockaddr_storage& from) {
  char text[INET6_ADDRSTRLEN] = {};
  if (from.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &from, sizeof v4);
    return ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text) != nullptr ? text : "";
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &from, sizeof v6);
  if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) return "";
  return ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text) != nullptr ? text : "";
}

in6_addr group6() {
  in6_addr address{};
  ::inet_pton(AF_INET6, LanDatagrams::kGroup6, &address);
  return address;
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
    watch4 = {};
    watch6 = {};
    if (socket4 >= 0) ::close(socket4);
    if (socket6 >= 0) ::close(socket6);
  }

  Status open(Loop& loop) {
    const Status v4 = open4();
    const Status v6 = open6();
    if (!v4 && !v6)
      return fail(ErrorKind::unavailable, v4.error().text() + "; " + v6.error().text());
    if (v4) {
      join4(networks(options.only_loopback));
      watch4 = loop.watch_readable(socket4, [this] { receive(socket4); });
    }
    if (v6) {
      join6(links6());
      watch6 = loop.watch_readable(socket6, [this] { receive(socket6); });
    }
    return Done{};
  }

  // The socket is closed when it cannot be used.
  Status open4() {
    socket4 = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket4 < 0) return unusable("an IPv4 UDP socket cannot be made");
    const int on = 1;
    const unsigned char hops = 1;
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_port = htons(options.port);
    if (::setsockopt(socket4, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        ::setsockopt(socket4, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) == 0 &&
        ::setsockopt(socket4, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops) == 0 &&
        ::bind(socket4, reinterpret_cast<const sockaddr*>(&local), sizeof local) == 0)
      return Done{};
    return give_up(socket4, "IPv4");
  }

  Status open6() {
    socket6 = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket6 < 0) return unusable("an IPv6 UDP socket cannot be made");
    const int on = 1;
    const int hops = 1;
    sockaddr_in6 local{};
    local.sin6_family = AF_INET6;
    local.sin6_port = htons(options.port);
    if (::setsockopt(socket6, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        ::setsockopt(socket6, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0 &&
        ::setsockopt(socket6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) == 0 &&
        ::bind(socket6, reinterpret_cast<const sockaddr*>(&local), sizeof local) == 0)
      return Done{};
    return give_up(socket6, "IPv6");
  }

  Status give_up(int& socket, const std::string& family) const {
    auto why = unusable(family + " UDP port " + std::to_string(options.port) + " cannot be opened");
    ::close(socket);
    socket = -1;
    return why;
  }

  static Status unusable(const std::string& what) {
    return fail(ErrorKind::unavailable, what + ": " + std::strerror(errno));
  }

  // Groups that a network takes part in; one that is gone is forgotten with its address.
  void join4(const std::vector<Network>& list) {
    std::set<std::uint32_t> now;
    for (const Network& network : list) {
      now.insert(network.own.s_addr);
      if (joined4.contains(network.own.s_addr)) continue;
      const ip_mreqn request{
          .imr_multiaddr = group(), .imr_address = network.own, .imr_ifindex = 0};
      // Joined already through another address of the same network: that does as well.
      static_cast<void>(
          ::setsockopt(socket4, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request));
    }
    joined4 = std::move(now);
  }

  void join6(const std::map<unsigned, Link>& list) {
    std::set<unsigned> now;
    for (const auto& [number, link] : list) {
      now.insert(number);
      if (joined6.contains(number)) continue;
      const ipv6_mreq request{.ipv6mr_multiaddr = group6(), .ipv6mr_interface = number};
      // One that had gone down and is up again is in the group still.
      static_cast<void>(
          ::setsockopt(socket6, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request));
    }
    joined6 = std::move(now);
  }

  std::size_t send(ByteView datagram) {
    return (socket4 >= 0 ? send4(datagram) : 0) + (socket6 >= 0 ? send6(datagram) : 0);
  }

  std::size_t send4(ByteView datagram) {
    const auto list = networks(options.only_loopback);
    join4(list);
    std::size_t sent = 0;
    for (const Network& network : list) {
      const ip_mreqn out{.imr_multiaddr = {}, .imr_address = network.own, .imr_ifindex = 0};
      if (::setsockopt(socket4, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) == 0)
        sent += send_to4(group(), datagram);
      if (network.has_broadcast) sent += send_to4(network.broadcast, datagram);
    }
    return sent;
  }

  std::size_t send_to4(in_addr address, ByteView datagram) const {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(options.port);
    to.sin_addr = address;
    return ::sendto(socket4, datagram.data(), datagram.size(), 0,
                    reinterpret_cast<const sockaddr*>(&to), sizeof to) >= 0
               ? 1
               : 0;
  }

  // Where it is not heard over IPv4 already: nobody is to be known by two addresses in turn.
  std::map<unsigned, Link> links6() const {
    if (options.only_loopback) return {};
    auto list = links();
    std::erase_if(list, [](const auto& link) { return link.second.has_ipv4; });
    return list;
  }

  std::size_t send6(ByteView datagram) {
    const auto list = links6();
    join6(list);
    std::size_t sent = 0;
    for (const auto& [number, link] : list) {
      sockaddr_in6 to{};
      to.sin6_family = AF_INET6;
      to.sin6_port = htons(options.port);
      to.sin6_addr = group6();
      to.sin6_scope_id = number;
      // By itself the system takes the address of the link for it, which the swarm cannot dial.
      const in6_pktinfo source{.ipi6_addr = link.own, .ipi6_ifindex = number};
      alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof source)> space{};
      iovec part{const_cast<std::byte*>(datagram.data()), datagram.size()};
      msghdr message{};
      message.msg_name = &to;
      message.msg_namelen = sizeof to;
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = space.data();
      message.msg_controllen = space.size();
      cmsghdr* head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = IPPROTO_IPV6;
      head->cmsg_type = IPV6_PKTINFO;
      head->cmsg_len = CMSG_LEN(sizeof source);
      std::memcpy(CMSG_DATA(head), &source, sizeof source);
      if (::sendmsg(socket6, &message, 0) >= 0) ++sent;
    }
    return sent;
  }

  void receive(int socket) {
    Buffer bytes(options.size_max + 1);
    for (std::size_t i = 0; i < options.at_once_max; ++i) {
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const auto count = ::recvfrom(socket, bytes.data(), bytes.size(), 0,
                                    reinterpret_cast<sockaddr*>(&from), &size);
      if (count < 0) return;
      if (static_cast<std::size_t>(count) > options.size_max) continue;
      const std::string text = text_of(from);
      if (text.empty()) continue;
      on_datagram(text, ByteView(bytes).first(static_cast<std::size_t>(count)));
    }
  }

  Options options;
  OnDatagram on_datagram;
  int socket4 = -1;  // No socket: the machine has not the family.
  int socket6 = -1;
  std::set<std::uint32_t> joined4;
  std::set<unsigned> joined6;
  Watch watch4;
  Watch watch6;
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
