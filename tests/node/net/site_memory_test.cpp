#include "node/net/site_memory.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "node/net/site_status.hpp"
#include "shared/os/file.hpp"
#include "tests/support/scratch_directory.hpp"

using namespace lamina;
using namespace lamina::node;
using From = SiteMemory::From;

namespace {

DeviceId device(int n) {
  std::array<std::byte, DeviceId::kSize> bytes{};
  bytes[0] = std::byte(n);
  return DeviceId(bytes);
}

struct Bench {
  Bench() { std::filesystem::create_directories(state.net()); }

  Buffer list(std::uint64_t sequence, const std::string& site = "north", int last = 3) const {
    format::SiteMembers record{
        .site = site, .sequence = sequence, .issued = WallTime{5'000'000'000}, .members = {}};
    for (int i = 1; i <= last; ++i)
      record.members.push_back({device(i), i == 3 ? "" : "10.0.0." + std::to_string(i), 8444,
                                static_cast<std::uint16_t>(i == 2 ? 8445 : 0)});
    return format::sign_record(format::RecordType::members, format::encode(record), key);
  }
  SiteMemory open(int me = 1) const { return {state, device(me), key.public_key()}; }

  ScratchDirectory directory;
  StateDirectory state{directory.path()};
  PrivateKey key = *PrivateKey::generate();
};

}  // namespace

TEST_CASE("site memory: the last list survives a restart and names the others", "[node]") {
  const Bench bench;
  {
    SiteMemory memory = bench.open();
    CHECK_FALSE(memory.list());
    CHECK(memory.take(bench.list(4), From::origin) == true);
  }
  const SiteMemory memory = bench.open();
  REQUIRE(memory.list());
  CHECK(memory.sequence() == 4);
  CHECK(memory.envelope() == bench.list(4));
  CHECK(format::names(*memory.list(), device(3)));
  CHECK_FALSE(format::names(*memory.list(), device(4)));
  // Not this device, nor one of which there is no address.
  const std::vector<wire::Peer> expected{{device(2), "10.0.0.2", 8444, 8445}};
  CHECK(memory.peers() == expected);
}

TEST_CASE("site memory: an older list is refused, whoever brings it, also after a restart",
          "[node]") {
  const Bench bench;
  SiteMemory first = bench.open();
  REQUIRE(first.take(bench.list(9), From::origin));
  SiteMemory memory = bench.open();
  for (const From from : {From::origin, From::peer}) {
    const auto taken = memory.take(bench.list(8), from);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().kind() == ErrorKind::refused);
    CHECK(taken.error().text().find("9 was seen already") != std::string::npos);
  }
  CHECK(memory.sequence() == 9);
  CHECK(memory.take(bench.list(9), From::peer) == false);
  CHECK(memory.take(bench.list(10), From::peer) == true);
  CHECK(bench.open().sequence() == 10);
}

TEST_CASE("site memory: forged, foreign and mistaken lists are refused", "[node]") {
  const Bench bench, stranger;
  SiteMemory memory = bench.open();
  REQUIRE(memory.take(bench.list(4), From::origin));
  CHECK_FALSE(memory.take(stranger.list(5), From::origin));
  Buffer changed = bench.list(5);
  changed[changed.size() - 1] ^= std::byte{1};
  CHECK_FALSE(memory.take(changed, From::origin));
  CHECK_FALSE(memory.take({}, From::origin));
  // One that does not name this device says nothing about it.
  CHECK_FALSE(bench.open(4).take(bench.list(5), From::origin));
  CHECK(memory.sequence() == 4);
}

TEST_CASE("site memory: only the origin moves the device to another site", "[node]") {
  const Bench bench;
  SiteMemory memory = bench.open();
  REQUIRE(memory.take(bench.list(50), From::origin));
  CHECK_FALSE(memory.take(bench.list(60, "south"), From::peer));
  CHECK(memory.take(bench.list(7, "south"), From::origin) == true);
  CHECK(memory.list()->site == "south");
  REQUIRE(memory.forget());
  CHECK_FALSE(memory.list());
  CHECK(memory.peers().empty());
  CHECK_FALSE(bench.open().list());
}

TEST_CASE("site memory: a file that is damaged counts as nothing", "[node]") {
  const Bench bench;
  REQUIRE(bench.open().take(bench.list(4), From::origin));
  REQUIRE(os::write_file(bench.state.net() + "/members", as_view("garbage"), 0600));
  CHECK_FALSE(bench.open().list());
}

TEST_CASE("site memory: it knows since when the origin is silent, to a minute after a kill",
          "[node]") {
  const Bench bench;
  const auto at = [](std::int64_t s) { return WallTime{s * 1'000'000'000}; };
  SiteMemory memory = bench.open();
  CHECK_FALSE(memory.heard_at());
  memory.heard(at(1000));
  memory.heard(at(1030));
  CHECK(memory.heard_at()->ns == at(1030).ns);
  CHECK(bench.open().heard_at()->ns == at(1000).ns);
  memory.failed();
  CHECK(bench.open().heard_at()->ns == at(1030).ns);
}

TEST_CASE("site status: it says how old everything is, and what it does without the line",
          "[node]") {
  const Bench bench;
  SiteMemory memory = bench.open();
  const WallTime now{65'000'000'000};
  const auto say = [&](const SiteFigures& figures) { return site_status(memory, figures); };
  auto said = say({.now = now});
  CHECK(said["line_down"].get<std::string>().starts_with("waits for the origin"));
  REQUIRE(memory.take(bench.list(4), From::origin));
  memory.heard(WallTime{25'000'000'000});
  said = say({.now = now, .peers = 2, .target_issued = WallTime{60'000'000'000}});
  CHECK(said["origin_silent_seconds"] == 40);
  CHECK(said["target_age_seconds"] == 5);
  CHECK(said["site"]["name"] == "north");
  CHECK(said["site"]["list_age_seconds"] == 60);
  CHECK(said["line_down"].get<std::string>().starts_with("shares with the site: 2 "));
  said = say({.now = now, .is_origin_reachable = true, .waiting = "why"});
  CHECK_FALSE(said.contains("line_down"));
  CHECK(said["waiting"] == "why");
  // A clock that was set back says nothing negative.
  CHECK(say({.now = WallTime{}})["origin_silent_seconds"] == 0);
}
