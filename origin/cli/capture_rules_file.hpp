// An administrator's own capture rules: TOML (docs/operator.md, "What a capture leaves out").
#pragma once

#include <string>
#include <string_view>

#include "shared/image/capture_rules.hpp"

namespace lamina::origin::cli {

// `invalid` names file, line and what is wrong. `file` is for messages.
Result<image::CaptureRules> parse_capture_rules(std::string_view text, const std::string& file);

// The rules in the file at `path`; the factory's alone when that is "".
Result<image::CaptureRules> read_capture_rules(const std::string& path);

}  // namespace lamina::origin::cli
