// What `lamina-node status` says about the site, and how old what the device goes by is.
// For the .cpp files of this folder: nlohmann's types are in it. Plain values; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "node/net/site_memory.hpp"

namespace lamina::node {

struct SiteFigures {
  WallTime now;
  bool is_origin_reachable = false;
  std::size_t peers = 0;                  // That the device would share with.
  std::optional<WallTime> target_issued;  // None: there is no target.
  std::optional<std::string> waiting;     // Why the origin has placed it in no site.
};

// A JSON object with the fields "origin_heard_at", "origin_silent_seconds", "target_age_seconds",
// "site", "waiting" and, while the origin does not answer, "line_down": each absent when nothing is
// known of it. Ages are by this computer's clock, and 0 where that lies behind.
nlohmann::json site_status(const SiteMemory& memory, const SiteFigures& figures);

}  // namespace lamina::node
