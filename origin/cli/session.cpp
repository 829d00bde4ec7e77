#include "origin/cli/session.hpp"

#include <cctype>
#include <sstream>

#include "origin/cli/audit_commands.hpp"
#include "shared/cli/command_line.hpp"
#include "shared/cli/progress.hpp"
#include "shared/wire/restore.hpp"

namespace lamina::origin::cli {
namespace {

// Commands that change what the origin has by one call, and so can be rehearsed by it. Those that
// do more have a --dry-run of their own.
constexpr const char* kRehearsed[] = {"collection add",
                                      "collection edit",
                                      "collection rm",
                                      "cvd activate",
                                      "cvd archive",
                                      "cvd delete",
                                      "cvd reassign",
                                      "cvd retention set",
                                      "device assign",
                                      "device decommission",
                                      "device merge",
                                      "device reference",
                                      "device reject",
                                      "device snooze",
                                      "driver rm",
                                      "driver set",
                                      "layer rm",
                                      "policy assign",
                                      "policy import",
                                      "policy rm",
                                      "policy unassign",
                                      "quota set",
                                      "reflector accept",
                                      "reflector disable",
                                      "reflector enable",
                                      "reflector reject",
                                      "reflector configure",
                                      "reflector rebuild",
                                      "reflector resume",
                                      "reflector suspend",
                                      "reflector sync",
                                      "rollout create",
                                      "rollout pause",
                                      "rollout resume",
                                      "rollout start",
                                      "rollout stop",
                                      "rule import",
                                      "seeder rm",
                                      "site add",
                                      "site appoint",
                                      "site edit",
                                      "site reflectors",
                                      "stage",
                                      "token create",
                                      "token revoke",
                                      "unstage"};

CLI::App* command_of(CLI::App* app, const std::string& words) {
  std::istringstream in(words);
  for (std::string word; in >> word;) app = app->get_subcommand(word);
  return app;
}

}  // namespace

Status Session::connect() {
  if (client_) return Done{};
  auto client = net::connect_to(*this);
  if (!client) return fail(std::move(client.error()));
  client_ = std::move(*client);
  return Done{};
}

Result<net::Reply> Session::send(net::Call call) {
  if (auto done = connect(); !done) return fail(std::move(done.error()));
  if (!restore.empty()) call.headers.add(std::string(wire::kRestoreHeader), restore);
  return net::check(client_->send(std::move(call)));
}

Result<std::string> Session::get(const std::string& path) {
  auto reply = send({.method = "GET", .target = path});
  if (!reply) return fail(std::move(reply.error()));
  return std::move(reply->body);
}

Result<std::string> Session::call(const std::string& method, const std::string& path,
                                  const std::string& json_body) {
  constexpr std::string_view kVersion = "/v1";
  net::Call request{.method = method, .target = path};
  if (dry_run && method != "GET") request.target.insert(kVersion.size(), "/dry-run");
  if (method == "POST" || method == "PUT") {
    request.content_type = "application/json";
    request.body = json_body;
  }
  auto reply = send(std::move(request));
  if (!reply) return fail(std::move(reply.error()));
  return std::move(reply->body);
}

void Session::tell(const std::string& body, const std::string& text) const {
  if (json)
    *out << body << '\n';
  else
    *out << (dry_run ? "dry run, nothing is changed: " : "") << text << '\n';
}

void Session::progress(const std::string& text) const {
  if (!lamina::cli::stderr_is_terminal()) return;
  *err << "\r\x1b[K" << text << std::flush;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

std::string encoded(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-')
      out += c;
    else
      out += "%" + to_hex(as_view(std::string_view(&c, 1)));
  }
  return out;
}

void add_commands(CLI::App& app, Session& session, Run& run) {
  app.footer(std::string(lamina::cli::exit_code_help()) +
             "\nExample: lamina --origin hq:8443 --ca ca.pem --token-file t device ls");
  net::add_origin_options(app, session);
  app.add_flag("--json", session.json, "print records as JSON");
  app.require_subcommand(1);
  app.fallthrough();
  add_alert(app, run), add_assign(app, run), add_audit(app, run), add_collection(app, run);
  add_cvd(app, run);
  add_device(app, run), add_driver(app, run), add_enforce(app, run), add_explain(app, run);
  add_layer(app, run), add_policy(app, run), add_quota(app, run), add_reflector(app, run);
  add_rollout(app, run), add_rule(app, run);
  add_seeder(app, run), add_site(app, run), add_stage(app, run), add_token(app, run);
  for (const char* words : kRehearsed)
    command_of(&app, words)
        ->add_flag("--dry-run", session.dry_run,
                   "the origin checks it as ever and says what it would answer; nothing changes");
}

int run_lamina(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  CLI::App app("lamina: the administrator's commands for a Lamina origin", "lamina");
  Session session;
  session.out = &out;
  session.err = &err;
  Run run;
  add_commands(app, session, run);
  if (const auto code = lamina::cli::parse(app, argc, argv, out, err)) return *code;
  return lamina::cli::ended(app, run(session), err);
}

}  // namespace lamina::origin::cli
