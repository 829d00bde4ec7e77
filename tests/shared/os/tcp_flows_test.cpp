#include "shared/os/tcp_flows.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>

using namespace lamina;

namespace {

struct Socket {
  int fd = -1;
  explicit Socket(int made) : fd(made) { REQUIRE(fd >= 0); }
  Socket(Socket&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  ~Socket() { close(); }
  void close() {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
};

// A listener on loopback and connections to it, all of this process.
struct Bench {
  Socket listener{socket(AF_INET, SOCK_STREAM, 0)};
  std::uint16_t port = 0;

  Bench() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(bind(listener.fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(listener.fd, 4) == 0);
    REQUIRE(getsockname(listener.fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
  }
  std::pair<Socket, Socket> connected() {  // The client's end, the server's.
    Socket client(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    REQUIRE(connect(client.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return {std::move(client), Socket(accept(listener.fd, nullptr, nullptr))};
  }
};

}  // namespace

TEST_CASE("tcp flows: the connections at a port, and no others", "[tcp_flows]") {
  Bench bench;
  os::TcpFlows flows(bench.port);
  CHECK(flows.look().empty());
  auto first = bench.connected();
  auto second = bench.connected();
  const auto found = flows.look();
  REQUIRE(found.size() == 2);
  CHECK(found[0].peer == "127.0.0.1");
  CHECK(found[0].id != found[1].id);
  CHECK(os::TcpFlows(1).look().empty());
}

TEST_CASE("tcp flows: what was acknowledged, and the round trip", "[tcp_flows]") {
  Bench bench;
  auto ends = bench.connected();
  os::TcpFlows flows(bench.port);
  const auto id = flows.look().at(0).id;
  const auto before = flows.measure(id);
  REQUIRE(before);
  std::array<char, 10'000> data{};
  REQUIRE(send(ends.second.fd, data.data(), data.size(), 0) == 10'000);
  REQUIRE(recv(ends.first.fd, data.data(), data.size(), MSG_WAITALL) == 10'000);
  const auto after = flows.measure(id);
  REQUIRE(after);
  CHECK(after->acked - before->acked == Bytes{10'000});
  CHECK(after->rtt > Duration{});
  CHECK(after->rtt_min > Duration{});
  CHECK(after->rtt_min <= after->rtt);
  CHECK(after->jitter > Duration{});
}

TEST_CASE("tcp flows: a pacing rate is the kernel's", "[tcp_flows]") {
  Bench bench;
  auto ends = bench.connected();
  os::TcpFlows flows(bench.port);
  const auto id = flows.look().at(0).id;
  const auto rate_of = [&] {
    std::uint64_t rate = 0;
    socklen_t size = sizeof rate;
    REQUIRE(getsockopt(ends.second.fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &size) == 0);
    return rate;
  };
  REQUIRE(flows.pace(id, BitRate{8'000'000}));
  CHECK(rate_of() == 1'000'000);
  REQUIRE(flows.pace(id, std::nullopt));
  CHECK(rate_of() == ~0ULL);
}

TEST_CASE("tcp flows: a closed connection is gone, also when its descriptor is another's",
          "[tcp_flows]") {
  Bench bench;
  auto ends = bench.connected();
  os::TcpFlows flows(bench.port);
  const auto id = flows.look().at(0).id;
  const int descriptor = ends.second.fd;
  ends.second.close();
  CHECK_FALSE(flows.measure(id));
  auto other = bench.connected();
  if (other.first.fd != descriptor && other.second.fd != descriptor)
    REQUIRE(dup2(other.second.fd, descriptor) == descriptor);
  CHECK_FALSE(flows.measure(id));
  CHECK(flows.pace(id, BitRate{1}).error().kind() == ErrorKind::not_found);
  if (other.first.fd != descriptor && other.second.fd != descriptor) close(descriptor);
}

TEST_CASE("tcp flows: congestion control is named, or refused with the next step", "[tcp_flows]") {
  Bench bench;
  auto ends = bench.connected();
  os::TcpFlows flows(bench.port);
  const auto id = flows.look().at(0).id;
  CHECK(flows.use_congestion_control(id, "reno"));  // Every Linux has it, for everybody.
  const auto unknown = flows.use_congestion_control(id, "none-such");
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().kind() == ErrorKind::refused);
  CHECK(unknown.error().text().find("tcp_allowed_congestion_control") != std::string::npos);
}
