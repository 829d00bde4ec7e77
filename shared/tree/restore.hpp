// TreeRestorer: makes a tree equal to a snapshot, wholly or where a scope says so, and leaves the
// rest of it as it is.
//
// Tree and snapshot are walked side by side in path order, first to plan and then, in one or more
// passes, to carry the plan out. A file that has the snapshot's content already, by the ids of its
// chunks, is not written; one that has not is made beside the old one and takes its name, so that a
// restore that is killed leaves each file old or new, and is begun again. Nothing is changed
// through a second name of a file. Directories get their metadata when all in them is done, and
// those outside the scope their old times back. Needs root; nobody else may write to the tree. One
// thread at a time.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "shared/format/manifest.hpp"
#include "shared/os/beneath.hpp"
#include "shared/tree/walker.hpp"

namespace lamina {

enum class RestoreChange { make, replace, metadata, remove };

// The passes that carry a plan out: what the machine needs to start, then the rest, removals too.
enum class RestorePart : std::uint8_t { none, start, rest };

struct RestorePlan {
  std::uint64_t made = 0;      // Entries that are not there.
  std::uint64_t replaced = 0;  // With other content, of another kind, or linked otherwise.
  std::uint64_t metadata = 0;  // Owner, mode, time or attributes alone.
  std::uint64_t removed = 0;
  std::uint64_t same = 0;  // Within the scope.
  struct Room {
    std::uint64_t bytes = 0;    // Content of what is made and replaced.
    std::uint64_t largest = 0;  // Of one file of these.
    std::uint64_t gone = 0;     // Of what is replaced and removed.
  };
  // What each file system needs, by its place (os::Root::volume_of).
  std::map<std::string, Room> rooms;
  // What cannot be done, each with its reason: a directory with something outside the scope stands
  // where the snapshot has a file, or the reverse; something else is mounted where the snapshot has
  // content. At most 100.
  std::vector<std::string> blocked;
  // For each entry of the snapshot, in order, by which pass its content is written.
  std::vector<RestorePart> writes;
  // Paths of hard links that get a file of their own.
  std::set<std::string> own_files;

  std::uint64_t changes() const { return made + replaced + metadata + removed; }
  // Content of what is made and replaced.
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const auto& [place, room] : rooms) sum += room.bytes;
    return sum;
  }
};

class TreeRestorer {
 public:
  // Whether the restore may touch a path, which the snapshot has as `entry` or has not (null).
  // Asked in path order, once a pass.
  using Scope = std::function<Result<bool>(const std::string& path, bool is_directory,
                                           const format::Entry* entry)>;
  struct Calls {
    Scope scope;
    // What the walk of the tree looks at; the rest is out of scope.
    Walker::Include include;
    // Whether a non-directory belongs to the part `start`.
    std::function<bool(const std::string& path)> is_first;
    Walker::OnNote on_note = [](const Note&) {};
    std::function<void(RestoreChange, const std::string& path)> on_change =
        [](RestoreChange, const std::string&) {};
  };
  // Where the file of a hard link is found whose first name is not restored, and its chunks.
  struct Outside {
    std::function<Result<format::Entry>(const std::string& path)> find;
    format::ChunkSource source;
  };

  // `root` must outlive the object; what it has entered is restored too. `accounts`: as in
  // MaterializeOptions.
  TreeRestorer(const os::Root& root, Calls calls, Outside outside,
               const AccountNames* accounts = nullptr);

  // Reads and compares all; writes nothing. Errors of single paths of the tree are notes.
  Result<RestorePlan> plan(format::EntryStream& snapshot);

  // Carries a plan out in which nothing is blocked: `start`, then `rest`. `source` is asked for the
  // chunks of the files that the part writes, in path order.
  Status carry_out(format::EntryStream& snapshot, RestorePlan& plan, RestorePart part,
                   const format::ChunkSource& source);

 private:
  class Pass;
  const os::Root& root_;
  Calls calls_;
  Outside outside_;
  const AccountNames* accounts_;
};

}  // namespace lamina
