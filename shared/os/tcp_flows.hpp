// TcpFlows: the TCP connections of this process at one local port, whoever opened them: how long
// their round trips take, and how fast they may send.
//
// It exists because libtorrent hides its sockets, while the kernel knows what a line needs to be
// told: found by looking through the process's descriptors, remembered by the kernel's cookie, so
// that a descriptor that was closed and used again is never taken for the old connection. Linux
// only. One thread; libtorrent may open and close sockets on others meanwhile.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/units.hpp"

namespace lamina::os {

struct TcpFlow {
  std::uint64_t id = 0;  // The kernel's cookie: of no other connection since the machine started.
  std::string peer;      // Address without port; an IPv4 address in its usual form.
};

struct TcpMeasure {
  Duration rtt{};      // Smoothed by the kernel.
  Duration jitter{};   // How far a round trip is from that, on average; lately (RFC 6298, RTTVAR).
  Duration rtt_min{};  // The smallest that the kernel remembers, some minutes back.
  Bytes acked;         // By the peer, since the connection began.
  std::int64_t lost = 0;  // Packets sent again, likewise.
  Bytes waiting;          // Written, and not sent for the first time yet.
  Duration held{};        // How long it waited for the receiver to take more, since it began.
};

class TcpFlows {
 public:
  explicit TcpFlows(std::uint16_t local_port) : port_(local_port) {}

  // Finds the connections that there are now. A system call for each descriptor: a few times a
  // second is enough.
  const std::vector<TcpFlow>& look();

  // Nothing: it is gone.
  std::optional<TcpMeasure> measure(std::uint64_t id) const;

  // It sends no faster from now on, spread evenly over time; nothing: as fast as TCP likes.
  // `not_found`: it is gone.
  Status pace(std::uint64_t id, std::optional<BitRate> rate) const;

  // "bbr", "cubic". `refused`: the system does not have it, or keeps it for the administrator.
  // Setting what is set already does nothing.
  Status use_congestion_control(std::uint64_t id, const std::string& name) const;

 private:
  // The connection's descriptor, while it is still that connection's; -1: gone.
  int find(std::uint64_t id) const;

  std::uint16_t port_;
  std::vector<TcpFlow> flows_;
  std::map<std::uint64_t, int> descriptors_;
};

}  // namespace lamina::os
