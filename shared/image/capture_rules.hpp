// CaptureRules: what a capture does with each path: the factory rules, then the administrator's
// own.
//
// The factory rules come first and cannot be taken back. Of the own rules the first that covers a
// path decides. Pure; const use from any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shared/base/result.hpp"
#include "shared/image/rules.hpp"

namespace lamina::image {

enum class Take {
  keep,
  leave_out,
  make_empty,  // A file goes without its content, a directory without what lies in it.
};
std::string_view name_of(Take take);  // "keep", "leave-out", "make-empty"
Result<Take> parse_take(std::string_view text);

struct OwnRule {
  std::string name;  // Stands in the layer's record and in reports.
  Take take = Take::leave_out;
  std::string pattern;  // As of a factory rule: '*' within components, all beneath a match too.
};

// `invalid` unless the pattern is a relative path without "." and "..", each component with a '*'
// or a name.
Status check_pattern(std::string_view pattern);

class CaptureRules {
 public:
  CaptureRules() = default;
  // The patterns are good.
  explicit CaptureRules(std::vector<OwnRule> own) : own_(std::move(own)) {}

  struct Decision {
    Take take = Take::keep;
    std::string_view rule;    // Its name; "" when none covers the path.
    bool is_runtime = false;  // Made anew at every start, or another file system.
  };
  // A directory that an own rule would leave out stays when a rule to keep reaches beneath it.
  // make_empty is the answer for non-directories only.
  Decision decide(std::string_view path, bool is_directory) const;

  // "factory", and the own rules' names, each once.
  std::vector<std::string> names() const;

 private:
  std::vector<OwnRule> own_;
};

}  // namespace lamina::image
