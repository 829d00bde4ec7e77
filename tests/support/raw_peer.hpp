// A BitTorrent client of a few lines that keeps no rule: what an attacker would bring. Blocking,
// every wait bounded.
#pragma once

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>

#include "shared/os/clock.hpp"
#include "shared/swarm/session.hpp"

namespace lamina::tests {

class RawPeer {
 public:
  explicit RawPeer(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const timeval wait{.tv_sec = 0, .tv_usec = 200'000};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  }
  ~RawPeer() { ::close(socket_); }

  // libtorrent finds the torrent by the server name of the TLS handshake.
  bool start_tls(const TorrentId& torrent, const swarm::SwarmIdentity* identity) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (identity != nullptr) {
      const auto memory = [](const std::string& pem) {
        return std::unique_ptr<BIO, decltype(&BIO_free)>(
            BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
      };
      X509* const certificate =
          PEM_read_bio_X509(memory(identity->certificate_pem).get(), nullptr, nullptr, nullptr);
      EVP_PKEY* const key =
          PEM_read_bio_PrivateKey(memory(identity->key_pem).get(), nullptr, nullptr, nullptr);
      REQUIRE(SSL_CTX_use_certificate(context_.get(), certificate) == 1);
      REQUIRE(SSL_CTX_use_PrivateKey(context_.get(), key) == 1);
      X509_free(certificate);
      EVP_PKEY_free(key);
    }
    tls_.reset(SSL_new(context_.get()));
    SSL_set_fd(tls_.get(), socket_);
    const std::string name = torrent.hex().substr(0, 40);
    SSL_set_tlsext_host_name(tls_.get(), name.c_str());
    return SSL_connect(tls_.get()) == 1;
  }

  void send(const std::string& bytes) {
    const int size = static_cast<int>(bytes.size());
    if (tls_)
      SSL_write(tls_.get(), bytes.data(), size);
    else
      static_cast<void>(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }

  // Everything that comes until the other side closes; fails the test when it does not in time.
  std::string read_to_end(Duration at_most) {
    std::string all;
    char buffer[4096];
    const Instant end = os::system_clock().now() + at_most;
    while (os::system_clock().now() < end) {
      if (tls_) {
        const int n = SSL_read(tls_.get(), buffer, sizeof buffer);
        if (n > 0) {
          all.append(buffer, static_cast<std::size_t>(n));
        } else if (const int why = SSL_get_error(tls_.get(), n);
                   why != SSL_ERROR_WANT_READ && !(why == SSL_ERROR_SYSCALL && errno == EAGAIN)) {
          return all;
        }
      } else {
        const auto n = ::recv(socket_, buffer, sizeof buffer, 0);
        if (n > 0)
          all.append(buffer, static_cast<std::size_t>(n));
        else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
          return all;
      }
    }
    FAIL("the connection stayed open");
    return all;
  }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* tls) const { SSL_free(tls); }
  };
  int socket_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> tls_;
};

// BEP 3's handshake with no extension at all, for a v2 torrent.
inline std::string handshake(const TorrentId& torrent) {
  std::string bytes =
      "\x13"
      "BitTorrent protocol";
  bytes += std::string(8, '\0');
  bytes += std::string(as_text(torrent.bytes().first(20)));
  bytes += "-XX0000-abcdefghijkl";
  return bytes;
}

inline std::string interested_and_request() {
  std::string bytes("\0\0\0\1\2", 5);                      // interested
  bytes += std::string("\0\0\0\15\6", 5);                  // request
  bytes += std::string("\0\0\0\0\0\0\0\0\0\0\x40\0", 12);  // piece 0, from 0, 16 KiB
  return bytes;
}

}  // namespace lamina::tests
