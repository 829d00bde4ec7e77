#include <algorithm>
#include <charconv>

#include "origin/api/answers.hpp"
#include "origin/api/api.hpp"
#include "origin/api/path.hpp"
#include "shared/format/wan_budget.hpp"
#include "shared/wire/policies.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::origin {
namespace {

Error no_call(const net::Request& request) {
  return {ErrorKind::not_found, "there is no " + request.method + " " +
                                    printable(request.path, 120) + "; docs/api.md lists the calls"};
}

}  // namespace

Api::Answer Api::admin(const net::Request& request, const Reply& reply, Moment moment,
                       bool& later) {
  auto name = catalog_.check_admin(request.bearer(), moment.wall);
  if (!name) {
    if (name.error().kind() != ErrorKind::refused) return fail(std::move(name.error()));
    return net::error_response(401, name.error());
  }
  Act act{"admin:" + *name, moment.wall};
  auto parts = path_parts(request.path);
  if (parts.size() < 2 || parts[0] != "v1") parts.assign(2, "");
  if (parts[1] == "dry-run" && parts.size() > 2) {
    parts.erase(parts.begin() + 1);
    // Nobody reads a CVD unnoted, and reading needs no rehearsal.
    const bool is_life = parts.size() == 4 &&
                         (parts[3] == "archive" || parts[3] == "reassign" || parts[3] == "delete");
    if (request.method == "GET" || (parts[1] == "cvds" && !is_life)) return fail(no_call(request));
    act.is_rehearsal = true;
    // What it reads at its first call, and does about it, is no rehearsal.
    if (auto opened = rollouts_.open(moment); !opened) return fail(std::move(opened.error()));
    const Catalog::Rehearsal rehearsal(catalog_);
    return registry(act, parts, request, moment);
  }
  if (content_ != nullptr) {
    later = prove_erasure(parts, request, reply) || check_integrity(act, parts, request, reply) ||
            (parts[1] == "layers" && layer_content(act, parts, request, reply)) ||
            (parts[1] == "cvds" && cvd_content(act, parts, request, reply, moment));
    if (later) return net::Response();
  }
  return registry(act, parts, request, moment);
}

