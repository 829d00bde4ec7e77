// Walker: a directory tree as entries in path order, metadata only.
//
// Depth-first with sorted names; the file systems of the root alone, those that it has entered too,
// without others and bind mounts; no symlink is followed.
// What cannot be an entry (a socket) or cannot be read is noted. Per file: one statx, and one
// listxattr where its attributes are not remembered. One thread at a time.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "shared/format/entry.hpp"
#include "shared/tree/account_names.hpp"

namespace lamina {

// Something about a path that the user should know.
struct Note {
  enum class Kind { skipped, unreadable, changed };
  Kind kind = Kind::skipped;
  std::string path;
  std::string reason;
};
std::string_view name_of(Note::Kind kind);

// What tells whether a file's content may have changed since it was read.
struct FileFacts {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  bool operator==(const FileFacts&) const = default;
};
FileFacts facts_of(const struct stat& facts);

struct Found {
  format::Entry entry;  // A file's chunks and extents are not filled in.
  FileFacts facts;
  bool may_be_sparse = false;  // Fewer blocks than its size needs.
  bool is_incomplete = false;  // Its attributes were left out, with a note.
  bool is_foreign = false;     // A mount is there that the root has not entered, with a note.
};

class Walker {
 public:
  // Whether a path is walked; a directory that is not hides all beneath it.
  using Include = std::function<bool(const std::string& path, bool is_directory)>;
  using OnNote = std::function<void(Note note)>;
  // The attributes that a file had when its facts were these; null: not known. Whoever sets an
  // attribute moves the ctime (inode(7)), so that equal facts mean equal attributes. Called for
  // files, in path order.
  using Remember = std::function<const std::vector<format::Attribute>*(const std::string& path,
                                                                       const FileFacts&)>;

  // `root` must outlive the walker.
  Walker(
      const os::Root& root, Include include, OnNote on_note,
      Remember remember = [](const std::string&, const FileFacts&) { return nullptr; });
  ~Walker();

  // The next entry, the root itself first; nothing at the end. Errors of single entries are notes;
  // an error here means that the walk cannot go on.
  Result<std::optional<Found>> next();

  // Opens the file that next() returned last. Its facts may have changed since.
  Result<os::Descriptor> open_current() const;

  // Looks at that file again: another one may have taken its name. Replaces what `found` says of
  // it; false when it is no regular file any more.
  bool look_again(Found& found);
  // Owner, mode and time as an open file has them.
  void describe_file(const struct stat& facts, format::Entry& entry) const;

  // The caller does not keep `found`: another name of the same file becomes the first.
  void leave_out(const Found& found);

 private:
  struct Level;

  Result<std::optional<Found>> look_at(int parent, const std::string& name,
                                       const std::string& path);
  void read_attributes(int parent, const std::string& name, Found& found);
  void descend(int parent, const std::string& name, const std::string& path);
  void note(Note::Kind kind, const std::string& path, std::string reason);

  const os::Root& root_;
  Include include_;
  OnNote on_note_;
  Remember remember_;
  AccountNames names_;
  std::vector<Level> levels_;
  bool started_ = false;
  bool enter_ = false;              // What look_at() found last is a directory to walk into...
  std::uint64_t enter_device_ = 0;  // ...on this file system.
  int current_parent_ = -1;
  std::string current_name_;
  struct LinkGroup {
    std::string first_path;
    std::uint64_t names_left = 0;
  };
  std::map<std::pair<std::uint64_t, std::uint64_t>, LinkGroup> links_;  // By device and inode.
};

}  // namespace lamina
