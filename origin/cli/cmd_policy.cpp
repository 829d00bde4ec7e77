#include "origin/cli/policy_file.hpp"
#include "origin/cli/policy_preview.hpp"
#include "origin/cli/session.hpp"
#include "shared/os/file.hpp"

namespace lamina::origin::cli {
namespace {

struct Words {
  std::string name, file, collection;
  std::vector<std::string> devices;
  std::uint64_t version = 0;  // 0: the newest.
};

constexpr const char* kPath = "/v1/policies";

std::string path_of(const Words& words) {
  std::string path = std::string(kPath) + '/' + encoded(words.name);
  if (words.version > 0) path += "/versions/" + std::to_string(words.version);
  return path;
}

Result<wire::PolicyInfo> fetch(Session& s, const Words& words) {
  auto body = s.get(path_of(words));
  if (!body) return fail(std::move(body.error()));
  return wire::parse_policy_info(*body);
}

std::string interval_text(const std::optional<std::int64_t>& interval_ms) {
  return interval_ms ? to_text(std::chrono::milliseconds{*interval_ms}) : "the device's";
}

std::string time_text(std::int64_t ms) { return to_iso8601(WallTime{ms * 1'000'000}); }

std::string volumes_text(const std::vector<std::string>& volumes) {
  std::string text = "/";
  for (const std::string& volume : volumes) text += " /" + printable(volume, 80);
  return text;
}

Session::Rows table_of(const std::vector<wire::PolicySummary>& policies) {
  Session::Rows rows{
      {"POLICY", "VERSION", "UNPROTECTED", "USER", "VOLUMES", "INTERVAL", "CHANGED", "BY"}};
  for (const wire::PolicySummary& i : policies)
    rows.push_back({i.name, std::to_string(i.version), std::to_string(i.unprotected) + " rules",
                    std::to_string(i.user) + " rules", volumes_text(i.volumes),
                    interval_text(i.interval_ms), time_text(i.changed_ms),
                    printable(i.changed_by, 80)});
  return rows;
}

Status list(Session& s) {
  auto body = s.get(kPath);
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_policy_list(*body);
  if (!list) return fail(std::move(list.error()));
  if (s.json) return *s.out << *body << '\n', Done{};
  s.table(table_of(list->policies));
  if (list->assignments.empty()) return Done{};
  *s.out << '\n';
  Session::Rows rows{{"ASSIGNED TO", "POLICY", "SINCE"}};
  for (const wire::PolicyAssignment& i : list->assignments)
    rows.push_back({i.device ? "device " + i.device->hex() : "collection " + *i.collection,
                    i.policy, time_text(i.assigned_ms)});
  s.table(rows);
  return Done{};
}

Status show(Session& s, const Words& words) {
  auto body = s.get(path_of(words));
  if (!body) return fail(std::move(body.error()));
  auto info = wire::parse_policy_info(*body);
  if (!info) return fail(std::move(info.error()));
  if (s.json) return *s.out << *body << '\n', Done{};
  *s.out << "# version " << info->policy.version << ", of " << time_text(info->changed_ms)
         << ", by " << printable(info->changed_by, 80) << '\n'
         << policy_file(*info);
  return Done{};
}

Status versions(Session& s, const Words& words) {
  auto body = s.get(path_of(words) + "/versions");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_policy_versions(*body);
  if (!list) return fail(std::move(list.error()));
  if (s.json) return *s.out << *body << '\n', Done{};
  s.table(table_of(list->versions));
  return Done{};
}

Status write_file(Session& s, const Words& words) {
  auto info = fetch(s, words);
  if (!info) return fail(std::move(info.error()));
  const std::string text = policy_file(*info);
  if (words.file.empty()) return *s.out << text, Done{};
  return os::write_file(words.file, as_view(text));
}

Result<std::vector<DeviceId>> ids_of(const std::vector<std::string>& words) {
  std::vector<DeviceId> ids;
  for (const std::string& word : words) {
    auto id = DeviceId::parse(word);
    if (!id) return fail(std::move(id.error()).in("--device"));
    ids.push_back(*id);
  }
  return ids;
}

// The devices that are named, or those of the collection that is.
Result<std::vector<DeviceId>> meant_by(Session& s, const Words& words) {
  if (words.collection.empty()) return ids_of(words.devices);
  auto body = s.get("/v1/collections/" + encoded(words.collection));
  if (!body) return fail(std::move(body.error()));
  auto detail = wire::parse_collection_detail(*body);
  if (!detail) return fail(std::move(detail.error()));
  return std::move(detail->members);
}

Result<std::string> set(Session& s, const wire::PolicyRequest& request) {
  return s.call("POST", kPath, wire::to_json(request));
}

// With the policy of the file for the devices that have it, or for those that are named.
Status preview(Session& s, const Words& words) {
  auto request = read_policy_file(words.file);
  if (!request) return fail(std::move(request.error()));
  s.dry_run = true;
  auto body = set(s, *request);
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_policy_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  auto devices = words.devices.empty() && words.collection.empty()
                     ? Result<std::vector<DeviceId>>(reply->devices)
                     : meant_by(s, words);
  if (!devices) return fail(std::move(devices.error()));
  std::map<DeviceId, wire::Policy> after;
  for (const DeviceId& device : *devices) after[device] = reply->info.policy;
  return preview_policies(s, after);
}

Status bring_in(Session& s, const Words& words) {
  if (s.dry_run) return preview(s, words);
  auto request = read_policy_file(words.file);
  if (!request) return fail(std::move(request.error()));
  auto body = set(s, *request);
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_policy_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  s.tell(*body, "policy " + reply->info.policy.name + " is version " +
                    std::to_string(reply->info.policy.version) + "; " +
                    std::to_string(reply->devices.size()) +
                    (reply->devices.size() == 1 ? " device gets it" : " devices get it"));
  return Done{};
}

Status remove(Session& s, const Words& words) {
  auto body = s.call("DELETE", path_of(words), "");
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, "policy " + words.name + " is removed, with all its versions");
  return Done{};
}

// Without a name the assignment is taken away.
Status assign(Session& s, const Words& words) {
  auto devices = ids_of(words.devices);
  if (!devices) return fail(std::move(devices.error()));
  wire::PolicyAssignRequest request{.devices = std::move(*devices)};
  if (!words.name.empty()) request.policy = words.name;
  if (!words.collection.empty()) request.collection = words.collection;
  auto body = s.call("POST", std::string(kPath) + (request.policy ? "/assign" : "/unassign"),
                     wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_policy_assign_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  if (!s.dry_run) {
    s.tell(*body, std::to_string(reply->devices.size()) +
                      (reply->devices.size() == 1 ? " device has another policy now"
                                                  : " devices have another policy now"));
    return Done{};
  }
  std::map<std::string, wire::Policy> policies;
  std::map<DeviceId, wire::Policy> after;
  for (std::size_t i = 0; i < std::min(reply->devices.size(), reply->policies.size()); ++i) {
    const std::string& name = reply->policies[i];
    if (!policies.contains(name)) {
      policies[name] = {};
      if (name != wire::kFactoryPolicy) {
        auto info = fetch(s, {.name = name});
        if (!info) return fail(std::move(info.error()));
        policies[name] = std::move(info->policy);
      }
    }
    after[reply->devices[i]] = policies[name];
  }
  return preview_policies(s, after);
}

}  // namespace

void add_policy(CLI::App& app, Run& run) {
  auto* policy = app.add_subcommand(
      "policy", "what snapshots of devices leave out, what is their users' own, and how often");
  policy->require_subcommand(1);
  policy->footer("Example: lamina policy assign office --collection tills");
  auto words = std::make_shared<Words>();
  const auto command = [&](const char* name, const char* what, const char* footer,
                           Status (*call)(Session&, const Words&)) {
    auto* added = policy->add_subcommand(name, what);
    added->footer(footer);
    added->callback(
        [&run, words, call] { run = [words, call](Session& s) { return call(s, *words); }; });
    return added;
  };
  const auto add_whom = [&](CLI::App& added) {
    auto* whom = added.add_option_group("whom");
    whom->add_option("--device", words->devices, "one device, 32 hex digits; several allowed");
    whom->add_option("--collection", words->collection,
                     "all that are in this collection, now and later");
    return whom;
  };
  command("ls", "list the policies, and who has which", "Example: lamina policy ls",
          [](Session& s, const Words&) { return list(s); });
  auto* shown =
      command("show", "one policy as its file", "Example: lamina policy show office", show);
  auto* history = command("versions", "all versions of a policy",
                          "Example: lamina policy versions office", versions);
  auto* written = command("export", "a policy as a file that `import` takes",
                          "Example: lamina policy export office office.toml", write_file);
  // Not `import`: that is a word of its own to clang-format.
  auto* taken = command(
      "import", "make a policy, or its next version, of a file",
      "name = \"office\"\n"
      "interval = \"30 min\"                 # between two snapshots; if left out, the device's\n"
      "volumes = [\"srv/data\"]               # other file systems that snapshots hold, beside /\n"
      "[[unprotected]]                      # snapshots leave it out\n"
      "name = \"caches\"\n"
      "paths = [\"{cache}\", \"srv/**/*.tmp\"]\n"
      "except = [\"{cache}/fonts\"]\n"
      "[[user]]                             # the users' own, beside /home and /root\n"
      "name = \"data\"\n"
      "paths = [\"srv/data/*\"]\n"
      "[retention]                          # unless the device has a rule of its own\n"
      "daily = 14\n"
      "With --dry-run it is checked, and what it changes on each device is shown.\n"
      "Example: lamina policy import office.toml --dry-run",
      bring_in);
  auto* foreseen = command(
      "preview", "what a policy's file would change on devices, by their newest snapshots",
      "Without --device or --collection: on those that have the policy. Every look into a CVD "
      "is in the audit log.\n"
      "Example: lamina policy preview office.toml --device 00112233445566778899aabbccddeeff",
      preview);
  auto* removed = command("rm", "forget a policy and its versions",
                          "One that is assigned stays.\nExample: lamina policy rm office", remove);
  auto* assigned = command(
      "assign", "give devices a policy",
      "A device's own assignment counts; else, of the collections that it is in, the one that was "
      "assigned last.\nThe policy 'factory' is the factory rules alone. With --dry-run it shows "
      "what changes on each device.\n"
      "Example: lamina policy assign office --collection tills",
      assign);
  auto* taken_away = command("unassign", "take an assignment away",
                             "Example: lamina policy unassign --collection tills",
                             [](Session& s, const Words& of) {
                               Words no_name = of;
                               no_name.name.clear();
                               return assign(s, no_name);
                             });
  for (CLI::App* one : {shown, history, written, removed, assigned})
    one->add_option("NAME", words->name, "the policy")->required();
  for (CLI::App* one : {shown, written})
    one->add_option("--version", words->version, "an older one")->check(CLI::PositiveNumber);
  written->add_option("FILE", words->file, "where to; without it, to standard output");
  for (CLI::App* one : {taken, foreseen}) one->add_option("FILE", words->file, "TOML")->required();
  add_whom(*foreseen)->require_option(0, 1);
  for (CLI::App* one : {assigned, taken_away}) add_whom(*one)->require_option(1);
}

}  // namespace lamina::origin::cli
