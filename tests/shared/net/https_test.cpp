// Real TLS over loopback, client and server on one loop.
#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>

#include "shared/net/certificates.hpp"
#include "shared/net/https_client.hpp"
#include "shared/net/https_server.hpp"
#include "shared/wire/protocol.hpp"

using namespace lamina;
using namespace lamina::net;
using namespace std::chrono_literals;

namespace {

// Keys cost a few milliseconds each: made once.
struct Authority {
  KeyAndCertificate ca = *make_ca("Test API CA");
  KeyAndCertificate server = *issue_server_certificate(ca, {"127.0.0.1", "localhost"});
  KeyAndRequest device = *make_key_and_request();
  DeviceId id = *DeviceId::parse("000102030405060708090a0b0c0d0e0f");
  std::string certificate = *issue_device_certificate(ca, device.csr_pem, id);
  std::string expired = *issue_device_certificate(ca, device.csr_pem, id, -1h);
};
const Authority& authority() {
  static const Authority made;
  return made;
}
const Authority& stranger() {
  static const Authority made;
  return made;
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint64_t state = 1;
  for (auto& byte : bytes)
    byte = static_cast<char>((state = state * 6364136223846793005u + 1) >> 56);
  return bytes;
}

struct Bench {
  Bench() {
    directory = ::mkdtemp(name);
    options.listen_address = "127.0.0.1";
    options.certificate_pem = authority().server.certificate_pem;
    options.key_pem = authority().server.key_pem;
    options.ca_pem = authority().ca.certificate_pem;
    options.client_ca_pem = authority().ca.certificate_pem;
    options.spool_directory = directory;
    options.admit = [](const Request&) -> Result<Bytes> { return 64_MiB; };
  }
  ~Bench() {
    client.reset();
    server.reset();
    std::filesystem::remove_all(directory);
  }

  void serve(HttpsServer::Handler handler) {
    auto listening = HttpsServer::listen(loop, options, std::move(handler));
    REQUIRE(listening);
    server = std::move(*listening);
  }
  ClientOptions as_device() const {
    return {.host = "127.0.0.1",
            .port = server->port(),
            .ca_pem = authority().ca.certificate_pem,
            .certificate_pem = authority().certificate,
            .key_pem = authority().device.key_pem};
  }
  ClientOptions as_nobody() const {
    return {.host = "127.0.0.1", .port = server->port(), .ca_pem = authority().ca.certificate_pem};
  }
  void connect(ClientOptions how) {
    auto made = HttpsClient::create(loop, std::move(how));
    REQUIRE(made);
    client = std::move(*made);
  }
  Result<Reply> ask(Call call) {
    std::optional<Result<Reply>> got;
    client->send(std::move(call), [&](Result<Reply> reply) { got = std::move(reply); });
    bool late = false;
    const auto limit = loop.after(8s, [&] { late = true; });
    loop.run_until([&] { return got.has_value() || late; });
    REQUIRE(got.has_value());
    return std::move(*got);
  }
  bool wait_for(const std::function<bool()>& what) {
    bool late = false;
    const auto limit = loop.after(5s, [&] { late = true; });
    loop.run_until([&] { return late || what(); });
    return what();
  }

  char name[32] = "/tmp/lamina-https-XXXXXX";
  std::filesystem::path directory;
  Loop loop{1};
  ServerOptions options;
  std::unique_ptr<HttpsServer> server;
  std::unique_ptr<HttpsClient> client;
};

void who(Request request, Responder responder) {
  responder.reply(json_response((request.peer.device ? request.peer.device->hex() : "nobody") +
                                std::string(request.peer.certificate_expired ? " expired" : "")));
}

// A plain TCP connection that never speaks TLS.
int silent_connection(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&place), sizeof place) == 0);
  return fd;
}

}  // namespace

TEST_CASE("https: a device is known by its certificate", "[net]") {
  Bench bench;
  bench.serve(who);
  bench.connect(bench.as_device());
  for (int i = 0; i < 3; ++i) CHECK(bench.ask({.target = "/"})->body == authority().id.hex());
  CHECK(bench.server->connections() == 1);
  CHECK(bench.client->local_address() == "127.0.0.1");
}

TEST_CASE("https: without a certificate the peer is nobody", "[net]") {
  Bench bench;
  bench.serve(who);
  bench.connect(bench.as_nobody());
  CHECK(bench.ask({.target = "/"})->body == "nobody");
}

