#include "shared/net/lan_datagrams.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/support/own_network.hpp"

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

TEST_CASE("lan datagrams: an interface without IPv4 address speaks IPv6, once it can be dialled",
          "[net]") {
  const tests::OwnNetwork network;
  if (!network.is_there()) return;
  Loop loop;
  std::vector<std::string> heard;
  const LanDatagrams::Options options{.port = free_port(), .size_max = 8};
  auto one = LanDatagrams::open(loop, options, [](const std::string&, ByteView) {});
  auto other = LanDatagrams::open(loop, options, [&](const std::string& from, ByteView bytes) {
    heard.push_back(from + ' ' + std::string(as_text(bytes)));
  });
  REQUIRE((one && other));
  network.add("fe80::7/64");
  CHECK((*one)->send(as_view("nobody")) == 0);  // Could be dialled there.
  network.add("fd00:7::1/64");
  REQUIRE((*other)->send(as_view("itself")) == 1);
  CHECK((*one)->send(as_view("too long!")) == 1);
  REQUIRE((*one)->send(as_view("hello")) == 1);
  bool late = false;
  const Timer end = loop.after(10s, [&] { late = true; });
  loop.run_until([&] { return late || heard.size() == 2; });
  CHECK(heard == std::vector<std::string>{"fd00:7::1 itself", "fd00:7::1 hello"});
}

TEST_CASE("lan datagrams: where there is IPv4 nobody is heard by a second address", "[net]") {
  const tests::OwnNetwork network;
  if (!network.is_there()) return;
  Loop loop;
  std::vector<std::string> heard;
  const LanDatagrams::Options options{.port = free_port()};
  auto one = LanDatagrams::open(loop, options, [&](const std::string& from, ByteView bytes) {
    heard.push_back(from + ' ' + std::string(as_text(bytes)));
  });
  REQUIRE(one);
  // Addresses that come while it is open.
  network.add("fd00:7::1/64");
  network.add("10.77.0.1/24");
  // To the group and by broadcast, and nothing over IPv6.
  REQUIRE((*one)->send(as_view("hello")) == 2);
  bool late = false;
  const Timer end = loop.after(10s, [&] { late = true; });
  loop.run_until([&] { return late || !heard.empty(); });
  REQUIRE_FALSE(heard.empty());
  CHECK(heard.front() == "10.77.0.1 hello");
}
