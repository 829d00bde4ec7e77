#include "origin/cli/cvd_commands.hpp"
#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {

void add_cvd(CLI::App& app, Run& run) {
  auto* cvd = app.add_subcommand("cvd", "the devices' contents at the origin");
  cvd->require_subcommand(1);
  cvd->footer("Example: lamina cvd ls");
  add_cvd_life(*cvd, run);
  add_cvd_restore(*cvd, run);
  add_cvd_retention(*cvd, run);
  add_cvd_software(*cvd, run);
  cvd->add_subcommand("ls", "list the CVDs")->footer("Example: lamina cvd ls")->callback([&run] {
    run = [](Session& s) -> Status {
      auto body = s.get("/v1/cvds");
      if (!body) return fail(std::move(body.error()));
      auto list = wire::parse_cvd_list(*body);
      if (!list) return fail(std::move(list.error()));
      if (s.json) return *s.out << *body << '\n', Done{};
      Session::Rows rows{{"DEVICE", "HOST", "SNAPSHOTS", "NEWEST", "STATE"}};
      for (const auto& i : list->cvds)
        rows.push_back({i.device.hex(), printable(i.host_name), std::to_string(i.snapshots),
                        to_iso8601(WallTime{i.newest_ms * 1000000}), i.state.value_or("")});
      s.table(rows);
      return Done{};
    };
  });
}

}  // namespace lamina::origin::cli
