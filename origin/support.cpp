#include "origin/support.hpp"

#include <nlohmann/json.hpp>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/kv_table.hpp"
#include "shared/os/file.hpp"
#include "shared/support/bundle.hpp"

namespace lamina::origin {
namespace {

using nlohmann::json;

constexpr std::size_t kAuditLines = 200;

template <class Message>
json to_list(const std::vector<Message>& messages) {
  json list = json::array();
  for (const Message& message : messages) list.push_back(json::parse(wire::to_json(message)));
  return list;
}

// What the catalogue holds: of devices numbers only.
Result<std::string> summary(const Catalog& catalog, WallTime now) {
  const auto devices = catalog.devices();
  if (!devices) return fail(devices.error());
  const auto sites = catalog.sites();
  if (!sites) return fail(sites.error());
  const auto layers = catalog.layers();
  if (!layers) return fail(layers.error());
  const auto tokens = catalog.tokens();
  if (!tokens) return fail(tokens.error());
  const auto alerts = catalog.alerts();
  if (!alerts) return fail(alerts.error());
  const auto bytes = catalog.site_bytes();
  if (!bytes) return fail(bytes.error());
  const auto savings = catalog.savings(now);
  if (!savings) return fail(savings.error());
  std::map<std::string, std::int64_t> by_status, by_version;
  std::int64_t behind = 0, failed = 0;
  for (const wire::DeviceInfo& device : *devices) {
    ++by_status[std::string(wire::name_of(device.status))];
    ++by_version[printable(device.node_version, 64)];
    behind += device.applied_sequence < device.target_sequence;
    failed += device.last_report && !device.last_report->ok;
  }
  return json{{"devices", by_status},        {"node_versions", by_version},
              {"devices_behind", behind},    {"devices_whose_last_report_failed", failed},
              {"sites", to_list(*sites)},    {"layers", to_list(*layers)},
              {"tokens", to_list(*tokens)},  // Names, kinds and dates; secrets are nowhere.
              {"alerts", to_list(*alerts)},  {"site_bytes", *bytes},
              {"savings", to_list(*savings)}}
             .dump(2, ' ', false, json::error_handler_t::replace) +
         '\n';
}

Result<std::string> newest_of_audit(const Catalog& catalog) {
  const auto log = catalog.audit_log(kAuditLines);
  if (!log) return fail(log.error());
  std::string text = json{{"intact", log->intact}, {"head", log->head}}.dump() + '\n';
  for (const wire::AuditEntry& entry : log->entries) text += wire::to_json(entry) + '\n';
  return text;
}

Status add_catalogue(const DataDirectory& data, support::Bundle& bundle, WallTime now) {
  // Opening would make a catalogue where there is none.
  auto kv = os::exists(data.catalog() + "/data.mdb")
                ? Kv::open(data.catalog())
                : Result<std::unique_ptr<Kv>>(
                      fail(ErrorKind::not_found, data.catalog() + " holds no catalogue"));
  if (!kv) {
    bundle.note("the catalogue", kv.error());
    return Done{};
  }
  KvTable table(**kv);
  const Catalog catalog(table);
  if (auto done = bundle.add_or_note("catalogue.json", summary(catalog, now)); !done) return done;
  return bundle.add_or_note("audit.jsonl", newest_of_audit(catalog));
}

}  // namespace

Status write_support_bundle(const DataDirectory& data, const std::string& path, WallTime now) {
  auto config = read_config(data);
  if (!config) return fail(std::move(config.error()));
  auto bundle = support::Bundle::create(path, "lamina-origin", now);
  if (!bundle) return fail(std::move(bundle.error()));
  const json settings{{"names", config->names},
                      {"api_port", config->api_port},
                      {"swarm_port", config->swarm_port},
                      {"seeders", config->seeders()}};
  if (auto done = bundle->add("settings.json", settings.dump(2) + '\n'); !done) return done;
  if (auto done = bundle->add_certificates({{"api-ca", data.key("api-ca.pem")},
                                            {"server", data.key("server.pem")},
                                            {"swarm-ca", data.key("swarm-ca.pem")},
                                            {"seeder", data.seed("seed.pem")}});
      !done)
    return done;
  if (auto done = bundle->add_sizes(data.root(), {"keys", "catalog", "journal", "seed", "tmp"});
      !done)
    return done;
  if (auto done = add_catalogue(data, *bundle, now); !done) return done;
  return bundle->finish();
}

}  // namespace lamina::origin