Api::Answer Api::registry(const Act& act, const std::vector<std::string>& parts,
                          const net::Request& request, Moment moment) {
  const std::string& noun = parts[1];
  const bool get = request.method == "GET", post = request.method == "POST";
  const bool is_real = !act.is_rehearsal;
  if (!request.body_file.empty())
    return fail(ErrorKind::invalid, "a message is at most " + to_text(wire::kMessageMax));
  if (parts.size() == 2) {
    if (noun == "sites" && get) {
      auto sites = catalog_.sites();
      if (sites)
        for (wire::SiteInfo& site : *sites) add_holders(site);
      return as_list<wire::SiteList>(std::move(sites));
    }
    if (noun == "sites" && post) {
      auto message = wire::parse_site_request(request.body);
      if (!message) return fail(std::move(message.error()));
      if (is_real) placing_.sites_changed();
      return as_done(catalog_.add_site(act, *message), 201);
    }
    if (noun == "collections" && get)
      return as_list<wire::CollectionList>(catalog_.device_collections());
    if (noun == "collections" && post) {
      auto message = wire::parse_collection_request(request.body);
      if (!message) return fail(std::move(message.error()));
      return as_done(catalog_.add_collection(act, *message), 201);
    }
    if (noun == "reflectors" && get) return reflectors("", moment);
    if (noun == "devices" && get) {
      if (const auto after = request.query_value("after")) return device_page(*after);
      return all_devices();
    }
    if (noun == "seeders" && get && elsewhere_) return as_json(seeders(moment));
    if (noun == "alerts" && get) return as_list<wire::AlertList>(catalog_.alerts());
    if (noun == "rules" && get) {
      auto csv = catalog_.bandwidth_rules();
      if (!csv) return fail(std::move(csv.error()));
      return net::json_response(wire::to_json(wire::RuleSet{std::move(*csv)}));
    }
    if (noun == "rules" && request.method == "PUT") return set_rules(act, request);
    if (noun == "retention" && get) return as_json(catalog_.retention());
    if (noun == "proposals" && get) return as_list<wire::ProposalList>(catalog_.proposals());
    if (noun == "quotas" && get) return as_list<wire::QuotaList>(catalog_.quotas());
    if (noun == "quotas" && request.method == "PUT") {
      auto message = wire::parse_quota_request(request.body);
      if (!message) return fail(std::move(message.error()));
      return as_done(catalog_.set_quota(act, *message));
    }
    if (noun == "drivers" && get) return as_json(catalog_.driver_rules());
    if (noun == "drivers" && request.method == "PUT") {
      auto message = wire::parse_driver_rule(request.body);
      if (!message) return fail(std::move(message.error()));
      return as_done(catalog_.set_driver_rule(act, *message));
    }
    if (noun == "erasures" && get) return as_list<wire::ErasureList>(catalog_.erasures());
    if (noun == "retention" && request.method == "PUT") {
      auto message = wire::parse_retention_request(request.body);
      if (!message) return fail(std::move(message.error()));
      return as_done(catalog_.set_retention(act, message->device, message->rule));
    }
    if (noun == "savings" && get) return as_list<wire::SavingsList>(catalog_.savings(moment.wall));
    if (noun == "layers" && get) return as_list<wire::LayerList>(catalog_.layers());
    if (noun == "tokens" && get) return as_list<wire::TokenList>(catalog_.tokens());
    if (noun == "tokens" && post) {
      auto message = wire::parse_token_request(request.body);
      if (!message) return fail(std::move(message.error()));
      auto made = catalog_.create_token(act, *message);
      if (made && !is_real) made->secret.clear();  // It opens nothing.
      return as_json(std::move(made), 201);
    }
    if (noun == "assignments" && post) return assign(act, request);
    if (noun == "audit" && get) return as_json(catalog_.audit_log(wire::kAuditPageMax));
    if (noun == "cvds" && get) {
      if (auto noted = catalog_.audit(act, "cvd.list", "all", ""); !noted)
        return fail(std::move(noted.error()));
      return as_list<wire::CvdList>(catalog_.cvds());
    }
  }
  if (noun == "audit" && parts.size() == 4 && parts[2] == "after" && get && audit_ != nullptr) {
    std::uint64_t number = 0;
    const char* const end = parts[3].data() + parts[3].size();
    if (const auto [at, error] = std::from_chars(parts[3].data(), end, number);
        error != std::errc() || at != end)
      return fail(ErrorKind::invalid, "the number of an audit entry is a whole one, not '" +
                                          printable(parts[3], 40) + "'");
    return as_json(audit_->after(number, wire::kAuditPageMax));
  }
  if (noun == "drivers" && parts.size() == 3 && request.method == "DELETE")
    return as_done(catalog_.remove_driver_rule(act, parts[2]));
  if (noun == "collections" && parts.size() == 3) {
    if (get) return as_json(catalog_.collection(parts[2]));
    if (request.method == "DELETE") return as_done(catalog_.remove_collection(act, parts[2]));
    if (post) {
      auto message = wire::parse_collection_request(request.body);
      if (!message) return fail(std::move(message.error()));
      return as_done(catalog_.change_collection(act, parts[2], *message));
    }
  }
  // Paths of their own: who does not know `add`, `remove` or `enforce` would take every layer away.
  if (noun == "assignments" && parts.size() == 3 && post) {
    if (parts[2] == "change" || parts[2] == "enforce") return assign(act, request);
    if (parts[2] == "upgrade") return upgrade(act, request);
  }
  if (noun == "policies") return policies(act, parts, request);
  if (noun == "rollouts") return rollouts(act, parts, request, moment);
  if (noun == "sites" && parts.size() == 4 && parts[3] == "appoint" && post) {
    auto message = wire::parse_appoint_request(request.body);
    if (!message) return fail(std::move(message.error()));
    auto done = catalog_.set_appoint(act, parts[2], message->appoint);
    if (done && is_real) done = sites_.set_appoint(parts[2], message->appoint, moment);
    return as_done(std::move(done));
  }
  if (noun == "sites" && parts.size() == 4 && parts[3] == "transport" && post) {
    auto message = wire::parse_transport_request(request.body);
    if (!message) return fail(std::move(message.error()));
    auto done = catalog_.set_transport(act, parts[2], message->transport);
    if (done && is_real) done = sites_.set_transport(parts[2], message->transport, moment);
    return as_done(std::move(done));
  }
  if (noun == "sites" && parts.size() == 4 && parts[3] == "networks" && post) {
    auto message = wire::parse_site_networks(request.body);
    if (!message) return fail(std::move(message.error()));
    if (is_real) placing_.sites_changed();
    return as_done(catalog_.set_networks(act, parts[2], std::move(*message)));
  }
  if (noun == "sites" && parts.size() == 4 && parts[3] == "reflectors" && get)
    return reflectors(parts[2], moment);
  if (noun == "sites" && parts.size() == 4 && parts[3] == "reflectors" && post) {
    auto message = wire::parse_reflectors_request(request.body);
    if (!message) return fail(std::move(message.error()));
    auto site = catalog_.set_reflectors(act, parts[2], *message);
    if (!site) return fail(std::move(site.error()));
    const auto named = site->reflector_devices.value_or(std::vector<DeviceId>{});
    if (is_real)
      if (auto done = sites_.set_reflectors(parts[2], site->reflectors.value_or(1),
                                            {named.begin(), named.end()}, moment);
          !done)
        return fail(std::move(done.error()));
    add_holders(*site);
    return net::json_response(wire::to_json(*site));
  }
  if (noun == "tokens" && parts.size() == 3 && request.method == "DELETE")
    return as_done(catalog_.revoke_token(act, parts[2]));
  if (noun == "seeders" && parts.size() == 3 && request.method == "DELETE" && elsewhere_)
    return as_done(remove_seeder(act, parts[2]));
  if (noun == "layers" && parts.size() == 3 && get) {
    auto id = LayerId::parse(parts[2]);
    if (!id) return fail(std::move(id.error()));
    return as_json(catalog_.layer(*id));
  }
  if (noun == "layers" && parts.size() == 3 && request.method == "DELETE")
    return remove_layer(act, parts[2]);
  if ((noun == "devices" || noun == "cvds") && parts.size() >= 3) {
    auto id = DeviceId::parse(parts[2]);
    if (!id) return fail(std::move(id.error()));
    const std::string verb = parts.size() == 4 ? parts[3] : "";
    if (noun == "devices" && parts.size() == 3 && get)
      return as_json(complete(catalog_.device(*id)));
    if (noun == "devices" && verb == "reflector" && get)
      return reflector(catalog_.device(*id), moment);
    if (noun == "devices" && verb == "reflector" && post)
      return set_reflector(act, *id, request, moment);
    if (noun == "devices" && verb == "policy" && get) return as_json(policy_of(*id));
    if (noun == "devices" && verb == "snooze" && post) return snooze(act, *id, request);
    if (noun == "devices" && verb == "transactions" && get)
      return as_list<wire::TransactionList>(catalog_.transactions(*id));
    if (noun == "devices" && verb == "assign" && post) {
      auto message = wire::parse_place_request(request.body);
      if (!message) return fail(std::move(message.error()));
      auto done = catalog_.place_device(act, *id, message->site);
      if (done && message->site.empty() && is_real) done = sites_.left(*id, moment);
      return as_done(std::move(done));
    }
    if (noun == "devices" && verb == "reject" && post) {
      auto done = catalog_.reject_device(act, *id);
      if (done && is_real) done = left_service(*id, "it was rejected", {}, moment);
      return as_done(std::move(done));
    }
    if (auto answer = device_life(act, noun, *id, verb, request, moment)) return std::move(*answer);
    if (noun == "cvds" && verb == "snapshots" && get) {
      if (auto noted = catalog_.audit(act, "cvd.snapshots", "device:" + id->hex(), ""); !noted)
        return fail(std::move(noted.error()));
      return as_json(snapshots(*id, moment));
    }
    if (noun == "cvds" && verb == "forget" && post) {
      auto message = wire::parse_forget_request(request.body);
      if (!message) return fail(std::move(message.error()));
      // Looking is noted as any look into a CVD is; what goes is noted snapshot by snapshot.
      if (message->dry_run)
        if (auto noted = catalog_.audit(act, "cvd.snapshots", "device:" + id->hex(), ""); !noted)
          return fail(std::move(noted.error()));
      return as_json(catalog_.forget_snapshots(act, *id, *message));
    }
  }
  return fail(no_call(request));
}

