#include "shared/wire/admin.hpp"

#include "shared/wire/audit_fields.hpp"
#include "shared/wire/json_fields.hpp"
#include "shared/wire/policy_fields.hpp"
#include "shared/wire/reflector_fields.hpp"
#include "shared/wire/report_fields.hpp"
#include "shared/wire/snapshot_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, LayerInfo& m) {
  a("id", m.id);
  a("name", m.name, 128);
  a("version", m.version, 64);
  a("kind", m.kind, 32);
  a("os_family", m.os_family, 64);
  a("distribution", m.distribution, 64);
  a("release", m.release, 64);
  a("architecture", m.architecture, 64);
  a("created_ms", m.created_ms);
  a("published_ms", m.published_ms);
  a("files", m.files);
  a("plain_bytes", m.plain_bytes);
  a("stored_bytes", m.stored_bytes);
  a("chunks", m.chunks);
  a("packs", m.packs);
  a("fresh_packs", m.fresh_packs);
  a("fresh_bytes", m.fresh_bytes);
  a("written_anew_bytes", m.written_anew_bytes);
  a("scripts", m.scripts, 16);
  a("services", m.services, 64);
  a("needs_restart", m.needs_restart);
  a("update_bytes", m.update_bytes);
}
template <class A>
void fields(A& a, LayerList& m) {
  a("layers", m.layers);
}
template <class A>
void fields(A& a, PublishReply& m) {
  a("layer", m.layer);
}
template <class A>
void fields(A& a, SiteNetworks& m) {
  a("subnets", m.subnets, kNetworksMax);
  a("publics", m.publics, kNetworksMax);
  a("automatic", m.automatic);
  a("enforce", m.enforce);
}
template <class A>
void fields(A& a, SiteInfo& m) {
  a("name", m.name, 128);
  a("subnet", m.subnet, 64);
  a("devices", m.devices);
  a("lease_holder", m.lease_holder);
  a("appoint", m.appoint);
  a("networks", m.networks);
  a("lease_holders", m.lease_holders, 16);
  a("reflectors", m.reflectors);
  a("reflector_devices", m.reflector_devices, kReflectorDevicesMax);
  a("transport", m.transport, 16);
}
template <class A>
void fields(A& a, SiteList& m) {
  a("sites", m.sites);
}
template <class A>
void fields(A& a, SiteRequest& m) {
  a("name", m.name, 128);
  a("subnet", m.subnet, 64);
  a("networks", m.networks);
}
template <class A>
void fields(A& a, SiteSavings& m) {
  a("site", m.site, 128);
  a("days", m.days);
  a("lan_bytes", m.lan_bytes);
  a("wan_bytes", m.wan_bytes);
  a("wan_rate", m.wan_rate);
}
template <class A>
void fields(A& a, SavingsList& m) {
  a("savings", m.savings);
}
template <class A>
void fields(A& a, AlertInfo& m) {
  a("kind", m.kind, 64);
  a("object", m.object, 256);
  a("since_ms", m.since_ms);
  a("text", m.text, 1024);
}
template <class A>
void fields(A& a, AlertList& m) {
  a("alerts", m.alerts);
}
template <class A>
void fields(A& a, AppointRequest& m) {
  a("appoint", m.appoint);
}
template <class A>
void fields(A& a, TransportRequest& m) {
  a("transport", m.transport, 16);
}
template <class A>
void fields(A& a, ReflectorsRequest& m) {
  a("count", m.count);
  a("devices", m.devices, kReflectorDevicesMax);
}
template <class A>
void fields(A& a, RuleSet& m) {
  a("csv", m.csv, static_cast<std::size_t>(kMessageMax.count));
}
template <class A>
void fields(A& a, DeviceInfo& m) {
  a("id", m.id);
  a("status", m.status);
  a("site", m.site, 128);
  a("host_name", m.host_name, 256);
  a("hardware_uuid", m.hardware_uuid, 128);
  a("node_version", m.node_version, 64);
  a("lan_address", m.lan_address, 64);
  a("attributes", m.attributes, 32);
  a("enrolled_ms", m.enrolled_ms);
  a("seen_ms", m.seen_ms);
  a("certificate_expires_ms", m.certificate_expires_ms);
  a("target_sequence", m.target_sequence);
  a("applied_sequence", m.applied_sequence);
  a("target", m.target, 256);
  a("applied", m.applied, 256);
  a("staged", m.staged, 256);
  a("unfit", m.unfit, 64);
  a("missing_bytes", m.missing_bytes);
  a("layers", m.layers, 256);
  a("last_report", m.last_report);
  a("bytes", m.bytes);
  a("disk", m.disk);
  a("swarm_port", m.swarm_port);
  a("relay_port", m.relay_port);
  a("public_address", m.public_address, 64);
  a("placed", m.placed, 16);
  a("waiting", m.waiting, 1024);
  a("reflector", m.reflector);
  a("restart_due", m.restart_due, 256);
  a("enforce", m.enforce, 32);
  a("enforce_number", m.enforce_number);
  a("cvd", m.cvd, 16);
  a("successor", m.successor);
  a("uploads_wait", m.uploads_wait, 1024);
  a("reference", m.reference);
  a("decommissioned_ms", m.decommissioned_ms);
  a("policy", m.policy, 512);
  a("hardware", m.hardware);
  a("snooze", m.snooze);
  a("snoozed_until_ms", m.snoozed_until_ms);
}
template <class A>
void fields(A& a, TransactionList& m) {
  a("transactions", m.transactions, kTransactionsMax);
}
template <class A>
void fields(A& a, DeviceList& m) {
  a("devices", m.devices);
  a("more", m.more);
}
template <class A>
void fields(A& a, PlaceRequest& m) {
  a("site", m.site, 128);
}
template <class A>
void fields(A& a, CollectionInfo& m) {
  a("name", m.name, 128);
  a("devices", m.devices, kCollectionMax);
  a("filter", m.filter);
  a("changed_ms", m.changed_ms);
}
template <class A>
void fields(A& a, CollectionList& m) {
  a("collections", m.collections);
}
template <class A>
void fields(A& a, CollectionRequest& m) {
  a("name", m.name, 128);
  a("devices", m.devices, kCollectionMax);
  a("filter", m.filter);
  a("add", m.add, kCollectionMax);
  a("remove", m.remove, kCollectionMax);
}
template <class A>
void fields(A& a, CollectionDetail& m) {
  a("collection", m.collection);
  a("members", m.members);
}
template <class A>
void fields(A& a, AssignmentRequest& m) {
  a("site", m.site, 128);
  a("devices", m.devices, 10'000);
  a("layers", m.layers, 256);
  a("wan_budget", m.wan_budget, 64);
  a("stage", m.stage);
  a("collection", m.collection, 128);
  a("add", m.add, 256);
  a("remove", m.remove, 256);
  a("enforce", m.enforce, 32);
}
template <class A>
void fields(A& a, AssignmentReply& m) {
  a("devices", m.devices);
  a("accepted_ms", m.accepted_ms);
}
template <class A>
void fields(A& a, UpgradeRequest& m) {
  a("name", m.name, 128);
  a("wan_budget", m.wan_budget, 64);
}
template <class A>
void fields(A& a, UpgradeMove& m) {
  a("devices", m.devices);
  a("from", m.from, 300);
  a("layers", m.layers, 256);
  a("refused", m.refused);
}
template <class A>
void fields(A& a, UpgradeReply& m) {
  a("to", m.to, 300);
  a("moves", m.moves);
}
template <class A>
void fields(A& a, TokenRequest& m) {
  a("name", m.name, 128);
  a("kind", m.kind, 32);
  a("uses", m.uses);
  a("ttl_ms", m.ttl_ms);
  a("site", m.site, 128);
  a("cvd", m.cvd);
}
template <class A>
void fields(A& a, TokenReply& m) {
  a("name", m.name, 128);
  a("secret", m.secret, 256);
  a("expires_ms", m.expires_ms);
}
template <class A>
void fields(A& a, TokenInfo& m) {
  a("name", m.name, 128);
  a("kind", m.kind, 32);
  a("site", m.site, 128);
  a("created_ms", m.created_ms);
  a("expires_ms", m.expires_ms);
  a("uses_left", m.uses_left);
  a("cvd", m.cvd);
}
template <class A>
void fields(A& a, TokenList& m) {
  a("tokens", m.tokens);
}
template <class A>
void fields(A& a, CvdInfo& m) {
  a("device", m.device);
  a("host_name", m.host_name, 256);
  a("snapshots", m.snapshots);
  a("newest_ms", m.newest_ms);
  a("state", m.state, 16);
}
template <class A>
void fields(A& a, CvdList& m) {
  a("cvds", m.cvds);
}
template <class A>
void fields(A& a, SnapshotAtSite& m) {
  a("id", m.id);
  a("relay", m.relay);
  a("bytes", m.bytes);
  a("age_ms", m.age_ms);
}
template <class A>
void fields(A& a, SnapshotList& m) {
  a("at_site", m.at_site);
  a("snapshots", m.snapshots);
}
template <class A>
void fields(A& a, AuditList& m) {
  a("entries", m.entries);
  a("intact", m.intact);
  a("head", m.head, 64);
}
template <class A>
void fields(A& a, Health& m) {
  a("version", m.version, 64);
  a("protocol", m.protocol);
}

std::string to_json(const LayerInfo& message) { return write_message(message); }
std::string to_json(const LayerList& message) { return write_message(message); }
std::string to_json(const PublishReply& message) { return write_message(message); }
std::string to_json(const SiteInfo& message) { return write_message(message); }
std::string to_json(const SiteList& message) { return write_message(message); }
std::string to_json(const SiteSavings& message) { return write_message(message); }
std::string to_json(const SavingsList& message) { return write_message(message); }
std::string to_json(const AlertInfo& message) { return write_message(message); }
std::string to_json(const AlertList& message) { return write_message(message); }
std::string to_json(const TransactionList& message) { return write_message(message); }
std::string to_json(const SiteRequest& message) { return write_message(message); }
std::string to_json(const SiteNetworks& message) { return write_message(message); }
std::string to_json(const AppointRequest& message) { return write_message(message); }
std::string to_json(const TransportRequest& message) { return write_message(message); }
std::string to_json(const ReflectorsRequest& message) { return write_message(message); }
std::string to_json(const RuleSet& message) { return write_message(message); }
std::string to_json(const DeviceInfo& message) { return write_message(message); }
std::string to_json(const DeviceList& message) { return write_message(message); }
std::string to_json(const PlaceRequest& message) { return write_message(message); }
std::string to_json(const CollectionInfo& message) { return write_message(message); }
std::string to_json(const CollectionList& message) { return write_message(message); }
std::string to_json(const CollectionRequest& message) { return write_message(message); }
std::string to_json(const CollectionDetail& message) { return write_message(message); }
std::string to_json(const AssignmentRequest& message) { return write_message(message); }
std::string to_json(const AssignmentReply& message) { return write_message(message); }
std::string to_json(const UpgradeRequest& message) { return write_message(message); }
std::string to_json(const UpgradeReply& message) { return write_message(message); }
std::string to_json(const TokenRequest& message) { return write_message(message); }
std::string to_json(const TokenReply& message) { return write_message(message); }
std::string to_json(const TokenInfo& message) { return write_message(message); }
std::string to_json(const TokenList& message) { return write_message(message); }
std::string to_json(const CvdList& message) { return write_message(message); }
std::string to_json(const SnapshotInfo& message) { return write_message(message); }
std::string to_json(const SnapshotList& message) { return write_message(message); }
std::string to_json(const AuditEntry& message) { return write_message(message); }
std::string to_json(const AuditList& message) { return write_message(message); }
std::string to_json(const Health& message) { return write_message(message); }

Result<LayerInfo> parse_layer_info(std::string_view text) {
  return read_message<LayerInfo>(text, "layer info");
}
Result<LayerList> parse_layer_list(std::string_view text) {
  return read_message<LayerList>(text, "layer list");
}
Result<PublishReply> parse_publish_reply(std::string_view text) {
  return read_message<PublishReply>(text, "publish reply");
}
Result<SiteInfo> parse_site_info(std::string_view text) {
  return read_message<SiteInfo>(text, "site info");
}
Result<SiteList> parse_site_list(std::string_view text) {
  return read_message<SiteList>(text, "site list");
}
Result<SavingsList> parse_savings_list(std::string_view text) {
  return read_message<SavingsList>(text, "savings list");
}
Result<AlertInfo> parse_alert_info(std::string_view text) {
  return read_message<AlertInfo>(text, "alert");
}
Result<AlertList> parse_alert_list(std::string_view text) {
  return read_message<AlertList>(text, "alert list");
}
Result<TransactionList> parse_transaction_list(std::string_view text) {
  return read_message<TransactionList>(text, "transaction list");
}
Result<SiteNetworks> parse_site_networks(std::string_view text) {
  return read_message<SiteNetworks>(text, "networks of a site");
}
Result<SiteRequest> parse_site_request(std::string_view text) {
  return read_message<SiteRequest>(text, "site request");
}
Result<AppointRequest> parse_appoint_request(std::string_view text) {
  return read_message<AppointRequest>(text, "appoint request");
}
Result<TransportRequest> parse_transport_request(std::string_view text) {
  return read_message<TransportRequest>(text, "transport request");
}
Result<ReflectorsRequest> parse_reflectors_request(std::string_view text) {
  return read_message<ReflectorsRequest>(text, "reflectors request");
}
Result<RuleSet> parse_rule_set(std::string_view text) {
  return read_message<RuleSet>(text, "rule set");
}
Result<DeviceInfo> parse_device_info(std::string_view text) {
  return read_message<DeviceInfo>(text, "device info");
}
Result<DeviceList> parse_device_list(std::string_view text) {
  return read_message<DeviceList>(text, "device list");
}
Result<PlaceRequest> parse_place_request(std::string_view text) {
  return read_message<PlaceRequest>(text, "place request");
}
Result<CollectionInfo> parse_collection_info(std::string_view text) {
  return read_message<CollectionInfo>(text, "collection");
}
Result<CollectionList> parse_collection_list(std::string_view text) {
  return read_message<CollectionList>(text, "collection list");
}
Result<CollectionRequest> parse_collection_request(std::string_view text) {
  return read_message<CollectionRequest>(text, "collection request");
}
Result<CollectionDetail> parse_collection_detail(std::string_view text) {
  return read_message<CollectionDetail>(text, "collection detail");
}
Result<AssignmentRequest> parse_assignment_request(std::string_view text) {
  return read_message<AssignmentRequest>(text, "assignment request");
}
Result<UpgradeRequest> parse_upgrade_request(std::string_view text) {
  return read_message<UpgradeRequest>(text, "upgrade request");
}
Result<UpgradeReply> parse_upgrade_reply(std::string_view text) {
  return read_message<UpgradeReply>(text, "upgrade reply");
}
Result<AssignmentReply> parse_assignment_reply(std::string_view text) {
  return read_message<AssignmentReply>(text, "assignment reply");
}
Result<TokenRequest> parse_token_request(std::string_view text) {
  return read_message<TokenRequest>(text, "token request");
}
Result<TokenReply> parse_token_reply(std::string_view text) {
  return read_message<TokenReply>(text, "token reply");
}
Result<TokenInfo> parse_token_info(std::string_view text) {
  return read_message<TokenInfo>(text, "token info");
}
Result<TokenList> parse_token_list(std::string_view text) {
  return read_message<TokenList>(text, "token list");
}
Result<CvdList> parse_cvd_list(std::string_view text) {
  return read_message<CvdList>(text, "cvd list");
}
Result<SnapshotInfo> parse_snapshot_info(std::string_view text) {
  return read_message<SnapshotInfo>(text, "snapshot info");
}
Result<SnapshotList> parse_snapshot_list(std::string_view text) {
  return read_message<SnapshotList>(text, "snapshot list");
}
Result<AuditEntry> parse_audit_entry(std::string_view text) {
  return read_message<AuditEntry>(text, "audit entry");
}
Result<AuditList> parse_audit_list(std::string_view text) {
  return read_message<AuditList>(text, "audit list");
}
Result<Health> parse_health(std::string_view text) { return read_message<Health>(text, "health"); }

}  // namespace lamina::wire
