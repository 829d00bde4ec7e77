#include "node/net/snoozing.hpp"

#include <algorithm>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"
#include "shared/wire/policies.hpp"

namespace lamina::node {
namespace {

std::int64_t ms_of(WallTime time) { return time.ns / 1'000'000; }

std::int64_t until_of(Duration duration, WallTime now) {
  return duration > Duration{} ? ms_of(WallTime{now.ns + duration.count()}) : 0;
}

}  // namespace

Snoozing::Snoozing(std::string path) : path_(std::move(path)) {
  if (auto done = load(); !done && done.error().kind() != ErrorKind::not_found)
    log::warning("snooze_ignored", {{"error", done.error().text()}});
}

Status Snoozing::load() {
  auto text = os::read_text(path_);
  if (!text) return fail(std::move(text.error()));
  auto snooze = wire::parse_snooze(*text);
  if (!snooze) return fail(std::move(snooze.error()).in(path_));
  snooze_ = *snooze;
  return Done{};
}

Status Snoozing::keep(const wire::Snooze& snooze) {
  auto done = os::write_file(path_, as_view(wire::to_json(snooze) + '\n'), 0600);
  if (!done) return fail(std::move(done.error()).in("keeping the snooze"));
  snooze_ = snooze;
  return Done{};
}

Duration Snoozing::left(WallTime now) const {
  const std::int64_t left_ms = snooze_.until_ms - ms_of(now);
  const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(wire::kSnoozeMax);
  return std::chrono::milliseconds{std::clamp<std::int64_t>(left_ms, 0, most.count())};
}

wire::Snooze Snoozing::said(WallTime now) const {
  return {.number = snooze_.number, .until_ms = until_of(left(now), now)};
}

Status Snoozing::check(Duration duration) {
  if (duration >= Duration{} && duration <= wire::kSnoozeMax) return Done{};
  return fail(ErrorKind::invalid,
              "a snooze lasts at most " + to_text(wire::kSnoozeMax) + ", not " + to_text(duration));
}

Status Snoozing::snooze(Duration duration, WallTime now) {
  if (auto good = check(duration); !good) return good;
  return keep({.number = snooze_.number, .until_ms = until_of(duration, now)});
}

bool Snoozing::heard(const wire::Snooze& word, std::int64_t server_time_ms, WallTime now) {
  if (word.number == snooze_.number) return false;
  const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(wire::kSnoozeMax);
  const std::int64_t left_ms =
      word.until_ms <= server_time_ms ? 0 : std::min(word.until_ms - server_time_ms, most.count());
  const wire::Snooze snooze{.number = word.number,
                            .until_ms = until_of(std::chrono::milliseconds{left_ms}, now)};
  if (auto done = keep(snooze); !done) {
    // It holds until the end of the process.
    log::error("snooze_not_kept", {{"error", done.error().text()}});
    snooze_ = snooze;
  }
  return true;
}

}  // namespace lamina::node
