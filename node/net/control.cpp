#include "node/net/control.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "node/net/snoozing.hpp"

namespace lamina::node {
namespace {

using nlohmann::json;

std::string to_line(const Error& error) {
  return json{{"ok", false}, {"kind", name_of(error.kind())}, {"text", error.text()}}.dump(
      -1, ' ', false, json::error_handler_t::replace);
}

std::string to_line(const SyncFigures& figures) {
  json out{{"ok", true},
           {"snapshot", figures.snapshot.hex()},
           {"state", figures.relay.is_none() ? "protected" : "at the site"},
           {"files_read", figures.files_read},
           {"files_reused", figures.files_reused},
           {"bytes_read", figures.bytes_read.count},
           {"packs_sent", figures.packs_sent},
           {"bytes_sent", figures.bytes_sent.count},
           {"parcels_handed", figures.parcels_handed},
           {"bytes_handed", figures.bytes_handed.count},
           {"notes", figures.notes}};
  if (!figures.relay.is_none()) out["relay"] = figures.relay.hex();
  return out.dump();
}

std::string to_line(const RevertEnd& end) {
  json layers = json::array();
  for (const LayerId& layer : end.applied) layers.push_back(layer.hex());
  return json{{"ok", true}, {"applied", layers}, {"waits_for_restart", end.waits}}.dump();
}

template <class Value>
auto answering(const net::LocalServer::Answer& answer) {
  return [answer](const Result<Value>& result) {
    answer(result ? to_line(*result) : to_line(result.error()));
  };
}

// A request of its own name: a node that does not know it refuses, where it would carry out a
// request of which it ignores a field.
constexpr const char* kRehearse = "rehearse-";

}  // namespace

void answer_request(const ControlCalls& calls, const std::string& request,
                    const net::LocalServer::Answer& answer) {
  const json object = json::parse(request, nullptr, /*allow_exceptions=*/false);
  std::string what = object.is_object() && object.contains("do") && object["do"].is_string()
                         ? object["do"].get<std::string>()
                         : "";
  bool dry_run = false;
  for (const char* const name : {"sync", "sync-protected", "revert", "snooze"})
    if (what == kRehearse + std::string(name)) {
      dry_run = true;
      what = name;
    }
  if (what == "status") return answer(calls.status());
  if (what == "metrics") return answer(json{{"ok", true}, {"text", calls.metrics()}}.dump());
  if (what != "sync" && what != "sync-protected" && what != "revert" && what != "cache-changed" &&
      what != "snooze")
    return answer(to_line(
        Error(ErrorKind::invalid, "the node knows no request '" + printable(request, 100) + "'")));
  if (const auto why = calls.not_ready()) return answer(to_line(*why));
  const auto answer_status = [&](const Status& done) {
    answer(done ? json{{"ok", true}}.dump() : to_line(done.error()));
  };
  if (what == "cache-changed") {
    calls.cache_changed();
    return answer(json{{"ok", true}}.dump());
  }
  if (what == "snooze") {
    const auto ms = object.find("for_ms");
    if (ms == object.end() || !ms->is_number_unsigned())
      return answer(to_line(Error(ErrorKind::invalid, "a snooze says for how long: \"for_ms\"")));
    // Beyond what a Duration holds there would be nothing to compare.
    const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(wire::kSnoozeMax);
    const std::chrono::milliseconds duration{std::min<std::uint64_t>(
        ms->get<std::uint64_t>(), static_cast<std::uint64_t>(most.count()) + 1)};
    return answer_status(dry_run ? Snoozing::check(duration) : calls.snooze(duration));
  }
  if (what == "revert")
    calls.revert(dry_run, answering<RevertEnd>(answer));
  else if (dry_run)
    answer_status(calls.may_synchronize());
  else
    calls.synchronize(what == "sync-protected", answering<SyncFigures>(answer));
}

Result<std::string> ask_service(const StateDirectory& state, const ControlRequest& request,
                                Duration timeout) {
  // A missing enrolment says more than a missing socket.
  if (auto config = read_config(state); !config) return fail(std::move(config.error()));
  json message{{"do", (request.dry_run ? kRehearse : "") + request.what}};
  if (request.what == "snooze")
    message["for_ms"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(request.duration).count();
  auto answer = net::local_request(state.node_socket(), message.dump(), timeout);
  if (!answer) return fail(std::move(answer.error()).in("is `lamina-node run` running?"));
  const json object = json::parse(*answer, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("ok"))
    return fail(ErrorKind::invalid, "the node's answer is not what it must be");
  if (object["ok"] == true) return answer;
  const std::string kind = object.value("kind", "");
  for (const ErrorKind known : {ErrorKind::not_found, ErrorKind::corrupt, ErrorKind::unavailable,
                                ErrorKind::out_of_space, ErrorKind::invalid, ErrorKind::refused})
    if (name_of(known) == kind) return fail(known, object.value("text", ""));
  return fail(ErrorKind::unavailable, object.value("text", ""));
}

}  // namespace lamina::node
