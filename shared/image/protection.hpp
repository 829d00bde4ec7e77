// Protection: what becomes of each path of a device: whether it is the device's own in every
// operation, and whether snapshots hold it.
//
// The factory rules (rules.hpp) come first and are fixed: no policy makes runtime files or Lamina's
// own part of a snapshot, or takes the users' homes from them. Beside them a policy leaves areas
// out of snapshots and makes areas the users', each with exceptions. Const use from any thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/format/entry.hpp"
#include "shared/format/protection.hpp"
#include "shared/image/rules.hpp"

namespace lamina::image {

class Protection {
 public:
  // The factory rules alone.
  Protection() = default;
  Protection(Protection&&) = default;
  Protection& operator=(Protection&&) = default;
  // `invalid` names the rule and what is wrong with it: a pattern, a name that two have, no pattern
  // at all, a bound that is exceeded, a user area that takes in what every system layer has, a
  // volume that is named twice or at what no snapshot holds.
  static Result<Protection> make(const format::ProtectionRules& rules);

  // The first rule that makes the path the device's own, whatever its layers have, or none. Valid
  // as long as this. A directory of a user area in which an exception may lie is not the users': an
  // apply has to make it where it is missing.
  const Rule* own_rule(std::string_view path, bool is_directory) const;
  bool is_user(std::string_view path, bool is_directory) const;
  // A rule for something that may lie beneath the directory `path` and cannot be made again
  // (identity, boot, user, lamina), or none.
  const Rule* own_rule_beneath(std::string_view path) const;
  // Whether what is in no layer stays even when a stack is enforced with the removal of all that no
  // layer has: what an own rule covers, derived files, the kernels that a machine may start with,
  // what starts Lamina's own programs, and what no snapshot could bring back.
  bool stays_unowned(std::string_view path, bool is_directory) const;

  // Snapshots hold all of a device, so that it can be restored: all but runtime files, Lamina's
  // own, and what the policy leaves out. A directory stays where an exception may lie beneath it.
  bool in_snapshot(std::string_view path, bool is_directory) const {
    return left_out_by(path, is_directory).empty();
  }
  // The rule that leaves the path out of snapshots: "factory", a policy's rule by name, or "".
  std::string_view left_out_by(std::string_view path, bool is_directory) const;

  // The places of the file systems that snapshots hold beside the device's first one, where one is
  // mounted there; in path order.
  const std::vector<std::string>& volumes() const { return volumes_; }
  bool holds_volume(std::string_view place) const;

 private:
  struct Compiled {
    std::string name;
    std::vector<std::string> paths, except;
    std::vector<Rule> rules;  // Of a user area, one for each of `paths`.
  };
  Status check_volumes() const;
  static Result<std::vector<Compiled>> compile(const std::vector<format::ProtectionRule>& rules);
  // The pattern of `paths` that covers the path, if no exception does.
  static const std::string* covering(const Compiled& rule, std::string_view path,
                                     bool is_directory);

  // Vectors keep their elements in place when they are moved, so that `rules` may point there.
  std::vector<Compiled> unprotected_, user_;
  std::vector<std::string> volumes_;
};

// What another policy would change for a device, told from the entries of its last snapshot, each
// once and in any order.
class ProtectionChange {
 public:
  struct Sum {
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;            // Of files, before compression.
    std::vector<std::string> examples;  // The first kExamplesMax paths.
  };
  static constexpr std::size_t kExamplesMax = 5;

  // `held`: the volumes of the snapshot. All outlive the object.
  ProtectionChange(const Protection& before, const Protection& after,
                   const std::vector<std::string>& held)
      : before_(before), after_(after), held_volumes_(held) {}

  void add(const format::Entry& entry);

  // What the next snapshot does not hold any more, by the rule that leaves it out.
  const std::map<std::string, Sum>& leaves() const { return leaves_; }
  // ... and by the volume that is not protected any more.
  const std::map<std::string, Sum>& volumes_leave() const { return volumes_leave_; }
  // What the next snapshot holds although `before` would have left it out.
  const Sum& comes() const { return comes_; }
  const Sum& becomes_user() const { return becomes_user_; }
  const Sum& becomes_machine() const { return becomes_machine_; }
  const Sum& held() const { return held_; }  // All of the snapshot.

 private:
  const Protection& before_;
  const Protection& after_;
  const std::vector<std::string>& held_volumes_;
  std::map<std::string, Sum> leaves_, volumes_leave_;
  Sum comes_, becomes_user_, becomes_machine_, held_;
};

}  // namespace lamina::image
