#include "node/net/origin_link.hpp"

#include "shared/os/file.hpp"
#include "shared/swarm/torrent_file.hpp"
#include "shared/wire/ids.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::node {
namespace {

using namespace std::chrono_literals;

net::Call post_json(std::string target, std::string body) {
  return {.method = "POST",
          .target = std::move(target),
          .content_type = std::string(wire::kJson),
          .body = std::move(body)};
}

net::Call post_bytes(std::string target, ByteView body) {
  return {.method = "POST",
          .target = std::move(target),
          .content_type = std::string(wire::kBinary),
          .body = std::string(as_text(body))};
}

// Turns the answer into a message, by `parse`, or into the error that it carries.
template <class T, class Parse>
net::HttpsClient::Then parsed(OriginLink::Then<T> then, Parse parse) {
  return [then = std::move(then), parse](Result<net::Reply> reply) {
    auto good = net::check(std::move(reply));
    if (!good) return then(fail(std::move(good.error())));
    then(parse(good->body));
  };
}

Result<std::vector<ChunkId>> ids_of(const std::string& body) {
  return wire::parse_ids(as_view(body));
}

}  // namespace

Result<std::unique_ptr<OriginLink>> OriginLink::open(net::Loop& loop, const StateDirectory& state,
                                                     const NodeConfig& config) {
  std::string texts[3];
  const std::string paths[3] = {state.ca(), state.device_certificate(), state.device_key()};
  for (int i = 0; i < 3; ++i) {
    auto text = os::read_text(paths[i]);
    if (!text) return fail(std::move(text.error()));
    texts[i] = std::move(*text);
  }
  // A waiting poll, a quick one, the lease, records of a layer, an upload and a relayed one at the
  // same time.
  const net::ClientOptions options{.host = config.origin_host,
                                   .port = config.origin_port,
                                   .ca_pem = texts[0],
                                   .ca_fingerprint = {},
                                   .certificate_pem = texts[1],
                                   .key_pem = texts[2],
                                   .connections_max = 7};
  auto client = net::HttpsClient::create(loop, options);
  if (!client) return fail(std::move(client.error()));
  auto ranges = PackRanges::open(loop, options);
  if (!ranges) return fail(std::move(ranges.error()));
  return std::unique_ptr<OriginLink>(new OriginLink(std::move(*client), std::move(*ranges)));
}

void OriginLink::poll(const wire::PollRequest& request, Then<wire::PollReply> then) {
  net::Call call = post_json("/v1/node/poll", wire::to_json(request));
  call.timeout = std::chrono::milliseconds{request.wait_ms} + 30s;
  client_->send(std::move(call), parsed(std::move(then), [](const std::string& body) {
                  return wire::parse_poll_reply(body);
                }));
}

void OriginLink::renew_lease(const wire::LeaseRequest& request, Then<wire::LeaseReply> then) {
  net::Call call = post_json("/v1/node/lease", wire::to_json(request));
  call.timeout = 4s;
  client_->send(std::move(call), parsed(std::move(then), [](const std::string& body) {
                  return wire::parse_lease_reply(body);
                }));
}

void OriginLink::ask_budget(const wire::BudgetRequest& request, Then<wire::LeaseReply> then) {
  net::Call call = post_json("/v1/node/wan-budget", wire::to_json(request));
  call.timeout = 4s;
  client_->send(std::move(call), parsed(std::move(then), [](const std::string& body) {
                  return wire::parse_lease_reply(body);
                }));
}

