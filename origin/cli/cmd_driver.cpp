#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "origin/cli/addressees.hpp"
#include "origin/cli/assignment_report.hpp"
#include "origin/cli/remote_drivers.hpp"
#include "origin/cli/session.hpp"
#include "shared/wire/device_pages.hpp"

namespace lamina::origin::cli {
namespace {

using Names = std::vector<std::string>;

struct Words {
  Addressees to;
  std::string layer, where;
  std::int64_t order = 0;
  bool dry_run = false, paths = false;
};

Status set(Session& s, const Words& words) {
  const wire::DriverRule rule{.layer = words.layer, .filter = words.where, .order = words.order};
  auto body = s.call("PUT", "/v1/drivers", wire::to_json(rule));
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, "the rule of " + words.layer +
                    " is set; devices follow it with their next assignment, or with `lamina driver "
                    "apply`");
  return Done{};
}

Status remove(Session& s, const Words& words) {
  auto body = s.call("DELETE", "/v1/drivers/" + encoded(words.layer), "");
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, "the rule of " + words.layer +
                    " is removed; devices that have the layer keep it as one that was named");
  return Done{};
}

Status list(Session& s) {
  auto body = s.get("/v1/drivers");
  if (!body) return fail(std::move(body.error()));
  auto rules = wire::parse_driver_rule_list(*body);
  if (!rules) return fail(std::move(rules.error()));
  if (s.json) return *s.out << *body << '\n', Done{};
  Session::Rows rows{{"LAYER", "ORDER", "FOR DEVICES WHERE", "CHANGED"}};
  for (const wire::DriverRule& rule : rules->rules)
    rows.push_back({rule.layer, std::to_string(rule.order), printable(rule.filter, 200),
                    to_iso8601(WallTime{rule.changed_ms * 1'000'000})});
  s.table(rows);
  return Done{};
}

// The driver layers of one device, by the rules.
struct Shown {
  Names has, gets, other_machine, other_system;
};

Shown look(const DriverRules& rules, const wire::DeviceInfo& device, const wire::LayerInfo& base) {
  Shown shown;
  for (const std::string& layer : device.target)
    if (rules.has(layer)) shown.has.push_back(layer);
  for (std::size_t at = 0; at < rules.rules().size(); ++at) {
    const std::string& layer = rules.rules()[at].layer;
    switch (rules.judge(at, device, base)) {
      case DriverRules::Verdict::gets: shown.gets.push_back(layer); break;
      case DriverRules::Verdict::other_machine: shown.other_machine.push_back(layer); break;
      case DriverRules::Verdict::other_system: shown.other_system.push_back(layer); break;
    }
  }
  return shown;
}

std::string text_of(const Names& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text.empty() ? "-" : text;
}

class Preview {
 public:
  Preview(Session& session, const DriverRules& rules, const KnownLayers& layers)
      : s_(session), rules_(rules), layers_(layers) {}

  void add(const wire::DeviceInfo& device) {
    const wire::LayerInfo* const base =
        device.target.empty() ? nullptr : layers_.find(device.target.front());
    const Shown shown = base == nullptr ? Shown() : look(rules_, device, *base);
    const bool is_due = shown.has != shown.gets;
    due_ += is_due ? 1 : 0;
    if (s_.json) {
      *s_.out << nlohmann::json{{"device", device.id.hex()},
                                {"host", printable(device.host_name, 256)},
                                {"site", device.site},
                                {"base", base == nullptr ? "" : device.target.front()},
                                {"has", shown.has},
                                {"gets", shown.gets},
                                {"other_machine", shown.other_machine},
                                {"other_system", shown.other_system},
                                {"hardware_known", device.hardware.has_value()},
                                {"due", is_due}}
                     .dump()
              << '\n';
      return;
    }
    std::string note;
    if (base == nullptr) note = "no base layer is assigned";
    if (!device.hardware) note += std::string(note.empty() ? "" : "; ") + "hardware not told yet";
    if (!shown.other_system.empty())
      note += (note.empty() ? "" : "; ") + text_of(shown.other_system) + " fits the machine, not " +
              device.target.front();
    rows_.push_back({device.id.hex(), printable(device.host_name, 40), device.site,
                     text_of(shown.has), text_of(shown.gets), is_due ? "yes" : "no", note});
  }

  void print() const {
    if (s_.json) return;
    s_.table(rows_);
    *s_.out << due_ << (due_ == 1 ? " device is" : " devices are")
            << " due: `lamina driver apply` assigns what its rules say\n";
  }

 private:
  Session& s_;
  const DriverRules& rules_;
  const KnownLayers& layers_;
  std::size_t due_ = 0;
  Session::Rows rows_{{"DEVICE", "HOST", "SITE", "HAS", "GETS", "DUE", "NOTE"}};
};

