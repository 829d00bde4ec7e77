#include "origin/mirror/identity.hpp"

#include <nlohmann/json.hpp>

#include "shared/base/log.hpp"
#include "shared/net/https_client.hpp"
#include "shared/os/file.hpp"
#include "shared/policy/subnet.hpp"
#include "shared/wire/protocol.hpp"
#include "shared/wire/seeder.hpp"

namespace lamina::origin {
namespace {

std::string config_path(const DataDirectory& data) { return data.root() + "/mirror.json"; }

// The key at `path`, made now if it is missing.
Result<std::string> own_key(const std::string& path) {
  if (os::exists(path)) return os::read_text(path);
  auto made = net::make_key_and_request();
  if (!made) return fail(std::move(made.error()));
  if (auto done = os::write_file(path, as_view(made->key_pem), 0600); !done)
    return fail(std::move(done.error()));
  return made->key_pem;
}

Result<std::string> hex_of_key(const Buffer& bytes, const char* what) {
  auto key = PublicKey::from_bytes(bytes);
  if (!key) return fail(std::move(key.error()).in(std::string("the origin's answer: ") + what));
  return key->hex() + '\n';
}

Result<MirrorConfig> parse_config(const std::string& text, const std::string& path) {
  try {
    const auto object = nlohmann::json::parse(text);
    auto id = DeviceId::parse(object.at("id").get<std::string>());
    if (!id) return fail(std::move(id.error()).in(path));
    return MirrorConfig{.origin_host = object.at("origin_host").get<std::string>(),
                        .origin_port = object.at("origin_port").get<std::uint16_t>(),
                        .id = *id,
                        .name = object.at("name").get<std::string>(),
                        .listen = object.at("listen").get<std::string>(),
                        .advertise = object.at("advertise").get<std::string>()};
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorKind::invalid, path + ": " + error.what());
  }
}

Status write_config(const DataDirectory& data, const MirrorConfig& config) {
  const nlohmann::json object{{"origin_host", config.origin_host},
                              {"origin_port", config.origin_port},
                              {"id", config.id.hex()},
                              {"name", config.name},
                              {"listen", config.listen},
                              {"advertise", config.advertise}};
  return os::write_file(config_path(data), as_view(object.dump(2) + '\n'));
}

Status make_directories(const DataDirectory& data) {
  for (const auto& [name, mode] : {std::pair<const char*, mode_t>{"/seed", 0700},
                                   {"/layers", 0755},
                                   {"/torrents", 0755},
                                   {"/incoming", 0700},
                                   {"/objects/layers", 0755},
                                   {"/objects/distributions", 0755},
                                   {"/objects/torrents", 0755}})
    if (auto done = os::make_directories(data.root() + name, mode); !done) return done;
  return Done{};
}

Result<wire::JoinReply> ask(const net::HostPort& origin, const JoinOptions& how, const Place& place,
                            const std::string& csr, const std::string& swarm_csr) {
  auto client = net::BlockingClient::create({.host = origin.host,
                                             .port = origin.port,
                                             .ca_pem = {},
                                             .ca_fingerprint = how.ca_fingerprint});
  if (!client) return fail(std::move(client.error()));
  const wire::JoinRequest request{.token = how.token,
                                  .csr_pem = csr,
                                  .swarm_csr_pem = swarm_csr,
                                  .address = place.address,
                                  .port = place.port,
                                  .version = LAMINA_VERSION};
  auto answer = net::check((*client)->send({.method = "POST",
                                            .target = "/v1/seeders/join",
                                            .content_type = std::string(wire::kJson),
                                            .body = wire::to_json(request),
                                            .timeout = std::chrono::seconds{30}}));
  if (!answer) return fail(std::move(answer.error()).in("joining"));
  auto reply = wire::parse_join_reply(answer->body);
  if (!reply) return fail(std::move(reply.error()).in("the origin's answer"));
  // The CA in the answer must be the pinned one: it becomes the anchor of every later connection.
  const auto ca = net::certificate_facts(reply->ca_pem);
  const auto pinned = from_hex(how.ca_fingerprint);
  if (!ca || !pinned || ca->fingerprint != to_hex(*pinned))
    return fail(ErrorKind::refused, "the origin's answer carries another CA than the pinned one");
  return reply;
}

Status keep_identity(const DataDirectory& data, const wire::JoinReply& reply) {
  auto lease = hex_of_key(reply.lease_key, "lease key");
  if (!lease) return fail(std::move(lease.error()));
  auto target = hex_of_key(reply.target_key, "target key");
  if (!target) return fail(std::move(target.error()));
  std::string publishers;
  for (const Buffer& bytes : reply.publisher_keys) {
    auto publisher = hex_of_key(bytes, "publisher key");
    if (!publisher) return fail(std::move(publisher.error()));
    publishers += *publisher;
  }
  const std::pair<const char*, const std::string*> files[] = {
      {"lease.pub", &*lease},
      {"target.pub", &*target},
      {"publishers.pub", &publishers},
      {"api-ca.pem", &reply.ca_pem},
      {"swarm-ca.pem", &reply.swarm_ca_pem}};
  for (const auto& [name, text] : files)
    if (auto done = os::write_file(data.seed(name), as_view(*text)); !done) return done;
  return keep_certificates(data, reply.certificate_pem, reply.swarm_certificate_pem);
}

}  // namespace

