// Private to shared/net: bytes over TLS, one read and one write at a time, without any Asio type.
//
// Callbacks come from the loop, never from inside the call. After close() none comes any more
// except those already due, which report `unavailable`. Deadlines are the caller's: it closes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "shared/base/units.hpp"
#include "shared/net/loop.hpp"

namespace lamina::net {

class TlsContext {
 public:
  // Certificate of the peer optional, but from `client_ca_pem` when presented; expired ones pass.
  static Result<std::shared_ptr<TlsContext>> server(const std::string& certificate_pem,
                                                    const std::string& key_pem,
                                                    const std::string& ca_pem,
                                                    const std::string& client_ca_pem);
  // Either ca_pem or ca_fingerprint; certificate and key may be empty.
  static Result<std::shared_ptr<TlsContext>> client(const std::string& ca_pem,
                                                    const std::string& ca_fingerprint,
                                                    const std::string& certificate_pem,
                                                    const std::string& key_pem);
  virtual ~TlsContext() = default;
};

// Of the certificate that the handshake read. Its key is not among them: to read a key again costs
// as much as the handshake's own arithmetic.
struct PeerCertificate {
  std::string common_name;
  std::string fingerprint;  // As CertificateFacts::fingerprint.
  WallTime not_after;
};

class TlsStream {
 public:
  virtual ~TlsStream() = default;

  // `unavailable`: connection lost. `refused`: TLS said no (alert, wrong certificate).
  virtual void handshake(std::function<void(Status)> then) = 0;
  // No bytes: the peer closed. Those that came are to be copied before anything else is done: the
  // next read of this thread, of any stream, lays its own over them. A stream that waits holds
  // none.
  virtual void read_some(std::function<void(Result<std::string_view>)> then) = 0;
  // The bytes of `bytes` stay valid until `then`.
  virtual void write(std::string_view bytes, std::function<void(Status)> then) = 0;
  virtual void end_writing() = 0;  // Half-closes, so that the last answer survives unread input.
  virtual void close() = 0;

  virtual std::string remote_address() const = 0;
  virtual std::string local_address() const = 0;
  virtual std::optional<PeerCertificate> peer_certificate() const = 0;
};

// Connects and shakes hands with one whose certificate is for `name`; errors name host and port and
// what to do. The stream is returned at once, so that a deadline can close() it.
std::shared_ptr<TlsStream> tls_connect(Loop& loop, std::shared_ptr<TlsContext> context,
                                       const std::string& host, std::uint16_t port,
                                       const std::string& name, std::function<void(Status)> then);

class TlsListener {
 public:
  using OnAccept = std::function<void(std::shared_ptr<TlsStream>)>;  // Before the handshake.
  static Result<std::unique_ptr<TlsListener>> listen(Loop& loop,
                                                     std::shared_ptr<TlsContext> context,
                                                     const std::string& address, std::uint16_t port,
                                                     OnAccept on_accept);
  virtual ~TlsListener() = default;
  virtual std::uint16_t port() const = 0;
};

}  // namespace lamina::net
