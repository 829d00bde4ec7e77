#include <catch2/catch.hpp>
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
}  // namespace

TEST_CASE("lamina: every noun has help with an example", "[cli]") {
  std::string out, err;
  for (const char* noun : {"assign", "cvd", "device", "layer", "site", "token"}) {
    CAPTURE(noun);
    CHECK(run({noun, "--help"}, out, err) == ok);
    CHECK(out.find("Example: lamina") != std::string::npos);
  }
}

TEST_CASE("lamina: wrong usage is one line and exit code 2", "[cli]") {
  std::string out, err;
  for (const auto& args : std::vector<std::vector<const char*>>{
           {}, {"bogus"}, {"device"}, {"device", "show"}, {"token", "create"}, {"device", "ls"}}) {
    CHECK(run(args, out, err) == usage);
    CHECK(err.starts_with("lamina: "));
    CHECK(std::count(err.begin(), err.end(), '\n') == 1);
  }
}
