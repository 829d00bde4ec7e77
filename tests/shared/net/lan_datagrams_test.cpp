#include "shared/net/lan_datagrams.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::net;
using namespace std::chrono_literals;

namespace {

// Two tests at the same time on one machine do not meet.
std::uint16_t free_port() { return static_cast<std::uint16_t>(40000 + ::getpid() % 20000); }

}  // namespace

TEST_CASE("lan datagrams: whoever opened the port hears what is sent, and of what size", "[net]") {
  Loop loop;
  std::vector<std::string> first, second;
  const LanDatagrams::Options options{.port = free_port(), .size_max = 8, .only_loopback = true};
  const auto keep = [](std::vector<std::string>& list) {
    return [&list](const std::string& from, ByteView bytes) {
      list.push_back(from + ' ' + std::string(as_text(bytes)));
    };
  };
  auto one = LanDatagrams::open(loop, options, keep(first));
  auto other = LanDatagrams::open(loop, options, keep(second));
  REQUIRE((one && other));
  REQUIRE((*one)->send(as_view("too long!")) > 0);
  REQUIRE((*one)->send(as_view("hello")) > 0);
  bool late = false;
  const Timer end = loop.after(10s, [&] { late = true; });
  loop.run_until([&] { return late || (!first.empty() && !second.empty()); });
  CHECK(first.front() == "127.0.0.1 hello");
  CHECK(second.front() == "127.0.0.1 hello");
}
