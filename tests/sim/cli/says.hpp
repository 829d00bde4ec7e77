// Runs lamina-sim in this process and keeps what it says.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "sim/cli/program.hpp"

namespace lamina::sim {

struct Said {
  int code = 0;
  std::string out;
  std::string err;
};

inline Said sim_says(std::vector<std::string> words) {
  words.insert(words.begin(), "lamina-sim");
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  std::ostringstream out, err;
  const int code = run_sim(static_cast<int>(argv.size()), argv.data(), out, err);
  return {code, out.str(), err.str()};
}

}  // namespace lamina::sim