TEST_CASE("https: a certificate of another CA is refused at the handshake", "[net]") {
  Bench bench;
  int requests = 0;
  bench.serve([&](Request, Responder responder) {
    ++requests;
    responder.reply({});
  });
  auto how = bench.as_device();
  how.certificate_pem = stranger().certificate;
  how.key_pem = stranger().device.key_pem;
  bench.connect(how);
  CHECK_FALSE(bench.ask({.target = "/"}));
  CHECK(requests == 0);
}

TEST_CASE("https: an expired certificate passes with a flag", "[net]") {
  Bench bench;
  bench.serve(who);
  auto how = bench.as_device();
  how.certificate_pem = authority().expired;
  bench.connect(how);
  CHECK(bench.ask({.target = "/"})->body == authority().id.hex() + " expired");
}

TEST_CASE("https: the client refuses who is not the origin", "[net]") {
  Bench bench;
  SECTION("a device that poses as a server") {
    bench.options.certificate_pem = authority().certificate;
    bench.options.key_pem = authority().device.key_pem;
    bench.serve(who);
    bench.connect(bench.as_nobody());
  }
  SECTION("a server of another CA") {
    bench.options.certificate_pem = stranger().server.certificate_pem;
    bench.options.key_pem = stranger().server.key_pem;
    bench.serve(who);
    bench.connect(bench.as_nobody());
  }
  SECTION("a certificate for another host") {
    const auto other = *issue_server_certificate(authority().ca, {"origin.example"});
    bench.options.certificate_pem = other.certificate_pem;
    bench.options.key_pem = other.key_pem;
    bench.serve(who);
    bench.connect(bench.as_nobody());
  }
  SECTION("a CA with another fingerprint") {
    bench.serve(who);
    auto how = bench.as_nobody();
    how.ca_pem.clear();
    how.ca_fingerprint = certificate_facts(stranger().ca.certificate_pem)->fingerprint;
    bench.connect(how);
  }
  const auto reply = bench.ask({.target = "/"});
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind() == ErrorKind::refused);
  CHECK(reply.error().text().find("certificate") != std::string::npos);
}

TEST_CASE("https: a pinned fingerprint is enough to find the CA", "[net]") {
  Bench bench;
  bench.serve(who);
  auto how = bench.as_nobody();
  how.ca_pem.clear();
  how.ca_fingerprint = certificate_facts(authority().ca.certificate_pem)->fingerprint;
  bench.connect(how);
  CHECK(bench.ask({.target = "/"})->status == 200);
}

TEST_CASE("https: a fingerprint does not forgive a device's certificate or a wrong host", "[net]") {
  Bench bench;
  const auto other = *issue_server_certificate(authority().ca, {"origin.example"});
  const bool device = GENERATE(true, false);
  bench.options.certificate_pem = device ? authority().certificate : other.certificate_pem;
  bench.options.key_pem = device ? authority().device.key_pem : other.key_pem;
  bench.serve(who);
  auto how = bench.as_nobody();
  how.ca_pem.clear();
  how.ca_fingerprint = certificate_facts(authority().ca.certificate_pem)->fingerprint;
  bench.connect(how);
  const auto reply = bench.ask({.target = "/"});
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind() == ErrorKind::refused);
}

TEST_CASE("https: a large body goes through a file, both ways, unchanged", "[net]") {
  Bench bench;
  const std::string bytes = pattern(20'000'000);
  const auto up = bench.directory / "up";
  std::ofstream(up, std::ios::binary) << bytes;
  bool same = false;
  bench.serve([&](Request request, Responder responder) {
    same = !request.body_file.empty() && contents(request.body_file) == bytes &&
           request.body_size.count == 20'000'000;
    responder.reply(
        {.status = 200, .headers = {}, .content_type = "", .body = "", .file = FileBody{up}});
  });
  bench.connect(bench.as_device());
  std::int64_t moved = 0;
  const auto reply = bench.ask({.method = "PUT",
                                .target = "/pack",
                                .upload_file = up,
                                .download_to = bench.directory / "down",
                                .reply_max = 32_MiB,
                                .progress = [&](Bytes so_far) { moved = so_far.count; }});
  REQUIRE(reply);
  CHECK(same);
  CHECK(moved == 20'000'000);
  CHECK(contents(bench.directory / "down") == bytes);
  // The spool file goes with the request.
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(bench.directory)) {
    static_cast<void>(entry);
    ++files;
  }
  CHECK(files == 2);
}

