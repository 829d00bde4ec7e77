// A policy as a file: TOML (docs/operator.md, "Policies").
#pragma once

#include <string>
#include <string_view>

#include "shared/wire/policies.hpp"

namespace lamina::origin::cli {

// `invalid` names file, line, what is wrong and what would be right. `file` is for messages.
Result<wire::PolicyRequest> parse_policy_file(std::string_view text, const std::string& file);
Result<wire::PolicyRequest> read_policy_file(const std::string& path);

// A file that parse_policy_file() reads as the same.
std::string policy_file(const wire::PolicyInfo& info);

}  // namespace lamina::origin::cli
