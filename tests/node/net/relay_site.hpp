// A site in one process: a fake origin over TLS, and devices with certificates of both CAs. For
// tests of uploads through relays.
#pragma once

#include <catch2/catch.hpp>
#include <optional>

#include "node/net/parcel_sender.hpp"
#include "node/net/relay.hpp"
#include "shared/net/certificates.hpp"
#include "shared/net/https_server.hpp"
#include "shared/os/file.hpp"
#include "tests/support/scratch.hpp"

namespace lamina::tests {

using namespace lamina::node;

// A device's identities, and its link to the origin.
struct SiteDevice {
  DeviceId id;
  StateDirectory state;
  std::string key_pem;
  SwarmIdentity swarm;
  std::unique_ptr<OriginLink> link;

  wire::Peer peer(std::optional<std::uint16_t> relay_port = std::nullopt) const {
    return {id, "127.0.0.1", 8444, relay_port};
  }
};

struct RelaySite {
  RelaySite() {
    const auto certificate = net::issue_server_certificate(ca, {"127.0.0.1"}).value();
    net::ServerOptions options;
    options.listen_address = "127.0.0.1";
    options.certificate_pem = certificate.certificate_pem;
    options.key_pem = certificate.key_pem;
    options.ca_pem = ca.certificate_pem;
    options.client_ca_pem = ca.certificate_pem;
    options.spool_directory = scratch.path();
    options.admit = [](const net::Request&) -> Result<Bytes> { return 64_MiB; };
    origin = net::HttpsServer::listen(
                 loop, options,
                 [this](const net::Request& asked, const net::Responder& responder) {
                   answer(asked, responder);
                 })
                 .value();
  }

  SiteDevice make_device(unsigned char number) {
    std::array<std::byte, DeviceId::kSize> bytes;
    bytes.fill(std::byte{number});
    SiteDevice device{.id = DeviceId(bytes),
                      .state = StateDirectory(scratch / ("device" + std::to_string(number))),
                      .key_pem = {},
                      .swarm = {},
                      .link = nullptr};
    REQUIRE(device.state.prepare({::geteuid(), ::getegid(), ""}));
    const auto api = net::make_key_and_request().value();
    const auto swarm = net::make_key_and_request().value();
    device.key_pem = api.key_pem;
    device.swarm = {net::issue_swarm_certificate(swarm_ca, swarm.csr_pem, device.id.hex()).value(),
                    swarm.key_pem, swarm_ca.certificate_pem};
    const StateDirectory& state = device.state;
    for (const auto& [path, text] :
         {std::pair{state.ca(), ca.certificate_pem}, std::pair{state.device_key(), api.key_pem},
          std::pair{state.device_certificate(),
                    net::issue_device_certificate(ca, api.csr_pem, device.id).value()},
          std::pair{state.swarm_certificate(), device.swarm.certificate_pem},
          std::pair{state.swarm_key(), device.swarm.key_pem},
          std::pair{state.swarm_ca(), device.swarm.ca_pem}})
      REQUIRE(os::write_file(path, as_view(text)));
    device.link = OriginLink::open(loop, state,
                                   {.origin_host = "127.0.0.1",
                                    .origin_port = origin->port(),
                                    .device = device.id,
                                    .volume = "/",
                                    .user = {}})
                      .value();
    return device;
  }

  std::unique_ptr<Relay> open_relay(SiteDevice& device, Relay::Options options = {}) {
    options.listen_address = "127.0.0.1";
    options.backoff = {.first = std::chrono::milliseconds{1},
                       .longest = std::chrono::milliseconds{2}};
    auto relay =
        Relay::open(loop, device.state.relay(), *device.link, options, [this] { ++changes; });
    if (!relay) FAIL(relay.error().text());
    REQUIRE((*relay)->open_door(device.swarm));
    return std::move(*relay);
  }

  ParcelSender::Options to_relay(const SiteDevice& from, const SiteDevice& relay,
                                 std::uint16_t port) const {
    return {.relay = relay.id,
            .address = "127.0.0.1",
            .port = port,
            .identity = from.swarm,
            .device = from.id,
            .device_key_pem = from.key_pem,
            .origin_key = origin_key.public_key(),
            .directory = from.state.outgoing(),
            .sequence = 1};
  }

  void answer(const net::Request& asked, const net::Responder& responder) {
    const auto slash = asked.path.find_last_of('/');
    const bool is_parcel = asked.path.starts_with("/v1/node/relay/parcels/");
    const bool is_pack = asked.path.starts_with("/v1/node/cvd/packs/");
    calls.push_back(is_parcel ? "parcel" : is_pack ? "pack" : asked.path.substr(slash + 1));
    if (broken_calls > 0) {
      --broken_calls;
      return responder.reply(net::error_response(Error(ErrorKind::unavailable, "not now")));
    }
    if (calls.back() == "lacks")
      return responder.reply(net::binary_response(has_chunks ? "" : asked.body));
    if (!is_parcel) return responder.reply(net::json_response("{}", 201));
    const Buffer body = asked.body_file.empty()
                            ? to_buffer(asked.body)
                            : os::read_file(asked.body_file.string(), 64 << 20).value();
    const auto parsed = format::parse_parcel(body).value();
    CHECK(format::parcel_id(parsed.front.head).hex() == asked.path.substr(slash + 1));
    heads.push_back(parsed.front.head);
    Buffer content;
    BoxOpener opener(origin_key, format::box_context(parsed.front.head), [&](ByteView bytes) {
      content.insert(content.end(), bytes.begin(), bytes.end());
      return Status(Done{});
    });
    REQUIRE(opener.update(ByteView(body).subspan(parsed.size)));
    REQUIRE(opener.finish());
    contents.push_back(std::move(content));
    const std::string state = !refusal.empty()                                     ? "refused"
                              : parsed.front.head.kind == format::ParcelKind::pack ? "taken"
                                                                                   : "kept";
    responder.reply(net::json_response(wire::to_json(wire::ParcelReply{state, refusal})));
  }

  // Runs the loop until `done`; fails the test after 20 s.
  void run_until(const std::function<bool()>& done) {
    bool late = false;
    const auto limit = loop.after(std::chrono::seconds{20}, [&] { late = true; });
    loop.run_until([&] { return late || done(); });
    REQUIRE(done());
  }

  Scratch scratch;
  net::KeyAndCertificate ca = net::make_ca("API").value();
  net::KeyAndCertificate swarm_ca = net::make_ca("swarm").value();
  BoxPrivateKey origin_key = BoxPrivateKey::generate().value();
  net::Loop loop;
  std::unique_ptr<net::HttpsServer> origin;
  int changes = 0;

  std::vector<std::string> calls;  // At the origin.
  std::vector<format::ParcelHead> heads;
  std::vector<Buffer> contents;
  int broken_calls = 0;
  bool has_chunks = false;
  std::string refusal;
};

}  // namespace lamina::tests
