// Staging: everything new of an apply, complete with content and metadata, in the stage area.
//
// What belongs beneath a directory that is new as well is made inside of it (Operation::top), the
// rest side by side. Chunks are decoded and checked ahead, and what is staged is written to the
// disk meanwhile, by threads inside. One thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "node/worker/journal.hpp"
#include "shared/os/beneath.hpp"
#include "shared/store/read_ahead.hpp"
#include "shared/tree/materialize.hpp"

namespace lamina::node {

class Staging {
 public:
  // Of the operations in the file `plan`. `volume` and what `source` refers to outlive the object.
  static Result<std::unique_ptr<Staging>> start(const os::Root& volume, const std::string& plan,
                                                const format::ChunkSource& source);

  ~Staging();

  // Stages what an operation puts somewhere, in the order of the plan, and notes its inode.
  Status add(Operation& operation);
  // Gives the last directories their metadata, and waits until all of it is on the disk.
  Status finish();

 private:
  struct Directory {
    Operation operation;
    os::Descriptor fd;
  };

  Staging(const os::Root& volume, os::Descriptor area);
  Status link(int parent, const std::string& name, const format::Entry& entry,
              const std::string& first) const;
  Status leave_directories(std::string_view next_path);
  // Where the operation's file is made: a directory that is open here, and its name in it.
  int parent_of(const Operation& operation) const;
  static std::string name_of(const Operation& operation);

  const os::Root& volume_;
  os::Descriptor area_;
  MaterializeOptions options_;
  // The files that staged hard links lead to, and where those are staged that are new.
  std::map<std::string, std::string> firsts_;
  std::unique_ptr<ReadAhead> chunks_;
  os::Writeback writeback_;
  std::vector<Directory> open_;  // Outermost first; of the operation before, or those above it.
};

}  // namespace lamina::node
