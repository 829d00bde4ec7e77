#include "origin/api/api.hpp"
#include "origin/api/path.hpp"
#include "origin/catalog/secret.hpp"
#include "shared/policy/reflector_role.hpp"
#include "shared/policy/subnet.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::origin {
namespace {

using wire::DeviceStatus;

Error no_such(const net::Request& request) {
  return {ErrorKind::not_found, "there is no " + request.method + " " +
                                    printable(request.path, 120) + "; docs/api.md lists the calls"};
}

// How long a device's next poll waits. Those of a site begin together, when all get a target, and
// must not end together: thirty answers with a new member list were 0.2 s of other traffic on the
// line, and the seeder gave way to it (m). Ids are random.
std::int64_t wait_of(const DeviceId& id) {
  const auto part = std::to_integer<std::int64_t>(id.bytes().front());
  return wire::kPollWaitMaxMs - wire::kPollWaitMaxMs / 4 * part / 256;
}

// Layers of its target that the device has whole; nothing is missing either before it has their
// records.
std::set<LayerId> whole_layers(const wire::PollRequest& poll) {
  std::set<LayerId> whole;
  for (const wire::LayerState& layer : poll.layers.value_or(std::vector<wire::LayerState>()))
    if (layer.missing_bytes == 0 && layer.reason == "local-cache") whole.insert(layer.layer);
  return whole;
}

// No answer but this one is for a device that was shut out.
bool is_out(const wire::DeviceInfo& device) { return device.status == DeviceStatus::rejected; }
Error out_of_service(const wire::DeviceInfo& device) {
  return {ErrorKind::refused,
          "device " + device.id.hex() +
              (device.decommissioned_ms ? " is decommissioned" : " was rejected") +
              "; enrol it with a new token"};
}

}  // namespace

void Api::want_packs(const WantedPacks::List& list, Moment moment) {
  wanted_.set(list);
  look_for_holders(moment);
}

void Api::look_for_holders(Moment moment) {
  may_be_asked_ = waiting_.devices_where(
      [&](const WaitingPolls::Poll& poll) {
        return wanted_.would_ask(poll.device, whole_layers(poll.request), moment.now);
      },
      wire::kWantedPacksMax);
}

Api::Answer Api::enrol(const net::Request& request, Moment moment) {
  auto message = wire::parse_enrol_request(request.body);
  if (!message) return fail(std::move(message.error()));
  auto random = random_bytes(DeviceId::kSize);
  if (!random) return fail(std::move(random.error()));
  const DeviceId id = *DeviceId::from_bytes(*random);
  auto key = net::request_key_fingerprint(message->csr_pem);
  if (!key) return fail(std::move(key.error()).in("enrolling"));
  // The certificate before the token is spent: a bad CSR costs no use.
  auto certificate = net::issue_device_certificate(keys_.api_ca, message->csr_pem, id);
  if (!certificate) return fail(std::move(certificate.error()).in("enrolling"));
  auto facts = net::certificate_facts(*certificate);
  if (!facts) return fail(std::move(facts.error()).in("enrolling"));
  auto device = catalog_.enrol(moment.wall, *message, id, *key);
  if (!device) return fail(std::move(device.error()));
  if (auto noted = catalog_.certificate_issued({"device:" + id.hex(), moment.wall}, id,
                                               facts->not_after.ns / 1'000'000);
      !noted)
    return fail(std::move(noted.error()));

  wire::EnrolReply reply{.device = id,
                         .certificate_pem = *certificate,
                         .ca_pem = keys_.api_ca.certificate_pem,
                         .swarm_ca_pem = keys_.swarm_ca.certificate_pem,
                         .target_key = to_buffer(keys_.target.public_key().bytes())};
  for (const PublicKey& publisher : keys_.publishers)
    reply.publisher_keys.push_back(to_buffer(publisher.bytes()));
  return net::json_response(wire::to_json(reply), 201);
}

