#include "shared/policy/wan_pieces.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

PackId pack(int n) {
  std::array<std::byte, 32> bytes{};
  bytes[0] = static_cast<std::byte>(n);
  return PackId(bytes);
}

using Bits = std::vector<bool>;
Instant at(std::chrono::seconds t) { return Instant{t}; }

}  // namespace

TEST_CASE("wan pieces: what the site offers is left to the site", "[policy]") {
  WanPieces choice;
  const WanPieces::Pieces missing{{pack(1), Bits{1, 1, 0, 1}}, {pack(2), Bits{1}}};
  CHECK(choice.choose(missing, {}, at(0s)) == missing);
  const WanPieces::Pieces offered{{pack(1), Bits{0, 1, 1}}, {pack(2), Bits{1}}, {pack(3), Bits{1}}};
  CHECK(choice.choose(missing, offered, at(1s)) == WanPieces::Pieces{{pack(1), Bits{1, 0, 0, 1}}});
}

TEST_CASE("wan pieces: an offer that is not kept is worth nothing after a while", "[policy]") {
  WanPieces choice({.patience = 10s, .silence = 1min});
  const WanPieces::Pieces missing{{pack(1), Bits{1, 1}}};
  const WanPieces::Pieces offered{{pack(1), Bits{1, 0}}};
  CHECK(choice.choose(missing, offered, at(5s)) == WanPieces::Pieces{{pack(1), Bits{0, 1}}});
  CHECK(choice.choose(missing, offered, at(14s)) == WanPieces::Pieces{{pack(1), Bits{0, 1}}});
  CHECK(choice.choose(missing, offered, at(15s)) == missing);
  // Gone and offered anew: the time starts again.
  CHECK(choice.choose(missing, {}, at(16s)) == missing);
  CHECK(choice.choose(missing, offered, at(17s)) == WanPieces::Pieces{{pack(1), Bits{0, 1}}});
}

TEST_CASE("wan pieces: a site of which nothing comes is not waited for", "[policy]") {
  WanPieces choice({.patience = 10s, .silence = 5s});
  const WanPieces::Pieces all{{pack(1), Bits{1, 1, 1, 1}}};
  const WanPieces::Pieces offered{{pack(1), Bits{1, 1, 1, 0}}};
  const WanPieces::Pieces not_offered{{pack(1), Bits{0, 0, 0, 1}}};
  CHECK(choice.choose(all, offered, at(0s)) == not_offered);
  CHECK(choice.choose(all, offered, at(4s)) == not_offered);

  SECTION("one piece came: the rest is waited for") {
    const WanPieces::Pieces fewer{{pack(1), Bits{0, 1, 1, 1}}};
    CHECK(choice.choose(fewer, offered, at(4s)) == not_offered);
    CHECK(choice.choose(fewer, offered, at(8s)) == not_offered);
    CHECK(choice.choose(fewer, offered, at(9s)) == fewer);
  }
  SECTION("what came over the line says nothing of the site") {
    const WanPieces::Pieces fewer{{pack(1), Bits{1, 1, 1, 0}}};
    CHECK(choice.choose(fewer, offered, at(4s)).empty());
    CHECK(choice.choose(fewer, offered, at(5s)) == fewer);
    // So it is with what was offered but is fetched over the line by now.
    const WanPieces::Pieces two{{pack(1), Bits{0, 1, 1, 0}}};
    CHECK(choice.choose(two, offered, at(6s)) == two);
  }
  SECTION("what is offered later has its own time, and is the proof for all") {
    CHECK(choice.choose(all, offered, at(5s)) == all);
    const WanPieces::Pieces more{{pack(1), Bits{1, 1, 1, 1}}};
    CHECK(choice.choose(all, more, at(6s)) == WanPieces::Pieces{{pack(1), Bits{1, 1, 1, 0}}});
    const WanPieces::Pieces fewer{{pack(1), Bits{1, 1, 1, 0}}};
    CHECK(choice.choose(fewer, more, at(7s)).empty());
    CHECK(choice.choose(fewer, more, at(10s)) == fewer);
  }
}

TEST_CASE("wan pieces: nothing missing, nothing chosen", "[policy]") {
  WanPieces choice;
  CHECK(choice.choose({}, {{pack(1), Bits{1}}}, at(0s)).empty());
  CHECK(choice.choose({{pack(1), Bits{0, 0}}}, {}, at(0s)).empty());
}

TEST_CASE("wan pieces: who has lost its site meets it first", "[wan_pieces]") {
  using policy::may_fetch;
  CHECK(may_fetch({.known = 0, .connected = 0, .open = 0s}));
  CHECK_FALSE(may_fetch({.known = 7, .connected = 0, .open = 0s}));
  CHECK_FALSE(may_fetch({.known = 7, .connected = 0, .open = 9s}));
  CHECK(may_fetch({.known = 7, .connected = 0, .open = 10s}));
  // Three or half of them at once, one after a while.
  CHECK_FALSE(may_fetch({.known = 30, .connected = 2, .open = 999ms}));
  CHECK(may_fetch({.known = 30, .connected = 3, .open = 0s}));
  CHECK_FALSE(may_fetch({.known = 3, .connected = 1, .open = 0s}));
  CHECK(may_fetch({.known = 3, .connected = 2, .open = 0s}));
  CHECK(may_fetch({.known = 7, .connected = 1, .open = 1s}));
  CHECK(may_fetch({.known = 1, .connected = 1, .open = 0s}));
  // Others that it meets in another torrent say nothing of this one at once.
  CHECK_FALSE(may_fetch({.known = 7, .connected = 0, .elsewhere = 7, .open = 1999ms}));
  CHECK(may_fetch({.known = 7, .connected = 0, .elsewhere = 1, .open = 2s}));
  CHECK(may_fetch({.known = 7, .connected = 1, .elsewhere = 7, .open = 1s}));
}
