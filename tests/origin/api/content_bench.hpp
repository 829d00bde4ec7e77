// An origin with content, in process, for tests of its calls: devices enrol, a captured tree is
// there to send.
#pragma once

#include <map>

#include "origin/api/api.hpp"
#include "shared/wire/protocol.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/memory_table.hpp"
#include "tests/support/signed_layer.hpp"

namespace lamina::tests {

using namespace lamina::origin;

struct ContentBench {
  ContentBench() {
    make_nasty_tree(scratch / "tree");
    captured = capture(scratch / "tree");
    // Work is done at once: what a worker thread would do.
    api.serve_content(*content,
                      [](const std::function<std::function<void()>()>& work) { work()(); });
    REQUIRE(catalog.add_site({"test", {1}}, {.name = "north"}));
    token =
        catalog.create_token({"test", {1}}, {.name = "root", .kind = "admin", .ttl_ms = 1'000'000})
            .value()
            .secret;
  }

  net::Response ask(net::Request request) {
    request.headers.add(std::string(wire::kProtocolHeader), "1");
    std::optional<net::Response> answer;
    const auto reply = [&](net::Response response) {
      // A server opens the file before the reply returns: it may be gone afterwards.
      if (response.file)
        response.body =
            std::string(as_text(os::read_file(response.file->path, format::kPackSizeMax).value()));
      answer = std::move(response);
    };
    api.handle(request, reply, {Instant{std::chrono::seconds{1}}, {1'000'000'000}});
    REQUIRE(answer);
    return std::move(*answer);
  }
  net::Response device(const DeviceId& id, const std::string& method, const std::string& path,
                       std::string body = "") {
    net::Request request{.method = method, .path = path, .body = std::move(body)};
    request.peer.device = id;
    return ask(std::move(request));
  }
  net::Response admin(const std::string& method, const std::string& path, std::string body = "") {
    net::Request request{.method = method, .path = path, .body = std::move(body)};
    request.headers.add("Authorization", "Bearer " + token);
    return ask(std::move(request));
  }
  DeviceId enrol(const std::string& name) {
    const auto secret = catalog.create_token(
        {"test", {1}},
        {.name = name, .kind = "enrol", .uses = 1, .ttl_ms = 1'000'000, .site = "north"});
    const auto key = net::make_key_and_request().value();
    const auto reply = ask({.method = "POST",
                            .path = "/v1/enroll",
                            .body = wire::to_json(wire::EnrolRequest{.token = secret->secret,
                                                                     .csr_pem = key.csr_pem})});
    REQUIRE(reply.status == 201);
    const DeviceId id = wire::parse_enrol_reply(reply.body)->device;
    device_keys[id] = key.key_pem;
    return id;
  }

  // Everything that was captured as one pack: its name and bytes.
  std::pair<PackId, std::string> pack() {
    const auto files = PackFiles::open(scratch / "client", PackFiles::Access::write).value();
    PackId id;
    PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& made) -> Status {
      id = made.id;
      return Done{};
    });
    for (const auto& [chunk, plain] : captured.chunks)
      REQUIRE(writer.add(ref_of(plain), plain, ContentClass::data));
    REQUIRE(writer.finish());
    return {id, std::string(as_text(os::read_file(files.path_of(id), 1 << 26).value()))};
  }
  // What was captured becomes layer os:1.0, of that pack.
  LayerId publish(const PackId& id, const std::string& bytes) {
    REQUIRE(admin("PUT", "/v1/layers/packs/" + id.hex(), bytes).status == 201);
    const auto [status, layer] = post_layer("1.0");
    REQUIRE(status == 201);
    return layer;
  }
  // What was captured is said to be layer os:VERSION: the answer's status, and the layer's id.
  std::pair<int, LayerId> post_layer(const std::string& version) {
    const Buffer envelope =
        signed_layer(layer_record("os", version, captured.result.manifest), key);
    const int status = admin("POST", "/v1/layers", std::string(as_text(envelope))).status;
    return {status, format::layer_id(envelope)};
  }
  std::string snapshot(const DeviceId& id, std::uint64_t sequence = 1) const {
    return std::string(
        as_text(format::encode(format::SnapshotRecord{.device = id,
                                                      .sequence = sequence,
                                                      .reason = "test",
                                                      .manifest = captured.result.manifest})));
  }
  std::string ids() const {
    std::string text;
    for (const auto& [id, plain] : captured.chunks) text += as_text(id.bytes());
    return text;
  }

  Scratch scratch;
  Captured captured;
  MemoryTable table;
  Catalog catalog{table};
  PrivateKey key = PrivateKey::generate().value();
  net::KeyAndCertificate swarm_ca = net::make_ca("swarm").value();
  Sites sites{catalog, key, {}};
  std::unique_ptr<Content> content =
      Content::open(scratch / "data", {{key.public_key()}, key, swarm_ca.certificate_pem}).value();
  BoxPrivateKey relay_key = BoxPrivateKey::generate().value();
  net::KeyAndCertificate api_ca = net::make_ca("api").value();
  Api api{catalog, sites, {api_ca, swarm_ca, key, {key.public_key()}, relay_key}};
  std::string token;
  std::map<DeviceId, std::string> device_keys;  // PEM, of those that enrolled here.
};

}  // namespace lamina::tests
