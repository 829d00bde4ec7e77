#include "shared/net/local_socket.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <future>

using namespace lamina;
using namespace lamina::net;

namespace {
struct Place {
  Place() { path = std::string(::mkdtemp(name)) + "/s"; }
  ~Place() { std::filesystem::remove_all(name); }
  char name[32] = "/tmp/lamina-local-XXXXXX";
  std::filesystem::path path;
};
}  // namespace

TEST_CASE("local socket: a line is answered, also later", "[net]") {
  Place place;
  Loop loop(1);
  Timer later;
  auto server = LocalServer::listen(loop, place.path, 0600, [&](std::string line, auto answer) {
    later = loop.after(std::chrono::milliseconds{1}, [line, answer] { answer("got " + line); });
  });
  REQUIRE(server);
  auto asked = std::async(std::launch::async, [&] {
    auto got = local_request(place.path, "status", std::chrono::seconds{5});
    loop.stop();
    return got;
  });
  loop.run();
  CHECK(asked.get().value() == "got status");
  CHECK(LocalServer::listen(loop, place.path, 0600, {}).error().kind() == ErrorKind::unavailable);
}

TEST_CASE("local socket: nobody there is an error that names the file", "[net]") {
  Place place;
  const auto got = local_request(place.path, "status", std::chrono::seconds{1});
  REQUIRE_FALSE(got);
  CHECK(got.error().kind() == ErrorKind::unavailable);
  CHECK(got.error().text().find(place.path.string()) != std::string::npos);
}
