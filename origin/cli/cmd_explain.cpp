#include <map>

#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

// What a device's reason means, for people. docs/operator.md has the same table.
std::string_view meaning_of(const std::string& reason) {
  static const std::map<std::string, std::string_view, std::less<>> meanings{
      {"local-cache", "complete on the device"},
      {"lan-peer", "comes from the devices of its site, one of which fetches over the line"},
      {"origin-by-lease", "this device fetches over the line, for its site"},
      {"origin-by-budget", "this device fetches over the line, on its WAN budget"},
      {"origin-by-https",
       "this device fetches over the line from the API's port: it reaches no seeder"},
      {"swarm-by-rule",
       "this device fetches over the line from seeders only: the rule for its line says so"},
      {"https-by-rule",
       "this device fetches over the line from the API's port: the rule for its line says so"},
      {"waiting-for-restart", "complete; the device becomes it when it is started anew"},
      {"waiting-for-site", "waits: it is at no site that it may be in"},
      {"waiting-for-origin", "waits: neither the origin nor another device of its site is there"},
      {"waiting-for-records", "fetches the layer's records first"},
      {"waiting-for-lease", "waits until a device of its site holds the lease"},
      {"waiting-for-reflector", "waits: its site appoints no reflector, and it has no WAN budget"},
      {"waiting-for-budget", "waits: its WAN budget is used up, and nobody fetches for its site"},
      {"waiting-for-admission", "waits: other sites of its rollout fetch first"},
      {"waiting-for-rule", "waits: a bandwidth rule lets it fetch nothing over the line now"},
      {"waiting-for-resume", "waits: it is suspended, and no other device fetches for its site"},
      {"waiting-for-clock",
       "waits: its clock is wrong, and every certificate looks expired to it"}};
  const auto found = meanings.find(reason);
  return found == meanings.end() ? "unknown to this program" : found->second;
}

// The last update that the device took to each layer, and what it fetched besides because of damage
// or a missing encoder.
Status explain_updates(Session& s, const std::string& device_id,
                       const std::map<LayerId, std::string>& shown) {
  auto body = s.get("/v1/devices/" + encoded(device_id) + "/transactions");
  if (!body) return fail(std::move(body.error()));
  const auto list = wire::parse_transaction_list(*body);
  if (!list) return fail(list.error());
  std::map<LayerId, const wire::Report*> last;
  for (const wire::Report& report : list->transactions)
    if (report.operation == "update" && report.ok)
      for (const LayerId& layer : report.layers) {
        const wire::Report*& known = last[layer];
        if (known == nullptr || known->finished_ms < report.finished_ms) known = &report;
      }
  for (const auto& [layer, report] : last) {
    const auto name = shown.find(layer);
    if (name == shown.end()) continue;
    if (s.json) {
      *s.out << wire::to_json(*report) << '\n';
      continue;
    }
    const auto bytes = [&, counts = &report->counts](const char* what) {
      const auto count = counts->find(what);
      return to_text(Bytes{count == counts->end() ? 0 : count->second});
    };
    *s.out << name->second << ": by an update of " << bytes("update_bytes") << "; "
           << bytes("fallback_bytes") << " of packs were needed besides"
           << (report->text.empty() ? "" : ": ") << printable(report->text, 400) << '\n';
  }
  return Done{};
}

Status explain(Session& s, const std::string& device_id, const std::string& wanted) {
  auto body = s.get("/v1/devices/" + encoded(device_id));
  if (!body) return fail(std::move(body.error()));
  auto device = wire::parse_device_info(*body);
  if (!device) return fail(std::move(device.error()));
  auto list_body = s.get("/v1/layers");
  if (!list_body) return fail(std::move(list_body.error()));
  auto list = wire::parse_layer_list(*list_body);
  if (!list) return fail(std::move(list.error()));
  std::map<LayerId, std::string> names;
  for (const wire::LayerInfo& layer : list->layers)
    names[layer.id] = layer.name + ':' + layer.version;

  Session::Rows rows{{"LAYER", "MISSING", "REASON", ""}};
  bool found = wanted.empty();
  std::map<LayerId, std::string> shown;
  for (const wire::LayerState& state : device->layers.value_or(std::vector<wire::LayerState>{})) {
    const auto name = names.find(state.layer);
    const std::string text = name == names.end() ? state.layer.hex() : name->second;
    if (!wanted.empty() && text != wanted) continue;
    found = true;
    shown.emplace(state.layer, text);
    if (s.json) *s.out << wire::to_json(state) << '\n';
    rows.push_back({text, to_text(Bytes{state.missing_bytes}), printable(state.reason, 64),
                    std::string(meaning_of(state.reason))});
  }
  if (!found)
    return fail(ErrorKind::not_found, "layer " + wanted + " is not in the target of device " +
                                          device->id.hex() + ", as far as it has said");
  if (s.json) return explain_updates(s, device_id, shown);
  *s.out << "device " << device->id.hex() << " of site " << device->site << ", target "
         << device->target_sequence << ", applied " << device->applied_sequence << '\n';
  if (device->waiting) *s.out << "waiting-for-site: " << printable(*device->waiting, 1000) << '\n';
  if (rows.size() == 1)
    *s.out << "It has said nothing of its layers yet.\n";
  else
    s.table(rows);
  if (auto done = explain_updates(s, device_id, shown); !done) return done;
  if (device->last_report) {
    *s.out << "last report: " << printable(device->last_report->operation, 64)
           << (device->last_report->ok ? " ok" : " failed: ")
           << printable(device->last_report->text, 400) << '\n';
    for (const auto& [source, bytes] : device->last_report->bytes_by_source)
      *s.out << "  " << to_text(Bytes{bytes}) << " by " << printable(source, 64) << '\n';
  }
  if (device->bytes) {
    *s.out << "in all since " << to_iso8601(WallTime{device->bytes->since_ms * 1'000'000}) << '\n';
    for (const auto& [source, bytes] : device->bytes->by_source)
      *s.out << "  " << to_text(Bytes{bytes}) << " by " << printable(source, 64) << '\n';
  }
  return Done{};
}

}  // namespace

void add_explain(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand(
      "explain", "where a device's layers come from, or what they wait for, and why");
  command->footer("Example: lamina explain --device 00112233445566778899aabbccddeeff");
  auto device = std::make_shared<std::string>(), layer = std::make_shared<std::string>();
  command->add_option("--device", *device, "32 hex digits")->required();
  command->add_option("--layer", *layer, "NAME:VERSION; without it, every layer of its target");
  command->callback([&run, device, layer] {
    run = [device, layer](Session& s) { return explain(s, *device, *layer); };
  });
}

}  // namespace lamina::origin::cli
