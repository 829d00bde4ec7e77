#include "reflector/holdings.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::reflector;

namespace {

template <class Id>
Id id(int n) {
  std::array<std::byte, Id::kSize> bytes{};
  bytes[0] = static_cast<std::byte>(n);
  return Id(bytes);
}
PackId pack(int n) { return id<PackId>(n); }
TorrentId torrent(int n) { return id<TorrentId>(n); }

constexpr std::uint64_t kSize = 3 * swarm::kPieceSize - 1000;  // Three pieces, the last short.
using Bits = swarm::PieceBits;
using Map = swarm::PieceMap;

}  // namespace

TEST_CASE("holdings: pieces become packs, packs become layers", "[reflector]") {
  Holdings holdings;
  holdings.join(torrent(1), {{pack(1), kSize}, {pack(2), 10}}, {pack(2)},
                {{pack(1), Bits{1, 0, 0}}});
  CHECK(holdings.missing(torrent(1)).count == 2 * swarm::kPieceSize - 1000);
  CHECK(holdings.held(torrent(1)).complete == std::set{pack(2)});
  CHECK(holdings.held(torrent(1)).partial == Map{{pack(1), Bits{1, 0, 0}}});
  CHECK(holdings.missing_pieces(torrent(1)) == Map{{pack(1), Bits{0, 1, 1}}});

  CHECK_FALSE(holdings.hold(pack(1), 2));
  CHECK_FALSE(holdings.hold(pack(1), 2));
  CHECK_FALSE(holdings.hold(pack(1), 3));
  CHECK_FALSE(holdings.hold(pack(9), 0));
  CHECK(holdings.hold(pack(1), 1));
  CHECK(holdings.unread() == std::vector{pack(1)});
  CHECK(holdings.missing(torrent(1)).count == 0);
  CHECK(holdings.missing_pieces(torrent(1)).empty());
  CHECK_FALSE(holdings.is_whole(torrent(1)));
  CHECK(holdings.pieces() == Map{{pack(1), Bits{1, 1, 1}}});

  CHECK(holdings.finish(pack(1)).empty());
  CHECK(holdings.is_whole(torrent(1)));
  CHECK(holdings.is_whole());
  CHECK(holdings.pieces().empty());
}

TEST_CASE("holdings: one torrent owns a missing pack", "[reflector]") {
  Holdings holdings;
  holdings.join(torrent(2), {{pack(1), kSize}, {pack(2), kSize}}, {}, {});
  holdings.join(torrent(1), {{pack(2), kSize}, {pack(3), kSize}}, {}, {});
  CHECK(holdings.owned(torrent(2)) == std::set{pack(1), pack(2)});
  CHECK(holdings.owned(torrent(1)) == std::set{pack(3)});
  CHECK(holdings.missing_pieces(torrent(1)).size() == 1);
  CHECK(holdings.missing(torrent(1)).count == 2 * static_cast<std::int64_t>(kSize));

  SECTION("the waiting one is told when it is whole") {
    CHECK(holdings.finish(pack(2)) == std::set{torrent(1)});
    CHECK(holdings.finish(pack(1)).empty());
    CHECK(holdings.held(torrent(1)).complete == std::set{pack(2)});
  }
  SECTION("it inherits when the owner leaves, with what is there") {
    CHECK_FALSE(holdings.hold(pack(2), 0));
    CHECK(holdings.leave(torrent(2)) == std::set{torrent(1)});
    CHECK(holdings.owned(torrent(1)) == std::set{pack(2), pack(3)});
    CHECK(holdings.missing_pieces(torrent(1)).at(pack(2)) == Bits{0, 1, 1});
    CHECK_FALSE(holdings.has_pack(pack(1)));
  }
  SECTION("a pack that proves broken is missing again, for one owner") {
    holdings.finish(pack(2));
    CHECK(holdings.lose(pack(2)) == std::set{torrent(1), torrent(2)});
    CHECK(holdings.owned(torrent(2)) == std::set{pack(1), pack(2)});
    CHECK(holdings.owned(torrent(1)) == std::set{pack(3)});
  }
}

TEST_CASE("holdings: a pack that is not needed is missing for nobody, and given if it is there",
          "[reflector]") {
  Holdings holdings;
  holdings.join(torrent(1), {{pack(1), kSize}, {pack(2), kSize, false}, {pack(3), kSize, false}},
                {pack(3)}, {});
  CHECK(holdings.missing(torrent(1)).count == static_cast<std::int64_t>(kSize));
  CHECK(holdings.owned(torrent(1)) == std::set{pack(1)});
  CHECK(holdings.held(torrent(1)).complete == std::set{pack(3)});
  holdings.finish(pack(1));
  CHECK(holdings.is_whole(torrent(1)));
  CHECK(holdings.is_whole());

  SECTION("another torrent that needs it fetches it, and both have it then") {
    holdings.join(torrent(2), {{pack(2), kSize}}, {}, {});
    CHECK(holdings.owned(torrent(2)) == std::set{pack(2)});
    CHECK_FALSE(holdings.is_whole(torrent(2)));
    CHECK_FALSE(holdings.is_whole());
    CHECK(holdings.is_whole(torrent(1)));
    CHECK(holdings.finish(pack(2)) == std::set{torrent(1)});
    CHECK(holdings.held(torrent(1)).complete == std::set{pack(1), pack(2), pack(3)});
  }
  SECTION("one that leaves hands it to nobody who does not need it") {
    holdings.join(torrent(2), {{pack(2), kSize}}, {}, {});
    CHECK(holdings.leave(torrent(2)).empty());
    CHECK(holdings.owned(torrent(1)).empty());
    CHECK(holdings.is_whole());
  }
  SECTION("all of them are missing for one that joins anew without another layer") {
    holdings.leave(torrent(1));
    holdings.join(torrent(1), {{pack(1), kSize}, {pack(2), kSize}, {pack(3), kSize}},
                  {pack(1), pack(3)}, {});
    CHECK(holdings.owned(torrent(1)) == std::set{pack(2)});
  }
}