Status preview(Session& s, const Words& words) {
  wire::AssignmentRequest meant;
  if (auto good = words.to.put_into(meant); !good) return good;
  std::set<DeviceId> named(meant.devices.begin(), meant.devices.end());
  if (meant.collection) {
    auto body = s.get("/v1/collections/" + encoded(*meant.collection));
    if (!body) return fail(std::move(body.error()));
    auto detail = wire::parse_collection_detail(*body);
    if (!detail) return fail(std::move(detail.error()));
    named.insert(detail->members.begin(), detail->members.end());
  }
  auto layers = KnownLayers::open(s);
  if (!layers) return fail(std::move(layers.error()));
  auto rules = driver_rules_of(s, layers->list());
  if (!rules) return fail(std::move(rules.error()));
  Preview shown(s, *rules, *layers);
  const auto get = [&](const std::string& path) { return s.get(path); };
  auto listed = wire::for_each_device(get, [&](const wire::DeviceInfo& device) {
    if (meant.site.empty() ? named.contains(device.id) : device.site == meant.site)
      shown.add(device);
  });
  if (!listed) return listed;
  shown.print();
  return Done{};
}

Status apply(Session& s, const Words& words) {
  ReportRequest report{.assignment = {}, .paths = words.paths};
  if (auto good = words.to.put_into(report.assignment); !good) return good;
  report.assignment.add.emplace();  // Nothing: each device's own stack, looked at anew.
  if (words.dry_run) return report_assignment(s, report);
  auto body = s.call("POST", assignment_path(report.assignment), wire::to_json(report.assignment));
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_assignment_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  s.tell(*body, std::to_string(reply->devices.size()) +
                    (reply->devices.size() == 1 ? " device gets" : " devices get") +
                    " other driver layers; the others have what their rules say");
  return Done{};
}

}  // namespace

void add_driver(CLI::App& app, Run& run) {
  auto* driver = app.add_subcommand("driver", "driver layers, by what machines are made of");
  driver->require_subcommand(1);
  driver->footer("Example: lamina driver set nvidia:535 --where 'pci = 10de:*'");
  auto words = std::make_shared<Words>();
  auto* change = driver->add_subcommand("set", "which devices get a driver layer");
  change->add_option("LAYER", words->layer, "NAME:VERSION, captured with --kind driver")
      ->required();
  change->add_option("--where", words->where, "facts of the devices that get it")->required();
  change
      ->add_option("--order", words->order,
                   "of several layers for one device the one with the higher number wins")
      ->check(CLI::Range(std::int64_t{0}, wire::kDriverOrderMax))
      ->capture_default_str();
  change->footer(
      "A filter is as for collections (`lamina collection add --help`). What machines are made of "
      "stands in these facts:\npci, of each device on its buses 'VENDOR:DEVICE/SUBSYSTEM VENDOR:"
      "DEVICE/CLASS' in hex, and dmi.NAME of its\nfirmware (sys_vendor, product_name, "
      "board_name...); `lamina device show --json` has those of a device.\nThe layer goes between "
      "base and applications to every device that the filter takes, whose base is of the\nlayer's "
      "distribution, release and architecture: with its next assignment, or with `lamina driver "
      "apply`.\nOf a layer's name there is one rule; `lamina layer upgrade` moves it to the newest "
      "version.\n"
      "Example: lamina driver set nvidia:535 --where 'pci = 10de:*'\n"
      "Example: lamina driver set dock:2 --where 'dmi.product_name = Latitude* and not site = lab' "
      "--order 5");
  change->callback([&run, words] { run = [words](Session& s) { return set(s, *words); }; });
  auto* rm = driver->add_subcommand("rm", "forget the rule of a driver layer");
  rm->add_option("NAME", words->layer, "the layer's name, without a version")->required();
  rm->footer("Example: lamina driver rm nvidia");
  rm->callback([&run, words] { run = [words](Session& s) { return remove(s, *words); }; });
  driver->add_subcommand("ls", "list the rules, in the order in which layers come to a stack")
      ->footer("Example: lamina driver ls --json")
      ->callback([&run] { run = list; });
  auto* shown =
      driver->add_subcommand("preview", "which driver layers devices have, and get by the rules");
  words->to.add_options(*shown);
  shown->footer(
      "DUE: what a device has assigned is not what the rules say now.\n"
      "Example: lamina driver preview --site north");
  shown->callback([&run, words] { run = [words](Session& s) { return preview(s, *words); }; });
  auto* given = driver->add_subcommand("apply", "assign devices what the rules say now");
  words->to.add_options(*given);
  auto* dry = given->add_flag("--dry-run", words->dry_run,
                              "say what it would do to each device; nothing changes");
  given->add_flag("--paths", words->paths, "with --dry-run: every path, and every conflict")
      ->needs(dry);
  given->footer(
      "Devices keep the rest of their layers; those that have what the rules say are left alone.\n"
      "Example: lamina driver apply --collection laptops --dry-run");
  given->callback([&run, words] { run = [words](Session& s) { return apply(s, *words); }; });
}

}  // namespace lamina::origin::cli
