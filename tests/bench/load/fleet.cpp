#include "tests/bench/load/fleet.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <queue>

#include "shared/os/file.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::bench {
namespace {

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* thing) const { Free(thing); }
};
using X509Ptr = std::unique_ptr<X509, Freed<X509, X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using SslPtr = std::unique_ptr<SSL, Freed<SSL, SSL_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Freed<SSL_CTX, SSL_CTX_free>>;
using SessionPtr = std::unique_ptr<SSL_SESSION, Freed<SSL_SESSION, SSL_SESSION_free>>;

template <class T>
T* read_pem(const std::string& pem, T* (*read)(BIO*, T**, pem_password_cb*, void*)) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  T* made = read(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return made;
}

struct Device {
  std::uint32_t source = 0;
  X509Ptr certificate;
  KeyPtr key;
  SessionPtr session;

  os::Descriptor socket;
  SslPtr tls;
  enum class State { closed, connecting, handshaking, open } state = State::closed;
  std::uint32_t watched = 0;  // Events asked of epoll.
  std::string out;
  std::size_t out_at = 0;
  std::string in;
  Fleet::Then then;
  Instant sent{};
  Duration handshake{};
  bool resumed = false;
};

struct Due {
  Instant when;
  std::uint64_t number;  // Calls of the same time keep their order.
  std::function<void()> call;
  bool operator<(const Due& other) const {
    return std::tie(other.when, other.number) < std::tie(when, number);
  }
};

// The whole answer at the front of `in`, or none yet. Answers of the origin always say their
// length.
std::optional<Reply> take_reply(std::string& in) {
  const auto end = in.find("\r\n\r\n");
  if (end == std::string::npos) return std::nullopt;
  constexpr std::string_view kLength = "Content-Length: ";
  const auto at = in.find(kLength);
  std::size_t length = 0;
  if (at < end) std::from_chars(&in[at + kLength.size()], in.data() + end, length);
  if (in.size() < end + 4 + length) return std::nullopt;
  Reply reply;
  std::from_chars(&in[9], in.data() + end, reply.status);
  reply.body = in.substr(end + 4, length);
  in.erase(0, end + 4 + length);
  return reply;
}

std::string tls_failure() {
  const auto code = ERR_get_error();
  ERR_clear_error();
  return code != 0 ? ERR_reason_error_string(code) : "the connection was closed";
}

}  // namespace

struct Fleet::Impl {
  os::Descriptor epoll;
  ContextPtr context;
  std::uint16_t port = 0;
  std::vector<std::unique_ptr<Device>> devices;
  std::priority_queue<Due> due;
  std::uint64_t due_number = 0;
  std::size_t open = 0;
  std::uint64_t sessions = 0;

  static Instant now() { return Instant{std::chrono::steady_clock::now().time_since_epoch()}; }

  void watch(std::size_t number, std::uint32_t events) {
    Device& device = *devices[number];
    if (device.watched == events) return;
    epoll_event event{.events = events, .data = {.u64 = number}};
    ::epoll_ctl(epoll.get(), device.watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
                device.socket.get(), &event);
    device.watched = events;
  }

  void close(Device& device) {
    if (device.state == Device::State::open) --open;
    // Said by a close_notify alone: the server reads the end at once, and nobody waits.
    if (device.state == Device::State::open) SSL_shutdown(device.tls.get());
    device.state = Device::State::closed;
    device.tls.reset();
    device.socket = os::Descriptor();
    device.watched = 0;
    device.in.clear();
  }

  void finish(std::size_t number, Reply reply) {
    Device& device = *devices[number];
    reply.took = now() - device.sent;
    reply.handshake = std::exchange(device.handshake, {});
    reply.resumed = device.resumed;
    const Then then = std::exchange(device.then, nullptr);
    if (then) then(reply);
  }

  void lose(std::size_t number, std::string why) {
    close(*devices[number]);
    finish(number, {.body = std::move(why)});
  }