void OriginLink::fetch_layer(const LayerId& layer, Then<LayerEnvelopes> then) {
  struct Fetch {
    LayerEnvelopes envelopes;
    int left = 3;
    std::optional<Error> error;
    Then<LayerEnvelopes> then;
  };
  auto fetch = std::make_shared<Fetch>();
  fetch->then = std::move(then);
  const std::string base = "/v1/node/layers/" + layer.hex() + '/';
  const auto get = [&](const char* what, Buffer LayerEnvelopes::*part) {
    net::Call call{.target = base + what + "?updates=1"};
    call.reply_max = Bytes{static_cast<std::int64_t>(swarm::kTorrentBytesMax)};
    client_->send(std::move(call), [fetch, part](Result<net::Reply> reply) {
      auto good = net::check(std::move(reply));
      if (good)
        fetch->envelopes.*part = to_buffer(good->body);
      else if (!fetch->error)
        fetch->error = std::move(good.error());
      if (--fetch->left > 0) return;
      if (fetch->error)
        fetch->then(fail(std::move(*fetch->error)));
      else
        fetch->then(std::move(fetch->envelopes));
    });
  };
  get("record", &LayerEnvelopes::record);
  get("distribution", &LayerEnvelopes::distribution);
  get("torrent", &LayerEnvelopes::torrent);
}

void OriginLink::renew_certificate(const std::string& csr_pem, Then<wire::RenewReply> then) {
  client_->send(post_json("/v1/node/renew", wire::to_json(wire::RenewRequest{csr_pem})),
                parsed(std::move(then),
                       [](const std::string& body) { return wire::parse_renew_reply(body); }));
}

void OriginLink::fetch_swarm_certificate(const std::string& csr_pem,
                                         Then<wire::SwarmCertificateReply> then) {
  client_->send(post_json("/v1/node/swarm-certificate",
                          wire::to_json(wire::SwarmCertificateRequest{csr_pem})),
                parsed(std::move(then), [](const std::string& body) {
                  return wire::parse_swarm_certificate_reply(body);
                }));
}

void OriginLink::report(const wire::Report& report, Then<Done> then) {
  client_->send(post_json("/v1/node/report", wire::to_json(report)),
                parsed(std::move(then), [](const std::string&) { return Status(Done{}); }));
}

void OriginLink::find_lacking(const std::vector<ChunkId>& ids, Then<std::vector<ChunkId>> then) {
  net::Call call = post_bytes("/v1/node/cvd/lacks", wire::to_bytes(ids));
  client_->send(std::move(call), parsed(std::move(then), ids_of));
}

void OriginLink::send_pack(const PackId& pack, const std::string& path, Then<Done> then) {
  put_pack("/v1/node/cvd/packs/" + pack.hex(), path, std::move(then));
}

void OriginLink::send_layer_pack(const LayerId& layer, const PackId& pack, const std::string& path,
                                 Then<Done> then) {
  put_pack("/v1/node/layers/" + layer.hex() + "/packs/" + pack.hex(), path, std::move(then));
}

void OriginLink::put_pack(std::string target, const std::string& path, Then<Done> then) {
  net::Call call{.method = "PUT",
                 .target = std::move(target),
                 .content_type = std::string(wire::kBinary),
                 .upload_file = path,
                 .pace = upload_pace_};
  client_->send(std::move(call),
                parsed(std::move(then), [](const std::string&) { return Status(Done{}); }));
}

void OriginLink::send_parcel(const format::ParcelId& id, const std::string& path,
                             Then<wire::ParcelReply> then) {
  net::Call call{.method = "PUT",
                 .target = "/v1/node/relay/parcels/" + id.hex(),
                 .content_type = std::string(wire::kBinary),
                 .upload_file = path,
                 .pace = upload_pace_};
  client_->send(std::move(call), parsed(std::move(then), [](const std::string& body) {
                  return wire::parse_parcel_reply(body);
                }));
}

void OriginLink::commit_snapshot(const Buffer& record, Then<std::vector<ChunkId>> then) {
  net::Call call = post_bytes("/v1/node/cvd/snapshots", record);
  client_->send(std::move(call), [then = std::move(then)](Result<net::Reply> reply) {
    if (reply && reply->status == 409) return then(ids_of(reply->body));
    auto good = net::check(std::move(reply));
    if (!good) return then(fail(std::move(good.error())));
    then(std::vector<ChunkId>{});
  });
}

Status OriginLink::use_certificate(const std::string& certificate_pem, const std::string& key_pem) {
  if (auto done = client_->use_certificate(certificate_pem, key_pem); !done) return done;
  return ranges_->use_certificate(certificate_pem, key_pem);
}

}  // namespace lamina::node
