#include "node/net/site_fetch.hpp"

#include "shared/net/https_client.hpp"
#include "shared/os/file.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::node {
namespace {

constexpr std::string_view kLayers = "/v1/site/layers/";
// Of each call: who waits longer asks the origin.
constexpr Duration kWithin = std::chrono::seconds{5};
constexpr Duration kConnectWithin = std::chrono::seconds{2};

Result<std::shared_ptr<net::HttpsClient>> open_client(net::Loop& loop,
                                                      const SwarmIdentity& identity,
                                                      const wire::Peer& from) {
  auto client = net::HttpsClient::create(loop, {.host = from.address,
                                                .port = from.relay_port.value_or(0),
                                                .ca_pem = identity.ca_pem,
                                                .ca_fingerprint = {},
                                                .certificate_pem = identity.certificate_pem,
                                                .key_pem = identity.key_pem,
                                                .peer = from.device,
                                                .connections_max = 1,
                                                .connect_timeout = kConnectWithin});
  if (!client) return fail(std::move(client.error()));
  return std::shared_ptr<net::HttpsClient>(std::move(*client));
}

void get(net::Loop& loop, const std::shared_ptr<net::HttpsClient>& client, std::string path,
         std::size_t most, SiteFetch::Then<Buffer> then) {
  net::Call call{.target = std::move(path)};
  call.reply_max = Bytes{static_cast<std::int64_t>(most)};
  call.timeout = kWithin;
  client->send(std::move(call),
               [&loop, client, then = std::move(then)](Result<net::Reply> reply) mutable {
                 auto good = net::check(std::move(reply));
                 // A client must not end inside its own call.
                 loop.post([keep = std::move(client)] {});
                 if (!good) return then(fail(std::move(good.error())));
                 then(to_buffer(good->body));
               });
}

}  // namespace

std::string layer_page(const LayerId& layer, const char* part) {
  return std::string(kLayers) + layer.hex() + '/' + part;
}

Result<Buffer> site_page(const StateDirectory& state, const TrustedKeys& keys,
                         const Buffer& members, const std::string& path) {
  const auto nothing = [] { return fail(ErrorKind::not_found, "this device has nothing there"); };
  if (path == kMembersPage) return members.empty() ? Result<Buffer>(nothing()) : members;
  if (!path.starts_with(kLayers)) return nothing();
  const std::string rest = path.substr(kLayers.size());
  const auto slash = rest.find('/');
  const auto layer = LayerId::parse(rest.substr(0, slash));
  if (!layer || slash == rest.npos) return nothing();
  return read_envelope(state, *layer, rest.substr(slash + 1), keys);
}

void SiteFetch::members(const SwarmIdentity& identity, const wire::Peer& from, Then<Buffer> then) {
  auto client = open_client(loop_, identity, from);
  if (!client) return then(fail(std::move(client.error())));
  get(loop_, *client, std::string(kMembersPage), format::kRecordMax, std::move(then));
}

void SiteFetch::layer(const SwarmIdentity& identity, const wire::Peer& from, const LayerId& layer,
                      Then<LayerEnvelopes> then) {
  auto client = open_client(loop_, identity, from);
  if (!client) return then(fail(std::move(client.error())));
  auto got = std::make_shared<LayerEnvelopes>();
  // One after the other: together they are a few hundred kilobytes, on a LAN.
  const auto part = [&loop = loop_, client = *client, layer](const char* name, std::size_t most,
                                                             Then<Buffer> next) {
    get(loop, client, layer_page(layer, name), most, std::move(next));
  };
  part("record", format::kRecordMax, [got, part, then](Result<Buffer> record) {
    if (!record) return then(fail(std::move(record.error())));
    got->record = std::move(*record);
    part("distribution", format::kRecordMax, [got, part, then](Result<Buffer> distribution) {
      if (!distribution) return then(fail(std::move(distribution.error())));
      got->distribution = std::move(*distribution);
      part("torrent", swarm::kTorrentBytesMax, [got, then](Result<Buffer> torrent) {
        if (!torrent) return then(fail(std::move(torrent.error())));
        got->torrent = std::move(*torrent);
        then(std::move(*got));
      });
    });
  });
}

}  // namespace lamina::node
