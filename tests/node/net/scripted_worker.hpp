// A worker that follows a script, on a thread of its own: for tests of the network process.
#pragma once

#include <optional>
#include <thread>
#include <vector>

#include "node/state.hpp"
#include "node/worker/protocol.hpp"
#include "shared/os/local_socket.hpp"

namespace lamina::tests {

using namespace lamina::node;

// One pack and one snapshot for every scan.
class ScriptedWorker {
 public:
  ScriptedWorker(const StateDirectory& state, PackId pack, SnapshotId snapshot)
      : path_(state.worker_socket()),
        listener_(
            os::LocalListener::listen(state.worker_socket(), 0600, static_cast<gid_t>(-1)).value()),
        pack_(pack),
        snapshot_(snapshot),
        thread_([this] { serve(); }) {}
  ~ScriptedWorker() { stop(); }

  // What it has heard, all in all; it serves nobody any more.
  const std::vector<WorkerRequest>& stop() {
    if (thread_.joinable()) {
      // A connection without a request ends it, after those that came before.
      static_cast<void>(os::LocalConnection::connect(path_));
      thread_.join();
    }
    return heard;
  }
  std::vector<WorkerRequest> heard;  // Read it once no synchronization is under way.

 private:
  void serve() {
    for (;;) {
      auto connection = listener_.accept(std::chrono::seconds{60});
      if (!connection || !scan(*connection)) return;
    }
  }
  bool scan(os::LocalConnection& connection) {
    const auto hear = [&]() -> std::optional<WorkerRequest::Kind> {
      const auto text = connection.receive(std::chrono::seconds{60});
      if (!text) return std::nullopt;
      heard.push_back(parse_worker_request(*text).value());
      return heard.back().kind;
    };
    const auto say = [&](const WorkerReply& reply) {
      static_cast<void>(connection.send(to_json(reply)));
    };
    const auto asked = hear();
    if (!asked) return false;
    if (*asked == WorkerRequest::Kind::settle) return say({}), true;
    WorkerReply pack;
    pack.pack = pack_;
    say(pack);
    auto answer = hear();
    if (answer == WorkerRequest::Kind::ack) {
      WorkerReply snapshot;
      snapshot.snapshot = snapshot_;
      snapshot.files_read = 7;
      say(snapshot);
      answer = hear();
    }
    WorkerReply end;
    if (answer == WorkerRequest::Kind::abandon)
      end.error.emplace(ErrorKind::unavailable, "abandoned");
    say(end);
    return true;
  }

  std::string path_;
  os::LocalListener listener_;
  PackId pack_;
  SnapshotId snapshot_;
  std::thread thread_;
};

}  // namespace lamina::tests
