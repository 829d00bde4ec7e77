// WorkerLink: requests to the root worker without waiting for it, one after the other.
//
// Each request has a connection of its own, so that the worker is free between them. Loop thread
// only.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "node/worker/protocol.hpp"
#include "shared/net/loop.hpp"

namespace lamina::node {

class WorkerLink {
 public:
  // A reply, or `unavailable`: the worker does not run, or went away before its answer. An error in
  // the reply itself is handed on as the failed side too.
  using OnReply = std::function<void(Result<WorkerReply>)>;

  WorkerLink(net::Loop& loop, std::string socket_path);
  ~WorkerLink();  // Requests under way end without a reply; the worker abandons a scan.
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  // `on_reply` is called from the loop, never from inside ask(): once, or for a scan once for every
  // pack, the snapshot, and the end. After a pack or a snapshot the worker waits for answer().
  void ask(const WorkerRequest& request, OnReply on_reply);
  // ack, committed or abandon.
  void answer(WorkerRequest::Kind kind);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lamina::node
