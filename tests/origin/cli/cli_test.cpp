#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <sstream>

#include "origin/cli/session.hpp"
#include "tests/support/command_walk.hpp"

using namespace lamina::origin::cli;
using namespace lamina::tests;

namespace {
int run(std::vector<const char*> args, std::string& out, std::string& err) {
  args.insert(args.begin(), "lamina");
  std::ostringstream o, e;
  const int code = run_lamina(static_cast<int>(args.size()), args.data(), o, e);
  out = o.str(), err = e.str();
  return code;
}

struct Tree {
  CLI::App app{"", "lamina"};
  Session session;
  Run run;
  Tree() { add_commands(app, session, run); }
};

// What prints, checks, or writes nothing but a file or directory that the caller names, new.
const std::set<std::string> kReads = {
    "alert ls",        "audit export", "audit ls",           "audit verify",  "collection ls",
    "collection show", "cvd ls",       "cvd retention show", "cvd snapshots", "cvd software",
    "cvd verify",      "device log",   "device ls",          "device proof",  "device proposals",
    "device show",     "driver ls",    "driver preview",     "explain",       "layer conflicts",
    "layer diff",      "layer ls",     "layer show",         "layer verify",  "layer capture start",
    "policy export",   "policy ls",    "policy preview",     "policy show",   "policy versions",
    "quota ls",        "reflector ls", "reflector show",     "rollout ls",    "rollout plan",
    "rollout show",    "rule check",   "rule export",        "rule ls",       "seeder ls",
    "site ls",         "site savings", "site show",          "token ls"};
}  // namespace

TEST_CASE("lamina: every command has help with an example of itself that can be given", "[cli]") {
  Tree tree;
  for (const auto& [name, command] : commands_of(tree.app)) {
    CAPTURE(name);
    const auto examples = examples_of(*command, "lamina");
    for (const std::string& line : examples) {
      CAPTURE(line);
      CHECK((line + ' ').starts_with(name + ' '));
      Tree fresh;
      CHECK_NOTHROW(parse_line(fresh.app, line));
      CHECK(fresh.run);
    }
    CHECK_FALSE(examples.empty());
  }
}

TEST_CASE("lamina: every command that changes something can be rehearsed", "[cli]") {
  Tree tree;
  const auto commands = commands_of(tree.app);
  CHECK(commands.size() > 60);
  for (const auto& [name, command] : commands) {
    CAPTURE(name);
    CHECK((command->get_option_no_throw("--dry-run") != nullptr) == !kReads.contains(name));
  }
  for (const std::string& name : kReads) {
    CAPTURE(name);
    CHECK(commands.contains(name));
  }
}

TEST_CASE("lamina: every command takes --json", "[cli]") {
  Tree tree;
  for (const auto& [name, command] : commands_of(tree.app)) {
    CAPTURE(name);
    Tree fresh;
    std::string line = examples_of(*command, "lamina").at(0);
    if (line.find("--json") == std::string::npos) line += " --json";
    CHECK_NOTHROW(parse_line(fresh.app, line));
    CHECK(fresh.session.json);
  }
}

TEST_CASE("lamina: the exit codes are in the help", "[cli]") {
  std::string out, err;
  CHECK(run({"--help"}, out, err) == ok);
  CHECK(out.find("7 out of space") != std::string::npos);
}

TEST_CASE("lamina: wrong usage is one line and exit code 2", "[cli]") {
  std::string out, err;
  for (const auto& args :
       std::vector<std::vector<const char*>>{{},
                                             {"bogus"},
                                             {"device"},
                                             {"device", "show"},
                                             {"token", "create"},
                                             {"device", "ls"},
                                             {"layer", "show"},
                                             {"rollout"},
                                             {"rollout", "create"},
                                             {"rollout", "plan"},
                                             {"rollout", "plan", "r", "--file", "f"},
                                             {"rollout", "plan", "--site", "north"},
                                             {"rollout", "start"},
                                             {"layer", "verify"},
                                             {"layer", "rm"},
                                             {"cvd", "forget"},
                                             {"cvd", "retention"},
                                             {"layer", "verify", "x:1", "--bogus"}}) {
    CHECK(run(args, out, err) == usage);
    CHECK(err.starts_with("lamina: "));
    CHECK(std::count(err.begin(), err.end(), '\n') == 1);
  }
}

TEST_CASE("lamina: a command that does not exist is named", "[cli]") {
  std::string out, err;
  CHECK(run({"bogus"}, out, err) == usage);
  CHECK(err.find("'bogus'") != std::string::npos);
  CHECK(run({"layer", "bogus", "x"}, out, err) == usage);
  CHECK(err.find("'bogus'") != std::string::npos);
  // What is missing is not the command: nothing is said of one.
  CHECK(run({"layer", "show"}, out, err) == usage);
  CHECK(err.find("LAYER") != std::string::npos);
}
