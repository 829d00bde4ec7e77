#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {

void add_token(CLI::App& app, Run& run) {
  auto* token = app.add_subcommand("token", "tokens of administrators and for enrolment");
  token->require_subcommand(1);
  token->footer(
      "Example: lamina token create --name north --kind enrol --uses 8 --ttl 30d --site north");
  auto request = std::make_shared<wire::TokenRequest>();
  auto ttl = std::make_shared<std::string>("30d");
  request->uses = 1;
  auto* create = token->add_subcommand("create", "make a token and print its secret once");
  create->footer(
      "Example: lamina token create --name north --kind enrol --uses 8 --ttl 30d --site north");
  create->add_option("--name", request->name, "its name")->required();
  create
      ->add_option(
          "--kind", request->kind,
          "admin, enrol, seeder (joins one further seeder, of the token's name), or metrics: "
          "GET /metrics only")
      ->required()
      ->check(CLI::IsMember({"admin", "enrol", "metrics", "seeder"}));
  create->add_option("--uses", request->uses, "enrolments it is good for")
      ->check(CLI::PositiveNumber);
  create->add_option("--ttl", *ttl, "how long it lives; 30d unless given");
  create->add_option("--site", request->site, "place devices there at once");
  auto cvd = std::make_shared<std::string>();
  create->add_option("--cvd", *cvd,
                     "give the device that enrols with it the archived CVD of this one: its "
                     "replacement");
  create->callback([&run, request, ttl, cvd] {
    run = [request, ttl, cvd](Session& s) -> Status {
      if (!cvd->empty()) {
        auto of = DeviceId::parse(*cvd);
        if (!of) return fail(std::move(of.error()).in("--cvd"));
        request->cvd = *of;
      }
      auto life = parse_duration(*ttl);
      if (!life) return fail(std::move(life.error()).in("--ttl"));
      request->ttl_ms = std::chrono::duration_cast<std::chrono::milliseconds>(*life).count();
      if (request->kind != "enrol") request->uses = 0;
      auto body = s.call("POST", "/v1/tokens", wire::to_json(*request));
      if (!body) return fail(std::move(body.error()));
      auto made = wire::parse_token_reply(*body);
      if (!made) return fail(std::move(made.error()));
      if (s.dry_run)
        s.tell(*body, "token " + made->name + " made");
      else
        *s.out << (s.json ? *body : made->secret) << '\n';
      return Done{};
    };
  });
  token->add_subcommand("ls", "list the tokens")
      ->footer("Example: lamina token ls")
      ->callback([&run] {
        run = [](Session& s) -> Status {
          auto body = s.get("/v1/tokens");
          if (!body) return fail(std::move(body.error()));
          auto list = wire::parse_token_list(*body);
          if (!list) return fail(std::move(list.error()));
          Session::Rows rows{{"TOKEN", "KIND", "SITE", "USES LEFT", "EXPIRES"}};
          for (const auto& i : list->tokens) {
            if (s.json) *s.out << wire::to_json(i) << '\n';
            rows.push_back({i.name, i.kind, i.site, std::to_string(i.uses_left),
                            to_iso8601(WallTime{i.expires_ms * 1000000})});
          }
          if (!s.json) s.table(rows);
          return Done{};
        };
      });
  auto name = std::make_shared<std::string>();
  auto* revoke = token->add_subcommand("revoke", "make a token worthless");
  revoke->footer("Example: lamina token revoke north");
  revoke->add_option("name", *name, "its name")->required();
  revoke->callback([&run, name] {
    run = [name](Session& s) -> Status {
      auto body = s.call("DELETE", "/v1/tokens/" + encoded(*name), "");
      if (!body) return fail(std::move(body.error()));
      s.tell(*body, *name + " is revoked");
      return Done{};
    };
  });
}

}  // namespace lamina::origin::cli
