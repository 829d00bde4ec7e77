#include <algorithm>

#include "origin/cli/session.hpp"
#include "shared/wire/device_pages.hpp"
#include "shared/wire/policies.hpp"

namespace lamina::origin::cli {
namespace {

std::string sources_of(const wire::Report& report) {
  std::string text;
  for (const auto& [source, bytes] : report.bytes_by_source)
    text += (text.empty() ? "" : ", ") + to_text(Bytes{bytes}) + " by " + printable(source, 64);
  return text;
}

std::string counts_of(const wire::Report& report) {
  std::string text;
  for (const auto& [what, count] : report.counts)
    if (count != 0)
      text += (text.empty() ? "" : " ") + printable(what, 64) + "=" + std::to_string(count);
  return text;
}

// Its output is the device's: printable line by line.
void show_script(const Session& s, const wire::Report& report, const wire::ScriptEnd& end) {
  *s.out << "target " << report.target_sequence << ", script " << printable(end.name, 128) << " of "
         << printable(end.layer, 300) << ": "
         << (end.trouble                ? "did not start: " + printable(*end.trouble, 1024)
             : end.late.value_or(false) ? std::string("killed when its time was over")
                                        : "exit code " + std::to_string(end.code))
         << '\n';
  for (std::string_view rest = end.output; !rest.empty();) {
    const std::size_t size = std::min(rest.find('\n'), rest.size());
    *s.out << "  " << printable(rest.substr(0, size), wire::kScriptOutputMax) << '\n';
    rest.remove_prefix(std::min(size + 1, rest.size()));
  }
}

Status show_log(Session& s, const std::string& id) {
  auto body = s.get("/v1/devices/" + encoded(id) + "/transactions");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_transaction_list(*body);
  if (!list) return fail(std::move(list.error()));
  Session::Rows rows{{"FINISHED", "OPERATION", "TARGET", "TOOK", "RESULT", "BYTES", "COUNTS"}};
  for (const wire::Report& i : list->transactions) {
    if (s.json) *s.out << wire::to_json(i) << '\n';
    rows.push_back({to_iso8601(WallTime{i.finished_ms * 1'000'000}), printable(i.operation, 64),
                    std::to_string(i.target_sequence),
                    to_text(std::chrono::milliseconds{i.finished_ms - i.started_ms}),
                    (i.ok ? i.text.empty() ? "ok" : "ok: " : "failed: ") + printable(i.text, 120),
                    sources_of(i), counts_of(i)});
  }
  if (s.json) return Done{};
  s.table(rows);
  for (const wire::Report& i : list->transactions)
    for (const wire::ScriptEnd& end : i.scripts.value_or(std::vector<wire::ScriptEnd>{}))
      show_script(s, i, end);
  return Done{};
}

Status snooze_device(Session& s, const std::string& id, const std::string& words) {
  auto duration = words == "off" ? Result<Duration>(Duration{}) : parse_duration(words);
  if (!duration) return fail(std::move(duration.error()).in("for how long"));
  const wire::SnoozeRequest request{
      .for_ms = std::chrono::duration_cast<std::chrono::milliseconds>(*duration).count()};
  auto body = s.call("POST", "/v1/devices/" + encoded(id) + "/snooze", wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  auto snooze = wire::parse_snooze(*body);
  if (!snooze) return fail(std::move(snooze.error()));
  s.tell(*body, snooze->until_ms == 0 ? id + " makes its snapshots again"
                                      : id + " makes no snapshot by itself until " +
                                            to_iso8601(WallTime{snooze->until_ms * 1'000'000}));
  return Done{};
}

}  // namespace

void add_device(CLI::App& app, Run& run) {
  auto* device = app.add_subcommand("device", "the registered devices");
  device->require_subcommand(1);
  device->footer("Example: lamina device assign 00112233445566778899aabbccddeeff --site north");
  auto id = std::make_shared<std::string>();
  auto request = std::make_shared<wire::PlaceRequest>();
  device->add_subcommand("ls", "list the devices")
      ->footer("Example: lamina device ls --json")
      ->callback([&run] {
        run = [](Session& s) -> Status {
          Session::Rows rows{{"DEVICE", "STATUS", "SITE", "HOST", "TARGET", "APPLIED", "MISSING"}};
          const auto get = [&](const std::string& path) { return s.get(path); };
          Status listed = wire::for_each_device(get, [&](const wire::DeviceInfo& i) {
            if (s.json) {
              *s.out << wire::to_json(i) << '\n';
              return;
            }
            rows.push_back(
                {i.id.hex(),
                 i.decommissioned_ms ? "decommissioned" : std::string(wire::name_of(i.status)),
                 i.site, printable(i.host_name), std::to_string(i.target_sequence),
                 std::to_string(i.applied_sequence), to_text(Bytes{i.missing_bytes})});
          });
          if (listed && !s.json) s.table(rows);
          return listed;
        };
      });
  auto* show = device->add_subcommand("show", "one device, as JSON");
  show->footer("Example: lamina device show 00112233445566778899aabbccddeeff");
  show->add_option("id", *id, "32 hex digits")->required();
  show->callback([&run, id] {
    run = [id](Session& s) -> Status {
      auto body = s.get("/v1/devices/" + encoded(*id));
      if (!body) return fail(std::move(body.error()));
      *s.out << *body << '\n';
      return Done{};
    };
  });
  auto* log = device->add_subcommand(
      "log", "its transactions, each with its bytes by source, and what its scripts said");
  log->footer(
      "The newest 200: applies, reverts, snapshots and what failed, oldest first. An apply has "
      "what\n"
      "was received since the one before it, and what the device had already (local-cache).\n"
      "Example: lamina device log 00112233445566778899aabbccddeeff --json");
  log->add_option("id", *id, "32 hex digits")->required();
  log->callback([&run, id] { run = [id](Session& s) { return show_log(s, *id); }; });
  auto* assign = device->add_subcommand("assign", "accept a device and place it in a site");
  assign->add_option("id", *id, "32 hex digits")->required();
  auto* site = assign->add_option("--site", request->site, "its site");
  auto by = std::make_shared<bool>(false);
  auto* by_network =
      assign->add_flag("--by-network", *by,
                       "in whichever site takes devices from its network, now and when it moves");
  site->excludes(by_network);
  assign->footer("Example: lamina device assign 00112233445566778899aabbccddeeff --by-network");
  assign->callback([&run, id, request, by, site] {
    if (site->empty() && !*by) throw CLI::RequiredError("--site or --by-network");
    run = [id, request, by](Session& s) -> Status {
      auto body =
          s.call("POST", "/v1/devices/" + encoded(*id) + "/assign", wire::to_json(*request));
      if (!body) return fail(std::move(body.error()));
      s.tell(*body, *by ? *id + " is placed by its network at its next poll"
                        : *id + " is in site " + request->site);
      return Done{};
    };
  });
  add_device_life(*device, run);
  auto* snooze = device->add_subcommand(
      "snooze", "have a device make no snapshot by itself for a while, at most a day");
  snooze->footer(
      "It stops one that it makes by itself. Applies, restores and `lamina-node sync` go on; "
      "before "
      "an apply it makes\na snapshot as always. `off` also ends a snooze of the device's user.\n"
      "Example: lamina device snooze 00112233445566778899aabbccddeeff 2h");
  auto duration = std::make_shared<std::string>();
  snooze->add_option("id", *id, "32 hex digits")->required();
  snooze->add_option("FOR", *duration, "for how long from now, for example '90 min', or off")
      ->required();
  snooze->callback([&run, id, duration] {
    run = [id, duration](Session& s) { return snooze_device(s, *id, *duration); };
  });
  auto* reject = device->add_subcommand("reject", "shut a device out");
  reject->footer("Example: lamina device reject 00112233445566778899aabbccddeeff");
  reject->add_option("id", *id, "32 hex digits")->required();
  reject->callback([&run, id] {
    run = [id](Session& s) -> Status {
      auto body = s.call("POST", "/v1/devices/" + encoded(*id) + "/reject", "{}");
      if (!body) return fail(std::move(body.error()));
      s.tell(*body, *id + " is rejected");
      return Done{};
    };
  });
}

}  // namespace lamina::origin::cli