Result<std::vector<wire::DeviceInfo>> Api::devices() const { return completed(catalog_.devices()); }

Result<std::vector<wire::DeviceInfo>> Api::completed(
    Result<std::vector<wire::DeviceInfo>> devices) const {
  if (!devices) return devices;
  for (wire::DeviceInfo& device : *devices) {
    auto whole = complete(std::move(device));
    if (!whole) return fail(std::move(whole.error()));
    device = std::move(*whole);
  }
  return devices;
}

Api::Answer Api::all_devices() const {
  auto devices = this->devices();
  if (!devices) return fail(std::move(devices.error()));
  std::string text = wire::to_json(wire::DeviceList{std::move(*devices), {}});
  if (text.size() > static_cast<std::size_t>(wire::kRecordMax.count))
    return fail(ErrorKind::invalid,
                "more devices than one answer takes: ask page by page, /v1/devices?after=");
  return net::json_response(std::move(text));
}

Api::Answer Api::device_page(const std::string& after) const {
  std::optional<DeviceId> last;
  if (!after.empty()) {
    auto id = DeviceId::parse(after);
    if (!id) return fail(std::move(id.error()).in("after"));
    last = *id;
  }
  auto devices = completed(catalog_.devices_after(last, wire::kDevicesPerPage + 1));
  if (!devices) return fail(std::move(devices.error()));
  wire::DeviceList page{std::move(*devices), false};
  // Fewer of those that say much: an answer is bounded too.
  for (std::size_t most = wire::kDevicesPerPage;; most /= 2) {
    if (page.devices.size() > most) {
      page.devices.resize(most);
      page.more = true;
    }
    std::string text = wire::to_json(page);
    if (most == 1 || text.size() <= static_cast<std::size_t>(wire::kRecordMax.count))
      return net::json_response(std::move(text));
  }
}

