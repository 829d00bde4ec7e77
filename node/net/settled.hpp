// Settled: what administrators settled about this device as a reflector of its site, as the origin
// said last. Kept on disk, so that it holds while the origin is away and after a restart.
//
// Loop thread only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/policy/reflector_role.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

class Settled {
 public:
  // `path` names the file. One that cannot be read is logged, and as good as none: the origin sends
  // the settings anew.
  explicit Settled(std::string path);

  // Whether anything is different now. What cannot be written is logged, and holds until the end of
  // the process.
  bool heard(const wire::ReflectorSettings& settings);

  const wire::ReflectorSettings& settings() const { return settings_; }
  policy::ReflectorMode mode() const { return policy::reflector_mode(settings_.mode); }
  policy::ReflectorDuties duties() const { return policy::duties_of(mode()); }
  // Those of `peers` that the device serves and asks.
  std::vector<wire::Peer> accepted(std::vector<wire::Peer> peers) const;

  // The oldest command that was not carried out.
  std::optional<wire::ReflectorCommand> next_command() const;
  void carried_out(std::uint64_t number);
  std::uint64_t command_done() const { return command_done_; }

 private:
  Status load();
  void keep() const;

  std::string path_;
  wire::ReflectorSettings settings_;
  std::uint64_t command_done_ = 0;  // The number of the newest one.
};

}  // namespace lamina::node
