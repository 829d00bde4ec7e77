#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {

void add_alert(CLI::App& app, Run& run) {
  auto* alert = app.add_subcommand("alert", "what an operator should look at now");
  alert->require_subcommand(1);
  alert->footer("Example: lamina alert ls --json");
  auto* ls = alert->add_subcommand("ls", "list the alerts that last");
  ls->footer(
      "Kinds: certificate-expiring, disk-low, device-stale, reflector-down, seeder-silent,\n"
      "quota-warning, quota-reached.\n"
      "Beginning and end of each are in the audit log.\nExample: lamina alert ls --json");
  ls->callback([&run] {
    run = [](Session& s) -> Status {
      auto body = s.get("/v1/alerts");
      if (!body) return fail(std::move(body.error()));
      auto list = wire::parse_alert_list(*body);
      if (!list) return fail(std::move(list.error()));
      Session::Rows rows{{"ALERT", "OBJECT", "SINCE", ""}};
      for (const wire::AlertInfo& i : list->alerts) {
        if (s.json) *s.out << wire::to_json(i) << '\n';
        rows.push_back({printable(i.kind, 64), printable(i.object, 120),
                        to_iso8601(WallTime{i.since_ms * 1'000'000}), printable(i.text, 200)});
      }
      if (!s.json) s.table(rows);
      return Done{};
    };
  });
}

}  // namespace lamina::origin::cli