Api::Answer Api::node(const net::Request& request, const Reply& reply, Moment moment, bool& later) {
  if (!request.peer.device)
    return net::error_response(
        401, Error(ErrorKind::refused, "a device certificate is needed; enrol the device first"));
  auto device = catalog_.device(*request.peer.device);
  if (!device && device.error().kind() != ErrorKind::not_found)
    return fail(std::move(device.error()));
  if (!device)
    return fail(ErrorKind::refused, "device " + request.peer.device->hex() +
                                        " is not enrolled here; enrol it with a new token");
  if (is_out(*device)) return fail(out_of_service(*device));
  const bool post = request.method == "POST";
  if (post && request.path == "/v1/node/renew") return renew(*device, request, moment);
  if (request.peer.certificate_expired)
    return fail(ErrorKind::refused, "the certificate of device " + device->id.hex() +
                                        " has expired; renew it with POST /v1/node/renew");
  if (post && request.path == "/v1/node/poll") return poll(*device, request, reply, moment, later);
  if (standing_of(*device) != DeviceStatus::assigned)
    return fail(ErrorKind::refused,
                "device " + device->id.hex() + " waits for a site: " +
                    device->waiting.value_or(
                        "it is pending; an administrator places it with `lamina device assign`"));
  if (const auto parts = path_parts(request.path); content_ != nullptr && request.method == "PUT" &&
                                                   parts.size() == 6 && parts[2] == "layers" &&
                                                   parts[4] == "packs")
    return take_wanted_pack(*device, parts[3], parts[5], request, reply, moment, later);
  if (content_ != nullptr && node_content(*device, request, reply, moment)) {
    later = true;
    return net::Response();
  }
  if (post && request.path == "/v1/node/lease") {
    auto message = wire::parse_lease_request(request.body);
    if (!message) return fail(std::move(message.error()));
    tell_rollouts(
        [&](Rollouts& rollouts) { return rollouts.fetching(*device, message->wants, moment); },
        moment);
    auto lease = sites_.renewed(device->site, device->id, *message, moment);
    if (!lease) return fail(std::move(lease.error()));
    return net::json_response(wire::to_json(*lease));
  }
  if (post && request.path == "/v1/node/wan-budget") return wan_budget(*device, request, moment);
  if (post && request.path == "/v1/node/swarm-certificate")
    return swarm_certificate(*device, request, moment);
  if (post && request.path == "/v1/node/report") {
    auto message = wire::parse_report(request.body);
    if (!message) return fail(std::move(message.error()));
    const Act act{"device:" + device->id.hex(), moment.wall};
    if (auto done = catalog_.add_report(act, device->id, *message); !done)
      return fail(std::move(done.error()));
    tell_rollouts(
        [&](Rollouts& rollouts) { return rollouts.reported(device->id, *message, moment); },
        moment);
    return net::json_response("{}", 201);
  }
  return fail(no_such(request));
}

Api::Answer Api::renew(const wire::DeviceInfo& device, const net::Request& request, Moment moment) {
  auto message = wire::parse_renew_request(request.body);
  if (!message) return fail(std::move(message.error()));
  auto key = net::request_key_fingerprint(message->csr_pem);
  if (!key) return fail(std::move(key.error()).in("renewing the certificate"));
  auto enrolled = catalog_.key_fingerprint(device.id);
  if (!enrolled) return fail(std::move(enrolled.error()));
  if (*key != *enrolled)
    return fail(ErrorKind::refused, "the request does not carry the key that device " +
                                        device.id.hex() +
                                        " enrolled with; renew with that key or enrol again");
  auto certificate = net::issue_device_certificate(keys_.api_ca, message->csr_pem, device.id);
  if (!certificate) return fail(std::move(certificate.error()).in("renewing the certificate"));
  auto facts = net::certificate_facts(*certificate);
  if (!facts) return fail(std::move(facts.error()).in("renewing the certificate"));
  if (auto noted = catalog_.certificate_issued({"device:" + device.id.hex(), moment.wall},
                                               device.id, facts->not_after.ns / 1'000'000);
      !noted)
    return fail(std::move(noted.error()));
  return net::json_response(wire::to_json(wire::RenewReply{*certificate}));
}

