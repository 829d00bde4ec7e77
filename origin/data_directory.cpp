#include "origin/data_directory.hpp"

#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/journaled_table.hpp"
#include "shared/base/log.hpp"
#include "shared/os/file.hpp"
#include "shared/policy/subnet.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kFileMax = 1 << 20;
constexpr std::int64_t kFirstTokenMs = std::int64_t{365} * 24 * 3600 * 1000;

Status write_secret(const std::string& path, const std::string& text) {
  return os::write_file(path, as_view(text), 0600);
}

Status write_pair(const DataDirectory& data, const std::string& name,
                  const net::KeyAndCertificate& pair) {
  if (auto done = write_secret(data.key(name + ".key"), pair.key_pem); !done) return done;
  return os::write_file(data.key(name + ".pem"), as_view(pair.certificate_pem));
}

Status write_signing_key(const DataDirectory& data, const std::string& name,
                         const PrivateKey& key) {
  if (auto done = write_secret(data.key(name + ".key"), key.to_pem()); !done) return done;
  return os::write_file(data.key(name + ".pub"), as_view(key.public_key().hex() + '\n'));
}

Result<net::KeyAndCertificate> read_pair(const DataDirectory& data, const std::string& name) {
  auto key = os::read_text(data.key(name + ".key"), kFileMax);
  if (!key) return fail(std::move(key.error()));
  auto certificate = os::read_text(data.key(name + ".pem"), kFileMax);
  if (!certificate) return fail(std::move(certificate.error()));
  return net::KeyAndCertificate{std::move(*key), std::move(*certificate)};
}

Result<PrivateKey> read_signing_key(const DataDirectory& data, const std::string& name) {
  auto pem = os::read_text(data.key(name + ".key"), kFileMax);
  if (!pem) return fail(std::move(pem.error()));
  auto key = PrivateKey::from_pem(*pem);
  if (!key) return fail(std::move(key.error()).in(data.key(name + ".key")));
  return key;
}

Result<BoxPrivateKey> make_relay_key(const DataDirectory& data) {
  auto key = BoxPrivateKey::generate();
  if (!key) return key;
  if (auto done = write_secret(data.key("relay.key"), key->to_pem()); !done)
    return fail(std::move(done.error()));
  return key;
}

Result<BoxPrivateKey> read_relay_key(const DataDirectory& data) {
  auto pem = os::read_text(data.key("relay.key"), kFileMax);
  if (!pem && pem.error().kind() == ErrorKind::not_found) return make_relay_key(data);
  if (!pem) return fail(std::move(pem.error()));
  auto key = BoxPrivateKey::from_pem(*pem);
  if (!key) return fail(std::move(key.error()).in(data.key("relay.key")));
  return key;
}

Status first_administrator(const DataDirectory& data, WallTime now) {
  auto table = JournaledTable::open(data.catalog(), data.journal());
  if (!table) return fail(std::move(table.error()));
  Catalog catalog(**table);
  auto token = catalog.create_token(
      {"origin", now}, {.name = "first-administrator", .kind = "admin", .ttl_ms = kFirstTokenMs});
  if (!token) return fail(std::move(token.error()));
  return write_secret(data.key("admin.token"), token->secret + '\n');
}

Status seeder_identity(const DataDirectory& data, const net::KeyAndCertificate& swarm_ca,
                       const PublicKey& lease) {
  auto request = net::make_key_and_request();
  if (!request) return fail(std::move(request.error()));
  // The seeder's own process cannot ask for a new one, and it is the data centre's: ten years.
  auto certificate =
      net::issue_swarm_certificate(swarm_ca, request->csr_pem, "seeder", 3650 * net::kDay);
  if (!certificate) return fail(std::move(certificate.error()));
  if (auto done = write_secret(data.seed("seed.key"), request->key_pem); !done) return done;
  for (const auto& [name, text] : {std::pair<const char*, std::string>{"seed.pem", *certificate},
                                   {"swarm-ca.pem", swarm_ca.certificate_pem},
                                   {"lease.pub", lease.hex() + '\n'}})
    if (auto done = os::write_file(data.seed(name), as_view(text)); !done) return done;
  return Done{};
}

}  // namespace

Status check_is_origin(const DataDirectory& data) {
  if (os::exists(data.config())) return Done{};
  return fail(ErrorKind::not_found,
              printable(data.root()) + " is no origin's data directory: it has no origin.json");
}

Status check_has_catalogue(const DataDirectory& data) {
  if (os::exists(data.catalog() + "/data.mdb")) return Done{};
  return fail(ErrorKind::corrupt, "there is no catalogue in " + printable(data.catalog()) +
                                      ": `lamina-origin rebuild` makes it from its journal");
}

Result<os::FileLock> hold_still(const DataDirectory& data, const std::function<void()>& on_wait) {
  auto lock = os::FileLock::take_directory(data.keys(), os::FileLock::Mode::shared);
  if (lock || lock.error().kind() != ErrorKind::unavailable) return lock;
  log::info("waiting", {{"for", "a collection of garbage"}});
  if (on_wait) on_wait();
  return os::FileLock::wait_to_share(data.keys());
}

std::vector<std::string> OriginConfig::seeders() const {
  std::vector<std::string> addresses;
  for (const std::string& name : names)
    if (policy::parse_address(name))
      addresses.push_back((name.find(':') == std::string::npos ? name : '[' + name + ']') + ':' +
                          std::to_string(swarm_port));
  return addresses;
}

