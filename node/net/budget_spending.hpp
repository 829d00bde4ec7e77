// BudgetSpending: how much of its target's WAN budget this device has used, on disk.
//
// Loop thread only.
#pragma once

#include <cstdint>
#include <string>

#include "shared/base/units.hpp"

namespace lamina::node {

class BudgetSpending {
 public:
  // `path` names the file.
  explicit BudgetSpending(std::string path) : path_(std::move(path)) {}

  // What was spent of the budget of target `sequence` before; nothing when the file names another
  // target or cannot be read.
  Bytes read(std::uint64_t sequence) const;

  // A lease on the budget of target `sequence` begins, when `over_wan` had come over the line since
  // the process started.
  void begin(std::uint64_t sequence, Bytes over_wan);
  // By now `over_wan` has, for target `sequence`. Call each second while the lease lasts: after a
  // kill, at most a second of it is not counted. A file that cannot be written is logged. Returns
  // what is spent in all.
  Bytes note(std::uint64_t sequence, Bytes over_wan);

 private:
  std::string path_;
  Bytes before_;        // Spent before this lease...
  Bytes wan_at_start_;  // ...when so much had come over the line.
};

}  // namespace lamina::node
