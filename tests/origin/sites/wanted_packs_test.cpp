#include "origin/sites/wanted_packs.hpp"

#include <catch2/catch.hpp>

#include "shared/hash/sha256.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace std::chrono_literals;

namespace {

template <class Id>
Id id(const char* name) {
  return *Id::from_bytes(ByteView(digest<ChunkId>(as_view(name)).bytes()).first(Id::kSize));
}
Instant at(Duration since) { return Instant{} + 1h + since; }

struct Lost {
  LayerId base = id<LayerId>("base"), app = id<LayerId>("app");
  PackId one = id<PackId>("one"), two = id<PackId>("two");
  DeviceId ann = id<DeviceId>("ann"), bob = id<DeviceId>("bob");
  WantedPacks wanted;

  Lost() { wanted.set({{one, {base, app}}, {two, {app}}}); }
  std::set<PackId> ask(const DeviceId& holder, const std::set<LayerId>& layers, Duration when) {
    const bool would = wanted.would_ask(holder, layers, at(when));
    std::set<PackId> packs;
    for (const wire::WantedPack& pack : wanted.ask(holder, layers, at(when))) {
      CHECK(layers.contains(pack.layer));
      CHECK(wanted.wants(pack.pack, pack.layer));
      packs.insert(pack.pack);
    }
    CHECK(would == !packs.empty());
    return packs;
  }
  // A poll of the holder's, as they come.
  std::set<PackId> poll(const DeviceId& holder, const std::set<LayerId>& layers, Duration when) {
    wanted.heard_from(holder, at(when));
    return ask(holder, layers, when);
  }
};

}  // namespace

TEST_CASE("wanted packs: a holder is asked for what it has by its layers", "[sites]") {
  Lost lost;
  CHECK(lost.ask(lost.ann, {}, 0s).empty());
  CHECK(lost.ask(lost.ann, {lost.base}, 0s) == std::set{lost.one});
  CHECK(lost.ask(lost.bob, {lost.base, lost.app}, 0s) == std::set{lost.two});
}

TEST_CASE("wanted packs: one holder at a time, and another one after its time", "[sites]") {
  Lost lost;
  const std::set<LayerId> all{lost.base, lost.app};
  CHECK(lost.poll(lost.ann, all, 0s).size() == 2);
  CHECK(lost.poll(lost.ann, all, 1s).empty());
  CHECK(lost.wanted.next_change() == at(301s));
  CHECK(lost.poll(lost.ann, all, 200s).empty());
  CHECK(lost.poll(lost.bob, all, 300s).empty());
  CHECK_FALSE(lost.wanted.expire(at(300s)));
  CHECK(lost.wanted.expire(at(301s)));
  CHECK_FALSE(lost.wanted.next_change());
  // Who did not bring them is not asked again at once, and others are.
  CHECK(lost.poll(lost.ann, all, 301s).empty());
  CHECK(lost.poll(lost.bob, all, 301s).size() == 2);
  CHECK(lost.poll(lost.bob, all, 302s).empty());
  CHECK(lost.poll(lost.ann, all, 1801s).size() == 2);
}

TEST_CASE("wanted packs: a holder that does not poll again was not there", "[sites]") {
  Lost lost;
  const std::set<LayerId> all{lost.base, lost.app};
  CHECK(lost.poll(lost.ann, all, 0s).size() == 2);
  CHECK(lost.poll(lost.bob, all, 14s).empty());
  CHECK(lost.wanted.next_change() == at(15s));
  CHECK(lost.wanted.expire(at(15s)));
  CHECK(lost.poll(lost.bob, all, 15s).size() == 2);
  // Nor is it to blame.
  CHECK(lost.wanted.expire(at(30s)));
  CHECK(lost.poll(lost.ann, all, 30s).size() == 2);
  lost.wanted.arrived(lost.one);
  lost.wanted.arrived(lost.two);
  CHECK_FALSE(lost.wanted.next_change());
}

TEST_CASE("wanted packs: what arrived is wanted no more", "[sites]") {
  Lost lost;
  lost.wanted.arrived(lost.two);
  CHECK_FALSE(lost.wanted.wants(lost.two));
  CHECK_FALSE(lost.wanted.wants(lost.two, lost.app));
  CHECK(lost.ask(lost.ann, {lost.app}, 0s) == std::set{lost.one});
  // The same list once more: the one that was asked still is.
  lost.wanted.set({{lost.one, {lost.base, lost.app}}});
  CHECK(lost.ask(lost.bob, {lost.app}, 1s).empty());
  lost.wanted.set({});
  CHECK(lost.wanted.size() == 0);
}

TEST_CASE("wanted packs: no more at once than fit into a message", "[sites]") {
  WantedPacks wanted;
  WantedPacks::List list;
  const LayerId layer = id<LayerId>("base");
  for (int i = 0; i < 50; ++i) list[id<PackId>(std::to_string(i).c_str())] = {layer};
  wanted.set(list);
  CHECK(wanted.ask(id<DeviceId>("ann"), {layer}, at(0s)).size() == wire::kWantedPacksMax);
  CHECK(wanted.ask(id<DeviceId>("ann"), {layer}, at(1s)).size() == wire::kWantedPacksMax);
}
