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
  for (const char* noun : {"alert", "assign", "cvd", "device", "layer", "reflector", "rollout",
                           "rule", "site", "stage", "token", "unstage"}) {
    CAPTURE(noun);
    CHECK(run({noun, "--help"}, out, err) == ok);
    CHECK(out.find("Example: lamina") != std::string::npos);
  }
}

TEST_CASE("lamina: help of every command that transfers shows how to call it", "[cli]") {
  std::string out, err;
  for (const auto& args :
       std::vector<std::vector<const char*>>{{"layer", "capture", "--help"},
                                             {"layer", "show", "--help"},
                                             {"layer", "verify", "--help"},
                                             {"cvd", "restore", "--help"},
                                             {"layer", "rm", "--help"},
                                             {"cvd", "forget", "--help"},
                                             {"cvd", "retention", "show", "--help"},
                                             {"cvd", "retention", "set", "--help"},
                                             {"device", "log", "--help"},
                                             {"site", "savings", "--help"},
                                             {"site", "show", "--help"},
                                             {"site", "edit", "--help"},
                                             {"site", "reflectors", "--help"},
                                             {"reflector", "ls", "--help"},
                                             {"reflector", "show", "--help"},
                                             {"reflector", "reject", "--help"},
                                             {"reflector", "configure", "--help"},
                                             {"rollout", "plan", "--help"},
                                             {"rollout", "create", "--help"},
                                             {"rollout", "start", "--help"},
                                             {"rollout", "pause", "--help"},
                                             {"rollout", "resume", "--help"},
                                             {"rollout", "stop", "--help"},
                                             {"rollout", "ls", "--help"},
                                             {"rollout", "show", "--help"}}) {
    CHECK(run(args, out, err) == ok);
    CHECK(out.find("Example: lamina") != std::string::npos);
  }
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