TEST_CASE("holdings: pieces remembered of a pack of another size are not believed", "[reflector]") {
  Holdings holdings;
  holdings.join(torrent(1), {{pack(1), kSize}}, {}, {{pack(1), Bits{1, 1}}});
  CHECK(holdings.missing(torrent(1)).count == static_cast<std::int64_t>(kSize));
}

TEST_CASE("peers to dial: the holder dials all, others those after them on the ring",
          "[reflector]") {
  std::vector<wire::Peer> peers;
  for (const int n : {5, 1, 3, 7}) peers.push_back({id<DeviceId>(n), "10.0.0.1", 1});
  const auto dialled = [&](int self, bool leads, std::size_t most) {
    std::vector<int> ids;
    for (const auto& peer : peers_to_dial(id<DeviceId>(self), peers, leads, most))
      ids.push_back(static_cast<int>(peer.device.bytes()[0]));
    return ids;
  };
  CHECK(dialled(4, true, 1).size() == 4);
  CHECK(dialled(4, false, 4).size() == 4);
  CHECK(dialled(4, false, 2) == std::vector{5, 7});
  CHECK(dialled(6, false, 3) == std::vector{7, 1, 3});
  CHECK(dialled(9, false, 1) == std::vector{1});
}

TEST_CASE("holdings: of a pack that is needed in part those pieces are", "[reflector]") {
  Holdings holdings;
  CHECK(holdings
            .join(torrent(1), {{pack(1), kSize, true, Bits{0, 1, 1}}, {pack(2), kSize, false}}, {},
                  {{pack(1), Bits{0, 1, 0}}})
            .empty());
  CHECK(holdings.is_needed_in_part(pack(1)));
  CHECK_FALSE(holdings.is_needed_in_part(pack(2)));
  CHECK(holdings.missing(torrent(1)).count == swarm::kPieceSize - 1000);
  CHECK(holdings.missing_pieces(torrent(1)) == Map{{pack(1), Bits{0, 0, 1}}});
  CHECK_FALSE(holdings.is_whole(torrent(1)));

  SECTION("with them the torrent is whole, and the pack is not") {
    CHECK_FALSE(holdings.hold(pack(1), 2));
    CHECK(holdings.is_whole(torrent(1)));
    CHECK(holdings.is_whole());
    CHECK(holdings.missing_pieces(torrent(1)).empty());
    CHECK(holdings.unread().empty());
    CHECK(holdings.held(torrent(1)).complete.empty());
    CHECK(holdings.held(torrent(1)).partial == Map{{pack(1), Bits{0, 1, 1}}});
  }
  SECTION("another torrent needs more of it: who owns it fetches that too") {
    CHECK(holdings.join(torrent(2), {{pack(1), kSize}}, {}, {}) == std::set{torrent(1)});
    CHECK(holdings.missing_pieces(torrent(1)) == Map{{pack(1), Bits{1, 0, 1}}});
    CHECK(holdings.missing_pieces(torrent(2)).empty());
    CHECK_FALSE(holdings.hold(pack(1), 2));
    CHECK(holdings.is_whole(torrent(1)));
    CHECK_FALSE(holdings.is_whole(torrent(2)));
    CHECK_FALSE(holdings.is_whole());
    CHECK(holdings.leave(torrent(1)) == std::set{torrent(2)});
    CHECK(holdings.missing_pieces(torrent(2)) == Map{{pack(1), Bits{1, 0, 0}}});
    CHECK(holdings.hold(pack(1), 0));
    CHECK(holdings.unread() == std::vector{pack(1)});
    CHECK_FALSE(holdings.is_whole(torrent(2)));
    holdings.finish(pack(1));
    CHECK(holdings.is_whole());
  }
  SECTION("another torrent needs none of it, or no more") {
    CHECK(holdings.join(torrent(2), {{pack(1), kSize, false}}, {}, {}).empty());
    CHECK(holdings.join(torrent(3), {{pack(1), kSize, true, Bits{0, 1, 0}}}, {}, {}).empty());
    CHECK(holdings.is_whole(torrent(2)));
    CHECK(holdings.is_whole(torrent(3)));
  }
}
