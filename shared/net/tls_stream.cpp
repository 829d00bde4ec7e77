#include "shared/net/tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/ssl/context.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>

#include "shared/base/log.hpp"
#include "shared/net/asio.hpp"
#include "shared/net/certificates.hpp"

namespace lamina::net {
namespace {

namespace ssl = asio::ssl;
using asio::ip::tcp;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
struct FreeX509 {
  void operator()(X509* cert) const { X509_free(cert); }
};

Error tls_error(std::string what) {
  const auto code = ERR_get_error();
  ERR_clear_error();
  if (code != 0)
    if (const char* reason = ERR_reason_error_string(code)) what += std::string(": ") + reason;
  return Error(ErrorKind::invalid, std::move(what));
}

struct Context final : TlsContext {
  explicit Context(ssl::context::method method) : context(method) {
    context.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                        ssl::context::no_sslv3);
    SSL_CTX* raw = context.native_handle();
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    // A resumed session would carry an old verdict about a certificate that expired meanwhile.
    SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(raw, 0);
    // Idle long polls cost little memory.
    SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }

  Status use(const std::string& certificate_pem, const std::string& key_pem) {
    error_code ec;
    context.use_certificate(asio::buffer(certificate_pem), ssl::context::pem, ec);
    if (ec) return fail(ErrorKind::invalid, "unusable certificate: " + ec.message());
    context.use_private_key(asio::buffer(key_pem), ssl::context::pem, ec);
    if (ec) return fail(ErrorKind::invalid, "unusable private key: " + ec.message());
    if (SSL_CTX_check_private_key(context.native_handle()) != 1)
      return fail(tls_error("the key does not belong to the certificate"));
    return Done{};
  }

