#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <sstream>

#include "origin/cli/session.hpp"

using namespace lamina::origin::cli;

namespace {
int run(std::vector<const char*> args, std::string& out, std::string& err) {
  args.insert(args.begin(), "lamina");
  std::ostringstream o, e;
  const int code = run_lamina(static_cast<int>(args.size()), args.data(), o, e);
  out = o.str(), err = e.str();
  return code;
}

// Every command, by its words, with what stands in its help.
std::map<std::string, CLI::App*> commands_of(CLI::App& app, const std::string& words = "") {
  std::map<std::string, CLI::App*> found;
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    if (command->get_name().empty()) continue;  // A group of options.
    const std::string name = words + (words.empty() ? "" : " ") + command->get_name();
    const auto beneath = commands_of(*command, name);
    if (command->get_require_subcommand_min() == 0) found.emplace(name, command);
    found.insert(beneath.begin(), beneath.end());
  }
  return found;
}

struct Tree {
  CLI::App app{"", "lamina"};
  Session session;
  Run run;
  Tree() { add_commands(app, session, run); }
};

// Of a line of a shell: blanks part words, single quotes hold them together.
std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  bool is_open = false, is_quoted = false;
  for (const char c : line) {
    if (c == '\'') {
      is_quoted = !is_quoted;
    } else if (c == ' ' && !is_quoted) {
      is_open = false;
      continue;
    }
    if (!is_open) words.emplace_back();
    is_open = true;
    if (c != '\'') words.back() += c;
  }
  return words;
}

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
    const std::string footer = command->get_footer();
    const std::string begin = "Example: lamina " + name;
    std::size_t examples = 0;
    std::istringstream lines(footer);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("Example: lamina ")) continue;
      ++examples;
      CHECK((line + ' ').starts_with(begin + ' '));
      Tree fresh;
      auto words = words_of(line.substr(std::string("Example: lamina ").size()));
      std::reverse(words.begin(), words.end());  // As CLI11 takes them.
      CAPTURE(line);
      CHECK_NOTHROW(fresh.app.parse(words));
      CHECK(fresh.run);
    }
    CHECK(examples > 0);
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
    const std::string footer = command->get_footer();
    const std::string line = footer.substr(footer.find("Example: lamina ") + 16);
    auto words = words_of(line.substr(0, line.find('\n')));
    if (std::ranges::find(words, "--json") == words.end()) words.emplace_back("--json");
    std::reverse(words.begin(), words.end());
    CHECK_NOTHROW(fresh.app.parse(words));
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
