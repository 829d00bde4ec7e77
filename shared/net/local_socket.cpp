#include "shared/net/local_socket.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "shared/base/bytes.hpp"

namespace lamina::net {
namespace {

constexpr std::size_t kLineMax = 1024 * 1024;
constexpr std::size_t kClientsMax = 16;

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path)
    return fail(ErrorKind::invalid, "the socket's path " + path.string() +
                                        " is longer than 107 bytes; use a shorter state directory");
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

struct Socket {
  explicit Socket(int fd) : descriptor(fd) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (descriptor >= 0) ::close(descriptor);
  }
  int descriptor;
};

}  // namespace

struct LocalServer::Impl : std::enable_shared_from_this<LocalServer::Impl> {
  Impl(Loop& l, std::filesystem::path p, Handler h)
      : loop(l), path(std::move(p)), handler(std::move(h)) {}
  ~Impl() {
    watch = {};
    if (listening >= 0) {
      ::close(listening);
      ::unlink(path.c_str());
    }
  }

  struct Client {
    explicit Client(int fd) : socket(fd) {}
    Socket socket;
    std::string in;
    Watch watch;  // Last, so that it goes first.
  };

  void accept() {
    const int fd = ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (clients.size() >= kClientsMax) {
      ::close(fd);
      return;
    }
    const auto number = next++;
    auto& client = clients.emplace(number, std::make_unique<Client>(fd)).first->second;
    client->watch = loop.watch_readable(fd, [weak = weak_from_this(), number] {
      if (const auto self = weak.lock()) self->read(number);
    });
  }

  void read(std::uint64_t number) {
    auto& client = *clients.at(number);
    char bytes[4096];
    const auto count = ::recv(client.socket.descriptor, bytes, sizeof bytes, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0 || client.in.size() > kLineMax) {
      clients.erase(number);
      return;
    }
    client.in.append(bytes, static_cast<std::size_t>(count));
    const auto end = client.in.find('\n');
    if (end == std::string::npos) return;
    auto line = client.in.substr(0, end);
    client.in.erase(0, end + 1);
    handler(std::move(line), [weak = weak_from_this(), number](std::string answer) {
      if (const auto self = weak.lock()) self->answer(number, std::move(answer));
    });
  }

  // An answer fits the socket's buffer or the asker is not reading: then it has no use for it.
  void answer(std::uint64_t number, std::string line) {
    const auto found = clients.find(number);
    if (found == clients.end()) return;
    line += '\n';
    std::string_view rest = line;
    while (!rest.empty()) {
      const auto sent =
          ::send(found->second->socket.descriptor, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    if (!rest.empty()) clients.erase(found);
  }

  Loop& loop;
  std::filesystem::path path;
  Handler handler;
  int listening = -1;
  std::uint64_t next = 1;
  std::map<std::uint64_t, std::unique_ptr<Client>> clients;
  Watch watch;
};

LocalServer::LocalServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
LocalServer::~LocalServer() {
  impl_->watch = {};
  impl_->clients.clear();
}

Result<std::unique_ptr<LocalServer>> LocalServer::listen(Loop& loop,
                                                         const std::filesystem::path& path,
                                                         int mode, Handler handler) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return fail(ErrorKind::unavailable, std::string("making a socket: ") + std::strerror(errno));
  auto impl = std::make_shared<Impl>(loop, path, std::move(handler));
  const auto refuse = [&](const std::string& why) {
    ::close(fd);
    return fail(ErrorKind::unavailable, "control socket " + path.string() + ": " + why);
  };
  if (::connect(fd, generic(*address), sizeof *address) == 0)
    return refuse("another process already serves it; stop that one first");
  ::unlink(path.c_str());
  if (::bind(fd, generic(*address), sizeof *address) != 0 ||
      ::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0 || ::listen(fd, 16) != 0)
    return refuse(std::string(std::strerror(errno)) + "; check the directory and its owner");
  impl->listening = fd;
  impl->watch = loop.watch_readable(fd, [weak = impl->weak_from_this()] {
    if (const auto self = weak.lock()) self->accept();
  });
  return std::make_unique<LocalServer>(std::move(impl));
}

Result<std::string> local_request(const std::filesystem::path& path, const std::string& line,
                                  Duration timeout) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.descriptor, generic(*address), sizeof *address) != 0)
    return fail(errno == EACCES ? ErrorKind::refused : ErrorKind::unavailable,
                "nobody answers on " + path.string() + " (" + std::strerror(errno) +
                    "); is the service running, and may this user ask it?");
  const std::string request = line + '\n';
  if (::send(socket.descriptor, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    return fail(ErrorKind::unavailable, "asking on " + path.string() + ": " + std::strerror(errno));
  std::string answer;
  for (;;) {
    pollfd wait{socket.descriptor, POLLIN, 0};
    const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
    if (::poll(&wait, 1, static_cast<int>(millis)) <= 0)
      return fail(ErrorKind::unavailable, "no answer in time on " + path.string() + "; try again");
    char bytes[16384];
    const auto count = ::recv(socket.descriptor, bytes, sizeof bytes, 0);
    if (count <= 0 || answer.size() > kLineMax)
      return fail(ErrorKind::unavailable, path.string() + " closed without an answer; try again");
    answer.append(bytes, static_cast<std::size_t>(count));
    if (const auto end = answer.find('\n'); end != std::string::npos) return answer.substr(0, end);
  }
}

}  // namespace lamina::net
