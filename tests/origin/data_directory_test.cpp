#include "origin/data_directory.hpp"

#include <sys/stat.h>

#include <sstream>

#include "origin/program.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::origin;
using tests::Scratch;

namespace {

int run(std::vector<const char*> args, std::string& out, std::string& err) {
  args.insert(args.begin(), "lamina-origin");
  std::ostringstream o;
  std::ostringstream e;
  const int code = run_origin(static_cast<int>(args.size()), args.data(), o, e);
  out = o.str();
  err = e.str();
  return code;
}

mode_t mode_of(const std::string& path) {
  struct stat facts {};
  REQUIRE(stat(path.c_str(), &facts) == 0);
  return facts.st_mode & 07777;
}

}  // namespace

TEST_CASE("init: makes keys that read back, secrets for nobody else, once", "[origin]") {
  const Scratch scratch;
  const std::string path = scratch / "origin";
  std::string out;
  std::string err;
  REQUIRE(run({"init", "--data", path.c_str(), "--name", "hq.example,192.0.2.7"}, out, err) == 0);
  const DataDirectory data(path);
  const auto keys = read_keys(data);
  if (!keys) FAIL(keys.error().text());
  CHECK(out.find(net::certificate_facts(keys->api_ca.certificate_pem)->fingerprint) !=
        std::string::npos);
  CHECK(read_config(data)->seeders() == std::vector<std::string>{"192.0.2.7:8444"});
  CHECK(mode_of(data.key("")) == 0700);
  for (const char* name : {"api-ca.key", "server.key", "swarm-ca.key", "target.key", "lease.key",
                           "publisher.key", "admin.token"})
    CHECK(mode_of(data.key(name)) == 0600);
  CHECK(mode_of(data.seed("seed.key")) == 0600);
  CHECK(run({"init", "--data", path.c_str(), "--name", "x"}, out, err) == 5);
  CHECK(err.find("is not empty") != std::string::npos);
  CHECK(read_keys(data)->api_ca.key_pem == keys->api_ca.key_pem);
}

TEST_CASE("lamina-origin: wrong arguments and directories get one line and a documented code",
          "[origin]") {
  const Scratch scratch;
  const std::string none = scratch / "none";
  std::string out;
  std::string err;
  CHECK(run({}, out, err) == 2);
  CHECK(run({"serve"}, out, err) == 2);
  CHECK(run({"fly", "--data", "x"}, out, err) == 2);
  for (const char* command : {"serve", "seed"}) {
    CHECK(run({command, "--data", none.c_str()}, out, err) == 3);
    CHECK(err.find("lamina-origin init") != std::string::npos);
    CHECK(std::count(err.begin(), err.end(), '\n') == 1);
  }
  for (const char* command : {"init", "serve", "seed"}) {
    CHECK(run({command, "--help"}, out, err) == 0);
    CHECK(out.find("--data") != std::string::npos);
  }
  CHECK(run({"--help"}, out, err) == 0);
  CHECK(out.find("Exit codes") != std::string::npos);
}