  void connect(std::size_t number, Resume resume) {
    Device& device = *devices[number];
    device.socket =
        os::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(device.socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // The port is chosen at connect(): each source address has all of them.
    ::setsockopt(device.socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in here{.sin_family = AF_INET};
    here.sin_addr.s_addr = htonl(device.source);
    sockaddr_in there{.sin_family = AF_INET, .sin_port = htons(port)};
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool begun =
        device.socket.is_open() &&
        ::bind(device.socket.get(), reinterpret_cast<sockaddr*>(&here), sizeof here) == 0 &&
        (::connect(device.socket.get(), reinterpret_cast<sockaddr*>(&there), sizeof there) == 0 ||
         errno == EINPROGRESS);
    if (!begun) {
      // Told from run(), as every other end is.
      at(now(), [this, number, why = std::string(std::strerror(errno))] { lose(number, why); });
      return;
    }
    device.tls.reset(SSL_new(context.get()));
    SSL_set_fd(device.tls.get(), device.socket.get());
    SSL_set_app_data(device.tls.get(), &device);
    if (device.certificate) {
      SSL_use_certificate(device.tls.get(), device.certificate.get());
      SSL_use_PrivateKey(device.tls.get(), device.key.get());
    }
    if (resume == Resume::yes && device.session)
      SSL_set_session(device.tls.get(), device.session.get());
    SSL_set_connect_state(device.tls.get());
    device.state = Device::State::connecting;
    watch(number, EPOLLOUT);
  }

  // Goes on with whatever the connection is at.
  void step(std::size_t number) {
    Device& device = *devices[number];
    if (device.state == Device::State::closed) return;
    if (device.state == Device::State::connecting) {
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(device.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return lose(number, std::strerror(error));
      device.state = Device::State::handshaking;
    }
    if (device.state == Device::State::handshaking) {
      const int code = SSL_do_handshake(device.tls.get());
      if (code != 1) return wait_or_lose(number, code);
      device.state = Device::State::open;
      ++open;
      device.handshake = now() - device.sent;
      device.resumed = SSL_session_reused(device.tls.get()) == 1;
    }
    while (device.out_at < device.out.size()) {
      const int count = SSL_write(device.tls.get(), device.out.data() + device.out_at,
                                  static_cast<int>(device.out.size() - device.out_at));
      if (count <= 0) return wait_or_lose(number, count);
      device.out_at += static_cast<std::size_t>(count);
    }
    watch(number, EPOLLIN);
    for (std::array<char, 16 * 1024> bytes;;) {
      const int count = SSL_read(device.tls.get(), bytes.data(), bytes.size());
      if (count <= 0) {
        const int why = SSL_get_error(device.tls.get(), count);
        if (why != SSL_ERROR_WANT_READ) lose(number, tls_failure());
        return;
      }
      device.in.append(bytes.data(), static_cast<std::size_t>(count));
      if (auto reply = take_reply(device.in)) return finish(number, std::move(*reply));
    }
  }

  void wait_or_lose(std::size_t number, int code) {
    switch (SSL_get_error(devices[number]->tls.get(), code)) {
      case SSL_ERROR_WANT_READ: return watch(number, EPOLLIN);
      case SSL_ERROR_WANT_WRITE: return watch(number, EPOLLIN | EPOLLOUT);
      default: lose(number, tls_failure());
    }
  }

  void at(Instant when, std::function<void()> call) {
    due.push({when, due_number++, std::move(call)});
  }
};

Fleet::Fleet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Fleet::~Fleet() = default;

Result<std::unique_ptr<Fleet>> Fleet::make(const std::string& ca_pem, std::uint16_t port) {
  auto impl = std::make_unique<Impl>();
  impl->port = port;
  impl->epoll = os::Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  impl->context.reset(SSL_CTX_new(TLS_client_method()));
  const X509Ptr ca(read_pem<X509>(ca_pem, PEM_read_bio_X509));
  if (!ca) return fail(ErrorKind::invalid, "the origin's CA certificate does not parse");
  SSL_CTX* context = impl->context.get();
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get());
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_app_data(context, impl.get());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(context, [](SSL* tls, SSL_SESSION* session) -> int {
    if (SSL_SESSION_is_resumable(session) != 1) return 0;
    ++static_cast<Impl*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls)))->sessions;
    static_cast<Device*>(SSL_get_app_data(tls))->session.reset(session);
    return 1;
  });
  return std::unique_ptr<Fleet>(new Fleet(std::move(impl)));
}

Result<std::size_t> Fleet::add(std::uint32_t source, const std::string& certificate_pem,
                               const std::string& key_pem) {
  auto device = std::make_unique<Device>();
  device->source = source;
  if (!certificate_pem.empty()) {
    device->certificate.reset(read_pem<X509>(certificate_pem, PEM_read_bio_X509));
    device->key.reset(read_pem<EVP_PKEY>(key_pem, PEM_read_bio_PrivateKey));
    if (!device->certificate || !device->key)
      return fail(ErrorKind::invalid, "a device's certificate or key does not parse");
  }
  impl_->devices.push_back(std::move(device));
  return impl_->devices.size() - 1;
}

void Fleet::send(std::size_t number, std::string request, Then then, Resume resume) {
  Device& device = *impl_->devices[number];
  device.out = std::move(request);
  device.out_at = 0;
  device.then = std::move(then);
  device.sent = now();
  if (device.state == Device::State::closed) return impl_->connect(number, resume);
  impl_->watch(number, EPOLLIN | EPOLLOUT);
}

void Fleet::drop(std::size_t number) {
  Device& device = *impl_->devices[number];
  device.then = nullptr;
  impl_->close(device);
}

void Fleet::at(Instant when, std::function<void()> call) { impl_->at(when, std::move(call)); }
Instant Fleet::now() const { return Impl::now(); }
std::size_t Fleet::open() const { return impl_->open; }
std::uint64_t Fleet::sessions_offered() const { return impl_->sessions; }

void Fleet::run(const std::function<bool()>& done) {
  std::array<epoll_event, 256> events;
  while (!done()) {
    // Only what is due by now: what becomes due meanwhile must not keep the sockets waiting.
    const Instant by = now();
    while (!impl_->due.empty() && impl_->due.top().when <= by) {
      const auto call = impl_->due.top().call;
      impl_->due.pop();
      call();
      if (done()) return;
    }
    int wait_ms = 1000;
    if (!impl_->due.empty()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(impl_->due.top().when - now());
      wait_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, wait_ms));
    }
    const int count = ::epoll_wait(impl_->epoll.get(), events.data(), events.size(), wait_ms);
    for (int i = 0; i < count; ++i)
      impl_->step(static_cast<std::size_t>(events[static_cast<std::size_t>(i)].data.u64));
  }
}

std::string http_request(const std::string& method, const std::string& path,
                         const std::string& body) {
  std::string text = method + ' ' + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
                     std::string(wire::kProtocolHeader) + ": " + std::to_string(wire::kProtocol) +
                     "\r\n";
  if (!body.empty()) text += "Content-Type: " + std::string(wire::kJson) + "\r\n";
  if (!body.empty() || method == "POST")
    text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return text + "\r\n" + body;
}

}  // namespace lamina::bench
