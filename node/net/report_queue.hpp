// ReportQueue: reports on their way to the origin, in order, one at a time. What the line does not
// let through is sent again at the next flush(); the origin takes a report that comes twice once.
//
// At most kQueueMax wait; one more drops the oldest. In memory only: what waits is lost with the
// process. Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "shared/wire/node.hpp"

namespace lamina::node {

class ReportQueue {
 public:
  static constexpr std::size_t kQueueMax = 32;

  // Sends one report; calls `then` once, later. OriginLink::report() is one.
  using Send =
      std::function<void(const wire::Report&, std::function<void(const Result<Done>&)> then)>;
  explicit ReportQueue(Send send) : state_(std::make_shared<State>(std::move(send))) {}

  // Sends it once those before it were taken.
  void push(wire::Report report);
  // Tries again what failed: the origin was reached.
  void flush();
  std::size_t waiting() const { return state_->reports.size(); }

 private:
  struct State {
    explicit State(Send how) : send(std::move(how)) {}
    Send send;
    std::deque<wire::Report> reports;
    bool sending = false;
  };
  static void send_next(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;  // Answers may come when the queue is gone.
};

}  // namespace lamina::node
