// Seeders on machines of their own: they join with a token, and from then on have a certificate. It
// opens the layers' content and nothing else; a device's opens nothing here.
#include "origin/api/api.hpp"
#include "origin/api/path.hpp"
#include "origin/catalog/secret.hpp"
#include "shared/base/log.hpp"
#include "shared/hash/xxh3.hpp"
#include "shared/policy/subnet.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::origin {
namespace {

// As long as a device's. Renewed at half of it.
constexpr Duration kSwarmLifetime = 7 * net::kDay;

Act act_of(const wire::SeederInfo& seeder, WallTime now) { return {"seeder:" + seeder.name, now}; }

// Where lease holders dial it, or what is wrong with what it says.
Result<std::string> place_of(const std::string& address, std::uint16_t port,
                             const net::Request& request) {
  const std::string& host = address.empty() ? request.peer.address : address;
  if (!policy::parse_address(host))
    return fail(ErrorKind::invalid, "a seeder's address must be an IP address, not '" +
                                        printable(host, 64) + "'; give it with --advertise");
  if (port == 0) return fail(ErrorKind::invalid, "a seeder's port is missing");
  return (host.find(':') == std::string::npos ? host : '[' + host + ']') + ':' +
         std::to_string(port);
}

net::Response file_or_error(Result<Buffer> bytes) {
  return bytes ? net::binary_response(std::string(as_text(*bytes)))
               : net::error_response(bytes.error());
}

}  // namespace

Result<Api::SeederCertificates> Api::certify(const wire::SeederInfo& seeder,
                                             const std::string& csr_pem,
                                             const std::string& swarm_csr_pem, WallTime now) {
  auto own = net::issue_device_certificate(keys_.api_ca, csr_pem, seeder.id);
  if (!own) return fail(std::move(own.error()).in("the seeder's certificate"));
  auto swarm =
      net::issue_swarm_certificate(keys_.swarm_ca, swarm_csr_pem, "seeder", kSwarmLifetime);
  if (!swarm) return fail(std::move(swarm.error()).in("the seeder's swarm certificate"));
  auto facts = net::certificate_facts(*swarm);
  if (!facts) return fail(std::move(facts.error()));
  if (auto noted = catalog_.seeder_certified(act_of(seeder, now), seeder.id,
                                             facts->not_after.ns / 1'000'000);
      !noted)
    return fail(std::move(noted.error()));
  return SeederCertificates{std::move(*own), std::move(*swarm)};
}

Api::Answer Api::join_seeder(const net::Request& request, Moment moment) {
  auto message = wire::parse_join_request(request.body);
  if (!message) return fail(std::move(message.error()));
  auto random = random_bytes(DeviceId::kSize);
  if (!random) return fail(std::move(random.error()));
  auto key = net::request_key_fingerprint(message->csr_pem);
  if (!key) return fail(std::move(key.error()).in("joining"));
  // Before anything is kept: a bad one costs the token nothing.
  if (auto swarm = net::request_key_fingerprint(message->swarm_csr_pem); !swarm)
    return fail(std::move(swarm.error()).in("joining"));
  auto place = place_of(message->address, message->port, request);
  if (!place) return fail(std::move(place.error()));
  auto seeder =
      catalog_.join_seeder(moment.wall, message->token, *key, *DeviceId::from_bytes(*random));
  if (!seeder) return fail(std::move(seeder.error()));
  auto certificates = certify(*seeder, message->csr_pem, message->swarm_csr_pem, moment.wall);
  if (!certificates) return fail(std::move(certificates.error()));
  log::info("seeder_joined", {{"seeder", seeder->name}, {"address", *place}});
  wire::JoinReply reply{.id = seeder->id,
                        .name = seeder->name,
                        .certificate_pem = certificates->own,
                        .ca_pem = keys_.api_ca.certificate_pem,
                        .swarm_certificate_pem = certificates->swarm,
                        .swarm_ca_pem = keys_.swarm_ca.certificate_pem,
                        .lease_key = to_buffer(elsewhere_->lease_key.bytes()),
                        .target_key = to_buffer(keys_.target.public_key().bytes())};
  for (const PublicKey& publisher : keys_.publishers)
    reply.publisher_keys.push_back(to_buffer(publisher.bytes()));
  return net::json_response(wire::to_json(reply), 201);
}

