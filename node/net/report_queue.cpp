#include "node/net/report_queue.hpp"

#include "shared/base/log.hpp"

namespace lamina::node {

void ReportQueue::push(wire::Report report) {
  if (state_->reports.size() >= kQueueMax) {
    // The first one may be under way; its answer then finds another in its place, and leaves it.
    log::warning("report_lost", {{"operation", state_->reports.front().operation},
                                 {"error", "too many wait for the origin"}});
    state_->reports.pop_front();
  }
  state_->reports.push_back(std::move(report));
  send_next(state_);
}

void ReportQueue::flush() { send_next(state_); }

void ReportQueue::send_next(const std::shared_ptr<State>& state) {
  if (state->sending || state->reports.empty()) return;
  state->sending = true;
  const wire::Report& first = state->reports.front();
  state->send(first, [weak = std::weak_ptr(state),
                      sent = wire::to_json(first)](const Result<Done>& answer) {
    const auto self = weak.lock();
    if (!self) return;
    self->sending = false;
    if (!answer && answer.error().kind() == ErrorKind::unavailable) return;
    if (!answer) log::warning("report_lost", {{"error", answer.error().text()}});
    if (!self->reports.empty() && wire::to_json(self->reports.front()) == sent)
      self->reports.pop_front();
    send_next(self);
  });
}

}  // namespace lamina::node