Api::Answer Api::wan_budget(const wire::DeviceInfo& device, const net::Request& request,
                            Moment moment) {
  auto message = wire::parse_budget_request(request.body);
  if (!message) return fail(std::move(message.error()));
  auto envelope = catalog_.target(device.id);
  if (!envelope) return fail(std::move(envelope.error()));
  auto target = open_target(*envelope);
  if (!target) return fail(std::move(target.error()));
  if (target->sequence != message->target_sequence)
    return fail(ErrorKind::refused, "the newest target of device " + device.id.hex() + " is " +
                                        std::to_string(target->sequence) + "; poll for it");
  if (target->budget == format::WanBudget::never)
    return fail(ErrorKind::refused, "target " + std::to_string(target->sequence) +
                                        " has no WAN budget: wait for the site's reflector");
  if (device.reflector &&
      !policy::duties_of(policy::reflector_mode(device.reflector->mode)).uses_budget)
    return fail(ErrorKind::refused, "device " + device.id.hex() + " is " + device.reflector->mode +
                                        ": it fetches nothing over the line until `lamina "
                                        "reflector resume`");
  const std::int64_t since = (moment.wall.ns - target->issued.ns) / 1'000'000'000;
  if (target->budget == format::WanBudget::after &&
      since < static_cast<std::int64_t>(target->budget_value))
    return fail(ErrorKind::refused,
                "the WAN budget begins in " +
                    std::to_string(static_cast<std::int64_t>(target->budget_value) - since) + " s");
  if (auto& known = budgets_[device.id]; known != target->sequence) {
    const Act act{"device:" + device.id.hex(), moment.wall};
    if (auto noted = catalog_.audit(act, "wan.budget", act.actor,
                                    "target=" + std::to_string(target->sequence));
        !noted)
      return fail(std::move(noted.error()));
    known = target->sequence;
  }
  return net::json_response(
      wire::to_json(wire::LeaseReply{sites_.budget_lease(device.id, target->sequence, moment)}));
}

Api::Answer Api::swarm_certificate(const wire::DeviceInfo& device, const net::Request& request,
                                   Moment moment) {
  auto message = wire::parse_swarm_certificate_request(request.body);
  if (!message) return fail(std::move(message.error()));
  auto certificate =
      net::issue_swarm_certificate(keys_.swarm_ca, message->csr_pem, device.id.hex());
  if (!certificate) return fail(std::move(certificate.error()).in("issuing a swarm certificate"));
  const Act act{"device:" + device.id.hex(), moment.wall};
  if (auto noted = catalog_.audit(act, "device.swarm-certificate", act.actor, ""); !noted)
    return fail(std::move(noted.error()));
  return net::json_response(
      wire::to_json(wire::SwarmCertificateReply{*certificate, keys_.swarm_ca.certificate_pem}));
}

