#include "origin/api/api.hpp"
#include "shared/base/log.hpp"

namespace lamina::origin {

void Api::tell_rollouts(const std::function<Status(Rollouts&)>& tell, Moment moment) {
  Status done = rollouts_.open(moment);
  if (done) done = tell(rollouts_);
  if (!done) log::error("rollout_failed", {{"error", done.error().text()}});
}

Api::Answer Api::rollouts(const Act& act, const std::vector<std::string>& parts,
                          const net::Request& request, Moment moment) {
  if (auto opened = rollouts_.open(moment); !opened) return fail(std::move(opened.error()));
  const bool get = request.method == "GET", post = request.method == "POST";
  if (parts.size() == 2 && get)
    return net::json_response(wire::to_json(wire::RolloutList{rollouts_.list()}));
  if (parts.size() == 2 && post) {
    auto plan = wire::parse_rollout_request(request.body);
    if (!plan) return fail(std::move(plan.error()));
    auto made = rollouts_.create(act, *plan);
    if (!made) return fail(std::move(made.error()));
    return net::json_response(wire::to_json(*made), 201);
  }
  if (parts.size() == 3 && get) {
    auto detail = rollouts_.show(parts[2]);
    if (!detail) return fail(std::move(detail.error()));
    return net::json_response(wire::to_json(*detail));
  }
  if (parts.size() == 4 && post) {
    auto changed = rollouts_.command(act, parts[2], parts[3], moment);
    if (!changed) return fail(std::move(changed.error()));
    return net::json_response(wire::to_json(*changed));
  }
  return fail(ErrorKind::not_found, "there is no " + request.method + " " +
                                        printable(request.path, 120) +
                                        "; docs/api.md lists the calls");
}

}  // namespace lamina::origin
