#include "node/net/enrol.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include "shared/net/certificates.hpp"
#include "shared/net/https_client.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"
#include "shared/wire/enrol.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::node {
namespace {

// One line of a small system file, or "": virtual machines and containers may have none.
std::string system_line(const std::string& path) {
  auto text = os::read_text(path, 4096);
  if (!text) return {};
  return text->substr(0, text->find('\n'));
}

wire::EnrolRequest describe(const Enrolment& how, const std::string& csr_pem) {
  utsname system{};
  ::uname(&system);
  wire::EnrolRequest request;
  request.token = how.token;
  request.csr_pem = csr_pem;
  request.hardware_uuid =
      how.hardware_uuid.empty() ? system_line("/sys/class/dmi/id/product_uuid") : how.hardware_uuid;
  request.host_name = system.nodename;
  request.node_version = LAMINA_VERSION;
  request.attributes = {{"kernel", system.release}, {"architecture", system.machine}};
  if (auto id = system_line("/etc/machine-id"); !id.empty()) request.attributes["machine_id"] = id;
  return request;
}

Result<PublicKey> key_of(const Buffer& bytes, const std::string& what) {
  auto key = PublicKey::from_bytes(bytes);
  if (!key) return fail(std::move(key.error()).in("the origin's answer: " + what));
  return key;
}

Status write_private(const std::string& path, const std::string& text, const os::User& user) {
  if (auto written = os::write_file(path, as_view(text), 0600); !written) return written;
  if (os::is_root() && ::chown(path.c_str(), user.uid, user.gid) != 0)
    return fail(os::last_error("owner of " + path));
  return Done{};
}

Result<os::User> network_user(const std::string& name) {
  if (!name.empty()) return os::find_user(name);
  return os::User{::geteuid(), ::getegid(), ""};
}

}  // namespace

Result<NodeConfig> enrol(const Enrolment& how) {
  const StateDirectory state(how.state);
  if (os::exists(state.node_json()))
    return fail(ErrorKind::invalid, how.state +
                                        " holds an enrolled device already; to enrol "
                                        "anew, move that directory away");
  auto place = net::parse_host_port(how.origin);
  if (!place) return fail(std::move(place.error()).in("--origin"));
  if (!how.volume.starts_with('/') || !os::exists(how.volume))
    return fail(ErrorKind::not_found,
                "the volume '" + how.volume + "' must be an existing directory, as absolute path");
  auto user = network_user(how.user);
  if (!user) return fail(std::move(user.error()));

  NodeConfig config{.origin_host = place->host,
                    .origin_port = place->port,
                    .device = {},
                    .volume = how.volume,
                    .user = how.user};
  auto key = net::make_key_and_request();
  if (!key) return fail(std::move(key.error()));
  auto client = net::BlockingClient::create({.host = place->host,
                                             .port = place->port,
                                             .ca_pem = {},
                                             .ca_fingerprint = how.ca_fingerprint});
  if (!client) return fail(std::move(client.error()));
  if (how.dry_run) return config;
  auto answer = net::check((*client)->send({.method = "POST",
                                            .target = "/v1/enroll",
                                            .content_type = std::string(wire::kJson),
                                            .body = wire::to_json(describe(how, key->csr_pem)),
                                            .timeout = std::chrono::seconds{30}}));
  if (!answer) return fail(std::move(answer.error()).in("enrolling"));
  auto reply = wire::parse_enrol_reply(answer->body);
  if (!reply) return fail(std::move(reply.error()).in("the origin's answer"));

  // The CA in the answer must be the pinned one: it becomes the anchor of every later connection.
  const auto ca = net::certificate_facts(reply->ca_pem);
  const auto pinned = from_hex(how.ca_fingerprint);
  if (!ca || !pinned || ca->fingerprint != to_hex(*pinned))
    return fail(ErrorKind::refused, "the origin's answer carries another CA than the pinned one");
  TrustedKeys keys;
  auto target = key_of(reply->target_key, "target key");
  if (!target) return fail(std::move(target.error()));
  keys.target = *target;
  for (const auto& bytes : reply->publisher_keys) {
    auto publisher = key_of(bytes, "publisher key");
    if (!publisher) return fail(std::move(publisher.error()));
    keys.publishers.push_back(*publisher);
  }

  if (auto made = state.prepare(*user); !made) return fail(std::move(made.error()));
  if (auto written = write_trust(state, reply->ca_pem, keys); !written)
    return fail(std::move(written.error()));
  for (const auto& [path, text] : {std::pair{state.device_key(), key->key_pem},
                                   std::pair{state.device_certificate(), reply->certificate_pem},
                                   std::pair{state.swarm_ca(), reply->swarm_ca_pem}})
    if (auto written = write_private(path, text, *user); !written)
      return fail(std::move(written.error()));
  // Last: with node.json the device counts as enrolled.
  config.device = reply->device;
  if (auto written = write_config(state, config); !written) return fail(std::move(written.error()));
  return config;
}

}  // namespace lamina::node
