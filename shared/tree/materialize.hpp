// Entries become files again, bit by bit, with all metadata.
//
// Files are made with mode 0600, filled, and then get owner, mode, attributes and times, in that
// order: changing the owner clears setuid bits and capabilities. No symlink is followed. Needs root
// for owners, devices and most attributes. One thread at a time per object.
#pragma once

#include <functional>
#include <map>

#include "shared/format/manifest.hpp"
#include "shared/os/beneath.hpp"
#include "shared/os/writeback.hpp"
#include "shared/tree/account_names.hpp"

namespace lamina {

struct MaterializeOptions {
  bool set_owner = true;       // False: everything belongs to the caller.
  bool set_attributes = true;  // False: extended attributes are left out.
  // The accounts of the tree that is written to: an owner whose name they know gets their id, which
  // may be another than in the tree that was captured. Null: ids as they are. Must outlive the
  // call.
  const AccountNames* accounts = nullptr;
};

// Makes `entry` as `name` in the directory `parent`, where nothing of that name may be. A directory
// is made empty and with mode 0700: call set_metadata() for it when its content is complete. Hard
// links and whiteouts are the caller's. On failure what was made is removed again. Errors name the
// path.
Status make_entry(int parent, const std::string& name, const format::Entry& entry,
                  const format::ChunkSource& source, const MaterializeOptions& options);

// The S_IFMT bits of a kind; 0 for hard links and whiteouts, which are no kind of file.
mode_t file_type_of(format::EntryKind kind);

// Gives what stands at `name` the entry's owner, mode, attributes (others are removed) and times.
// `refused` when it is of another kind than the entry.
Status set_metadata(int parent, const std::string& name, const format::Entry& entry,
                    const MaterializeOptions& options);

// Writes a whole tree, or a part of it, into a directory, from entries in path order. The disk
// writes meanwhile.
class TreeWriter {
 public:
  // `root` must outlive the writer. Entries of `base` are written as the root itself: a part of a
  // manifest lands without the directories above it.
  TreeWriter(const os::Root& root, std::string base, format::ChunkSource source,
             MaterializeOptions options);

  // How the entry of a path outside `base` is found: the first name of a hard link may be there.
  // The file is then made at the first of its names in `base`. Without it such a link is `invalid`.
  void find_outside(std::function<Result<format::Entry>(const std::string& path)> find) {
    find_outside_ = std::move(find);
  }

  Status write(const format::Entry& entry);
  // Sets the metadata of the directories that are still open. Call once, last.
  Status finish();

  std::uint64_t entries_written() const { return entries_; }
  std::uint64_t bytes_written() const { return bytes_; }

 private:
  Status leave_directories(std::string_view next_path);
  Status link(const format::Entry& entry, const std::string& first, int parent,
              const std::string& name) const;
  std::string local(std::string_view path) const;

  const os::Root& root_;
  std::string base_;
  format::ChunkSource source_;
  MaterializeOptions options_;
  std::function<Result<format::Entry>(const std::string& path)> find_outside_;
  std::map<std::string, std::string> outside_;  // Names outside to the place here.
  std::vector<format::Entry> open_directories_;
  std::uint64_t entries_ = 0;
  std::uint64_t bytes_ = 0;
  os::Writeback writeback_;
};

}  // namespace lamina