  ssl::context context;
  std::string ca_fingerprint;
};

std::unique_ptr<X509, FreeX509> read_certificate(const std::string& pem) {
  std::unique_ptr<BIO, FreeBio> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return std::unique_ptr<X509, FreeX509>(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

std::string pem_of(X509* cert) {
  std::unique_ptr<BIO, FreeBio> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), cert);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

// Everything must hold but the leaf's expiry, which the layer above turns into "may only renew".
int accept_expired_leaf(int ok, X509_STORE_CTX* store) {
  if (ok == 1) return 1;
  const bool expired_leaf = X509_STORE_CTX_get_error(store) == X509_V_ERR_CERT_HAS_EXPIRED &&
                            X509_STORE_CTX_get_error_depth(store) == 0;
  return expired_leaf ? 1 : 0;
}

// Enrolment: the CA is known by fingerprint only. The server sends it along; the certificate with
// that fingerprint becomes the only anchor, and the ordinary checks run against it.
int verify_by_fingerprint(X509_STORE_CTX* store, void* argument) {
  const auto& wanted = *static_cast<const std::string*>(argument);
  STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(store);
  for (int i = 0; i < sk_X509_num(sent); ++i) {
    X509* candidate = sk_X509_value(sent, i);
    const auto facts = certificate_facts(pem_of(candidate));
    if (!facts || facts->fingerprint != wanted) continue;
    STACK_OF(X509)* anchors = sk_X509_new_null();
    sk_X509_push(anchors, candidate);
    X509_STORE_CTX_set0_trusted_stack(store, anchors);
    const int verdict = X509_verify_cert(store);
    sk_X509_free(anchors);
    return verdict;
  }
  X509_STORE_CTX_set_error(store, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
  return 0;
}

constexpr std::size_t kReadSize = 64 * 1024;

// What reads of this thread lay their bytes into until they were handed on.
std::span<char> scratch() {
  static thread_local const std::unique_ptr<char[]> bytes(new char[kReadSize]);
  return {bytes.get(), kReadSize};
}

struct FreeSsl {
  void operator()(SSL* tls) const { SSL_free(tls); }
};

// OpenSSL's own socket BIO would raise SIGPIPE when the peer has left.
int send_some(BIO* bio, const char* bytes, int size) {
  const int socket = static_cast<tcp::socket*>(BIO_get_data(bio))->native_handle();
  BIO_clear_retry_flags(bio);
  const auto count =
      ::send(socket, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(count);
}

int receive_some(BIO* bio, char* into, int size) {
  const int socket = static_cast<tcp::socket*>(BIO_get_data(bio))->native_handle();
  BIO_clear_retry_flags(bio);
  const auto count = ::recv(socket, into, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (count == 0) errno = 0;  // The end is told from a failure.
  return static_cast<int>(count);
}

long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* socket_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    BIO_meth_set_write(made, send_some);
    BIO_meth_set_read(made, receive_some);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return method;
}

class Stream final : public TlsStream, public std::enable_shared_from_this<Stream> {
 public:
  enum class Role { client, server };

  Stream(asio::io_context& io, std::shared_ptr<Context> context, Role role)
      : context_(std::move(context)),
        socket_(io),
        tls_(SSL_new(context_->context.native_handle())),
        role_(role),
        resolver_(io) {
    BIO* bio = BIO_new(socket_method());
    BIO_set_data(bio, &socket_);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls_.get(), bio, bio);
    if (role_ == Role::client)
      SSL_set_connect_state(tls_.get());
    else
      SSL_set_accept_state(tls_.get());
  }

  tcp::socket& socket() { return socket_; }

  void connect(const std::string& host, std::uint16_t port, const std::string& name,
               std::function<void(Status)> then) {
    resolver_.async_resolve(
        host, std::to_string(port),
        [self = shared_from_this(), name, then = std::move(then)](
            const error_code& ec, tcp::resolver::results_type found) {
          if (ec || self->closed_)
            return then(
                fail(ErrorKind::unavailable, "the name cannot be resolved: " + ec.message() +
                                                 "; check the host name and this machine's DNS"));
          auto places = std::make_shared<std::vector<tcp::endpoint>>();
          for (const auto& place : found) places->push_back(place.endpoint());
          self->try_next(places, 0, name, then);
        });
  }

  void handshake(std::function<void(Status)> then) override {
    asio::post(socket_.get_executor(),
               [self = shared_from_this(), then = std::move(then)] { self->shake_hands(then); });
  }

  void read_some(std::function<void(Result<std::string_view>)> then) override {
    // What was received with an earlier record makes no socket readable.
    if (SSL_has_pending(tls_.get()) == 1)
      return asio::post(socket_.get_executor(),
                        [self = shared_from_this(), then = std::move(then)] { self->read(then); });
    when(tcp::socket::wait_read, [self = shared_from_this(), then = std::move(then)](Status ready) {
      if (!ready) return then(fail(std::move(ready.error())));
      self->read(then);
    });
  }

  void write(std::string_view bytes, std::function<void(Status)> then) override {
    ERR_clear_error();
    while (!bytes.empty() && !closed_) {
      const int size = static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20));
      errno = 0;
      const int count = SSL_write(tls_.get(), bytes.data(), size);
      if (count > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(count));
        continue;
      }
      if (const auto needed = wait_for(count))
        return when(*needed,
                    [self = shared_from_this(), bytes, then = std::move(then)](Status ready) {
                      if (!ready) return then(std::move(ready));
                      self->write(bytes, then);
                    });
      return asio::post(socket_.get_executor(),
                        [then = std::move(then), error = last_failure()] { then(fail(error)); });
    }
    asio::post(socket_.get_executor(), [self = shared_from_this(), then = std::move(then)] {
      if (self->closed_) return then(fail(ErrorKind::unavailable, "closed"));
      then(Done{});
    });
  }

