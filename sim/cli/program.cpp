#include "sim/cli/program.hpp"

#include <CLI/CLI.hpp>

#include "sim/cli/commands.hpp"

namespace lamina::sim {

cli::ExitCode report(const Error& error, Io& io) {
  io.err << "lamina-sim: " << error.text() << '\n';
  return cli::exit_code_of(error.kind());
}

cli::ExitCode report(const Findings& findings, Io& io) {
  io.err << findings.text();
  return cli::usage;
}

int run_sim(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  CLI::App app("lamina-sim: what a rollout will take, and what it will do to every line",
               "lamina-sim");
  app.footer(std::string(cli::exit_code_help()) + "\nExample: lamina-sim init plan");
  app.set_version_flag("--version", LAMINA_VERSION);
  app.require_subcommand(1);
  Io io{out, err};
  const auto command = [&](const char* name, const char* what, const char* example) {
    auto* added = app.add_subcommand(name, what);
    added->footer(std::string("Example: lamina-sim ") + example);
    return added;
  };

  std::string directory;
  auto* init =
      command("init", "write an example of a scenario, explained line by line", "init plan");
  init->add_option("directory", directory, "where; it is made if it is missing")->required();

  CheckOptions check;
  auto* check_command = command("check", "read a scenario and say everything that is wrong with it",
                                "check plan/scenario.toml");
  check_command->add_option("scenario", check.scenario, "the scenario's file")->required();
  check_command->add_flag("--json", check.as_json, "print a JSON record");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, out, err), cli::ok;
    err << "lamina-sim: " << error.what() << "; see lamina-sim --help\n";
    return cli::usage;
  }
  if (init->parsed()) return run_init(directory, io);
  return run_check(check, io);
}

}  // namespace lamina::sim
