#include "node/net/site_status.hpp"

#include <algorithm>

namespace lamina::node {
namespace {

std::int64_t seconds_since(WallTime then, WallTime now) {
  return std::max<std::int64_t>(0, now.ns - then.ns) / 1'000'000'000;
}

}  // namespace

nlohmann::json site_status(const SiteMemory& memory, const SiteFigures& figures) {
  nlohmann::json out = nlohmann::json::object();
  if (const auto heard = memory.heard_at()) {
    out["origin_heard_at"] = to_iso8601(*heard);
    out["origin_silent_seconds"] = seconds_since(*heard, figures.now);
  }
  if (figures.target_issued)
    out["target_age_seconds"] = seconds_since(*figures.target_issued, figures.now);
  if (const auto& list = memory.list())
    out["site"] = {{"name", list->site},
                   {"members", list->members.size()},
                   {"list_sequence", list->sequence},
                   {"list_issued_at", to_iso8601(list->issued)},
                   {"list_age_seconds", seconds_since(list->issued, figures.now)}};
  if (figures.waiting) out["waiting"] = *figures.waiting;
  if (figures.is_origin_reachable) return out;
  if (figures.peers > 0)
    out["line_down"] = "shares with the site: " + std::to_string(figures.peers) +
                       " other devices are known, nothing comes over the line";
  else if (memory.list())
    out["line_down"] = "waits: no other device of the site is known, nothing comes over the line";
  else
    out["line_down"] = "waits for the origin: it has not placed this device in a site yet";
  return out;
}

}  // namespace lamina::node