  void end_writing() override {
    error_code ignored;
    socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  void close() override {
    closed_ = true;
    resolver_.cancel();
    error_code ignored;
    socket().close(ignored);
  }

  std::string remote_address() const override { return remote_; }
  std::string local_address() const override { return local_; }

  // Once: an endpoint can no longer be asked for when the peer is gone.
  void note_addresses() {
    error_code ignored;
    remote_ = plain(socket_.remote_endpoint(ignored).address());
    local_ = plain(socket_.local_endpoint(ignored).address());
    socket().set_option(tcp::no_delay(true), ignored);
    socket().set_option(asio::socket_base::keep_alive(true), ignored);
  }

  std::optional<PeerCertificate> peer_certificate() const override {
    std::unique_ptr<X509, FreeX509> cert(SSL_get1_peer_certificate(tls_.get()));
    if (!cert) return std::nullopt;
    PeerCertificate facts;
    char name[256] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert.get()), NID_commonName, name, sizeof name);
    facts.common_name = name;
    std::array<std::byte, 32> digest;
    X509_digest(cert.get(), EVP_sha256(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
    facts.fingerprint = to_hex(digest);
    tm time{};
    ASN1_TIME_to_tm(X509_get0_notAfter(cert.get()), &time);
    facts.not_after = {static_cast<std::int64_t>(timegm(&time)) * 1'000'000'000};
    return facts;
  }

 private:
  // Calls when the socket is ready for that, or has failed.
  void when(tcp::socket::wait_type what, std::function<void(Status)> then) {
    socket_.async_wait(what,
                       [self = shared_from_this(), then = std::move(then)](const error_code& ec) {
                         if (ec) return then(fail(ErrorKind::unavailable, ec.message()));
                         if (self->closed_) return then(fail(ErrorKind::unavailable, "closed"));
                         then(Done{});
                       });
  }

  // What an operation that returned `code` waits for; nothing when it failed.
  std::optional<tcp::socket::wait_type> wait_for(int code) {
    failed_errno_ = errno;
    failed_ = SSL_get_error(tls_.get(), code);
    if (failed_ == SSL_ERROR_WANT_READ) return tcp::socket::wait_read;
    if (failed_ == SSL_ERROR_WANT_WRITE) return tcp::socket::wait_write;
    return std::nullopt;
  }

  // The peer closed, with or without saying so in TLS.
  bool has_ended() const {
    if (failed_ == SSL_ERROR_ZERO_RETURN) return true;
    if (failed_ == SSL_ERROR_SSL)
      return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    return failed_ == SSL_ERROR_SYSCALL && failed_errno_ == 0;
  }

  // Of the operation that wait_for() looked at.
  Error last_failure() const {
    if (has_ended()) {
      ERR_clear_error();
      return Error(ErrorKind::unavailable, "the peer closed the connection");
    }
    if (failed_ != SSL_ERROR_SSL)
      return Error(ErrorKind::unavailable, std::strerror(failed_errno_));
    const char* reason = ERR_reason_error_string(ERR_get_error());
    ERR_clear_error();
    return Error(ErrorKind::refused, std::string("TLS: ") + (reason ? reason : "failed"));
  }

  void shake_hands(const std::function<void(Status)>& then) {
    if (closed_) return then(fail(ErrorKind::unavailable, "closed"));
    ERR_clear_error();
    errno = 0;
    const int code = SSL_do_handshake(tls_.get());
    if (code == 1) return then(Done{});
    if (const auto needed = wait_for(code))
      return when(*needed, [self = shared_from_this(), then](Status ready) {
        if (!ready) return then(std::move(ready));
        self->shake_hands(then);
      });
    auto error = last_failure();
    if (role_ == Role::client) {
      const long verdict = SSL_get_verify_result(tls_.get());
      if (verdict != X509_V_OK)
        error = Error(ErrorKind::refused,
                      std::string("the server's certificate is not acceptable: ") +
                          X509_verify_cert_error_string(verdict) +
                          "; check address and CA (fingerprint), do not go on otherwise");
    }
    then(fail(std::move(error)));
  }

  void read(const std::function<void(Result<std::string_view>)>& then) {
    if (closed_) return then(fail(ErrorKind::unavailable, "closed"));
    const std::span<char> into = scratch();
    ERR_clear_error();
    errno = 0;
    const int count = SSL_read(tls_.get(), into.data(), static_cast<int>(into.size()));
    if (count > 0) return then(std::string_view(into.data(), static_cast<std::size_t>(count)));
    if (const auto needed = wait_for(count))
      return when(*needed, [self = shared_from_this(), then](Status ready) {
        if (!ready) return then(fail(std::move(ready.error())));
        self->read(then);
      });
    const bool ended = has_ended();
    auto error = last_failure();
    if (ended) return then(std::string_view());
    then(fail(std::move(error)));
  }

  static std::string plain(asio::ip::address address) {
    if (address.is_v6() && address.to_v6().is_v4_mapped())
      address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
    return address.to_string();
  }

  void try_next(std::shared_ptr<std::vector<tcp::endpoint>> places, std::size_t index,
                const std::string& name, const std::function<void(Status)>& then) {
    if (index >= places->size())
      return then(fail(ErrorKind::unavailable,
                       "nobody answers there; check that the origin runs and the port is open"));
    socket().async_connect((*places)[index], [self = shared_from_this(), places, index, name,
                                              then](const error_code& ec) {
      if (self->closed_) return then(fail(ErrorKind::unavailable, "closed"));
      if (!ec) return self->secure(name, then);
      error_code ignored;
      self->socket().close(ignored);
      if (index + 1 < places->size()) return self->try_next(places, index + 1, name, then);
      const std::string next = ec == asio::error::connection_refused
                                   ? "; check that lamina-origin serve runs there"
                                   : "; check address, network and firewall";
      then(fail(ErrorKind::unavailable, ec.message() + next));
    });
  }

  void secure(const std::string& name, const std::function<void(Status)>& then) {
    note_addresses();
    SSL* raw = tls_.get();
    SSL_set_verify(raw, SSL_VERIFY_PEER, nullptr);
    error_code not_an_address;
    asio::ip::make_address(name, not_an_address);
    if (not_an_address) {
      SSL_set_tlsext_host_name(raw, name.c_str());
      SSL_set1_host(raw, name.c_str());
    } else {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(raw), name.c_str());
    }
    handshake(then);
  }

  std::shared_ptr<Context> context_;
  tcp::socket socket_;
  std::unique_ptr<SSL, FreeSsl> tls_;  // Reads and writes socket_.
  Role role_;
  int failed_ = SSL_ERROR_NONE;  // Of the last operation that did not succeed.
  int failed_errno_ = 0;
  tcp::resolver resolver_;
  std::string remote_;
  std::string local_;
  bool closed_ = false;
};

class Listener final : public TlsListener {
 public:
  Listener(Loop& loop, std::shared_ptr<Context> context, OnAccept on_accept)
      : state_(std::make_shared<State>(loop, std::move(context), std::move(on_accept))) {}
  ~Listener() override {
    error_code ignored;
    state_->on_accept = nullptr;
    state_->acceptor.close(ignored);
  }

