#include "node/net/site_fetch.hpp"

#include <algorithm>

#include "shared/codec/reader.hpp"
#include "shared/net/https_client.hpp"
#include "shared/os/file.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::node {
namespace {

constexpr std::string_view kLayers = "/v1/site/layers/";
// Of each call: who waits longer asks the origin.
constexpr Duration kWithin = std::chrono::seconds{5};
constexpr Duration kConnectWithin = std::chrono::seconds{2};
// Of a pack: it stalls, or it comes.
constexpr Duration kPackWithin = std::chrono::minutes{5};
constexpr std::string_view kCostly = "costly";
// More are not looked at: 64 GB.
constexpr std::size_t kCostlyPacksMax = 4096;

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

// One after the other, from number `at` on.
void download(net::Loop& loop, const std::shared_ptr<net::HttpsClient>& client,
              const LayerId& layer, const std::string& directory,
              const std::shared_ptr<std::vector<PackId>>& ids, std::size_t at,
              const SiteFetch::Then<std::vector<std::string>>& then) {
  const auto path_of = [directory](const PackId& id) { return directory + '/' + id.hex(); };
  if (at == ids->size()) {
    std::vector<std::string> paths;
    for (const PackId& id : *ids) paths.push_back(path_of(id));
    return then(std::move(paths));
  }
  net::Call call{.target = costly_page(layer, (*ids)[at])};
  call.download_to = path_of((*ids)[at]);
  call.reply_max = Bytes{static_cast<std::int64_t>(format::kPackSizeMax)};
  call.timeout = kPackWithin;
  client->send(std::move(call),
               [&loop, client, layer, directory, ids, at, then](Result<net::Reply> reply) {
                 auto good = net::check(std::move(reply));
                 if (!good) {
                   // A client must not end inside its own call.
                   loop.post([client] {});
                   return then(fail(std::move(good.error())));
                 }
                 loop.post([&loop, client, layer, directory, ids, at, then] {
                   download(loop, client, layer, directory, ids, at + 1, then);
                 });
               });
}

}  // namespace

std::string layer_page(const LayerId& layer, const char* part) {
  return std::string(kLayers) + layer.hex() + '/' + part;
}

std::string costly_page(const LayerId& layer) { return layer_page(layer, "costly"); }

std::string costly_page(const LayerId& layer, const PackId& pack) {
  return costly_page(layer) + '/' + pack.hex();
}

namespace {

auto nothing_there() { return fail(ErrorKind::not_found, "this device has nothing there"); }

Result<Relay::Handed> costly_packs(const StateDirectory& state, const TrustedKeys& keys,
                                   const LayerId& layer, const std::string& pack) {
  const auto rebuilt = read_rebuilt(state, layer);
  if (!rebuilt || !rebuilt->awaited.empty()) {
    const auto files = load_layer(state, layer, keys);
    if (!files || !is_here(state, *files)) return nothing_there();
  }
  if (!rebuilt || rebuilt->costly.empty())
    return fail(ErrorKind::refused, "this device has made nothing of that layer at great cost");
  if (!pack.empty()) {
    const auto id = PackId::parse(pack);
    if (!id || !rebuilt->costly.contains(*id)) return nothing_there();
    return Relay::Handed{{}, state.packs() + '/' + id->hex()};
  }
  Buffer list;
  for (const PackId& id : rebuilt->costly) {
    const ByteView bytes = id.bytes();
    list.insert(list.end(), bytes.begin(), bytes.end());
  }
  return Relay::Handed{std::move(list)};
}

}  // namespace

Result<Relay::Handed> site_page(const StateDirectory& state, const TrustedKeys& keys,
                                const Buffer& members, const std::string& path) {
  if (path == kMembersPage) {
    if (members.empty()) return nothing_there();
    return Relay::Handed{members};
  }
  if (!path.starts_with(kLayers)) return nothing_there();
  const std::string rest = path.substr(kLayers.size());
  const auto slash = rest.find('/');
  const auto layer = LayerId::parse(rest.substr(0, slash));
  if (!layer || slash == rest.npos) return nothing_there();
  const std::string part = rest.substr(slash + 1);
  if (part.starts_with(kCostly))
    return costly_packs(state, keys, *layer,
                        part.substr(std::min(part.size(), kCostly.size() + 1)));
  auto bytes = read_envelope(state, *layer, part, keys);
  if (!bytes) return fail(std::move(bytes.error()));
  return Relay::Handed{std::move(*bytes)};
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

void SiteFetch::costly(const SwarmIdentity& identity, const wire::Peer& from, const LayerId& layer,
                       const std::string& directory, Then<std::vector<std::string>> then) {
  auto client = open_client(loop_, identity, from);
  if (!client) return then(fail(std::move(client.error())));
  get(loop_, *client, costly_page(layer), kCostlyPacksMax * PackId::kSize,
      [&loop = loop_, client = *client, layer, directory, then](Result<Buffer> list) {
        if (!list) return then(fail(std::move(list.error())));
        if (auto done = os::remove_tree(directory);
            !done && done.error().kind() != ErrorKind::not_found)
          return then(fail(std::move(done.error())));
        if (auto done = os::make_directories(directory); !done)
          return then(fail(std::move(done.error())));
        auto ids = std::make_shared<std::vector<PackId>>();
        Reader in(*list);
        while (!in.failed() && in.remaining() > 0) ids->push_back(in.id<PackId>());
        if (in.failed() || ids->empty())
          return then(fail(ErrorKind::corrupt, "a device of the site sent a broken list of packs"));
        download(loop, client, layer, directory, ids, 0, then);
      });
}

}  // namespace lamina::node
