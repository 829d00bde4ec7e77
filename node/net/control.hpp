// Control: what is asked on run/node.sock, and how it is answered. One line of JSON each way:
//
//   {"do":"status"}   {"do":"metrics"}   {"do":"sync"}   {"do":"sync-protected"}
//   {"do":"revert"}   {"do":"cache-changed"}   {"do":"snooze","for_ms":N}
//   -> {"ok":true,...} or {"ok":false,"kind":"unavailable","text":"..."}
//
// Loop thread only, except ask_service().
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "node/net/synchronization.hpp"
#include "shared/net/local_socket.hpp"

namespace lamina::node {

// What has become of a revert.
struct RevertEnd {
  std::vector<LayerId> applied;
  bool waits = false;  // It is carried out at the next start of the device.
};

// What carries the requests out. `then` is called once, now or later.
struct ControlCalls {
  std::function<std::string()> status;   // The whole answer.
  std::function<std::string()> metrics;  // In the text format of Prometheus.
  // Why nothing but status and metrics can be asked yet; none: it can.
  std::function<std::optional<Error>()> not_ready;
  // `until_protected`: a snapshot at a relay counts only once the origin has it.
  std::function<void(bool until_protected, std::function<void(Result<SyncFigures>)> then)>
      synchronize;
  std::function<Status()> may_synchronize;  // Whether it would be tried at all; else why not.
  // `dry_run`: says what a revert would bring back, and changes nothing.
  std::function<void(bool dry_run, std::function<void(Result<RevertEnd>)> then)> revert;
  std::function<void()> cache_changed;
  std::function<Status(Duration)> snooze;
};

void answer_request(const ControlCalls& calls, const std::string& request,
                    const net::LocalServer::Answer& answer);

struct ControlRequest {
  std::string what;        // "status", "metrics", "sync", "sync-protected", "revert"...
  bool dry_run = false;    // Of the latter three and of a snooze: nothing changes.
  Duration duration = {};  // Of a snooze.
};
// Asks and waits, for the command line. The failed side is the answer's error.
Result<std::string> ask_service(const StateDirectory& state, const ControlRequest& request,
                                Duration timeout);

}  // namespace lamina::node