TEST_CASE("https: a long body from memory arrives unchanged, and keeps to its pace", "[net]") {
  Bench bench;
  const std::string bytes = pattern(1'000'001);
  int whole = 0;
  bench.serve([&](Request request, Responder responder) {
    whole += contents(request.body_file) == bytes;
    responder.reply(json_response("{}"));
  });
  bench.connect(bench.as_device());
  CHECK(bench.ask({.method = "PUT", .target = "/pack", .body = bytes}));
  const auto pace = std::make_shared<Pace>();
  pace->set(BitRate{16'000'000});
  const Instant start = bench.loop.now();
  CHECK(bench.ask({.method = "PUT", .target = "/pack", .body = bytes, .pace = pace}));
  CHECK(bench.loop.now() - start > 350ms);
  CHECK(whole == 2);
}

TEST_CASE("https: an upload keeps to its pace, and ends when it is stopped", "[net]") {
  Bench bench;
  const std::string bytes = pattern(500'000);
  const auto up = bench.directory / "up";
  std::ofstream(up, std::ios::binary) << bytes;
  int whole = 0;
  bench.serve([&](Request request, Responder responder) {
    whole += contents(request.body_file) == bytes;
    responder.reply(json_response("{}"));
  });
  bench.connect(bench.as_device());
  const auto pace = std::make_shared<Pace>();
  const auto put = [&](std::function<void(Bytes)> progress) {
    const Instant start = bench.loop.now();
    const auto reply = bench.ask({.method = "PUT",
                                  .target = "/pack",
                                  .upload_file = up,
                                  .pace = pace,
                                  .progress = std::move(progress)});
    return std::pair(reply, bench.loop.now() - start);
  };
  pace->set(BitRate{8'000'000});
  const auto [paced, took] = put({});
  CHECK(paced);
  CHECK(took > 350ms);

  const auto [stopped, until_then] = put([&](Bytes sent) {
    if (sent.count > 200'000) pace->set(BitRate{0});
  });
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().kind() == ErrorKind::unavailable);
  CHECK(until_then > 150ms);
  CHECK_FALSE(put({}).first);
  CHECK(whole == 1);

  pace->set(std::nullopt);
  CHECK(put({}).first);
  CHECK(whole == 2);
}

TEST_CASE("https: ranges and HEAD of a file", "[net]") {
  Bench bench;
  std::ofstream(bench.directory / "f") << "0123456789";
  bench.serve([&](Request, Responder responder) {
    responder.reply(
        {.headers = {}, .content_type = "", .body = "", .file = FileBody{bench.directory / "f"}});
  });
  bench.connect(bench.as_device());
  const auto middle = bench.ask({.target = "/", .headers = {{"Range", "bytes=2-4"}}});
  CHECK(middle->status == 206);
  CHECK(middle->body == "234");
  CHECK(bench.ask({.target = "/", .headers = {{"Range", "bytes=-3"}}})->body == "789");
  CHECK(bench.ask({.target = "/", .headers = {{"Range", "bytes=10-"}}})->status == 416);
  const auto head = bench.ask({.method = "HEAD", .target = "/"});
  CHECK(head->body.empty());
  CHECK(head->headers.value("content-length") == "10");
  CHECK(bench.ask({.target = "/"})->body == "0123456789");
}

TEST_CASE("https: a body beyond the limit is refused before it is read", "[net]") {
  Bench bench;
  bench.options.admit = [](const Request& head) -> Result<Bytes> {
    if (head.path == "/no") return fail(ErrorKind::refused, "not you");
    return 1_KiB;
  };
  bench.serve(who);
  bench.connect(bench.as_device());
  const auto large = bench.ask({.method = "POST", .target = "/yes", .body = pattern(3'000'000)});
  REQUIRE(large);
  CHECK(large->status == 413);
  const auto denied = check(bench.ask({.method = "POST", .target = "/no", .body = "x"}));
  REQUIRE_FALSE(denied);
  CHECK(denied.error().kind() == ErrorKind::refused);
  CHECK(denied.error().text().find("not you") != std::string::npos);
}

TEST_CASE("https: a long poll is answered later, and the next request works", "[net]") {
  Bench bench;
  Timer later;
  bench.serve([&](Request request, Responder responder) {
    if (request.path == "/now") return responder.reply(json_response("now"));
    later = bench.loop.after(20ms, [responder] { responder.reply(json_response("later")); });
  });
  bench.connect(bench.as_device());
  CHECK(bench.ask({.target = "/poll"})->body == "later");
  CHECK(bench.ask({.target = "/now"})->body == "now");
}

TEST_CASE("https: a request nobody answers gets a 500", "[net]") {
  Bench bench;
  bench.serve([](Request, Responder) {});
  bench.connect(bench.as_device());
  CHECK(bench.ask({.target = "/"})->status == 500);
}

TEST_CASE("https: the handler learns that the client left", "[net]") {
  Bench bench;
  std::optional<Responder> held;
  bool closed = false;
  bench.serve([&](Request, Responder responder) {
    held = responder;
    responder.on_closed([&] { closed = true; });
  });
  bench.connect(bench.as_device());
  bench.client->send({.target = "/poll"}, [](Result<Reply>) {});
  REQUIRE(bench.wait_for([&] { return held.has_value(); }));
  bench.client.reset();
  CHECK(bench.wait_for([&] { return closed; }));
  held->reply({});  // Too late, and harmless.
}

TEST_CASE("https: silent connections end at the handshake's deadline", "[net]") {
  Bench bench;
  bench.options.handshake_timeout = 30ms;
  bench.options.strangers_per_address_max = 3;
  bench.serve(who);
  std::vector<int> silent;
  for (int i = 0; i < 6; ++i) silent.push_back(silent_connection(bench.server->port()));
  int most = 0;
  REQUIRE(bench.wait_for([&] {
    most = std::max(most, bench.server->connections());
    return most == 3;
  }));
  CHECK(bench.wait_for([&] { return bench.server->connections() == 0; }));
  CHECK(most == 3);
  for (const int fd : silent) ::close(fd);
}

TEST_CASE("https: devices behind one address count by themselves, strangers together", "[net]") {
  Bench bench;
  bench.options.strangers_per_address_max = 1;
  bench.options.connections_per_device_max = 2;
  std::vector<Responder> held;
  bench.serve([&](Request request, Responder responder) {
    if (request.path == "/held") return held.push_back(responder);
    who(std::move(request), responder);
  });
  bench.connect(bench.as_device());
  int failed = 0;
  const auto hold = [&] {
    bench.client->send({.target = "/held"}, [&](Result<Reply> reply) { failed += !reply; });
  };
  for (int open = 1; open <= 2; ++open) {
    hold();
    REQUIRE(bench.wait_for([&] { return held.size() == static_cast<std::size_t>(open); }));
  }
  hold();  // The device's third at the same time.
  REQUIRE(bench.wait_for([&] { return failed == 1; }));
  CHECK(bench.server->connections() == 2);
  const int stranger = silent_connection(bench.server->port());
  CHECK(bench.wait_for([&] { return bench.server->connections() == 3; }));
  const int refused = silent_connection(bench.server->port());
  char byte = 0;
  CHECK(bench.wait_for([&] { return ::recv(refused, &byte, 1, MSG_DONTWAIT) == 0; }));
  CHECK(bench.server->connections() == 3);
  ::close(stranger);
  ::close(refused);
}

TEST_CASE("https: a connection the server closed meanwhile is dialled again", "[net]") {
  Bench bench;
  bench.options.idle_timeout = 30ms;
  bench.serve(who);
  bench.connect(bench.as_device());
  CHECK(bench.ask({.target = "/"})->status == 200);
  REQUIRE(bench.wait_for([&] { return bench.server->connections() == 0; }));
  CHECK(bench.ask({.target = "/"})->status == 200);
}

TEST_CASE("https: without files for more connections the server waits, and goes on", "[net]") {
  Bench bench;
  bench.serve(who);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int waiting = silent_connection(bench.server->port());
  const int next = ::dup(waiting);  // The number that the accepted connection would get.
  ::close(next);
  const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const std::clock_t begun = std::clock();
  bool over = false;
  const auto tries = bench.loop.after(350ms, [&] { over = true; });  // Several.
  bench.loop.run_until([&] { return over; });
  const auto cpu = std::clock() - begun;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(bench.server->connections() == 0);
  CHECK(cpu < CLOCKS_PER_SEC / 10);
  CHECK(bench.wait_for([&] { return bench.server->connections() == 1; }));
  ::close(waiting);
}

TEST_CASE("https: bodies around the size of a TLS record arrive whole", "[net]") {
  // What OpenSSL holds of a record that was read in part makes no socket readable.
  Bench bench;
  std::vector<std::string> asked;
  bench.serve([&](Request request, Responder responder) {
    asked.push_back(request.path + ' ' + std::to_string(request.body_size.count));
    who(std::move(request), responder);
  });
  bench.connect(bench.as_device());
  for (const std::size_t size : {1U, 16'383U, 16'384U, 16'385U, 65'537U, 300'000U})
    CHECK(bench.ask({.method = "POST", .target = "/b", .body = pattern(size)})->status == 200);
  const std::vector<std::string> wanted{"/b 1",     "/b 16383", "/b 16384",
                                        "/b 16385", "/b 65537", "/b 300000"};
  CHECK(asked == wanted);
}

TEST_CASE("https: a port in use is said so", "[net]") {
  Bench bench;
  bench.serve(who);
  auto again = bench.options;
  again.port = bench.server->port();
  const auto second = HttpsServer::listen(bench.loop, again, who);
  REQUIRE_FALSE(second);
  CHECK(second.error().text().find("in use") != std::string::npos);
  CHECK(second.error().text().find(std::to_string(again.port)) != std::string::npos);
}

TEST_CASE("https: an origin that is down is named, with what to check", "[net]") {
  Bench bench;
  bench.serve(who);
  const auto how = bench.as_nobody();
  bench.server.reset();
  bench.connect(how);
  const auto reply = bench.ask({.target = "/"});
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind() == ErrorKind::unavailable);
  CHECK(reply.error().text().find("127.0.0.1:" + std::to_string(how.port)) != std::string::npos);
  CHECK(reply.error().text().find("check") != std::string::npos);
}

TEST_CASE("https: an answer larger than asked for is refused", "[net]") {
  Bench bench;
  bench.serve(
      [](Request, Responder responder) { responder.reply(binary_response(pattern(5000))); });
  bench.connect(bench.as_nobody());
  const auto reply = bench.ask({.target = "/", .reply_max = 1_KiB});
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind() == ErrorKind::invalid);
}

TEST_CASE("https: a call's own time limit ends it", "[net]") {
  Bench bench;
  std::vector<Responder> held;
  bench.serve([&](Request, Responder responder) { held.push_back(responder); });
  bench.connect(bench.as_nobody());
  const auto reply = bench.ask({.target = "/", .timeout = 50ms});
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind() == ErrorKind::unavailable);
}

