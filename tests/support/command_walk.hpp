// Walks the commands of a program: what every one of them must have, whatever it does.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace lamina::tests {

// Every command, by its words.
inline std::map<std::string, CLI::App*> commands_of(CLI::App& app, const std::string& words = "") {
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

// Of a line of a shell: blanks part words, single quotes hold them together.
inline std::vector<std::string> words_of(const std::string& line) {
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

// What the help of a command of `program` gives as examples: its lines that begin with "Example: ",
// with those in which they go on after a backslash, without the program's name.
inline std::vector<std::string> examples_of(const CLI::App& command, const std::string& program) {
  const std::string begin = "Example: " + program + ' ';
  std::vector<std::string> examples;
  std::istringstream lines(command.get_footer());
  bool goes_on = false;
  for (std::string line; std::getline(lines, line);) {
    if (goes_on) {
      examples.back() += line.substr(std::min(line.find_first_not_of(' '), line.size()));
    } else if (line.starts_with(begin)) {
      examples.push_back(line.substr(begin.size()));
    } else {
      continue;
    }
    goes_on = examples.back().ends_with('\\');
    if (goes_on) examples.back().pop_back();
  }
  return examples;
}

inline void parse_line(CLI::App& app, const std::string& line) {
  auto words = words_of(line);
  std::reverse(words.begin(), words.end());  // As CLI11 takes them.
  app.parse(words);
}

struct Program {
  std::string name;
  std::function<std::shared_ptr<CLI::App>()> tree;  // Anew: nothing was parsed by it.
  // What prints, checks, or writes nothing but a file or directory that the caller names; and what
  // runs until it is ended, and undoes nothing that it did.
  std::set<std::string> without_dry_run;
  // What runs until it is ended, and what prints text that is of a format of its own.
  std::set<std::string> without_json;
};

inline void check_commands(const Program& program) {
  const auto tree = program.tree();
  const auto commands = commands_of(*tree);
  const auto can = [](const CLI::App* command, const char* option) {
    return command->get_option_no_throw(option) != nullptr;
  };
  for (const auto& [name, command] : commands) {
    CAPTURE(name);
    const auto examples = examples_of(*command, program.name);
    CHECK_FALSE(examples.empty());
    for (const std::string& line : examples) {
      CAPTURE(line);
      CHECK((line + ' ').starts_with(name + ' '));
      CHECK_NOTHROW(parse_line(*program.tree(), line));
    }
    CHECK(can(command, "--dry-run") == !program.without_dry_run.contains(name));
    CHECK(can(command, "--json") == !program.without_json.contains(name));
  }
  for (const auto* names : {&program.without_dry_run, &program.without_json})
    for (const std::string& name : *names) {
      CAPTURE(name);
      CHECK(commands.contains(name));
    }
  // The program's own help says how its commands end.
  CHECK(tree->help().find("7 out of space") != std::string::npos);
  for (const std::string& line : examples_of(*tree, program.name)) {
    CAPTURE(line);
    CHECK_NOTHROW(parse_line(*program.tree(), line));
  }
}

}  // namespace lamina::tests
