#include "shared/os/local_socket.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "shared/os/errno.hpp"

namespace lamina::os {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(ErrorKind::invalid, "socket path " + printable(path) + " is longer than " +
                                        std::to_string(sizeof address.sun_path - 1) +
                                        " bytes: choose a shorter state directory");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Status wait_readable(int fd, Duration timeout, const std::string& what) {
  pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  for (;;) {
    const int ready = ::poll(&waited, 1, static_cast<int>(ms));
    if (ready > 0) return Done{};
    if (ready == 0)
      return fail(ErrorKind::unavailable, what + ": nothing came within " + to_text(timeout));
    if (errno != EINTR) return fail(last_error(what));
  }
}

}  // namespace

Result<LocalConnection> LocalConnection::connect(const std::string& path) {
  auto address = address_of(path);
  if (!address) return fail(std::move(address.error()));
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return fail(last_error("making a local socket"));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    Error error = last_error("connecting to " + printable(path));
    // Whether the socket is missing or nobody accepts: the program is not running.
    if (errno == ENOENT || errno == ECONNREFUSED) return fail(ErrorKind::unavailable, error.text());
    return fail(std::move(error));
  }
  return LocalConnection(std::move(socket));
}

Status LocalConnection::send(std::string_view message) {
  if (message.size() > kLocalMessageMax)
    return fail(ErrorKind::invalid, "a local message is larger than 64 KiB");
  for (;;) {
    if (::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL) >= 0) return Done{};
    if (errno == EINTR) continue;
    return fail(ErrorKind::unavailable, last_error("sending a local message").text());
  }
}

Result<std::string> LocalConnection::receive(Duration timeout) {
  if (auto ready = wait_readable(socket_.get(), timeout, "waiting for a local message"); !ready)
    return fail(std::move(ready.error()));
  std::string message(kLocalMessageMax, '\0');
  for (;;) {
    const ssize_t size = ::recv(socket_.get(), message.data(), message.size(), MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail(ErrorKind::unavailable, last_error("reading a local message").text());
    if (size == 0) return fail(ErrorKind::unavailable, "the other process closed the connection");
    if (static_cast<std::size_t>(size) > message.size())
      return fail(ErrorKind::invalid, "a local message is larger than 64 KiB");
    message.resize(static_cast<std::size_t>(size));
    return message;
  }
}

Result<PeerCredentials> LocalConnection::peer() const {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return fail(last_error("asking who is on the other side"));
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Result<LocalListener> LocalListener::listen(const std::string& path, mode_t mode, gid_t gid) {
  auto address = address_of(path);
  if (!address) return fail(std::move(address.error()));
  if (LocalConnection::connect(path))
    return fail(ErrorKind::unavailable,
                "another process listens at " + printable(path) + ": stop it first");
  ::unlink(path.c_str());
  const std::string doing = "listening at " + printable(path);
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return fail(last_error(doing));
  // Nobody may connect between bind and chmod.
  const mode_t before = umask(0777);
  const int bound =
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  umask(before);
  if (bound != 0) return fail(last_error(doing));
  LocalListener listener(path, std::move(socket));
  if ((gid != static_cast<gid_t>(-1) && ::chown(path.c_str(), static_cast<uid_t>(-1), gid) != 0) ||
      ::chmod(path.c_str(), mode) != 0 || ::listen(listener.fd(), 16) != 0)
    return fail(last_error(doing));
  return listener;
}

LocalListener::~LocalListener() {
  if (socket_.is_open()) ::unlink(path_.c_str());
}

Result<LocalConnection> LocalListener::accept(Duration timeout) {
  if (auto ready = wait_readable(socket_.get(), timeout, "waiting at " + printable(path_)); !ready)
    return fail(std::move(ready.error()));
  Descriptor connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.is_open()) return fail(last_error("accepting at " + printable(path_)));
  return LocalConnection(std::move(connection));
}

}  // namespace lamina::os
