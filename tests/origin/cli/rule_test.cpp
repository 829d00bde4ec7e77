#include <catch2/catch.hpp>
#include <sstream>

#include "origin/cli/session.hpp"
#include "shared/os/file.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::origin::cli;

namespace {

struct Bench {
  tests::Scratch scratch;
  std::string out, err;

  // No origin is named: what needs one fails for that.
  int run(std::vector<std::string> words) {
    words.insert(words.begin(), "lamina");
    std::vector<const char*> args;
    for (const std::string& word : words) args.push_back(word.c_str());
    std::ostringstream o, e;
    const int code = run_lamina(static_cast<int>(args.size()), args.data(), o, e);
    out = o.str(), err = e.str();
    return code;
  }
  std::string file(std::string_view text) {
    const std::string path = scratch / "rules.csv";
    REQUIRE(os::write_file(path, as_view(text)));
    return path;
  }
};

}  // namespace

TEST_CASE("lamina rule: a good file is counted without an origin", "[cli]") {
  Bench bench;
  const std::string path = bench.file(
      "subnet,site,download KB/s,upload KB/s,start,end,days\n"
      ",north,250,,08:00,18:00,mon-fri\n"
      "10.1.4.0/24,,,0,22:00,06:00,\"sat,sun\"\n");
  CHECK(bench.run({"rule", "check", path}) == ok);
  CHECK(bench.out == "2 rules in " + path + ", all good\n");
  CHECK(bench.run({"--json", "rule", "check", path}) == ok);
  CHECK(bench.out == "{\"rules\":2}\n");
}

TEST_CASE("lamina rule: a bad file is refused by file, line and field, before any call", "[cli]") {
  Bench bench;
  const std::string path = bench.file(",north,250,,08:00,18:00,mon-fri\n,north,,,8:00,18:60,*\n");
  for (const char* command : {"check", "import"}) {
    CAPTURE(command);
    CHECK(bench.run({"rule", command, path}) != ok);
    CHECK(bench.out.empty());
    CHECK(bench.err.starts_with("lamina: " + path + ": line 2: field 'end'"));
  }
  CHECK(bench.run({"rule", "check", bench.scratch / "none.csv"}) ==
        exit_code_of(ErrorKind::not_found));
}

TEST_CASE("lamina rule: every command has help, those that take a file with an example", "[cli]") {
  Bench bench;
  for (const char* command : {"import", "export", "ls", "check"}) {
    CAPTURE(command);
    CHECK(bench.run({"rule", command, "--help"}) == ok);
    CHECK(bench.out.find("Example: lamina rule") != std::string::npos);
  }
}
