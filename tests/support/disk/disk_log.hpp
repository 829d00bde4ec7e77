// DiskLog: what this process does to the files beneath one directory, in order, and what a disk may
// hold of it when the process is killed or the power fails at any point of it.
//
// The calls themselves are taken: a program that links this library has its own write(), fsync(),
// rename() and so on before those of the C library, for all of its parts, libraries such as LMDB
// included (disk_calls.cpp). So no code under test knows of it, and a sync that is left out
// anywhere is a sync that is not in the log. After Pillai et al., "All File Systems Are Not Created
// Equal: On the Complexity of Crafting Crash-Consistent Applications" (OSDI 2014), with these
// assumptions:
//
//   - A write is durable by a sync of its file; before that any of its sectors of 512 bytes, or of
//     its pages of 4 KiB, may be on the disk, or none, in any order; where a file grew there may be
//     zeros.
//   - A name (of a new file, a rename, a removal) is durable by a sync of its directory, with the
//     names that were changed in the directory before it. Before that each directory has some first
//     part of what was done in it. A sync of a file does not make its name durable.
//   - A rename is there wholly or not at all.
//   - What is written through a shared map is not seen: LMDB's lock file, which it makes anew.
//
// One log at a time in a process. Its own functions: one thread; what is logged: any.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shared/base/bytes.hpp"

namespace lamina::tests {

namespace disk {

using Node = std::uint32_t;  // A file or directory, whatever its names are.

struct Metadata {
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  timespec mtime{};
  std::map<std::string, std::string> attributes;
};

struct Operation {
  enum class Kind {
    write,        // `bytes` at `offset` of `node`.
    resize,       // `node` to `offset` bytes.
    metadata,     // `node` has `metadata`.
    name,         // `directory`/`name` is `node` from now on.
    unname,       // `directory`/`name` is gone.
    rename,       // `directory`/`name` becomes `to_directory`/`to_name`.
    exchange,     // The two change places.
    sync,         // Of `node`: its content, or its names when it is a directory.
    sync_failed,  // Likewise, but what was not durable never will be by a later sync.
    sync_all,     // Everything.
    nothing,      // In the place of what a planted bug leaves out.
  };
  Kind kind = Kind::nothing;
  Node node = 0;
  std::uint64_t offset = 0;
  Buffer bytes = {};
  Metadata metadata = {};
  Node directory = 0;
  std::string name = {};
  Node to_directory = 0;
  std::string to_name = {};
  bool is_through = false;  // A write that is durable when it returns.
  std::string path = {};    // Where it was done, from the top; for people, and to choose by.
};
std::string to_text(const Operation& operation);

struct NodeFacts {
  mode_t type = 0;          // S_IFREG...
  std::uint64_t inode = 0;  // That it had.
  std::string target;       // Of a symlink.
  dev_t device = 0;
  Metadata metadata;  // As it was made, or found.
};

// What a disk holds.
struct Image {
  struct File {
    Buffer bytes;
    Metadata metadata;
    std::map<std::string, Node> names;  // Of a directory.
  };
  std::vector<File> files;  // By node; 0 is the top.
};

// What happened, from a start where everything was durable.
class History {
 public:
  History() = default;
  History(std::vector<NodeFacts> its_nodes, Image its_start, std::vector<Operation> its_operations)
      : nodes(std::move(its_nodes)),
        start(std::move(its_start)),
        operations(std::move(its_operations)) {}

  std::vector<NodeFacts> nodes;
  Image start;  // The first of the nodes.
  std::vector<Operation> operations;

  // What is there when the process is killed after its first `count` operations.
  Image killed_after(std::size_t count) const;
  // ...and when the power fails then: of what was not durable chance keeps some. Seeds 0 and 1 are
  // the extremes: nothing of it, and all names but no content.
  Image power_failed_after(std::size_t count, std::uint64_t seed) const;

  // Makes `directory`, which is not there, hold what `image` says. Owners only as root.
  void write_out(const Image& image, const std::string& directory) const;

  // --- planted bugs: the history that another program would have had
  using Chosen = std::function<bool(const Operation&)>;
  // One that leaves out the syncs that are `chosen`.
  History without_syncs(const Chosen& chosen) const;
  // One that does what is `chosen` only after the next sync that is `first`.
  History delayed(const Chosen& chosen, const Chosen& first) const;

 private:
  const std::vector<std::size_t>& durable_by() const;
  mutable std::vector<std::size_t> durable_by_;
};

}  // namespace disk

// What goes wrong at some operation.
struct DiskFault {
  enum class Kind {
    input_output,  // One call fails with EIO.
    full,          // From then on what takes space fails with ENOSPC, until DiskLog::heal(). What
                   // is written over takes none: ext4, XFS.
    full_copies,   // Likewise, and what is written over takes space, too: btrfs, thin volumes.
    short_write,   // The next write writes half.
    kill,          // The process dies before it.
  };
  Kind kind = Kind::input_output;
  std::size_t at = 0;  // When so many operations are logged.
};

class DiskLog {
 public:
  // What is beneath `directory` now counts as durable; from here on all is logged.
  explicit DiskLog(const std::string& directory);
  ~DiskLog();  // Ends the log.
  DiskLog(const DiskLog&) = delete;
  DiskLog& operator=(const DiskLog&) = delete;

  // How many operations there were so far. Calls that fail are none.
  std::size_t count() const;
  // From now on the disk has this fault. What fails is logged as what it leaves.
  void plant(DiskFault fault);
  // How many calls failed of it; from now on none does.
  std::size_t heal();
  // Ends the log and gives it away.
  disk::History take();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

// While it lives, files that History::write_out() made have the inode numbers of the history: a
// program that finds its files again by them is not led astray.
class OldInodes {
 public:
  OldInodes(const disk::History& history, const disk::Image& image, const std::string& directory);
  ~OldInodes();
  OldInodes(const OldInodes&) = delete;
  OldInodes& operator=(const OldInodes&) = delete;
};

// While it lives, nothing waits for a disk: for the parts of a test that nothing crashes.
class NoWaiting {
 public:
  NoWaiting();
  ~NoWaiting();
  NoWaiting(const NoWaiting&) = delete;
  NoWaiting& operator=(const NoWaiting&) = delete;
};

}  // namespace lamina::tests
