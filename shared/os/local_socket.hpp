// Messages between two processes of one machine: SOCK_SEQPACKET on a path, blocking, bounded.
// One thread at a time per object.
#pragma once

#include "shared/os/file.hpp"

namespace lamina::os {

constexpr std::size_t kLocalMessageMax = 128 * 1024;

struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

class LocalConnection {
 public:
  // `unavailable` when nobody listens at `path`, naming it.
  static Result<LocalConnection> connect(const std::string& path);
  explicit LocalConnection(Descriptor socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  // Waits until the message is taken. `invalid` above kLocalMessageMax; `unavailable` when the
  // other side is gone.
  Status send(std::string_view message);
  // The next message; `unavailable` when none came within `timeout` or the other side is gone.
  Result<std::string> receive(Duration timeout);
  // Who the kernel says is on the other side.
  Result<PeerCredentials> peer() const;

 private:
  Descriptor socket_;
};

class LocalListener {
 public:
  // Listens at `path`, taking the place of a socket left by a dead process; `unavailable` when a
  // living one listens there. The socket gets `mode` and group `gid` (-1: unchanged).
  static Result<LocalListener> listen(const std::string& path, mode_t mode, gid_t gid);
  LocalListener(LocalListener&&) noexcept = default;
  ~LocalListener();

  int fd() const { return socket_.get(); }
  // The next connection; `unavailable` when none came within `timeout`.
  Result<LocalConnection> accept(Duration timeout);

 private:
  LocalListener(std::string path, Descriptor socket)
      : path_(std::move(path)), socket_(std::move(socket)) {}
  std::string path_;
  Descriptor socket_;
};

}  // namespace lamina::os