  Status open(const std::string& address, std::uint16_t port) {
    error_code ec;
    const auto parsed = asio::ip::make_address(address, ec);
    if (ec)
      return fail(ErrorKind::invalid,
                  "'" + printable(address, 80) + "' is no IP address to listen on");
    const tcp::endpoint place(parsed, port);
    auto& acceptor = state_->acceptor;
    acceptor.open(place.protocol(), ec);
    if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor.bind(place, ec);
    if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
    const std::string where = address + ':' + std::to_string(port);
    if (ec == asio::error::address_in_use)
      return fail(ErrorKind::unavailable,
                  "port " + std::to_string(port) + " on " + address +
                      " is in use by another program; stop it or choose another port");
    if (ec)
      return fail(ErrorKind::unavailable,
                  "listening on " + where + ": " + ec.message() +
                      "; choose an address of this machine and a free port");
    state_->accept();
    return Done{};
  }

  std::uint16_t port() const override {
    error_code ignored;
    return state_->acceptor.local_endpoint(ignored).port();
  }

 private:
  struct State : std::enable_shared_from_this<State> {
    State(Loop& l, std::shared_ptr<Context> c, OnAccept call)
        : loop(l), context(std::move(c)), acceptor(l.impl().io), on_accept(std::move(call)) {}

    void accept() {
      auto stream = std::make_shared<Stream>(loop.impl().io, context, Stream::Role::server);
      acceptor.async_accept(stream->socket(),
                            [self = shared_from_this(), stream](const error_code& ec) {
                              if (!self->on_accept) return;
                              if (ec) return self->failed(ec);
                              if (std::exchange(self->failing, false)) log::info("accept_goes_on");
                              stream->note_addresses();
                              self->on_accept(stream);
                              self->accept();
                            });
    }

