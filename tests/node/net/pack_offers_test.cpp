#include "node/net/pack_offers.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "shared/store/pack_files.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;
using tests::Scratch;

namespace {

// A device with two packs in its cache.
struct Offering {
  Scratch scratch;
  StateDirectory state{scratch.path()};
  net::Loop loop;
  LayerId layer = *LayerId::from_bytes(digest<ChunkId>(as_view("layer")).bytes());
  std::vector<PackId> packs;
  std::vector<PackId> sent;
  std::vector<LayerId> damaged;
  std::optional<Error> refusal;  // Of what is sent.
  std::shared_ptr<PackOffers> offers;

  Offering() {
    REQUIRE(state.prepare({::geteuid(), ::getegid(), ""}));
    const auto files = PackFiles::open(state.cache(), PackFiles::Access::write).value();
    for (std::uint64_t seed : {1, 2}) {
      const std::string path = files.new_temporary().value();
      REQUIRE(os::write_file(path, tests::noise(40'000, seed)));
      const FileIdentity identity = identify(path).value();
      REQUIRE(files.publish(path, identity.id, identity.block_hashes));
      packs.push_back(identity.id);
    }
    offers = PackOffers::open(
        loop, state,
        {.send =
             [this](const wire::WantedPack& pack, const std::string& path,
                    const std::function<void(Result<Done>)>& then) {
               CHECK(identify(path)->id == pack.pack);
               sent.push_back(pack.pack);
               loop.post([this, then] { then(refusal ? Result<Done>(fail(*refusal)) : Done{}); });
             },
         .damaged = [this](const LayerId& of) { damaged.push_back(of); }});
  }
  template <class Until>
  void run(Until until) {
    std::function<void()> look = [&] {
      if (until())
        loop.stop();
      else
        loop.post(look);
    };
    loop.post(look);
    loop.run();
  }
};

}  // namespace

TEST_CASE("pack offers: what the origin lost is sent, each pack once", "[node]") {
  Offering device;
  device.offers->asked({{device.layer, device.packs[0]}, {device.layer, device.packs[1]}});
  device.offers->asked({{device.layer, device.packs[1]}});
  device.run([&] { return device.sent.size() >= 2; });
  CHECK(device.sent == device.packs);
  CHECK(device.damaged.empty());
}

TEST_CASE("pack offers: what is damaged here is not sent, and told", "[node]") {
  Offering device;
  const std::string path = device.state.packs() + '/' + device.packs[0].hex();
  Buffer bytes = os::read_file(path, 1 << 20).value();
  bytes[12'345] ^= std::byte{1};
  REQUIRE(os::write_file(path, bytes));
  device.offers->asked({{device.layer, device.packs[0]}, {device.layer, device.packs[1]}});
  device.run([&] { return !device.sent.empty(); });
  CHECK(device.sent == std::vector{device.packs[1]});
  CHECK(device.damaged == std::vector{device.layer});
}

TEST_CASE("pack offers: a refusal does not keep the next one", "[node]") {
  Offering device;
  device.refusal = Error(ErrorKind::refused, "not wanted");
  device.offers->asked({{device.layer, device.packs[0]}, {device.layer, device.packs[1]}});
  device.run([&] { return device.sent.size() == 2; });
  CHECK(device.damaged.empty());
}
