// Outcome: what has become of one operation of the device, as a report tells it. Plain value.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/result.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

struct Outcome {
  std::string operation;  // "apply", "snapshot", ...
  std::int64_t started_ms = 0;
  std::optional<Error> error;   // None: it succeeded.
  std::vector<LayerId> layers;  // That it was about.
  std::map<std::string, std::int64_t> counts = {};
  std::map<std::string, std::int64_t> bytes_by_source = {};
  std::vector<std::string> remarks =
      {};  // What an administrator should know although it succeeded.
  std::vector<wire::ScriptEnd> scripts = {};             // That followed it.
  std::optional<std::uint64_t> sequence = std::nullopt;  // Of the target; none: the newest.
};

// The error, or the remarks.
inline std::string text_of(const Outcome& outcome) {
  if (outcome.error) return outcome.error->text();
  std::string text;
  for (const std::string& remark : outcome.remarks) (text += text.empty() ? "" : "; ") += remark;
  return text;
}

}  // namespace lamina::node
