#include <chrono>

#include "origin/cli/session.hpp"
#include "shared/net/loop.hpp"
#include "shared/wire/seeder.hpp"

namespace lamina::origin::cli {
namespace {

// "3 min", "2 h": for how long it has been silent.
std::string lately(std::int64_t ms) {
  const std::int64_t seconds = std::max<std::int64_t>(0, ms / 1000);
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 7200) return std::to_string(seconds / 60) + " min";
  if (seconds < 172'800) return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / 86'400) + " d";
}

std::string state_of(const wire::SeederInfo& i, std::int64_t now_ms) {
  if (i.state == "mirroring") {
    const double all = static_cast<double>(i.held_bytes) + static_cast<double>(i.missing_bytes);
    const int percent =
        all > 0 ? static_cast<int>(100 * static_cast<double>(i.held_bytes) / all) : 0;
    return "mirroring " + std::to_string(percent) + " %";
  }
  if (i.state == "silent")
    return i.seen_ms > 0 ? "silent for " + lately(now_ms - i.seen_ms)
                         : "silent since the origin started";
  if (i.state == "certificate-expired") return "certificate expired";
  if (i.state == "trouble") return i.trouble;
  if (i.state == "origin") return "the origin's own";
  return i.state;
}

Status show(Session& s) {
  auto body = s.get("/v1/seeders");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_seeder_list(*body);
  if (!list) return fail(std::move(list.error()));
  const std::int64_t now_ms = net::Loop::wall_now().ns / 1'000'000;
  Session::Rows rows{{"SEEDER", "ADDRESS", "STATE", "LAYERS", "BYTES", "CONNECTIONS", "SENT",
                      "VERSION", "CERTIFICATE UNTIL"}};
  for (const wire::SeederInfo& i : list->seeders) {
    if (s.json) *s.out << wire::to_json(i) << '\n';
    const bool own = i.state == "origin";
    const auto figure = [&](std::string text) { return own ? std::string("-") : std::move(text); };
    rows.push_back({i.name, i.address.empty() ? "-" : i.address, state_of(i, now_ms),
                    std::to_string(i.layers) + " of " + std::to_string(i.layers_listed),
                    figure(to_text(Bytes{i.held_bytes})), figure(std::to_string(i.connections)),
                    figure(to_text(Bytes{i.sent_bytes})), figure(i.version),
                    figure(to_iso8601(WallTime{i.certificate_expires_ms * 1'000'000}))});
  }
  if (!s.json) s.table(rows);
  return Done{};
}

}  // namespace

void add_seeder(CLI::App& app, Run& run) {
  auto* seeder = app.add_subcommand("seeder", "seeders: the origin's own and those elsewhere");
  seeder->require_subcommand(1);
  seeder->footer("Example: lamina seeder ls --json");
  auto* ls = seeder->add_subcommand("ls", "list the seeders and how they stand");
  ls->footer(
      "BYTES: of packs that it holds; SENT: to sites, since its start.\n"
      "Example: lamina seeder ls");
  ls->callback([&run] { run = show; });
  auto name = std::make_shared<std::string>();
  auto* rm = seeder->add_subcommand("rm", "shut a seeder out: no site is told of it any more");
  rm->footer(
      "Its certificate is not renewed, and its token is revoked.\nExample: lamina seeder rm s2");
  rm->add_option("name", *name, "its name")->required();
  rm->callback([&run, name] {
    run = [name](Session& s) -> Status {
      auto body = s.call("DELETE", "/v1/seeders/" + encoded(*name), "");
      if (!body) return fail(std::move(body.error()));
      s.tell(*body, "seeder " + *name + " is removed");
      return Done{};
    };
  });
}

}  // namespace lamina::origin::cli
