#include "origin/check.hpp"

#include "shared/store/chunk_index.hpp"
#include "tests/origin/kept.hpp"

using namespace lamina;
using namespace lamina::tests;

TEST_CASE("check: a sound origin", "[origin]") {
  Kept kept;
  const auto check = kept.check(0);
  CHECK(check.at("findings").empty());
  CHECK(check.at("layers") == 1);
  CHECK(check.at("spaces").at("layers").at("packs") == 1);
  CHECK(check.at("spaces").at("cvd").at("chunks") == 1);
  CHECK(check.at("spaces").at("cvd").at("read_bytes") > 5000);
  CHECK(kept.run({"check", "--data", kept.path.c_str()}) == 0);
  CHECK(kept.out.find("nothing wrong") != std::string::npos);
  CHECK(kept.run({"check", "--data", kept.path.c_str(), "--subset", "8/7"}) == 2);
  CHECK(kept.run({"check", "--data", "/nowhere"}) == 3);
}

TEST_CASE("check: what is broken is named with what it touches and the next step", "[origin]") {
  Kept kept;
  const std::string hex = kept.layer.hex();
  std::string kind;
  std::string layer = "debian:1.0";
  SECTION("a pack of a layer") {
    Buffer bytes = os::read_file(kept.only_pack("layers"), 1 << 26).value();
    bytes[100] ^= std::byte{1};
    REQUIRE(os::write_file(kept.only_pack("layers"), bytes));
    kind = "pack-broken";
  }
  SECTION("the layer's record") {
    REQUIRE(os::write_file(kept.data.object("layers", hex), as_view("nothing")));
    kind = "record-broken";
  }
  SECTION("its torrent") {
    REQUIRE(os::remove_file(kept.data.object("torrents", hex)));
    kind = "distribution-lost";
  }
  SECTION("a device's content") {
    REQUIRE(os::remove_file(kept.only_pack("cvd")));
    kind = "pack-lost";
    layer.clear();
  }
  const auto check = kept.check(6);
  REQUIRE(check.at("findings").size() == 1);
  const auto& finding = check.at("findings")[0];
  CHECK(finding.at("kind") == kind);
  CHECK(finding.at("next") != "");
  if (layer.empty())
    CHECK(finding.at("devices") == nlohmann::json{"pc1 " + kept.device.hex()});
  else
    CHECK(finding.at("layers") == nlohmann::json{layer});
  CHECK(kept.run({"check", "--data", kept.path.c_str(), "--read-data"}) == 6);
  CHECK(kept.out.find(layer.empty() ? kept.device.hex() : layer) != std::string::npos);
}

TEST_CASE("repair: the index comes back from the packs", "[origin]") {
  Kept kept;
  REQUIRE(os::remove_tree(kept.path + "/layers/index"));
  const auto check = kept.check(6);
  CHECK(check.at("findings").at(0).at("kind") == "index-lost");
  REQUIRE(kept.run({"repair", "--data", kept.path.c_str(), "--json"}) == 0);
  CHECK(nlohmann::json::parse(kept.out).at("repair").at("chunks_to_send_again") == 0);
  CHECK(kept.check(0).at("findings").empty());
}

TEST_CASE("repair: what a device sent and is lost is asked for again", "[origin]") {
  Kept kept;
  const auto asked = [&] {
    auto kv = Kv::open(kept.data.catalog()).value();
    KvTable table(*kv);
    return !Catalog(table).cvd_has(kept.device, ref_of(kept.own).id).value();
  };
  CHECK_FALSE(asked());
  REQUIRE(os::remove_file(kept.only_pack("cvd")));
  REQUIRE(kept.run({"repair", "--data", kept.path.c_str()}) == 0);
  CHECK(kept.out.find("1 send 1 chunks again") != std::string::npos);
  CHECK(asked());
  CHECK(kept.check(0).at("findings").empty());
}
