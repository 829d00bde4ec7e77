#include "origin/data_directory.hpp"

#include <sys/stat.h>

#include <sstream>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/kv_table.hpp"
#include "origin/catalog/secret.hpp"
#include "shared/os/clock.hpp"
#include "tests/origin/run.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::origin;
using tests::Scratch;

namespace {

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
                           "publisher.key", "relay.key", "admin.token"})
    CHECK(mode_of(data.key(name)) == 0600);
  CHECK(mode_of(data.seed("seed.key")) == 0600);
  CHECK(run({"init", "--data", path.c_str(), "--name", "x"}, out, err) == 5);
  CHECK(err.find("is not empty") != std::string::npos);
  CHECK(read_keys(data)->api_ca.key_pem == keys->api_ca.key_pem);
  CHECK(read_keys(data)->relay.public_key() == keys->relay.public_key());
}

TEST_CASE("data directory: one of an earlier release gets a relay key, once", "[origin]") {
  const Scratch scratch;
  const std::string path = scratch / "origin";
  std::string out;
  std::string err;
  REQUIRE(run({"init", "--data", path.c_str(), "--name", "hq.example"}, out, err) == 0);
  const DataDirectory data(path);
  REQUIRE(os::remove_file(data.key("relay.key")));
  const auto made = read_keys(data);
  REQUIRE(made);
  CHECK(mode_of(data.key("relay.key")) == 0600);
  CHECK(read_keys(data)->relay.public_key() == made->relay.public_key());
  REQUIRE(os::write_file(data.key("relay.key"), as_view("junk"), 0600));
  CHECK(read_keys(data).error().kind() == ErrorKind::invalid);
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

TEST_CASE("support bundle: it holds what helps, and nothing of any secret", "[origin]") {
  const Scratch scratch;
  const std::string path = scratch / "origin", to = scratch / "bundle.tar";
  std::string out, err;
  REQUIRE(run({"init", "--data", path.c_str(), "--name", "hq.example,192.0.2.7"}, out, err) == 0);
  const DataDirectory data(path);
  std::vector<std::string> secrets;
  {
    auto kv = Kv::open(data.catalog());
    REQUIRE(kv);
    KvTable table(**kv);
    Catalog catalog(table);
    for (const char* kind : {"admin", "enrol", "metrics"}) {
      const std::string name = std::string("token-") + kind;
      const auto made = catalog.create_token(
          {"test", os::system_clock().wall()},
          {.name = name, .kind = kind, .uses = kind == std::string("enrol"), .ttl_ms = 100'000});
      REQUIRE(made);
      secrets.push_back(made->secret);
      secrets.push_back(sha256_hex(made->secret));
    }
  }
  // Every line of every private file that init made, PEM frames apart.
  std::size_t files = 0;
  for (const std::string& folder : {data.root() + "/keys/", data.root() + "/seed/"}) {
    const auto names = os::list_directory(folder);
    REQUIRE(names);
    for (const std::string& name : *names) {
      if (mode_of(folder + name) != 0600) continue;
      ++files;
      std::istringstream lines(os::read_text(folder + name).value());
      for (std::string line; std::getline(lines, line);)
        if (!line.empty() && !line.starts_with("-----")) secrets.push_back(line);
    }
  }
  CHECK(files >= 8);
  REQUIRE(run({"support-bundle", "--data", path.c_str(), "--to", to.c_str()}, out, err) == 0);
  // A tar file holds the texts as they are.
  const std::string bundle = os::read_text(to, 64 << 20).value();
  for (const std::string& secret : secrets) {
    INFO(secret);
    CHECK(secret.size() >= 8);
    CHECK(bundle.find(secret) == std::string::npos);
  }
  CHECK(bundle.find("PRIVATE KEY") == std::string::npos);
  for (const char* part : {"versions.txt", "settings.json", "hq.example", "certificates.json",
                           "sizes.txt", "keys/server.key", "catalogue.json", "token-metrics",
                           "audit.jsonl", "token.create", "problems.txt"}) {
    INFO(part);
    CHECK(bundle.find(part) != std::string::npos);
  }
  CHECK(run({"support-bundle", "--data", path.c_str(), "--to", to.c_str()}, out, err) == 5);
  const std::string nothing = scratch / "nothing", other = scratch / "other.tar";
  CHECK(run({"support-bundle", "--data", nothing.c_str(), "--to", other.c_str()}, out, err) == 3);
  CHECK_FALSE(os::exists(other));
}
