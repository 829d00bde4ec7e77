#include "shared/swarm/lease_epochs.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::swarm;

namespace {

DeviceId device(unsigned char n) {
  std::array<std::byte, 16> bytes{};
  bytes[15] = std::byte{n};
  return DeviceId(bytes);
}
const DeviceId ann = device(1), bob = device(2);

LeaseFacts lease(const DeviceId& who, std::uint64_t epoch, ShareSet shares = ShareSet::all(),
                 const std::string& site = "north") {
  return {.site = site, .device = who, .epoch = epoch, .expires = {}, .shares = shares};
}
const ShareSet low = ShareSet::all().lowest(6), high = ShareSet::all().highest(6);

}  // namespace

TEST_CASE("lease epochs: a newer lease shuts the older one of another device out", "[swarm]") {
  LeaseEpochs epochs;
  CHECK(epochs.see(lease(ann, 5)));
  CHECK(epochs.see(lease(bob, 6)));
  CHECK_FALSE(epochs.is_current(lease(ann, 5)));
  CHECK_FALSE(epochs.see(lease(ann, 5)));
  CHECK(epochs.is_current(lease(bob, 6)));
  CHECK(epochs.see(lease(ann, 7)));
  CHECK_FALSE(epochs.is_current(lease(bob, 6)));
}

TEST_CASE("lease epochs: leases of disjoint shares hold beside each other", "[swarm]") {
  LeaseEpochs epochs;
  CHECK(epochs.see(lease(ann, 5, low)));
  CHECK(epochs.see(lease(bob, 6, high)));
  CHECK(epochs.is_current(lease(ann, 5, low)));
  CHECK(epochs.is_current(lease(bob, 6, high)));
  // One share is enough.
  CHECK(epochs.see(lease(bob, 7, high | low.highest(1))));
  CHECK_FALSE(epochs.is_current(lease(ann, 5, low)));
  // A lease for all, from an origin that knows no shares, covers every one.
  CHECK(epochs.see(lease(ann, 8)));
  CHECK_FALSE(epochs.is_current(lease(bob, 7, high)));
}

TEST_CASE("lease epochs: a device's own older token goes on until another covers its shares",
          "[swarm]") {
  LeaseEpochs epochs;
  CHECK(epochs.see(lease(ann, 5)));
  CHECK(epochs.see(lease(ann, 6, low)));
  CHECK(epochs.is_current(lease(ann, 5)));  // On a connection that has not shown the newer one.
  CHECK(epochs.see(lease(ann, 5)));
  CHECK(epochs.see(lease(bob, 7, high)));
  CHECK_FALSE(epochs.is_current(lease(ann, 5)));
  CHECK_FALSE(epochs.see(lease(ann, 5)));
  CHECK(epochs.is_current(lease(ann, 6, low)));
}

TEST_CASE("lease epochs: an older token never takes a newer one's place", "[swarm]") {
  LeaseEpochs epochs;
  CHECK(epochs.see(lease(ann, 9, low)));
  CHECK(epochs.see(lease(ann, 5)));  // Its own; the shares of 9 stay at 9.
  CHECK_FALSE(epochs.see(lease(bob, 8, low)));
  CHECK(epochs.see(lease(bob, 8, high)));
}

TEST_CASE("lease epochs: sites know nothing of each other", "[swarm]") {
  LeaseEpochs epochs;
  CHECK(epochs.see(lease(ann, 9)));
  CHECK(epochs.see(lease(bob, 1, ShareSet::all(), "south")));
  CHECK(epochs.is_current(lease(ann, 9)));
}