bool has_joined(const DataDirectory& data) { return os::exists(config_path(data)); }

Result<MirrorConfig> read_mirror_config(const DataDirectory& data) {
  auto text = os::read_text(config_path(data));
  if (!text) return fail(std::move(text.error()));
  return parse_config(*text, config_path(data));
}

Result<MirrorKeys> read_mirror_keys(const DataDirectory& data) {
  const auto keys_of = [&](const char* name) -> Result<std::vector<PublicKey>> {
    auto text = os::read_text(data.seed(name));
    if (!text) return fail(std::move(text.error()));
    std::vector<PublicKey> keys;
    std::string_view rest = *text;
    while (!rest.empty()) {
      const auto line = rest.substr(0, rest.find('\n'));
      auto key = PublicKey::parse(line);
      if (!key) return fail(std::move(key.error()).in(data.seed(name)));
      keys.push_back(*key);
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
    if (keys.empty()) return fail(ErrorKind::invalid, data.seed(name) + " holds no key");
    return keys;
  };
  auto target = keys_of("target.pub");
  if (!target) return fail(std::move(target.error()));
  auto publishers = keys_of("publishers.pub");
  if (!publishers) return fail(std::move(publishers.error()));
  return MirrorKeys{target->front(), std::move(*publishers)};
}

Result<Place> place_of(const std::string& advertise, const std::string& listen) {
  auto place = net::parse_host_port(advertise.empty() ? listen : advertise);
  if (!place)
    return fail(std::move(place.error()).in(advertise.empty() ? "--listen" : "--advertise"));
  if (advertise.empty()) return Place{"", place->port};
  if (!policy::parse_address(place->host))
    return fail(ErrorKind::invalid, "--advertise takes an IP address and a port, not '" +
                                        printable(advertise, 80) + "'");
  return Place{place->host, place->port};
}

Status move_mirror(const DataDirectory& data, MirrorConfig& config, const std::string& listen,
                   const std::string& advertise) {
  MirrorConfig moved = config;
  if (!listen.empty()) moved.listen = listen;
  if (!advertise.empty()) moved.advertise = advertise;
  if (moved.listen == config.listen && moved.advertise == config.advertise) return Done{};
  if (auto place = place_of(moved.advertise, moved.listen); !place)
    return fail(std::move(place.error()));
  if (auto done = write_config(data, moved); !done) return done;
  config = std::move(moved);
  return Done{};
}

Status keep_certificates(const DataDirectory& data, const std::string& certificate_pem,
                         const std::string& swarm_certificate_pem) {
  if (auto done = os::write_file(data.seed("api.pem"), as_view(certificate_pem)); !done)
    return done;
  return os::write_file(data.seed("seed.pem"), as_view(swarm_certificate_pem));
}

Result<MirrorConfig> join(const DataDirectory& data, const JoinOptions& how) {
  auto origin = net::parse_host_port(how.origin, 8443);
  if (!origin) return fail(std::move(origin.error()).in("--join"));
  if (has_joined(data)) {
    auto known = read_mirror_config(data);
    if (!known) return known;
    if (known->origin_host != origin->host || known->origin_port != origin->port)
      return fail(ErrorKind::refused, data.root() + " belongs to a seeder of " +
                                          known->origin_host + ":" +
                                          std::to_string(known->origin_port) +
                                          "; start it without --join, or give another --data");
    log::info("joined_already", {{"seeder", known->name}});
    return known;
  }
  if (os::exists(data.config()))
    return fail(ErrorKind::refused, data.root() +
                                        " is an origin's data directory: its seeder needs no "
                                        "--join; give another --data");
  if (how.token.empty() || how.ca_fingerprint.empty())
    return fail(ErrorKind::invalid, "--join needs --token and --ca-fingerprint");
  auto place = place_of(how.advertise, how.listen);
  if (!place) return fail(std::move(place.error()));
  if (auto done = make_directories(data); !done) return fail(std::move(done.error()));
  auto key = own_key(data.seed("api.key"));
  if (!key) return fail(std::move(key.error()));
  auto swarm_key = own_key(data.seed("seed.key"));
  if (!swarm_key) return fail(std::move(swarm_key.error()));
  auto csr = net::make_request(*key);
  if (!csr) return fail(std::move(csr.error()));
  auto swarm_csr = net::make_request(*swarm_key);
  if (!swarm_csr) return fail(std::move(swarm_csr.error()));
  auto reply = ask(*origin, how, *place, *csr, *swarm_csr);
  if (!reply) return fail(std::move(reply.error()));
  if (auto done = keep_identity(data, *reply); !done) return fail(std::move(done.error()));
  const MirrorConfig config{.origin_host = origin->host,
                            .origin_port = origin->port,
                            .id = reply->id,
                            .name = reply->name,
                            .listen = how.listen,
                            .advertise = how.advertise};
  if (auto done = write_config(data, config); !done) return fail(std::move(done.error()));
  log::info("joined", {{"seeder", config.name}, {"origin", config.origin_host}});
  return config;
}

}  // namespace lamina::origin
