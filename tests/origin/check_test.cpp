#include "origin/check.hpp"

#include <nlohmann/json.hpp>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/kv_table.hpp"
#include "origin/content/content.hpp"
#include "shared/store/chunk_index.hpp"
#include "tests/origin/run.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/send.hpp"
#include "tests/support/signed_layer.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace lamina::tests;

namespace {

// An origin with a layer, and a device that sent one chunk of its own.
struct Kept {
  Scratch scratch;
  std::string path = scratch / "origin";
  DataDirectory data{path};
  DeviceId device{[] {
    std::array<std::byte, 16> bytes;
    bytes.fill(std::byte{7});
    return bytes;
  }()};
  Buffer own = noise(5000, 77);
  LayerId layer;

  Kept() {
    REQUIRE(run({"init", "--data", path.c_str(), "--name", "192.0.2.7"}) == 0);
    const auto keys = read_keys(data).value();
    const auto content =
        Content::open(path, {keys.publishers, keys.target, keys.swarm_ca.certificate_pem}).value();
    make_nasty_tree(scratch / "tree");
    const Captured captured = capture(scratch / "tree");
    send(content->layers(), captured.chunks, scratch / "client");
    send(content->cvds(), {{ref_of(own).id, own}}, scratch / "client");
    const auto signer = PrivateKey::from_pem(os::read_text(data.key("publisher.key")).value());
    REQUIRE(signer);
    const Buffer record =
        signed_layer(layer_record("debian", "1.0", captured.result.manifest), *signer);
    const auto publication = content->examine(record, {7});
    if (!publication) FAIL(publication.error().text());
    REQUIRE(content->keep(*publication));
    layer = publication->info.id;
    auto kv = Kv::open(data.catalog()).value();
    KvTable table(*kv);
    Catalog catalog(table);
    REQUIRE(catalog.add_layer({"test", {7}}, publication->info, publication->chunks));
    REQUIRE(catalog.link_chunks(device, {ref_of(own).id}));
  }

  std::string out;
  std::string err;
  int run(std::vector<const char*> args) { return origin::run(std::move(args), out, err); }
  nlohmann::json check(int expected) {
    CHECK(run({"check", "--data", path.c_str(), "--read-data", "--json"}) == expected);
    return nlohmann::json::parse(out).at("check");
  }
  std::string only_pack(const std::string& space) const {
    const auto names = os::list_directory(path + '/' + space + "/packs").value();
    REQUIRE(names.size() == 1);
    return path + '/' + space + "/packs/" + names.front();
  }
};

}  // namespace

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
    CHECK(finding.at("devices") == nlohmann::json{kept.device.hex()});
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
