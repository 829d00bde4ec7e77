// Listener: the HTTPS port in front of an Api. Hands it requests and the time, and wakes it when a
// lease or a waiting poll is due. Loop thread only.
#pragma once

#include <memory>

#include "origin/api/api.hpp"
#include "shared/net/https_server.hpp"

namespace lamina::origin {

class Listener {
 public:
  // `loop` and `api` outlive the listener. Fails as HttpsServer::listen does.
  static Result<std::unique_ptr<Listener>> open(net::Loop& loop, Api& api,
                                                net::ServerOptions options);
  std::uint16_t port() const { return server_->port(); }
  // The Api was told something that was no request.
  void wake();

 private:
  Listener(net::Loop& loop, Api& api) : loop_(loop), api_(api) {}
  Moment moment() const { return {loop_.now(), net::Loop::wall_now()}; }

  net::Loop& loop_;
  Api& api_;
  net::Timer timer_;
  std::unique_ptr<net::HttpsServer> server_;
};

}  // namespace lamina::origin