Result<wire::DeviceInfo> Api::complete(Result<wire::DeviceInfo> device) const {
  if (device) {
    auto policy = catalog_.policy_of(*device);
    if (!policy) return fail(std::move(policy.error()));
    device->policy = policy->policy.name;
    if (policy->policy.version > 0)
      *device->policy += " " + std::to_string(policy->policy.version) + ", by " + policy->by;
  }
  if (device)
    if (const auto seen = seen_.find(device->id); seen != seen_.end()) {
      device->seen_ms = seen->second.ms;
      device->disk = seen->second.disk;
      if (seen->second.snoozed_until_ms > 0)
        device->snoozed_until_ms = seen->second.snoozed_until_ms;
    }
  return device;
}

void Api::add_holders(wire::SiteInfo& site) const {
  const auto holders = sites_.lease_holders(site.name);
  if (!holders.empty()) site.lease_holder = holders.front();
  if (holders.size() > 1) site.lease_holders = holders;
}

Api::Answer Api::set_rules(const Act& act, const net::Request& request) {
  auto message = wire::parse_rule_set(request.body);
  if (!message) return fail(std::move(message.error()));
  auto rules = policy::parse_bandwidth_rules(message->csv);
  if (!rules) return fail(std::move(rules.error()));
  if (auto kept = catalog_.set_bandwidth_rules(act, message->csv); !kept)
    return fail(std::move(kept.error()));
  if (!act.is_rehearsal) sites_.set_bandwidth_rules(std::move(*rules));
  return net::json_response("{}");
}

