#include "shared/net/tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <ctime>

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
    SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);  // Idle long polls cost little memory.
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

Error io_error(const error_code& ec) {
  if (ec.category() == asio::error::get_ssl_category())
    return Error(ErrorKind::refused, "TLS: " + ec.message());
  return Error(ErrorKind::unavailable, ec.message());
}

bool is_end(const error_code& ec) {
  return ec == asio::error::eof || ec == ssl::error::stream_truncated;
}

class Stream final : public TlsStream, public std::enable_shared_from_this<Stream> {
 public:
  Stream(asio::io_context& io, std::shared_ptr<Context> context,
         ssl::stream_base::handshake_type role)
      : context_(std::move(context)), stream_(io, context_->context), role_(role), resolver_(io) {}

  tcp::socket& socket() { return stream_.next_layer(); }

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
    stream_.async_handshake(
        role_, [self = shared_from_this(), then = std::move(then)](const error_code& ec) {
          if (!ec) return then(Done{});
          auto error = io_error(ec);
          if (self->role_ == ssl::stream_base::client) {
            const long verdict = SSL_get_verify_result(self->stream_.native_handle());
            if (verdict != X509_V_OK)
              error = Error(ErrorKind::refused,
                            std::string("the server's certificate is not acceptable: ") +
                                X509_verify_cert_error_string(verdict) +
                                "; check address and CA (fingerprint), do not go on otherwise");
          }
          then(fail(std::move(error)));
        });
  }

  void read_some(std::span<char> into, std::function<void(Result<std::size_t>)> then) override {
    stream_.async_read_some(asio::buffer(into.data(), into.size()),
                            [self = shared_from_this(), then = std::move(then)](
                                const error_code& ec, std::size_t count) {
                              if (!ec) return then(count);
                              if (is_end(ec)) return then(std::size_t{0});
                              then(fail(io_error(ec)));
                            });
  }

  void write(std::string_view bytes, std::function<void(Status)> then) override {
    asio::async_write(
        stream_, asio::buffer(bytes.data(), bytes.size()),
        [self = shared_from_this(), then = std::move(then)](const error_code& ec, std::size_t) {
          if (ec) return then(fail(io_error(ec)));
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
    remote_ = plain(stream_.next_layer().remote_endpoint(ignored).address());
    local_ = plain(stream_.next_layer().local_endpoint(ignored).address());
    socket().set_option(tcp::no_delay(true), ignored);
    socket().set_option(asio::socket_base::keep_alive(true), ignored);
  }

  std::optional<PeerCertificate> peer_certificate() const override {
    SSL* raw = const_cast<Stream*>(this)->stream_.native_handle();
    std::unique_ptr<X509, FreeX509> cert(SSL_get1_peer_certificate(raw));
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
    SSL* raw = stream_.native_handle();
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
  ssl::stream<tcp::socket> stream_;
  ssl::stream_base::handshake_type role_;
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
      auto stream = std::make_shared<Stream>(loop.impl().io, context, ssl::stream_base::server);
      acceptor.async_accept(
          stream->socket(), [self = shared_from_this(), stream](const error_code& ec) {
            if (!self->on_accept) return;
            if (ec) {
              // Out of descriptors, usually: give connections a moment to end instead of spinning.
              log::warning("accept_failed", {{"error", ec.message()}});
              self->pause =
                  self->loop.after(std::chrono::milliseconds{100}, [self] { self->accept(); });
              return;
            }
            stream->note_addresses();
            self->on_accept(stream);
            self->accept();
          });
    }

    Loop& loop;
    std::shared_ptr<Context> context;
    tcp::acceptor acceptor;
    OnAccept on_accept;
    Timer pause;
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
                                         ssl::stream_base::client);
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
