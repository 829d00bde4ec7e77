// Requests between processes of one machine: one line of JSON each way over a Unix socket.
//
// The file's permissions decide who may ask. Loop thread only, except local_request().
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "shared/net/loop.hpp"

namespace lamina::net {

class LocalServer {
 public:
  using Answer = std::function<void(std::string line)>;  // Call once, now or later.
  using Handler = std::function<void(std::string line, Answer answer)>;

  // Replaces a socket file that nobody listens on; `unavailable` when somebody does.
  static Result<std::unique_ptr<LocalServer>> listen(Loop& loop, const std::filesystem::path& path,
                                                     int mode, Handler handler);
  ~LocalServer();  // Removes the socket file.

  struct Impl;
  explicit LocalServer(std::shared_ptr<Impl> impl);

 private:
  std::shared_ptr<Impl> impl_;
};

// Asks and waits, for command lines. `unavailable` when nobody listens or answers in time.
Result<std::string> local_request(const std::filesystem::path& path, const std::string& line,
                                  Duration timeout);

}  // namespace lamina::net