    // Gives connections a moment to end instead of spinning; said once, not ten times a second.
    void failed(const error_code& ec) {
      const bool no_files = ec == asio::error::no_descriptors || ec.value() == ENFILE;
      if (!std::exchange(failing, true))
        log::error(
            "accept_failed",
            {{"error", ec.message()},
             {"next", no_files ? "no file is left for another connection: raise LimitNOFILE= "
                                 "of the service (ulimit -n), or fs.file-max for ENFILE"
                               : "connections that wait are tried again"}});
      pause = loop.after(std::chrono::milliseconds{100},
                         [self = shared_from_this()] { self->accept(); });
    }

    Loop& loop;
    std::shared_ptr<Context> context;
    tcp::acceptor acceptor;
    OnAccept on_accept;
    Timer pause;
    bool failing = false;  // Since the last connection that was accepted.
  };
  std::shared_ptr<State> state_;
};

}  // namespace

Result<std::shared_ptr<TlsContext>> TlsContext::server(const std::string& certificate_pem,
                                                       const std::string& key_pem,
                                                       const std::string& ca_pem,
                                                       const std::string& client_ca_pem) {
  auto made = std::make_shared<Context>(ssl::context::tls_server);
  if (auto used = made->use(certificate_pem, key_pem); !used) return fail(std::move(used.error()));
  SSL_CTX* raw = made->context.native_handle();
  if (!ca_pem.empty()) {
    auto ca = read_certificate(ca_pem);
    if (!ca) return fail(tls_error("unusable CA certificate"));
    SSL_CTX_add1_chain_cert(raw, ca.get());
  }
  if (!client_ca_pem.empty()) {
    auto ca = read_certificate(client_ca_pem);
    if (!ca) return fail(tls_error("unusable client CA certificate"));
    X509_STORE_add_cert(SSL_CTX_get_cert_store(raw), ca.get());
    SSL_CTX_add_client_CA(raw, ca.get());
  }
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, accept_expired_leaf);
  return std::shared_ptr<TlsContext>(std::move(made));
}

Result<std::shared_ptr<TlsContext>> TlsContext::client(const std::string& ca_pem,
                                                       const std::string& ca_fingerprint,
                                                       const std::string& certificate_pem,
                                                       const std::string& key_pem) {
  auto made = std::make_shared<Context>(ssl::context::tls_client);
  SSL_CTX* raw = made->context.native_handle();
  if (!ca_pem.empty()) {
    auto ca = read_certificate(ca_pem);
    if (!ca) return fail(tls_error("unusable CA certificate"));
    X509_STORE_add_cert(SSL_CTX_get_cert_store(raw), ca.get());
  } else {
    auto parsed = from_hex(ca_fingerprint);
    if (!parsed || parsed->size() != 32)
      return fail(ErrorKind::invalid,
                  "the CA's fingerprint is 64 hex digits (lamina-origin init prints it), not '" +
                      printable(ca_fingerprint, 80) + "'");
    made->ca_fingerprint = to_hex(*parsed);
    SSL_CTX_set_cert_verify_callback(raw, verify_by_fingerprint, &made->ca_fingerprint);
  }
  if (!certificate_pem.empty())
    if (auto used = made->use(certificate_pem, key_pem); !used)
      return fail(std::move(used.error()));
  return std::shared_ptr<TlsContext>(std::move(made));
}

std::shared_ptr<TlsStream> tls_connect(Loop& loop, std::shared_ptr<TlsContext> context,
                                       const std::string& host, std::uint16_t port,
                                       const std::string& name, std::function<void(Status)> then) {
  auto stream = std::make_shared<Stream>(loop.impl().io, std::static_pointer_cast<Context>(context),
                                         Stream::Role::client);
  stream->connect(host, port, name, std::move(then));
  return stream;
}

Result<std::unique_ptr<TlsListener>> TlsListener::listen(Loop& loop,
                                                         std::shared_ptr<TlsContext> context,
                                                         const std::string& address,
                                                         std::uint16_t port, OnAccept on_accept) {
  auto listener = std::make_unique<Listener>(loop, std::static_pointer_cast<Context>(context),
                                             std::move(on_accept));
  if (auto opened = listener->open(address, port); !opened) return fail(std::move(opened.error()));
  return std::unique_ptr<TlsListener>(std::move(listener));
}

}  // namespace lamina::net
