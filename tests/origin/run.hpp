// `lamina-origin` as a command line runs it.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "origin/program.hpp"

namespace lamina::origin {

// Its exit code; `args` are without the program's name.
inline int run(std::vector<const char*> args, std::string& out, std::string& err) {
  args.insert(args.begin(), "lamina-origin");
  std::ostringstream o;
  std::ostringstream e;
  const int code = run_origin(static_cast<int>(args.size()), args.data(), o, e);
  out = o.str();
  err = e.str();
  return code;
}

}  // namespace lamina::origin
