// The commands of lamina-sim, each in its cmd_<name>.cpp.
//
// They return the process's exit code: what was asked for is on `io.out`, one line for each thing
// that is wrong on `io.err`. One thread.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "shared/cli/exit_code.hpp"
#include "shared/net/origin_access.hpp"
#include "sim/import/options.hpp"
#include "sim/scenario/document.hpp"
#include "sim/scenario/findings.hpp"

namespace lamina::sim {

struct Io {
  std::ostream& out;
  std::ostream& err;
};

// Prints the failure and gives its exit code.
cli::ExitCode report(const Error& error, Io& io);
// Prints all findings; the exit code of a wrong scenario.
cli::ExitCode report(const Findings& findings, Io& io);

// Where a scenario was written, and what to do next.
void print_made(const std::string& what, const std::string& directory, bool as_json, Io& io);

struct InitCommand {
  std::string directory;
  bool as_json = false;
};
// Writes an example into a new directory.
cli::ExitCode run_init(const InitCommand& options, Io& io);

struct ImportCommand {
  std::string directory;
  net::OriginAccess access;
  std::string rollout;       // A rollout of the origin...
  std::string site, layers;  // ...or an assignment: "name:version,...".
  ImportTexts texts;
  bool as_json = false;
};
// Asks an origin and writes a scenario into a new directory.
cli::ExitCode run_import(const ImportCommand& options, Io& io);

struct CheckOptions {
  std::string scenario;
  bool as_json = false;
};
// Reads a scenario and says what is wrong with it.
cli::ExitCode run_check(const CheckOptions& options, Io& io);

// What all commands take that run a scenario.
struct Simulation {
  std::string scenario;          // The file.
  std::vector<std::string> set;  // "key=value"; sweep: "key=value,value" and "key=low..high/count".
  int seeds = 0;                 // Instead of run.replicas; 0: as the file says.
  int threads = 1;
};

struct RunCommand {
  Simulation simulation;
  std::string directory;  // For the report's files; empty: none.
  std::string json;       // A file for result.json, "-": stdout; empty: none.
};
// Runs it, writes the report, prints when the waves are done.
cli::ExitCode run_run(const RunCommand& options, Io& io);

struct SweepOptions {
  Simulation simulation;
  std::string directory;  // For sweep.html; empty: none.
  bool as_json = false;
};
// Runs it with every combination of the values and prints a line for each.
cli::ExitCode run_sweep(const SweepOptions& options, Io& io);

struct SolveOptions {
  Simulation simulation;
  std::string target;  // "wave3.p95<8h"
  std::string vary;    // "site.cap"
  bool as_json = false;
};
// Finds the smallest value with which the target holds.
cli::ExitCode run_solve(const SolveOptions& options, Io& io);

struct FailOptions {
  Simulation simulation;
  std::string reflectors;  // A share: "5%".
  std::string at;          // "04:00" or "6h".
  bool as_json = false;
};
// Runs it with and without reflectors that die.
cli::ExitCode run_fail(const FailOptions& options, Io& io);

struct CompareOptions {
  std::string plan;  // Both are files like result.json.
  std::string actual;
  bool as_json = false;
};
// Says how far what happened is from the plan.
cli::ExitCode run_compare(const CompareOptions& options, Io& io);

struct EmulateOptions {
  std::string scenario;
  std::vector<std::string> set;   // "key=value".
  std::string directory;          // For the reports, and what `calibrate` reads.
  std::string lab = "tests/e2e";  // The folder of emulate.py.
  std::string build = "build";    // Where the programs were built.
  bool keep = false;              // The lab's logs and data.
  bool as_json = false;           // The comparison, as `compare` prints it.
};
// Carries a small scenario out with the real programs and compares it with its simulation.
cli::ExitCode run_emulate(const EmulateOptions& options, Io& io);

struct CalibrateOptions {
  std::vector<std::string> runs;  // Directories that `emulate` wrote.
  std::string file;               // For the calibration; empty: none.
  bool as_json = false;
};
// Fits the model's factors to such runs.
cli::ExitCode run_calibrate(const CalibrateOptions& options, Io& io);

}  // namespace lamina::sim
