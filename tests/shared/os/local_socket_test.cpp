#include "shared/os/local_socket.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace std::chrono_literals;
using tests::Scratch;

TEST_CASE("local socket: messages keep their borders and the peer is known", "[os]") {
  const Scratch scratch;
  auto listener = os::LocalListener::listen(scratch / "s", 0600, static_cast<gid_t>(-1));
  REQUIRE(listener);
  auto client = os::LocalConnection::connect(scratch / "s");
  REQUIRE(client);
  auto server = listener->accept(5s);
  REQUIRE(server);
  REQUIRE(client->send("one"));
  REQUIRE(client->send("two"));
  CHECK(server->receive(5s).value() == "one");
  CHECK(server->receive(5s).value() == "two");
  CHECK(server->peer()->uid == geteuid());
  CHECK(client->send(std::string(os::kLocalMessageMax + 1, 'x')).error().kind() ==
        ErrorKind::invalid);
  CHECK(client->receive(1ms).error().kind() == ErrorKind::unavailable);
}

TEST_CASE("local socket: a living listener keeps its path, a dead one's is taken", "[os]") {
  const Scratch scratch;
  const std::string path = scratch / "s";
  {
    const auto first = os::LocalListener::listen(path, 0600, static_cast<gid_t>(-1));
    REQUIRE(first);
    CHECK(os::LocalListener::listen(path, 0600, static_cast<gid_t>(-1)).error().kind() ==
          ErrorKind::unavailable);
  }
  CHECK(os::LocalConnection::connect(path).error().kind() == ErrorKind::unavailable);
  CHECK(os::LocalListener::listen(path, 0600, static_cast<gid_t>(-1)));
  CHECK(os::LocalListener::listen(scratch / std::string(200, 'x'), 0600, static_cast<gid_t>(-1))
            .error()
            .kind() == ErrorKind::invalid);
}
