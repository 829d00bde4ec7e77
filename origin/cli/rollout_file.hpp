// A rollout's plan as an administrator writes it: TOML (docs/operator.md, "Rollouts").
#pragma once

#include <string>
#include <string_view>

#include "shared/wire/rollout.hpp"

namespace lamina::origin::cli {

// `invalid` names file, line and what is wrong: "rollout.toml:7: wave 2: unknown key 'site'".
// `file` is for messages. Whether sites, devices and layers exist is the origin's to say.
Result<wire::RolloutRequest> parse_rollout_file(std::string_view text, const std::string& file);

// The same from a file of at most 1 MiB.
Result<wire::RolloutRequest> read_rollout_file(const std::string& file);

}  // namespace lamina::origin::cli