TEST_CASE("http: another protocol version is told what is spoken", "[net]") {
  Request request;
  request.headers.add("lamina-protocol", "1");
  CHECK_FALSE(check_protocol(request));
  Request old;
  old.headers.add("Lamina-Protocol", "0");
  const auto answer = check_protocol(old);
  REQUIRE(answer);
  CHECK(answer->status == 426);
  CHECK(answer->body.find("version 1") != std::string::npos);
}

TEST_CASE("http: query values and bearer tokens", "[net]") {
  Request request;
  request.query = "a=1&name=base%3A1.0&empty";
  request.headers.add("authorization", "bearer abc");
  CHECK(request.query_value("name") == "base:1.0");
  CHECK(request.query_value("empty") == "");
  CHECK_FALSE(request.query_value("b"));
  CHECK(request.bearer() == "abc");
}

TEST_CASE("http: addresses", "[net]") {
  CHECK(parse_host_port("origin:8443")->port == 8443);
  CHECK(parse_host_port("[::1]:8443")->host == "::1");
  CHECK(parse_listen_address("[::]:8443")->host == "::");
  CHECK(parse_listen_address("10.0.0.1:0")->port == 0);
  CHECK(parse_host_port("origin", 8443)->port == 8443);
  for (const char* text : {"", "origin", ":8443", "origin:x", "origin:99999", "[::1"})
    CHECK_FALSE(parse_host_port(text));
}

