// PlanStream: what an apply does to each path of a device.
//
// Three ways meet at a path: the target (the new stack, merged), the stack applied before, and the
// device as it is. The layers decide what changed; the device is asked only where that matters.
//
//   the path is ...                                                    then
//   the device's own, by the factory rules or its policy's             keep
//   in the target, new or changed against the stack applied before     make equal
//   in the target, unchanged                                           keep; enforce: make equal,
//                                                                      unless it is derived
//   only in the stack applied before                                   remove
//   in neither                                                         (not visited) keep
// Streaming, one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "shared/base/units.hpp"
#include "shared/format/entry.hpp"
#include "shared/image/diff.hpp"
#include "shared/image/protection.hpp"

namespace lamina::image {

// How the device's path compares with an entry.
struct Likeness {
  enum class Is { absent, same, metadata_differs, differs };
  Is is = Is::absent;
  bool is_directory = false;  // What is there is a directory.
};

// The device, as far as a plan asks about it.
class Device {
 public:
  virtual ~Device() = default;
  // Compares what the device has at `entry.path` with `entry`: kind, content, link target, and the
  // metadata. A hard link is the same when it is the same inode as its first name. Of a directory
  // with another mode, owner, time or attribute: metadata_differs. Follows no symlink.
  virtual Result<Likeness> compare(const format::Entry& entry) = 0;
};

enum class ActionKind { create, replace, metadata, remove, keep };
std::string_view name_of(ActionKind kind);

enum class Reason {
  rule,            // keep: `rule` says that the path is the device's own.
  new_in_target,   // The stack applied before did not have it.
  changed,         // The stack applied before had another version, or its first name changed.
  enforced,        // Unchanged in the layers; the device differed.
  already_so,      // keep: the device has it as the target says.
  unchanged,       // keep: the layers did not change it, whatever the device made of it.
  derived,         // keep: the device made it from other files.
  left_the_stack,  // remove: it came with the stack applied before.
};
std::string_view name_of(Reason reason);

// Room that is left free on a volume beside what an apply writes: directories, journal, other
// programs' work meanwhile.
inline constexpr Bytes kApplyReserve = 64_MiB;
// What a volume must have free for an apply that makes `files` new files with `content` bytes in
// all: each stands beside the old one until the next apply, and may lose a block to rounding.
Bytes space_for_apply(std::uint64_t files, Bytes content);

struct Action {
  ActionKind kind = ActionKind::keep;
  Reason reason = Reason::unchanged;
  format::Entry entry;  // As it shall be; of a removal, as it was in the stack applied before.
  const Rule* rule = nullptr;
};

// `remove_others` enforces, and what is in no layer goes: its caller lets the previous stack's
// stream have that too (Protection::stays_unowned() says what must not be in it), so that it
// leaves.
enum class Mode { apply, enforce, remove_others };

class PlanStream {
 public:
  // `target` and `previous` are merged streams (no whiteouts). `device` and `protection`, which is
  // the device's, must outlive the plan.
  PlanStream(std::unique_ptr<format::EntryStream> target,
             std::unique_ptr<format::EntryStream> previous, Device& device,
             const Protection& protection, Mode mode);

  // The next action; nothing at the end. In path order, except that the removal of a directory
  // comes after everything beneath it, and means: if it is empty then. A `replace` of a directory
  // by something else takes all beneath it along, and no removals beneath it follow.
  // `refused`, naming both, when such a replacement would take away what a rule protects. Errors of
  // the streams and of the device are passed on.
  Result<std::optional<Action>> next();

 private:
  Result<std::optional<Action>> decide(Difference difference);
  Result<Action> make_equal(format::Entry entry, Reason reason);
  Status part_from(const std::string& old_first, Action& action);

  DiffStream difference_;
  Device& device_;
  const Protection& protection_;
  Mode mode_;
  std::optional<Difference> held_;  // Waits until the directories left behind are removed.
  bool ended_ = false;
  std::vector<format::Entry> leaving_;  // Directories to remove, outermost first.
  std::optional<std::string> covered_;  // A non-directory of the target: beneath it all is gone.
  // XXH3 of every non-directory made anew, for hard links to them. A collision costs one relink.
  std::unordered_set<std::uint64_t> remade_;
  // XXH3 of every non-directory that leaves, and of such old first names, or of those made anew,
  // the name that keeps the inode when its group comes apart.
  std::unordered_set<std::uint64_t> left_;
  std::unordered_map<std::uint64_t, std::string> heirs_;
};

}  // namespace lamina::image