Api::Answer Api::poll(const wire::DeviceInfo& known, const net::Request& request,
                      const Reply& reply, Moment moment, bool& later) {
  auto message = wire::parse_poll_request(request.body);
  if (!message) return fail(std::move(message.error()));
  // Other devices dial what stands here.
  if (!message->lan_address.empty() && !policy::parse_address(message->lan_address))
    return fail(ErrorKind::invalid, "lan_address must be an IP address or empty, not '" +
                                        printable(message->lan_address, 64) + "'");
  if (auto noted = catalog_.note_poll(known.id, *message, moment.wall, request.peer.address);
      !noted)
    return fail(std::move(noted.error()));
  auto judged = placing_.judge(known, request.peer.address, message->lan_address, moment.wall);
  if (!judged) return fail(std::move(judged.error()));
  const wire::DeviceInfo& device = *judged;
  const DeviceStatus standing = standing_of(device);
  if (standing != DeviceStatus::assigned)
    if (auto gone = sites_.left(device.id, moment); !gone) return fail(std::move(gone.error()));
  wanted_.heard_from(device.id, moment.now);
  Seen& seen = seen_[device.id];
  seen.ms = moment.wall.ns / 1'000'000;
  seen.disk = message->disk;
  seen.policy = message->policy;
  seen.snoozed_until_ms = message->snooze ? message->snooze->until_ms : 0;
  if (standing == DeviceStatus::assigned) {
    if (auto noted = note_reflector(device, *message, moment); !noted)
      return fail(std::move(noted.error()));
    tell_rollouts([&](Rollouts& rollouts) { return rollouts.polled(device, *message, moment); },
                  moment);
    if (auto taken = sites_.reported(device.site, device.id, *message, moment); !taken)
      return fail(std::move(taken.error()));
    relays_.reported(device.id, device.site,
                     std::move(message->relayed).value_or(std::vector<wire::RelayedSnapshot>{}),
                     moment.now);
    // The poll that waits was sent before the snapshot was handed over, or before a layer was
    // whole: it brings the news all the same.
    waiting_.amend(device.id, [&](wire::PollRequest& poll) {
      if (message->handed) poll.handed = message->handed;
      if (message->layers) poll.layers = message->layers;
    });
  }
  auto at_once = news(device.id, *message, standing, message->wait_ms == 0, moment);
  if (!at_once) return fail(std::move(at_once.error()));
  if (*at_once) return net::json_response(wire::to_json(**at_once));

  // Over its limit the list answers its oldest at the next wake().
  if (waiting_.size() >= kWaitingMax) waiting_.hurry_oldest(moment.now);
  const auto wait_ms = std::min(message->wait_ms, wire::kPollWaitMaxMs);
  const auto deadline = moment.now + std::chrono::milliseconds{wait_ms};
  waiting_.add({device.id, device.site, std::move(*message), standing, deadline, reply});
  later = true;
  return net::Response{};
}

Result<format::DeviceTarget> Api::open_target(ByteView envelope) const {
  const PublicKey key = keys_.target.public_key();
  auto opened = format::open_record(format::RecordType::target, envelope, std::span(&key, 1));
  if (!opened) return fail(std::move(opened.error()));
  return format::parse_target(opened->record);
}

Result<Buffer> Api::lasting_target(const DeviceId& id, WallTime now) const {
  auto envelope = catalog_.target(id);
  if (!envelope) return envelope;
  auto target = open_target(*envelope);
  if (!target) return fail(std::move(target.error()));
  const WallTime wanted{now.ns + kTargetLifetime.count()};
  if (target->expires.ns - now.ns > kTargetLifetime.count() / 2) return envelope;
  target->expires = wanted;
  return format::sign_record(format::RecordType::target, format::encode(*target), keys_.target);
}

Status Api::renew_target(const DeviceId& id, std::uint64_t seen, WallTime now) {
  return catalog_.renew_target(
      {"origin", now}, id, seen,
      [&](const Buffer& envelope, std::uint64_t sequence) -> Result<Buffer> {
        auto target = open_target(envelope);
        if (!target) return fail(std::move(target.error()));
        target->sequence = sequence;
        target->issued = now;
        target->expires = WallTime{now.ns + kTargetLifetime.count()};
        return format::sign_record(format::RecordType::target, format::encode(*target),
                                   keys_.target);
      });
}

