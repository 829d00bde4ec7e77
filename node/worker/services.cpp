#include "node/worker/services.hpp"

#include "shared/os/command.hpp"

namespace lamina::node {
namespace {

// systemd gives a unit 90 s to stop, and as much to start (systemd-system.conf(5)), by default.
constexpr Duration kTime = std::chrono::minutes{5};

}  // namespace

Result<bool> Systemd::is_active(const std::string& unit) {
  const auto ended =
      os::run_command(root_, {"systemctl", "is-active", "--quiet", "--", unit}, {.time = kTime});
  if (!ended) return fail(ended.error());
  if (ended->is_late)
    return fail(ErrorKind::unavailable, "systemctl does not say whether " + unit + " runs");
  return !ended->is_absent && ended->code == 0;
}

Status Systemd::carry_out(const char* verb, const std::string& unit) {
  const auto ended = os::run_command(root_, {"systemctl", verb, "--", unit}, {.time = kTime});
  if (!ended) return fail(ended.error());
  if (!ended->is_absent && !ended->is_late && ended->code == 0) return Done{};
  return fail(ErrorKind::unavailable,
              "service " + unit + ": 'systemctl " + verb + "' " +
                  (ended->is_absent ? std::string("is not there")
                   : ended->is_late ? "took longer than " + to_text(kTime)
                                    : "ended with code " + std::to_string(ended->code)) +
                  (ended->output.empty() ? "" : ": " + printable(ended->output, 200)));
}

Status Systemd::stop(const std::string& unit) { return carry_out("stop", unit); }
Status Systemd::restart(const std::string& unit) { return carry_out("restart", unit); }

}  // namespace lamina::node
