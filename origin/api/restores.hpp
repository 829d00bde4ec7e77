// Restores: which of them administrators' programs carry out just now, so that their reads of CVDs
// are told as one transaction. In memory: after a restart each read is audited by itself again.
//
// Plain state; the caller tells the time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::origin {

struct RunningRestore {
  DeviceId device;
  std::string actor;  // As in the audit log. Nobody else reads under it.
  std::string what;
  Instant begun;
  Instant seen;             // The last read.
  std::int64_t chunks = 0;  // That were read...
  std::int64_t bytes = 0;   // ...and their plain bytes.
};

class Restores {
 public:
  // Of a program that says nothing for so long nothing more is expected.
  static constexpr Duration kSilence = std::chrono::hours{1};
  static constexpr std::size_t kMost = 1000;  // At a time; one more ends the most silent.

  void begin(const std::string& id, RunningRestore restore) {
    restores_.insert_or_assign(id, std::move(restore));
  }
  // Whether these reads are part of it: then they count there.
  bool add(const std::string& id, const DeviceId& device, const std::string& actor,
           std::int64_t chunks, std::int64_t bytes, Instant now);
  std::optional<RunningRestore> end(const std::string& id, const DeviceId& device,
                                    const std::string& actor);
  // Takes out those that are over without having said so.
  std::vector<RunningRestore> take_silent(Instant now);
  std::optional<Instant> next_change() const;

 private:
  std::map<std::string, RunningRestore> restores_;
};

}  // namespace lamina::origin
