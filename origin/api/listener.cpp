#include "origin/api/listener.hpp"

#include <algorithm>

namespace lamina::origin {

Result<std::unique_ptr<Listener>> Listener::open(net::Loop& loop, Api& api,
                                                 net::ServerOptions options) {
  std::unique_ptr<Listener> listener(new Listener(loop, api));
  auto server = net::HttpsServer::listen(
      loop, std::move(options),
      [self = listener.get()](net::Request request, net::Responder responder) {
        self->api_.handle(
            request, [responder](net::Response response) { responder.reply(std::move(response)); },
            self->moment());
        self->wake();
      });
  if (!server) return fail(std::move(server.error()));
  listener->server_ = std::move(*server);
  return listener;
}

void Listener::wake() {
  const Moment moment = this->moment();
  api_.wake(moment);
  const auto next = api_.next_change();
  timer_ = next ? loop_.after(std::max(Duration{0}, *next - moment.now), [this] { wake(); })
                : net::Timer();
}

}  // namespace lamina::origin
