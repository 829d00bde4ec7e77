// An origin's data directory with a layer and a device's content, and `lamina-origin` on it.
#pragma once

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/journaled_table.hpp"
#include "origin/content/content.hpp"
#include "origin/data_directory.hpp"
#include "tests/origin/run.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/send.hpp"
#include "tests/support/signed_layer.hpp"

namespace lamina::tests {

using namespace lamina::origin;

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
    const auto table = JournaledTable::open(data.catalog(), data.journal()).value();
    Catalog catalog(*table);
    REQUIRE(catalog.add_layer({"test", {7}}, publication->info, publication->chunks));
    const auto token = catalog.create_token(
        {"test", {1}}, {.name = "kept", .kind = "enrol", .uses = 1, .ttl_ms = 1000});
    REQUIRE(catalog.enrol({2}, {.token = token->secret, .host_name = "pc1"}, device,
                          std::string(64, 'a')));
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

}  // namespace lamina::tests
