// From a scenario's files to a Scenario: docs/simulation.md describes them.
//
// Files are read by the caller, so that this folder opens none. One thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/document.hpp"
#include "sim/scenario/findings.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

// The content of a file that a scenario names, as it stands there (relative to the scenario).
using ReadFile = std::function<Result<std::string>(const std::string& name)>;

inline constexpr Bytes kTableMax = 64_MiB;  // Larger files the caller need not read.

// The scenario, or all that is wrong with it. `file` is the name of `text` in messages.
//
// Overrides are applied in their order. "site.COLUMN" gives all sites the same value, whatever the
// table says; "site.cap" replaces all bandwidth rules by this one limit for what sites download, at
// all times. Whatever else they name is changed in the document.
//
// The hash of the result is of all files and overrides.
tl::expected<Scenario, Findings> load_scenario(const std::string& file, std::string_view text,
                                               const ReadFile& read,
                                               const std::vector<Override>& overrides = {});

}  // namespace lamina::sim
