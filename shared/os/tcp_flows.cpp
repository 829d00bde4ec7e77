#include "shared/os/tcp_flows.hpp"

// The kernel's own header: the C library's tcp_info ends before tcpi_min_rtt.
#include <arpa/inet.h>
#include <dirent.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <memory>

#include "shared/os/errno.hpp"

namespace lamina::os {
namespace {

template <class T>
std::optional<T> option(int fd, int level, int name) {
  T value{};
  socklen_t size = sizeof value;
  if (getsockopt(fd, level, name, &value, &size) != 0) return std::nullopt;
  return value;
}

std::uint16_t port_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return 0;
}

std::string text_of(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET)
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof text);
  else
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text,
              sizeof text);
  constexpr std::string_view mapped = "::ffff:";  // An IPv4 peer of a socket for both.
  const std::string_view view = text;
  return std::string(
      view.starts_with(mapped) && view.find('.') != view.npos ? view.substr(mapped.size()) : view);
}

bool is_connection(int fd, std::uint16_t port) {
  const auto protocol = option<int>(fd, SOL_SOCKET, SO_PROTOCOL);
  if (!protocol || *protocol != IPPROTO_TCP) return false;
  const auto listens = option<int>(fd, SOL_SOCKET, SO_ACCEPTCONN);
  if (!listens || *listens != 0) return false;
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  return getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) == 0 && port_of(local) == port;
}

}  // namespace

const std::vector<TcpFlow>& TcpFlows::look() {
  flows_.clear();
  descriptors_.clear();
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
  if (!directory) return flows_;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    int fd = -1;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), fd);
    if (parsed.ec != std::errc{} || parsed.ptr != name.data() + name.size()) continue;
    if (!is_connection(fd, port_)) continue;
    const auto cookie = option<std::uint64_t>(fd, SOL_SOCKET, SO_COOKIE);
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (!cookie || getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    flows_.push_back({*cookie, text_of(peer)});
    descriptors_[*cookie] = fd;
  }
  return flows_;
}

int TcpFlows::find(std::uint64_t id) const {
  const auto found = descriptors_.find(id);
  if (found == descriptors_.end()) return -1;
  return option<std::uint64_t>(found->second, SOL_SOCKET, SO_COOKIE) == id ? found->second : -1;
}

std::optional<TcpMeasure> TcpFlows::measure(std::uint64_t id) const {
  const int fd = find(id);
  if (fd < 0) return std::nullopt;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  return TcpMeasure{.rtt = std::chrono::microseconds{info.tcpi_rtt},
                    .jitter = std::chrono::microseconds{info.tcpi_rttvar},
                    .rtt_min = std::chrono::microseconds{info.tcpi_min_rtt},
                    .acked = {static_cast<std::int64_t>(info.tcpi_bytes_acked)},
                    .lost = info.tcpi_total_retrans,
                    .waiting = {info.tcpi_notsent_bytes},
                    .held = std::chrono::microseconds{info.tcpi_rwnd_limited}};
}

Status TcpFlows::pace(std::uint64_t id, std::optional<BitRate> rate) const {
  const int fd = find(id);
  if (fd < 0) return fail(ErrorKind::not_found, "the connection is gone");
  // All ones are the kernel's word for no limit.
  const std::uint64_t bytes_per_second = rate
                                             ? static_cast<std::uint64_t>(rate->bits_per_second / 8)
                                             : std::numeric_limits<std::uint64_t>::max();
  if (setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &bytes_per_second, sizeof bytes_per_second) !=
      0)
    return fail(last_error("pacing a connection"));
  return Done{};
}

Status TcpFlows::use_congestion_control(std::uint64_t id, const std::string& name) const {
  const int fd = find(id);
  if (fd < 0) return fail(ErrorKind::not_found, "the connection is gone");
  char now[16] = {};
  socklen_t size = sizeof now;
  if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, now, &size) == 0 && name == now) return Done{};
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                 static_cast<socklen_t>(name.size())) != 0)
    return fail(ErrorKind::refused, "congestion control '" + name +
                                        "' cannot be used: " + std::strerror(errno) +
                                        "; see sysctl net.ipv4.tcp_allowed_congestion_control");
  return Done{};
}

}  // namespace lamina::os
