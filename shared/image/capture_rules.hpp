// CaptureRules: what a capture does with each path: what is the device's own (protection.hpp) is
// left out, and then the administrator's own rules.
//
// What is the device's own comes first and cannot be taken back. Of the own rules the first that
// covers a path decides. Pure; const use from any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shared/base/result.hpp"
#include "shared/image/protection.hpp"

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
  std::string pattern;  // Good (path_pattern.hpp).
};

class CaptureRules {
 public:
  CaptureRules() = default;
  explicit CaptureRules(std::vector<OwnRule> own) : own_(std::move(own)) {}
  // What is captured is the tree of a device with this policy: its users' areas are left out too.
  void protect(Protection protection) { protection_ = std::move(protection); }

  struct Decision {
    Take take = Take::keep;
    std::string_view rule;    // Its name; "" when none covers the path.
    bool is_runtime = false;  // Made anew at every start, or another file system.
  };
  // A directory that an own rule would leave out stays when a rule to keep reaches beneath it.
  // make_empty is the answer for non-directories only.
  Decision decide(std::string_view path, bool is_directory) const;

  // "factory", and the names of the own rules, each once.
  std::vector<std::string> names() const;

 private:
  Protection protection_;
  std::vector<OwnRule> own_;
};

}  // namespace lamina::image