Api::Answer Api::seeder(const net::Request& request, const Reply& reply, Moment moment,
                        bool& later) {
  if (!request.peer.device)
    return net::error_response(
        401, Error(ErrorKind::refused, "a seeder's certificate is needed; join the seeder first"));
  auto known = catalog_.seeder(*request.peer.device);
  if (!known && known.error().kind() != ErrorKind::not_found) return fail(std::move(known.error()));
  if (!known) return fail(ErrorKind::refused, known.error().text());
  const bool post = request.method == "POST", get = request.method == "GET";
  if (post && request.path == "/v1/seeder/renew") return renew_seeder(*known, request, moment);
  if (request.peer.certificate_expired)
    return fail(ErrorKind::refused, "the certificate of seeder " + known->name +
                                        " has expired; renew it with POST /v1/seeder/renew");
  if (post && request.path == "/v1/seeder/poll") return poll_seeder(*known, request, moment);
  const auto parts = path_parts(request.path);
  if (get && content_ != nullptr && parts.size() == 5 && parts[2] == "layers") {
    auto id = LayerId::parse(parts[3]);
    if (!id) return fail(std::move(id.error()));
    if (parts[4] == "record") return file_or_error(content_->layer_record(*id));
    if (parts[4] == "distribution") return file_or_error(content_->distribution(*id));
    if (parts[4] == "torrent") return file_or_error(content_->torrent(*id));
  }
  if (content_ != nullptr && parts.size() == 4 && parts[2] == "packs" &&
      (get || request.method == "PUT")) {
    auto id = PackId::parse(parts[3]);
    if (!id) return fail(std::move(id.error()));
    if (!get) {
      if (!wanted_.wants(*id))
        return fail(ErrorKind::refused, "pack " + id->short_hex() + " is not wanted");
      later = true;
      take_layer_pack(act_of(*known, moment.wall), request, *id, reply);
      return net::Response();
    }
    if (!content_->layers().files().has(*id))
      return fail(ErrorKind::not_found, "no layer has pack " + id->hex());
    net::Response response;
    response.content_type = wire::kBinary;
    response.file = net::FileBody{.path = content_->layers().files().path_of(*id)};
    return response;
  }
  return fail(ErrorKind::not_found, "there is no " + request.method + " " +
                                        printable(request.path, 120) +
                                        "; docs/api.md lists the calls");
}

Api::Answer Api::renew_seeder(const wire::SeederInfo& seeder, const net::Request& request,
                              Moment moment) {
  auto message = wire::parse_seeder_renew_request(request.body);
  if (!message) return fail(std::move(message.error()));
  auto key = net::request_key_fingerprint(message->csr_pem);
  if (!key) return fail(std::move(key.error()).in("renewing the certificate"));
  auto joined = catalog_.seeder_key_fingerprint(seeder.id);
  if (!joined) return fail(std::move(joined.error()));
  if (*key != *joined)
    return fail(ErrorKind::refused, "the request does not carry the key that seeder " +
                                        seeder.name +
                                        " joined with; renew with that key, or remove the seeder "
                                        "and join it anew");
  auto certificates = certify(seeder, message->csr_pem, message->swarm_csr_pem, moment.wall);
  if (!certificates) return fail(std::move(certificates.error()));
  return net::json_response(
      wire::to_json(wire::SeederRenewReply{certificates->own, certificates->swarm}));
}

Result<const Api::Listing*> Api::listing() {
  if (listing_) return &*listing_;
  auto layers = catalog_.layers();
  if (!layers) return fail(std::move(layers.error()));
  Listing listing;
  std::string ids;
  for (const wire::LayerInfo& layer : *layers) {
    listing.layers.push_back(layer.id);
    ids += as_text(layer.id.bytes());
  }
  if (listing.layers.size() > wire::kSeederLayersMax)
    return fail(ErrorKind::refused, "there are more than " +
                                        std::to_string(wire::kSeederLayersMax) +
                                        " layers: seeders elsewhere cannot follow");
  // Named by its content: the same after a restart.
  listing.version = std::max<std::uint64_t>(1, xxh3(as_view(ids)));
  return &listing_.emplace(std::move(listing));
}

Api::Answer Api::poll_seeder(const wire::SeederInfo& seeder, const net::Request& request,
                             Moment moment) {
  auto message = wire::parse_seeder_poll_request(request.body);
  if (!message) return fail(std::move(message.error()));
  auto place = place_of(message->address, message->port, request);
  if (!place) return fail(std::move(place.error()));
  auto listed = listing();
  if (!listed) return fail(std::move(listed.error()));
  wire::SeederPollReply reply{.list_version = (*listed)->version};
  if (message->list_version != reply.list_version) reply.layers = (*listed)->layers;
  wanted_.heard_from(seeder.id, moment.now);
  for (const wire::WantedPack& wanted :
       wanted_.ask(seeder.id, {message->holds.begin(), message->holds.end()}, moment.now)) {
    if (!reply.wanted_packs) reply.wanted_packs.emplace();
    reply.wanted_packs->push_back(wanted.pack);
  }
  elsewhere_->seeders.polled(seeder.id, *place, std::move(*message), moment.now, moment.wall);
  return net::json_response(wire::to_json(reply));
}

Result<wire::SeederList> Api::seeders(Moment moment) {
  wire::SeederList list;
  auto listed = listing();
  if (!listed) return fail(std::move(listed.error()));
  const auto count = static_cast<std::int64_t>((*listed)->layers.size());
  for (const std::string& address : elsewhere_->own)
    list.seeders.push_back({.name = "origin",
                            .address = address,
                            .state = "origin",
                            .layers = count,
                            .layers_listed = count});
  auto joined = catalog_.seeders();
  if (!joined) return fail(std::move(joined.error()));
  for (wire::SeederInfo& info : *joined) {
    elsewhere_->seeders.complete(info, count, moment.now, moment.wall);
    list.seeders.push_back(std::move(info));
  }
  return list;
}

Status Api::remove_seeder(const Act& act, const std::string& name) {
  auto id = catalog_.remove_seeder(act, name);
  if (!id) return fail(std::move(id.error()));
  if (!act.is_rehearsal) elsewhere_->seeders.removed(*id);
  return Done{};
}

}  // namespace lamina::origin
