#include "origin/sites/relays.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::origin;
using namespace std::chrono_literals;

namespace {

template <class Id>
Id id(unsigned char value) {
  std::array<std::byte, Id::kSize> bytes;
  bytes.fill(std::byte{value});
  return Id(bytes);
}
Instant at(Duration since_start) { return Instant{} + since_start; }

const DeviceId kAnn = id<DeviceId>(1), kRelay = id<DeviceId>(7), kOther = id<DeviceId>(8);
const wire::HandedSnapshot kHanded{id<SnapshotId>(5), 3};
const std::vector<wire::RelayedSnapshot> kHeld{{kAnn, kHanded.snapshot, 3, 100, 2000}};

}  // namespace

TEST_CASE("relays: a snapshot is at the site while a relay lists it", "[origin]") {
  Relays relays(150s);
  CHECK(relays.state_of(kAnn, "north", kHanded, at(0s)) == "unknown");
  relays.reported(kRelay, "north", kHeld, at(0s));
  CHECK(relays.state_of(kAnn, "north", kHanded, at(149s)) == "at the site");
  CHECK(relays.at_site(kAnn, "north", at(10s)).at(0).age_ms == 12'000);
  SECTION("not once the relay is silent") {
    CHECK(relays.state_of(kAnn, "north", kHanded, at(150s)) == "unknown");
    CHECK(relays.at_site(kAnn, "north", at(150s)).empty());
  }
  SECTION("not once it says that it has nothing") {
    relays.reported(kRelay, "north", {}, at(1s));
    CHECK(relays.state_of(kAnn, "north", kHanded, at(1s)) == "unknown");
  }
  SECTION("not another snapshot, and not at another site") {
    CHECK(relays.state_of(kAnn, "north", {id<SnapshotId>(6), 4}, at(1s)) == "unknown");
    CHECK(relays.state_of(kAnn, "south", kHanded, at(1s)) == "unknown");
  }
  SECTION("by two relays, until both say no") {
    relays.reported(kOther, "north", kHeld, at(1s));
    CHECK(relays.at_site(kAnn, "north", at(1s)).size() == 2);
    relays.reported(kRelay, "north", {}, at(2s));
    CHECK(relays.state_of(kAnn, "north", kHanded, at(2s)) == "at the site");
    relays.reported(kOther, "north", {}, at(2s));
    CHECK(relays.state_of(kAnn, "north", kHanded, at(2s)) == "unknown");
  }
}

TEST_CASE("relays: what the origin refused is refused, whoever lists it", "[origin]") {
  Relays relays;
  relays.reported(kRelay, "north", kHeld, at(0s));
  relays.refused(kAnn, 3);
  CHECK(relays.state_of(kAnn, "north", kHanded, at(0s)) == "refused");
  CHECK(relays.state_of(kAnn, "north", {id<SnapshotId>(6), 4}, at(0s)) == "unknown");
}
