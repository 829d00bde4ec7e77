// `lamina-origin seed`: packs to lease holders, at a rate that leaves room on their lines.
#pragma once

#include <optional>

#include "origin/data_directory.hpp"
#include "origin/mirror/mirror.hpp"
#include "origin/seeding/line_pacing.hpp"

namespace lamina::origin {

struct SeedingOptions {
  std::string host;  // To listen at.
  std::uint16_t port = 0;
  bool give_way = true;
  policy::DecisionLog* record = nullptr;               // Of each line's rate.
  std::optional<MirrorOptions> mirror = std::nullopt;  // On a machine that has joined.
};

// Serves until SIGTERM or SIGINT. Blocks. `unavailable` when the address cannot be listened at; the
// data directory's errors.
Status run_seeding(const DataDirectory& data, const SeedingOptions& options);

}  // namespace lamina::origin
