#include "sim/cli/program.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <thread>

#include "shared/cli/command_line.hpp"
#include "sim/cli/commands.hpp"
#include "sim/import/options.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

cli::ExitCode report(const Error& error, Io& io) {
  io.err << "lamina-sim: " << error.text() << '\n';
  return cli::exit_code_of(error.kind());
}

cli::ExitCode report(const Findings& findings, Io& io) {
  io.err << findings.text();
  return cli::usage;
}

namespace {

constexpr int kThreadsMax = 256;

// What was typed; each command has its part.
struct CommandLine {
  InitCommand init;
  ImportCommand importing;
  CheckOptions check;
  RunCommand run;
  SweepOptions sweep;
  SolveOptions solve;
  FailOptions fail;
  CompareOptions compare;
  EmulateOptions emulate;
  CalibrateOptions calibrate;
};

using Run = std::function<cli::ExitCode(Io&)>;

// The program's commands, and which of them was asked for.
class Commands {
 public:
  explicit Commands(CLI::App& app) : app_(app) {}

  CLI::App* add(const char* name, const char* what, const char* example, Run run) {
    auto* added = app_.add_subcommand(name, what);
    added->footer(std::string("Example: lamina-sim ") + example);
    added->callback([this, run = std::move(run)] { asked_ = run; });
    return added;
  }
  cli::ExitCode carry_out(Io& io) const { return asked_(io); }