Result<std::optional<wire::PollReply>> Api::news(const DeviceId& id, const wire::PollRequest& poll,
                                                 DeviceStatus known, bool now_or_never,
                                                 Moment moment) {
  auto device = catalog_.device(id);
  if (!device) return fail(std::move(device.error()));
  member_lists_.note(*device);
  if (is_out(*device)) return fail(out_of_service(*device));
  const DeviceStatus standing = standing_of(*device);
  wire::PollReply reply{.status = standing,
                        .server_time_ms = moment.wall.ns / 1'000'000,
                        .next_wait_ms = wait_of(id)};
  if (standing == DeviceStatus::pending)
    reply.waiting = device->waiting.value_or(
        "no administrator has placed it in a site: `lamina device assign` does");
  // Of a node that came with what the origin had forgotten, or that is older than this field.
  if (!device->hardware) reply.wants_hardware = true;
  bool anything = standing != known || now_or_never;
  if (standing == DeviceStatus::assigned) {
    auto view = sites_.view(device->site, id, moment);
    anything = anything || sites_.is_news(device->site, id, poll.site_version);
    const auto rules = view.site.rules_version;
    if (rules && rules != poll.rules_version)
      view.site.rules = sites_.bandwidth_rules(device->site);
    if (poll.keeps_peers.value_or(false) &&
        sites_.has_same_peers(device->site, poll.site_version)) {
      view.site.peers.clear();
      view.site.same_peers = true;
    }
    reply.site = std::move(view.site);
    reply.lease = std::move(view.lease);
    const std::uint64_t seen = std::max(poll.target_sequence, poll.applied_sequence);
    if (seen > device->target_sequence) {
      if (auto done = renew_target(id, seen, moment.wall); !done)
        return fail(std::move(done.error()));
      device = catalog_.device(id);
      if (!device) return fail(std::move(device.error()));
    }
    if (device->target_sequence > poll.target_sequence) {
      auto target = lasting_target(id, moment.wall);
      if (!target) return fail(std::move(target.error()));
      reply.target = std::move(*target);
      anything = true;
    }
    // A node that says no version knows no settings, and would ask without end.
    const std::uint64_t settings = device->reflector ? device->reflector->version : 0;
    if (poll.settings_version && *poll.settings_version != settings) {
      reply.reflector = device->reflector.value_or(wire::ReflectorSettings{});
      anything = true;
    }
    reply.uploads_wait = device->uploads_wait;
    // One that says nothing of it would be answered again and again.
    if (poll.uploads_wait && *poll.uploads_wait != device->uploads_wait.has_value())
      anything = true;
    auto tells = tell_policy(*device, poll, reply, moment);
    if (!tells) return fail(std::move(tells.error()));
    anything = anything || *tells;
    if (poll.members_sequence) {
      auto members =
          member_lists_.newer(device->site, id, *poll.members_sequence, moment.now, moment.wall);
      if (!members) return fail(std::move(members.error()));
      if (*members) {
        // At once only the first time: a device that cannot keep it must not ask in a spin.
        auto& told = members_told_[id];
        anything = anything || told != member_lists_.issued(device->site);
        told = member_lists_.issued(device->site);
      }
      reply.members = std::move(*members);
    }
    if (wanted_.size() > 0) {
      // What it has by a layer that is not its own any more, it may not send.
      std::set<LayerId> whole = whole_layers(poll);
      for (auto it = whole.begin(); it != whole.end();) {
        auto may = catalog_.may_read_layer(id, *it);
        if (!may) return fail(std::move(may.error()));
        it = *may ? std::next(it) : whole.erase(it);
      }
      if (auto asked = wanted_.ask(id, whole, moment.now); !asked.empty()) {
        reply.wanted_packs = std::move(asked);
        anything = true;
      }
    }
    if (keys_.relay) reply.relay_key = to_buffer(keys_.relay->public_key().bytes());
    if (poll.handed) {
      reply.handed = handed_state(*device, *poll.handed, moment);
      anything = anything || *reply.handed == "protected" || *reply.handed == "refused";
    }
  }
  if (!anything) return std::nullopt;
  return reply;
}

}  // namespace lamina::origin
