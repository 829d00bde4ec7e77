#include "origin/cli/session.hpp"
#include "shared/wire/retention.hpp"

namespace lamina::origin::cli {
namespace {

struct SetRequest {
  std::string device;  // "": all that have no rule of their own.
  wire::RetentionRule rule;
  bool none = false;
};

struct ForgetRequest {
  std::string device;
  std::string snapshot;  // "": by the rule.
  bool dry_run = false;
};

std::vector<std::string> row_of(const std::string& who,
                                const std::optional<wire::RetentionRule>& rule) {
  if (!rule) return {who, "all", "-", "-", "-", "-"};
  return {who,
          std::to_string(rule->newest),
          std::to_string(rule->hourly),
          std::to_string(rule->daily),
          std::to_string(rule->weekly),
          std::to_string(rule->monthly)};
}

Status show(Session& s) {
  auto body = s.get("/v1/retention");
  if (!body) return fail(std::move(body.error()));
  auto settings = wire::parse_retention_settings(*body);
  if (!settings) return fail(std::move(settings.error()));
  if (s.json) return *s.out << *body << '\n', Done{};
  Session::Rows rows{{"DEVICE", "NEWEST", "HOURLY", "DAILY", "WEEKLY", "MONTHLY"}};
  rows.push_back(row_of("all others", settings->rule));
  for (const wire::DeviceRetention& own : settings->devices)
    rows.push_back(row_of(own.device.hex(), own.rule));
  s.table(rows);
  return Done{};
}

Status set(Session& s, const SetRequest& request) {
  wire::RetentionRequest message;
  if (!request.device.empty()) {
    auto device = DeviceId::parse(request.device);
    if (!device) return fail(std::move(device.error()).in("--device"));
    message.device = *device;
  }
  if (request.none && request.rule != wire::RetentionRule())
    return fail(ErrorKind::invalid, "--none takes the rule away: give it without counts");
  if (!request.none) message.rule = request.rule;
  auto body = s.call("PUT", "/v1/retention", wire::to_json(message));
  if (!body) return fail(std::move(body.error()));
  if (!s.dry_run && !s.json) return show(s);
  s.tell(*body, message.rule ? "the rule is set" : "the rule is taken away");
  return Done{};
}

Status forget(Session& s, const ForgetRequest& request) {
  wire::ForgetRequest message{.snapshot = {}, .dry_run = request.dry_run};
  if (!request.snapshot.empty()) {
    auto id = SnapshotId::parse(request.snapshot);
    if (!id) return fail(std::move(id.error()).in("--snapshot"));
    message.snapshot = *id;
  }
  auto body =
      s.call("POST", "/v1/cvds/" + encoded(request.device) + "/forget", wire::to_json(message));
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_forget_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  if (s.json) return *s.out << *body << '\n', Done{};
  Session::Rows rows{{"SNAPSHOT", "NUMBER", "MADE", "SIZE", "KEPT AS"}};
  std::size_t gone = 0;
  for (const wire::JudgedSnapshot& one : reply->snapshots) {
    std::string kept;
    for (const std::string& level : one.kept_as) kept += (kept.empty() ? "" : ", ") + level;
    if (kept.empty()) ++gone, kept = reply->dry_run ? "- would go" : "- removed";
    rows.push_back({one.snapshot.id.hex(), std::to_string(one.snapshot.number),
                    to_iso8601(WallTime{one.snapshot.created_ms * 1'000'000}),
                    to_text(Bytes{one.snapshot.plain_bytes}), kept});
  }
  s.table(rows);
  *s.out << gone << (gone == 1 ? " snapshot" : " snapshots")
         << (reply->dry_run ? " would be removed\n"
                            : " removed; `lamina-origin gc` frees the space\n");
  return Done{};
}

}  // namespace

void add_cvd_retention(CLI::App& cvd, Run& run) {
  auto* retention = cvd.add_subcommand("retention", "how long snapshots are kept");
  retention->require_subcommand(1);
  retention->footer("Example: lamina cvd retention show");
  auto* shown = retention->add_subcommand("show", "the rule, and devices with one of their own");
  shown->footer(
      "Of every hour (day, ISO week, month; in UTC) that has snapshots the newest is kept, for as\n"
      "many hours as it says.\nExample: lamina cvd retention show");
  shown->callback([&run] { run = show; });
  auto request = std::make_shared<SetRequest>();
  auto* changed = retention->add_subcommand("set", "in the place of the rule that there was");
  changed->footer(
      "A level that is not given keeps nothing; the newest snapshot always stays.\n"
      "Example: lamina cvd retention set --hourly 24 --daily 7 --weekly 4 --monthly 12");
  changed->add_option("--device", request->device, "of this device alone");
  changed->add_option("--newest", request->rule.newest, "so many, whatever their time");
  changed->add_option("--hourly", request->rule.hourly, "of so many hours the newest");
  changed->add_option("--daily", request->rule.daily, "of so many days");
  changed->add_option("--weekly", request->rule.weekly, "of so many weeks");
  changed->add_option("--monthly", request->rule.monthly, "of so many months");
  changed->add_flag("--none", request->none,
                    "take the rule away: keep all, or go by the rule for all");
  changed->callback([&run, request] { run = [request](Session& s) { return set(s, *request); }; });
  auto which = std::make_shared<ForgetRequest>();
  auto* command = cvd.add_subcommand("forget", "remove snapshots, by the rule or by name");
  command->footer(
      "Shows every snapshot that it looked at, and as what it is kept.\n"
      "Example: lamina cvd forget --device 00112233445566778899aabbccddeeff --dry-run");
  command->add_option("--device", which->device, "the device's id")->required();
  command->add_option("--snapshot", which->snapshot, "this one, whatever the rule says");
  command->add_flag("--dry-run", which->dry_run, "change nothing, show what would go");
  command->callback([&run, which] { run = [which](Session& s) { return forget(s, *which); }; });
}

}  // namespace lamina::origin::cli
