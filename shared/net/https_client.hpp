// HttpsClient: calls to one origin over kept-alive connections, several in flight.
//
// The server must prove itself: a chain to the pinned CA (or to a CA with the pinned fingerprint,
// at enrolment), a certificate for server use, the host name or a device's id. Loop thread only,
// except BlockingClient, which owns a loop of its own and serves command lines.
//
// Errors: `unavailable` (unreachable, timed out, connection lost: try again), `refused` (wrong
// certificate, or the origin refuses ours), `out_of_space`, `invalid`. They name host and port and
// the next step. An answer with an error status is a Reply, see check().
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "shared/net/http.hpp"
#include "shared/net/loop.hpp"
#include "shared/net/pace.hpp"

namespace lamina::net {

struct ClientOptions {
  std::string host;
  std::uint16_t port = 0;
  std::string ca_pem;                // Either the CA itself...
  std::string ca_fingerprint;        // ...or SHA-256 of its DER in hex (the server sends its CA).
  std::string certificate_pem = {};  // Client certificate and key; both or none.
  std::string key_pem = {};
  std::string bearer = {};
  // A device of the site instead of an origin: the certificate is of that device, and names `packs`
  // instead of the host.
  std::optional<DeviceId> peer = std::nullopt;
  int connections_max = 4;
  Duration connect_timeout = std::chrono::seconds{10};  // Name, TCP and TLS together.
  Duration stall_timeout = std::chrono::seconds{70};    // No byte moved; above a poll's 55 s.
};

struct Call {
  std::string method = "GET";
  std::string target;  // Path and query, percent-encoded by the caller.
  Headers headers = {};
  std::string content_type = {};
  std::string body = {};
  std::filesystem::path upload_file = {};  // Instead of body.
  // Of the uploaded file, or of a long body; none: as fast as the line allows. Stopped: the call is
  // `unavailable`.
  std::shared_ptr<Pace> pace = nullptr;
  // A 2xx body goes to this file (created or truncated) instead of memory.
  std::filesystem::path download_to = {};
  Bytes reply_max = 16_MiB;  // In memory or in the file; more is `invalid`.
  Duration timeout = {};     // For the whole call; 0: only stalls end it.
  // Body bytes so far: sent of `upload_file`, or received of a 2xx answer. From inside the
  // connection's work: it must not call the client.
  std::function<void(Bytes moved)> progress = {};
};

struct Reply {
  int status = 0;
  Headers headers;
  std::string body;
  Bytes body_size;
};

// A 2xx reply as it is; any other as the error its body carries (wire/error.hpp).
Result<Reply> check(Result<Reply> reply);

// "HOST:PORT", "[V6]:PORT"; `invalid` says what is wrong. `default_port` 0: a port is needed.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
Result<HostPort> parse_host_port(std::string_view text, std::uint16_t default_port = 0);
// Likewise, where to listen: the port has to be said, and 0 is any that is free.
Result<HostPort> parse_listen_address(std::string_view text);

class HttpsClient {
 public:
  using Then = std::function<void(Result<Reply>)>;

  static Result<std::unique_ptr<HttpsClient>> create(Loop& loop, ClientOptions options);
  ~HttpsClient();  // Calls under way end without a callback.

  // `then` is called once, from the loop, never from inside send().
  void send(Call call, Then then);

  // Calls under way or waiting end without a callback, and the connections under them are closed.
  // Idle ones are kept.
  void cancel_all();

  // For connections made from here on; idle ones are closed. `invalid` leaves the old one in use.
  Status use_certificate(const std::string& certificate_pem, const std::string& key_pem);

  // The local IP address of the connection used last: where the site's peers reach this device.
  std::string local_address() const;

  struct Impl;
  explicit HttpsClient(std::shared_ptr<Impl> impl);

 private:
  std::shared_ptr<Impl> impl_;
};

class BlockingClient {
 public:
  static Result<std::unique_ptr<BlockingClient>> create(ClientOptions options);
  ~BlockingClient();
  Result<Reply> send(Call call);  // See HttpsClient::send; not yet check()ed.

 private:
  BlockingClient() = default;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<HttpsClient> client_;
};

}  // namespace lamina::net