Api::Answer Api::remove_layer(const Act& act, const std::string& text) {
  auto id = LayerId::parse(text);
  if (!id) return fail(std::move(id.error()));
  auto removed = catalog_.remove_layer(act, *id);
  if (!removed) return fail(std::move(removed.error()));
  if (!act.is_rehearsal) {
    listing_.reset();
    layer_packs_.erase(*id);
  }
  return net::json_response(wire::to_json(*removed));
}

Result<wire::SnapshotList> Api::snapshots(const DeviceId& id, Moment moment) const {
  auto device = catalog_.device(id);
  if (!device) return fail(std::move(device.error()));
  auto known = catalog_.snapshots(id);
  if (!known) return fail(std::move(known.error()));
  wire::SnapshotList list{std::move(*known)};
  // A relay may not have heard yet that the origin has it.
  auto held = relays_.at_site(id, device->site, moment.now);
  std::erase_if(held, [&](const wire::SnapshotAtSite& at_site) {
    return std::ranges::any_of(list.snapshots, [&](const auto& s) { return s.id == at_site.id; });
  });
  if (!held.empty()) list.at_site = std::move(held);
  return list;
}

Result<Catalog::SignTarget> Api::signer(WallTime now,
                                        const std::optional<std::string>& wan_budget) const {
  format::BudgetRule budget;
  if (wan_budget) {
    auto rule = format::parse_wan_budget(*wan_budget);
    if (!rule) return fail(std::move(rule.error()));
    budget = *rule;
  }
  return [this, now, budget](const wire::DeviceInfo& device, const std::vector<LayerId>& stack,
                             const std::vector<LayerId>& stage) -> Result<Buffer> {
    auto enforce = device.enforce ? format::parse_enforce(*device.enforce)
                                  : Result<format::Enforce>(format::Enforce::no);
    if (!enforce) return fail(std::move(enforce.error()));
    const format::DeviceTarget target{.device = device.id,
                                      .sequence = device.target_sequence,
                                      .issued = now,
                                      .expires = WallTime{now.ns + kTargetLifetime.count()},
                                      .stack = stack,
                                      .budget = budget.kind,
                                      .budget_value = budget.value,
                                      .stage = stage,
                                      .enforce = *enforce,
                                      .enforce_number = device.enforce_number.value_or(0)};
    return format::sign_record(format::RecordType::target, format::encode(target), keys_.target);
  };
}

Api::Answer Api::assign(const Act& act, const net::Request& request) {
  auto message = wire::parse_assignment_request(request.body);
  if (!message) return fail(std::move(message.error()));
  if ((message->add || message->remove) != request.path.ends_with("/change"))
    return fail(ErrorKind::invalid,
                "whole stacks are assigned by /v1/assignments, layers to add and to remove by "
                "/v1/assignments/change");
  if (message->enforce.has_value() != request.path.ends_with("/enforce"))
    return fail(ErrorKind::invalid, "layers are enforced by /v1/assignments/enforce");
  auto sign = signer(act.now, message->wan_budget);
  if (!sign) return fail(std::move(sign.error()));
  return as_json(catalog_.assign(act, *message, *sign));
}

Api::Answer Api::upgrade(const Act& act, const net::Request& request) {
  auto message = wire::parse_upgrade_request(request.body);
  if (!message) return fail(std::move(message.error()));
  auto sign = signer(act.now, message->wan_budget);
  if (!sign) return fail(std::move(sign.error()));
  return as_json(catalog_.upgrade(act, *message, *sign));
}

}  // namespace lamina::origin
