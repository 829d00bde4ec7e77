// Progress of a transfer or a computation, on one line of a terminal that is written over.
//
// Silent unless stderr is a terminal: logs and pipes never see it. The time is told, so that what
// is shown can be tested. One thread.
#pragma once

#include <optional>
#include <ostream>
#include <string>

#include "shared/base/units.hpp"

namespace lamina::cli {

// "12.0 MiB of 48.0 MiB, 20.0 Mbit/s, 15.0 s left"; `total` 0: not known. The rate is the mean
// since the start; neither rate nor time left before the first second is over.
std::string progress_text(Bytes done, Bytes total, Duration since_start);

class Progress {
 public:
  // Draws to `out` only if `draws`; see stderr_is_terminal().
  Progress(std::ostream& out, bool draws) : out_(out), draws_(draws) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // The first call is the start. Draws at most five times a second.
  void show(Bytes done, Bytes total, Instant now);
  // Draws a text that is not the one that stands there.
  void say(const std::string& text);
  // Leaves an empty line for what comes next.
  void clear();

 private:
  std::ostream& out_;
  bool draws_;
  std::string drawn_;  // What stands there; empty: nothing.
  std::optional<Instant> start_;
  std::optional<Instant> last_;
};

bool stderr_is_terminal();

}  // namespace lamina::cli
