// What every command of `lamina` shares: the connection to the origin and the output.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "shared/cli/exit_code.hpp"
#include "shared/cli/table.hpp"
#include "shared/net/origin_access.hpp"

namespace lamina::origin::cli {

using enum lamina::cli::ExitCode;
using lamina::cli::exit_code_of;

struct SessionOptions : net::OriginAccess {
  bool json = false;
  bool dry_run = false;  // Changes are rehearsed by the origin, and none is made.
  std::string restore;   // Names the restore that calls are part of (AuditedRestore); "": of none.
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
};

// Calls to the origin with the global options. Connects at the first call.
struct Session : SessionOptions {
  Session() = default;
  explicit Session(const SessionOptions& options) : SessionOptions(options) {}

  // The body of a 2xx answer; any other answer as the error it carries.
  Result<std::string> get(const std::string& path);
  // With `dry_run`, a call that changes something is a rehearsal.
  Result<std::string> call(const std::string& method, const std::string& path,
                           const std::string& json_body);

  // Any call; an answer other than 2xx is the error that it carries.
  Result<net::Reply> send(net::Call call);

  // A change was made, or rehearsed: the answer as JSON, or `text`.
  void tell(const std::string& body, const std::string& text) const;

  // What has been done so far, on one line of a terminal; nothing when stderr is none. "" ends it.
  void progress(const std::string& text) const;

  using Rows = lamina::cli::Rows;
  void table(const Rows& rows) const { lamina::cli::write_table(*out, rows); }

 private:
  Status connect();
  std::unique_ptr<net::BlockingClient> client_;
};

// Each adds its noun to `app`; the command chosen is put into `run`.
using Run = std::function<Status(Session&)>;
void add_alert(CLI::App& app, Run& run);
void add_assign(CLI::App& app, Run& run);
void add_collection(CLI::App& app, Run& run);
void add_cvd(CLI::App& app, Run& run);
void add_device(CLI::App& app, Run& run);
void add_device_life(CLI::App& device, Run& run);
void add_driver(CLI::App& app, Run& run);
void add_enforce(CLI::App& app, Run& run);
void add_explain(CLI::App& app, Run& run);
void add_layer(CLI::App& app, Run& run);
void add_layer_capture(CLI::App& layer, Run& run);
void add_layer_export(CLI::App& layer, Run& run);
void add_layer_show(CLI::App& layer, Run& run);
void add_cvd_life(CLI::App& cvd, Run& run);
void add_cvd_restore(CLI::App& cvd, Run& run);
void add_cvd_retention(CLI::App& cvd, Run& run);
void add_policy(CLI::App& app, Run& run);
void add_quota(CLI::App& app, Run& run);
void add_reflector(CLI::App& app, Run& run);
void add_rollout(CLI::App& app, Run& run);
void add_rollout_plan(CLI::App& rollout, Run& run);
void add_rule(CLI::App& app, Run& run);
void add_seeder(CLI::App& app, Run& run);
void add_site(CLI::App& app, Run& run);
void add_stage(CLI::App& app, Run& run);
void add_token(CLI::App& app, Run& run);

// All commands, with their options, which set what is in `session`.
void add_commands(CLI::App& app, Session& session, Run& run);

// The whole program. Data on `out`, one line per error on `err`.
int run_lamina(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

// "a,b" as {"a", "b"}; everything outside A-Z a-z 0-9 . _ - as %XX.
std::vector<std::string> split(const std::string& text);
std::string encoded(const std::string& text);

}  // namespace lamina::origin::cli
