#include "origin/api/api.hpp"

#include "shared/base/log.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::origin {

void Api::handle(const net::Request& request, const Reply& answered, Moment moment) {
  const Reply reply = monitor_ == nullptr
                          ? answered
                          : [this, path = request.path, answered](net::Response response) {
                              monitor_->answered(path, response.status);
                              answered(std::move(response));
                            };
  bool later = false;
  Answer answer = route(request, reply, moment, later);
  if (!later) reply(answer ? std::move(*answer) : net::error_response(answer.error()));
}

Api::Answer Api::route(const net::Request& request, const Reply& reply, Moment moment,
                       bool& later) {
  // A monitoring system does not speak our protocol's version.
  if (request.path == "/metrics" && request.method == "GET" && monitor_ != nullptr)
    return metrics(request, moment);
  if (auto other = net::check_protocol(request)) return std::move(*other);
  if (request.path == "/health" && request.method == "GET")
    return net::json_response(
        wire::to_json(wire::Health{.version = LAMINA_VERSION, .protocol = wire::kProtocol}));
  if (request.path == "/v1/enroll" && request.method == "POST") return enrol(request, moment);
  if (elsewhere_ && request.path == "/v1/seeders/join" && request.method == "POST")
    return join_seeder(request, moment);
  if (elsewhere_ && request.path.starts_with("/v1/seeder/"))
    return seeder(request, reply, moment, later);
  if (request.path.starts_with("/v1/node/")) return node(request, reply, moment, later);
  return admin(request, reply, moment, later);
}

Api::Answer Api::metrics(const net::Request& request, Moment moment) const {
  if (auto name = catalog_.check_metrics(request.bearer(), moment.wall); !name) {
    if (name.error().kind() != ErrorKind::refused) return fail(std::move(name.error()));
    return net::error_response(401, name.error());
  }
  auto text = monitor_->metrics(moment, waiting_.size());
  if (!text) return fail(std::move(text.error()));
  return net::Response{.content_type = std::string(metrics::kContentType),
                       .body = std::move(*text)};
}

void Api::wake(Moment moment) {
  tell_rollouts([&](Rollouts& rollouts) { return rollouts.tick(moment); }, moment);
  if (auto done = sites_.tick(moment); !done)
    log::error("lease_failed", {{"error", done.error().text()}});
  if (watch_ != nullptr && moment.now >= watch_->next_change())
    if (auto done = watch_->look(moment, [this] { return devices(); }); !done)
      log::error("watch_failed", {{"error", done.error().text()}});
  for (const RunningRestore& silent : restores_.take_silent(moment.now))
    if (auto noted = note_restore(silent, "its end was not said", moment); !noted)
      log::error("audit_failed", {{"error", noted.error().text()}});
  if (wanted_.expire(moment.now)) look_for_holders(moment);
  std::set<WaitingPolls::Number> look = waiting_.due(moment.now);
  for (const std::string& site : sites_.take_changed()) look.merge(waiting_.of_site(site));
  std::set<DeviceId> changed = catalog_.take_changed_devices();
  changed.merge(std::exchange(judged_uploads_, {}));
  changed.merge(std::exchange(may_be_asked_, {}));
  for (const DeviceId& id : changed) {
    const auto device = catalog_.device(id);
    if (device)
      member_lists_.note(*device);
    else
      member_lists_.forget(id);
    const auto polls = waiting_.of_device(id);
    if (polls.empty()) continue;
    if (device)
      for (const auto number : polls) waiting_.move(number, device->site);
    look.insert(polls.begin(), polls.end());
  }
  // Replies may call handle() again; only what waits no longer is answered.
  std::vector<std::pair<Reply, net::Response>> ready;
  for (const auto number : look) {
    const WaitingPolls::Poll& poll = waiting_.at(number);
    auto reply = news(poll.device, poll.request, poll.status, moment.now >= poll.deadline, moment);
    if (reply && !*reply) continue;
    ready.emplace_back(waiting_.take(number).reply, reply
                                                        ? net::json_response(wire::to_json(**reply))
                                                        : net::error_response(reply.error()));
  }
  for (auto& [answer, response] : ready) answer(std::move(response));
}

std::optional<Instant> Api::next_change() const {
  std::optional<Instant> next = sites_.next_change();
  if (const auto rollouts = rollouts_.next_change())
    next = next ? std::min(*next, *rollouts) : rollouts;
  if (watch_ != nullptr)
    next = next ? std::min(*next, watch_->next_change()) : watch_->next_change();
  if (const auto silent = restores_.next_change()) next = next ? std::min(*next, *silent) : silent;
  if (const auto wanted = wanted_.next_change()) next = next ? std::min(*next, *wanted) : wanted;
  if (const auto poll = waiting_.next_deadline()) next = next ? std::min(*next, *poll) : poll;
  return next;
}

}  // namespace lamina::origin
