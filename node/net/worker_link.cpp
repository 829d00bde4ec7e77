#include "node/net/worker_link.hpp"

#include <optional>

#include "shared/os/local_socket.hpp"

namespace lamina::node {

struct WorkerLink::State : std::enable_shared_from_this<State> {
  struct Request {
    WorkerRequest request;
    OnReply on_reply;
  };

  State(net::Loop& on, std::string socket) : loop(on), path(std::move(socket)) {}

  net::Loop& loop;
  std::string path;
  std::deque<Request> waiting;
  std::optional<Request> current;
  std::optional<os::LocalConnection> connection;
  net::Watch watch;  // Goes before the connection.

  void begin_next() {
    if (current || waiting.empty()) return;
    current = std::move(waiting.front());
    waiting.pop_front();
    // From the loop, so that no reply comes from inside ask().
    loop.post([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->connect();
    });
  }

  void connect() {
    auto connected = os::LocalConnection::connect(path);
    if (!connected)
      return end(fail(ErrorKind::unavailable, "the worker does not answer (" +
                                                  connected.error().text() +
                                                  "); start it as root: lamina-node worker"));
    connection = std::move(*connected);
    watch = loop.watch_readable(connection->fd(), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->read();
    });
    send(current->request);
  }

  void send(const WorkerRequest& request) {
    if (auto sent = connection->send(to_json(request)); !sent) end(fail(std::move(sent.error())));
  }

  void read() {
    if (!connection) return;
    auto text = connection->receive({});
    if (!text)
      return end(fail(ErrorKind::unavailable,
                      "the worker ended before its answer: " + text.error().text()));
    auto reply = parse_worker_reply(*text);
    if (!reply) return end(fail(std::move(reply.error())));
    if (reply->error) return end(fail(std::move(*reply->error)));
    if (!reply->pack.is_none() || !reply->snapshot.is_none()) {
      // A copy: the callee may end the conversation.
      const OnReply on_reply = current->on_reply;
      return on_reply(std::move(*reply));
    }
    end(std::move(*reply));
  }

  void end(Result<WorkerReply> reply) {
    watch = {};
    connection.reset();
    const OnReply on_reply = std::move(current->on_reply);
    current.reset();
    begin_next();
    on_reply(std::move(reply));
  }
};

WorkerLink::WorkerLink(net::Loop& loop, std::string socket_path)
    : state_(std::make_shared<State>(loop, std::move(socket_path))) {}

WorkerLink::~WorkerLink() { state_->watch = {}; }

void WorkerLink::ask(const WorkerRequest& request, OnReply on_reply) {
  state_->waiting.push_back({request, std::move(on_reply)});
  state_->begin_next();
}

void WorkerLink::answer(WorkerRequest::Kind kind) {
  if (state_->connection) state_->send({.kind = kind, .parent = {}, .reason = {}});
}

}  // namespace lamina::node
