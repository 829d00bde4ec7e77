// HttpsServer: one TLS port, HTTP/1.1 with keep-alive, for a handler on the loop thread.
//
// A client certificate is optional; one that is presented must come from `client_ca_pem` (another
// CA ends the handshake). An expired one passes, flagged in Request::peer. Everything a stranger
// can make grow has a limit below; slow peers run into deadlines. Loop thread only.
#pragma once

#include <functional>
#include <memory>

#include "shared/net/http.hpp"
#include "shared/net/loop.hpp"

namespace lamina::net {

// Answers one request, now or later (long poll). Copyable; all copies speak of the same request.
// When the last copy goes without a reply, the peer gets a 500. Loop thread only.
class Responder {
 public:
  // A file body is open when this returns: its name may be removed then.
  void reply(Response response) const;
  bool answered() const;
  // The peer left before the answer. At most one callback; never called after reply().
  void on_closed(std::function<void()> call) const;

  struct State;
  explicit Responder(std::shared_ptr<State> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<State> state_;
};

struct ServerOptions {
  std::string listen_address = "0.0.0.0";
  std::uint16_t port = 0;  // 0: any; see HttpsServer::port().
  std::string certificate_pem;
  std::string key_pem;
  std::string ca_pem;         // Sent with the certificate, so that enrolment can pin it.
  std::string client_ca_pem;  // Issuer of the devices' certificates.
  std::filesystem::path spool_directory;

  // Sees the head of each request (no body yet): the largest body to accept, or an error that is
  // answered at once. Default: 1 MiB for everybody. Here belongs who may upload how much.
  std::function<Result<Bytes>(const Request& head)> admit;

  Bytes body_in_memory = 256_KiB;
  std::size_t header_bytes_max = 16 * 1024;
  int connections_max = 2000;
  int connections_per_device_max = 16;
  // Without a device's certificate, or with the handshake still to come.
  int strangers_max = 1000;
  int strangers_per_address_max = 64;
  Duration handshake_timeout = std::chrono::seconds{10};
  Duration header_timeout = std::chrono::seconds{15};
  Duration idle_timeout = std::chrono::seconds{75};   // Between requests; above a poll's 55 s.
  Duration stall_timeout = std::chrono::seconds{30};  // No byte of a body moved either way.
};

class HttpsServer {
 public:
  using Handler = std::function<void(Request request, Responder responder)>;

  // `unavailable` names the address when the port is in use; `invalid` for unusable PEM.
  static Result<std::unique_ptr<HttpsServer>> listen(Loop& loop, ServerOptions options,
                                                     Handler handler);
  ~HttpsServer();  // Closes every connection.

  std::uint16_t port() const;
  int connections() const;

  struct Impl;
  explicit HttpsServer(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamina::net