Result<OriginConfig> read_config(const DataDirectory& data) {
  if (os::exists(data.root() + "/restoring.json"))
    return fail(ErrorKind::refused, printable(data.root()) +
                                        " was not restored to its end: run the same `lamina-origin "
                                        "restore` or `move` again");
  auto text = os::read_text(data.config(), kFileMax);
  if (!text)
    return fail(std::move(text.error())
                    .in("this is no origin's data directory (make one with "
                        "'lamina-origin init')"));
  try {
    const auto object = nlohmann::json::parse(*text);
    return OriginConfig{.names = object.at("names").get<std::vector<std::string>>(),
                        .api_port = object.at("api_port").get<std::uint16_t>(),
                        .swarm_port = object.at("swarm_port").get<std::uint16_t>()};
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorKind::invalid, data.config() + ": " + error.what());
  }
}

Result<OriginKeys> read_keys(const DataDirectory& data) {
  auto api_ca = read_pair(data, "api-ca");
  if (!api_ca) return fail(std::move(api_ca.error()));
  auto server = read_pair(data, "server");
  if (!server) return fail(std::move(server.error()));
  auto swarm_ca = read_pair(data, "swarm-ca");
  if (!swarm_ca) return fail(std::move(swarm_ca.error()));
  auto target = read_signing_key(data, "target");
  if (!target) return fail(std::move(target.error()));
  auto lease = read_signing_key(data, "lease");
  if (!lease) return fail(std::move(lease.error()));
  auto publisher = os::read_text(data.key("publisher.pub"), kFileMax);
  if (!publisher) return fail(std::move(publisher.error()));
  auto key = PublicKey::parse(std::string_view(*publisher).substr(0, 64));
  if (!key) return fail(std::move(key.error()).in(data.key("publisher.pub")));
  auto relay = read_relay_key(data);
  if (!relay) return fail(std::move(relay.error()));
  return OriginKeys{std::move(*api_ca), std::move(*server), std::move(*swarm_ca),
                    std::move(*target), std::move(*lease),  {*key},
                    std::move(*relay)};
}

Result<Initialized> initialize(const DataDirectory& data, const OriginConfig& config,
                               WallTime now) {
  if (config.names.empty() || config.names.front().empty())
    return fail(ErrorKind::invalid,
                "the origin needs a name: the host name or address by which "
                "devices reach it");
  if (os::exists(data.root())) {
    auto names = os::list_directory(data.root());
    if (!names) return fail(std::move(names.error()));
    if (!names->empty())
      return fail(ErrorKind::refused, printable(data.root()) +
                                          " is not empty: choose another directory, or remove it "
                                          "if it is not needed any more");
  }
  if (auto done = os::make_directories(data.root()); !done) return fail(std::move(done.error()));
  // The top is open, so that a seeder of another user reaches its parts; secrets are below keys/.
  for (const auto& [name, mode] : {std::pair<const char*, mode_t>{"keys", 0700},
                                   {"catalog", 0700},
                                   {"journal", 0700},
                                   {"seed", 0755},
                                   {"layers", 0755},
                                   {"torrents", 0755},
                                   {"tmp", 0700}})
    if (auto done = os::make_directories(data.root() + '/' + name, mode); !done)
      return fail(std::move(done.error()));

  auto api_ca = net::make_ca("Lamina API");
  if (!api_ca) return fail(std::move(api_ca.error()));
  auto swarm_ca = net::make_ca("Lamina swarm");
  if (!swarm_ca) return fail(std::move(swarm_ca.error()));
  auto server = net::issue_server_certificate(*api_ca, config.names);
  if (!server) return fail(std::move(server.error()));
  const std::pair<const char*, const net::KeyAndCertificate*> pairs[] = {
      {"api-ca", &*api_ca}, {"server", &*server}, {"swarm-ca", &*swarm_ca}};
  for (const auto& [name, pair] : pairs)
    if (auto done = write_pair(data, name, *pair); !done) return fail(std::move(done.error()));
  PublicKey lease;
  for (const char* name : {"target", "lease", "publisher"}) {
    auto key = PrivateKey::generate();
    if (!key) return fail(std::move(key.error()));
    if (name == std::string_view("lease")) lease = key->public_key();
    if (auto done = write_signing_key(data, name, *key); !done)
      return fail(std::move(done.error()));
  }
  if (auto relay = make_relay_key(data); !relay) return fail(std::move(relay.error()));
  if (auto done = seeder_identity(data, *swarm_ca, lease); !done)
    return fail(std::move(done.error()));
  if (auto done = first_administrator(data, now); !done) return fail(std::move(done.error()));
  const nlohmann::json object{
      {"names", config.names}, {"api_port", config.api_port}, {"swarm_port", config.swarm_port}};
  if (auto done = os::write_file(data.config(), as_view(object.dump(2) + '\n')); !done)
    return fail(std::move(done.error()));
  auto facts = net::certificate_facts(api_ca->certificate_pem);
  if (!facts) return fail(std::move(facts.error()));
  return Initialized{.ca_fingerprint = facts->fingerprint,
                     .token_path = data.key("admin.token"),
                     .publisher_key_path = data.key("publisher.key")};
}

}  // namespace lamina::origin