 private:
  CLI::App& app_;
  Run asked_;
};

void add_json(CLI::App* command, bool& as_json) {
  command->add_flag("--json", as_json, "print a JSON record");
}

void add_simulation(CLI::App* command, Simulation& simulation, const char* set) {
  simulation.threads = static_cast<int>(
      std::clamp(std::thread::hardware_concurrency(), 1U, static_cast<unsigned>(kThreadsMax)));
  command->add_option("scenario", simulation.scenario, "the scenario's file")->required();
  command->add_option("--set", simulation.set, set);
  command
      ->add_option("--seeds", simulation.seeds,
                   "how many replicas, instead of what the scenario says")
      ->check(CLI::Range(1, kReplicasMax));
  command
      ->add_option("--threads", simulation.threads,
                   "for replicas and sites; the result does not depend on it")
      ->check(CLI::Range(1, kThreadsMax))
      ->capture_default_str();
}

constexpr const char* kSetHelp =
    "KEY=VALUE instead of what the file says: origin.uplink=2Gbit, rollout.wave.2.percent=10, "
    "site.COLUMN=VALUE for all sites, site.cap=RATE instead of all bandwidth rules; may be "
    "repeated";

void add_files(Commands& commands, CommandLine& line) {
  auto* init = commands.add("init", "write an example of a scenario, explained line by line",
                            "init plan", [&](Io& io) { return run_init(line.init, io); });
  init->add_option("directory", line.init.directory, "where; it is made if it is missing")
      ->required();
  add_json(init, line.init.as_json);

  auto* make =
      commands.add("import", "make a scenario of a rollout from what a running origin knows",
                   "import plan --rollout debian-12.11 --origin hq:8443 --ca ca.pem --token-file t",
                   [&](Io& io) { return run_import(line.importing, io); });
  make->add_option("directory", line.importing.directory, "where; it is made if it is missing")
      ->required();
  net::add_origin_options(*make, line.importing.access);
  auto* of = make->add_option_group("of")->require_option(1);
  of->add_option("--rollout", line.importing.rollout, "a rollout that was made there");
  auto* site =
      of->add_option("--site", line.importing.site, "an assignment of --layers to this site");
  auto* layers =
      make->add_option("--layers", line.importing.layers, "NAME:VERSION,..., base first");
  layers->needs(site), site->needs(layers);
  add_import_options(*make, line.importing.texts);
  add_json(make, line.importing.as_json);

  auto* check =
      commands.add("check", "read a scenario and say everything that is wrong with it",
                   "check plan/scenario.toml", [&](Io& io) { return run_check(line.check, io); });
  check->add_option("scenario", line.check.scenario, "the scenario's file")->required();
  add_json(check, line.check.as_json);

  auto* compare = commands.add("compare", "say how far what happened is from the plan",
                               "compare plan/out/result.json measured.json",
                               [&](Io& io) { return run_compare(line.compare, io); });
  compare->add_option("plan", line.compare.plan, "the result.json of a run")->required();
  compare
      ->add_option("actual", line.compare.actual,
                   "what happened: as `lamina --json rollout show NAME` prints it, or another "
                   "result.json")
      ->required();
  add_json(compare, line.compare.as_json);
}

void add_questions(Commands& commands, CommandLine& line) {
  auto* run = commands.add("run", "run a scenario and write its report",
                           "run plan/scenario.toml --out plan/out",
                           [&](Io& io) { return run_run(line.run, io); });
  add_simulation(run, line.run.simulation, kSetHelp);
  run->add_option("--out", line.run.directory,
                  "a directory for report.html, result.json, waves.csv, sites.csv, lines.csv and "
                  "metrics.prom");
  run->add_option("--json", line.run.json, "a file for the result as JSON; -: print it");

  auto* sweep = commands.add(
      "sweep", "run a scenario with every combination of some values",
      "sweep plan/scenario.toml --set rollout.mode=direct,swarm --set site.cap=10Mbit..50Mbit/5",
      [&](Io& io) { return run_sweep(line.sweep, io); });
  add_simulation(sweep, line.sweep.simulation,
                 "KEY=VALUE,VALUE... or KEY=LOW..HIGH/COUNT; keys as for run; may be repeated");
  sweep->get_option("--set")->required();
  sweep->add_option("--out", line.sweep.directory, "a directory for sweep.html");
  add_json(sweep, line.sweep.as_json);

  auto* solve = commands.add("solve", "find the smallest value with which a wave is done in time",
                             "solve plan/scenario.toml --target 'wave3.p95<8h' --vary site.cap",
                             [&](Io& io) { return run_solve(line.solve, io); });
  add_simulation(solve, line.solve.simulation, kSetHelp);
  solve
      ->add_option("--target", line.solve.target,
                   "WAVE.FIGURE<TIME: wave3 or a wave's name; p50, p95 or p99; counted from the "
                   "wave's begin, and in every replica")
      ->required();
  solve
      ->add_option("--vary", line.solve.vary,
                   "site.cap, site.wan_down, origin.uplink, site.reflectors or "
                   "rollout.sites_at_once")
      ->required();
  add_json(solve, line.solve.as_json);

  auto* fail = commands.add("fail", "run a scenario with and without reflectors that die",
                            "fail plan/scenario.toml --reflectors 5% --at 23:00",
                            [&](Io& io) { return run_fail(line.fail, io); });
  add_simulation(fail, line.fail.simulation, kSetHelp);
  fail->add_option("--reflectors", line.fail.reflectors, "at what share of the sites one dies")
      ->required();
  fail->add_option("--at", line.fail.at,
                   "a time of the day, or a time since the start of the run such as 6h")
      ->required();
  add_json(fail, line.fail.as_json);
}

void add_lab(Commands& commands, CommandLine& line) {
  auto* emulate = commands.add(
      "emulate", "carry a small scenario out with the real programs, beside its simulation",
      "emulate tests/e2e/emulate/reflector.toml --out build/reflector",
      [&](Io& io) { return run_emulate(line.emulate, io); });
  emulate->add_option("scenario", line.emulate.scenario, "the scenario's file")->required();
  emulate
      ->add_option("--out", line.emulate.directory,
                   "a directory for what was measured, with the reports of `run`, and of the "
                   "simulation in DIR/plan")
      ->required();
  emulate->add_option("--set", line.emulate.set, kSetHelp);
  emulate
      ->add_option("--lab", line.emulate.lab,
                   "the folder of emulate.py, which comes with Lamina's sources")
      ->capture_default_str();
  emulate->add_option("--build", line.emulate.build, "where Lamina was built")
      ->capture_default_str();
  add_json(emulate, line.emulate.as_json);
  emulate->add_flag("--keep", line.emulate.keep, "keep the lab's logs and data");

  auto* calibrate =
      commands.add("calibrate", "fit the model's factors to runs with the real programs",
                   "calibrate build/run-1 build/run-2 --out calibration.toml",
                   [&](Io& io) { return run_calibrate(line.calibrate, io); });
  calibrate->add_option("runs", line.calibrate.runs, "directories that `emulate` wrote")
      ->required();
  calibrate->add_option("--out", line.calibrate.file,
                        "a file for scenarios: calibration = \"FILE\"");
  add_json(calibrate, line.calibrate.as_json);
}

// A command line with its own commands.
struct Program {
  CLI::App app{"lamina-sim: what a rollout will take, and what it will do to every line",
               "lamina-sim"};
  CommandLine line;
  Commands commands{app};
  Program() {
    app.footer(std::string(cli::exit_code_help()) + "\nExample: lamina-sim init plan");
    app.set_version_flag("--version", LAMINA_VERSION);
    app.require_subcommand(1);
    add_files(commands, line);
    add_questions(commands, line);
    add_lab(commands, line);
  }
};

}  // namespace

std::shared_ptr<CLI::App> command_tree() {
  auto program = std::make_shared<Program>();
  return {program, &program->app};
}

int run_sim(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  Program program;
  if (const auto code = cli::parse(program.app, argc, argv, out, err)) return *code;
  Io io{out, err};
  return program.commands.carry_out(io);
}

}  // namespace lamina::sim
