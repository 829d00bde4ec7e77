// LeftOut: what the rules keep out of a layer: by rule, how many files and bytes.
//
// decide() is called while a tree is walked, by that thread; the rest afterwards.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "shared/image/capture_rules.hpp"
#include "shared/os/beneath.hpp"

namespace lamina::origin::cli {

class LeftOut {
 public:
  explicit LeftOut(image::CaptureRules rules) : rules_(std::move(rules)) {}

  const image::CaptureRules& rules() const { return rules_; }

  // As the rules decide, and remembered; asked again, it counts once.
  image::Take decide(const std::string& path, bool is_directory);

  struct Path {
    std::string path;
    std::string rule;
    image::Take take = image::Take::leave_out;
    bool is_runtime = false;  // Not counted: made anew at every start, or another file system.
    std::uint64_t files = 0;  // That lie there; filled in by measure().
    std::uint64_t bytes = 0;
  };
  // Looks at what was left out, without reading any content.
  Status measure(const os::Root& tree);
  const std::vector<Path>& paths() const { return paths_; }

  struct Sum {
    std::uint64_t paths = 0, files = 0, bytes = 0;
  };
  // What each rule left out or emptied.
  std::map<std::string, Sum> sums() const;

 private:
  image::CaptureRules rules_;
  std::vector<Path> paths_;
  std::set<std::string> known_;  // Of paths_.
};

}  // namespace lamina::origin::cli