TEST_CASE("https: a peer is known by its device id, whatever its address", "[net]") {
  // A device's swarm certificate at both ends.
  const auto& a = authority();
  const auto swarm = issue_swarm_certificate(a.ca, a.device.csr_pem, a.id.hex()).value();
  Bench bench;
  bench.options.certificate_pem = swarm;
  bench.options.key_pem = a.device.key_pem;
  bench.serve(who);
  auto how = bench.as_device();
  how.certificate_pem = swarm;
  how.peer = a.id;
  SECTION("the right one") {
    bench.connect(how);
    const auto reply = bench.ask({.target = "/x"});
    REQUIRE(reply);
    CHECK(reply->body == a.id.hex());
  }
  SECTION("another one") {
    how.peer = DeviceId::parse(std::string(32, 'e')).value();
    bench.connect(how);
    const auto reply = bench.ask({.target = "/x"});
    REQUIRE_FALSE(reply);
    CHECK(reply.error().kind() == ErrorKind::refused);
  }
  SECTION("one of another CA") {
    how.ca_pem = stranger().ca.certificate_pem;
    bench.connect(how);
    CHECK(bench.ask({.target = "/x"}).error().kind() == ErrorKind::refused);
  }
  SECTION("as an origin it is not acceptable") {
    how.peer.reset();
    bench.connect(how);
    CHECK(bench.ask({.target = "/x"}).error().kind() == ErrorKind::refused);
  }
}
