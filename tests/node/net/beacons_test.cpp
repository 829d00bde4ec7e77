#include "node/net/beacons.hpp"

#include <unistd.h>

#include <filesystem>

#include "tests/node/net/relay_site.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace lamina::tests;
using namespace std::chrono_literals;

namespace {

// Devices of one process on one port of the loopback network; the list has none where it is.
struct Node {
  Node(net::Loop& loop, SiteDevice made, const PrivateKey& key, std::uint16_t udp,
       std::uint16_t swarm_port)
      : device(std::move(made)),
        memory(device.state, device.id, key.public_key()),
        beacons(loop, device.state, device.id, memory,
                {.port = udp,
                 .only_loopback = true,
                 .limits = {.every_away = 200ms, .answer_within = 50ms}},
                {.say =
                     [swarm_port] {
                       return Beacons::Said{
                           .port = swarm_port,
                           .relay_port = static_cast<std::uint16_t>(swarm_port + 100)};
                     },
                 .found = [this] { ++found; },
                 .newer_list = [this](const wire::Peer& peer) { newer = peer; }}) {}

  SiteDevice device;
  SiteMemory memory;
  int found = 0;
  std::optional<wire::Peer> newer;
  Beacons beacons;
};

Buffer list_of(const PrivateKey& key, std::initializer_list<const Node*> nodes,
               std::uint64_t sequence = 1) {
  format::SiteMembers list{.site = "north", .sequence = sequence, .issued = {}, .members = {}};
  for (const Node* node : nodes) list.members.push_back({node->device.id, "192.0.2.1", 1, 0});
  return format::sign_record(format::RecordType::members, format::encode(list), key);
}

}  // namespace

TEST_CASE("beacons: devices of a site find each other, strangers are not found", "[node]") {
  RelaySite site, elsewhere;
  const PrivateKey key = *PrivateKey::generate();
  const auto udp = static_cast<std::uint16_t>(20000 + ::getpid() % 20000);
  Node ann(site.loop, site.make_device(1), key, udp, 4001);
  Node bob(site.loop, site.make_device(2), key, udp, 4002);
  // In the list and with the name of a member, but of another swarm's CA.
  Node eve(site.loop, elsewhere.make_device(3), key, udp, 4003);
  // Of this swarm, and not in the list that the others have.
  Node dan(site.loop, site.make_device(4), key, udp, 4004);
  for (Node* node : {&ann, &bob, &eve})
    REQUIRE(node->memory.take(list_of(key, {&ann, &bob, &eve}), SiteMemory::From::origin));
  REQUIRE(dan.memory.take(list_of(key, {&ann, &bob, &dan}), SiteMemory::From::origin));
  for (Node* node : {&eve, &dan, &ann, &bob}) {
    node->beacons.set_away(true);
    node->beacons.use_identity(node->device.swarm);
  }
  // Dan hears the others: by then they had many beacons of his and of Eve's.
  bool late = false;
  const net::Timer end = site.loop.after(20s, [&] { late = true; });
  site.loop.run_until(
      [&] { return late || (ann.found > 0 && bob.found > 0 && dan.beacons.heard() == 2); });
  CHECK_FALSE(late);
  CHECK(ann.beacons.heard() == 1);
  CHECK(bob.beacons.heard() == 1);
  CHECK(eve.beacons.heard() == 0);
  const std::vector<wire::Peer> expected{{bob.device.id, "127.0.0.1", 4002, 4102},
                                         {eve.device.id, "192.0.2.1", 1, std::nullopt}};
  CHECK(ann.beacons.peers() == expected);
}

TEST_CASE("beacons: a device with a newer member list is noticed", "[node]") {
  RelaySite site;
  const PrivateKey key = *PrivateKey::generate();
  const auto udp = static_cast<std::uint16_t>(20000 + (::getpid() + 2) % 20000);
  Node ann(site.loop, site.make_device(1), key, udp, 4001);
  Node bob(site.loop, site.make_device(2), key, udp, 4002);
  REQUIRE(ann.memory.take(list_of(key, {&ann, &bob}, 1), SiteMemory::From::origin));
  REQUIRE(bob.memory.take(list_of(key, {&ann, &bob}, 2), SiteMemory::From::origin));
  for (Node* node : {&ann, &bob}) {
    node->beacons.set_away(true);
    node->beacons.use_identity(node->device.swarm);
  }
  bool late = false;
  const net::Timer end = site.loop.after(20s, [&] { late = true; });
  site.loop.run_until([&] { return late || (ann.newer && bob.found > 0); });
  REQUIRE(ann.newer);
  CHECK(ann.newer->device == bob.device.id);
  CHECK(ann.newer->relay_port == 4102);
  CHECK_FALSE(bob.newer);
}

TEST_CASE("beacons: after a restart a device is heard again, whatever its clock", "[node]") {
  RelaySite site;
  const PrivateKey key = *PrivateKey::generate();
  const auto udp = static_cast<std::uint16_t>(20000 + (::getpid() + 1) % 20000);
  Node ann(site.loop, site.make_device(1), key, udp, 4001);
  auto bob = std::make_unique<Node>(site.loop, site.make_device(2), key, udp, 4002);
  for (Node* node : {&ann, bob.get()}) {
    REQUIRE(node->memory.take(list_of(key, {&ann, bob.get()}), SiteMemory::From::origin));
    node->beacons.set_away(true);
    node->beacons.use_identity(node->device.swarm);
  }
  bool late = false;
  const net::Timer end = site.loop.after(20s, [&] { late = true; });
  site.loop.run_until([&] { return late || ann.found > 0; });
  SiteDevice device = std::move(bob->device);
  bob.reset();
  // Elsewhere: another port stands for another address.
  bob = std::make_unique<Node>(site.loop, std::move(device), key, udp, 4005);
  bob->beacons.set_away(true);
  bob->beacons.use_identity(bob->device.swarm);
  site.loop.run_until([&] { return late || ann.found > 1; });
  CHECK_FALSE(late);
  CHECK(ann.beacons.peers().front().port == 4005);
}
