// ImageTree: the tree that the members of archives add up to, as a file system would have it.
//
// Archives are not sorted, say things twice, name directories by symlinks, and link to files of
// archives before them; a manifest does none of that. So their members are put into a tree of names
// and files in memory, and nothing is written to a disk: what a hostile archive can reach is this
// tree. Content stays in the archive: a file here has its chunks' ids only.
//
// Memory grows with the names and with the chunks' ids, not with content. One thread at a time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shared/archive/tar_reader.hpp"
#include "shared/format/path.hpp"
#include "shared/image/capture_rules.hpp"

namespace lamina::origin::images {

// What ".wh." in front of a name means.
enum class Whiteouts {
  none,  // Nothing: a plain archive.
  oci,   // A removal, or with ".wh..wh..opq" of all that a directory had before: the OCI image
         // specification, "Image Layer Filesystem Changeset".
};

// The names of a tree may be those of a hostile archive: never more of them.
constexpr std::size_t kFilesMax = 10'000'000;

// Everything that a name may stand for; several names of one are hard links.
struct ImageFile {
  format::Entry entry;  // Without path and names of owners; chunks once the content was read.
  std::vector<archive::AclEntry> acl;
  std::string start;       // What read_start() gives of it.
  std::size_t layer = 0;   // The number of the begin_layer() that it came after, from 0...
  std::size_t member = 0;  // ...and its place among the members of that archive.
};

class ImageTree {
 public:
  // What becomes of a path in the tree as it is shown; a directory that is left out hides all
  // beneath.
  using Include = std::function<image::Take(const std::string& path, bool is_directory)>;

  // What is added from now on comes from another archive.
  void begin_layer();

  // Puts a member into the tree. The file whose content has to be read now, valid until the next
  // call; null when it has none. `refused` for a member that leads out of the tree, `invalid` for
  // one that cannot be in a tree; both name the member.
  Result<ImageFile*> add(const archive::Member& member, Whiteouts whiteouts);
  // Makes the directories that members lie in and that no archive has. Call once a layer, last.
  Status end_layer();

  // The first bytes of a file, symlinks followed: all of the account files and os-release, of
  // programs what tells their machine, of others "".
  std::string read_start(const std::string& path, std::size_t most) const;

  // The tree as it is now, in path order, with the names of its own accounts; later changes are not
  // seen. The tree must outlive the stream. `refused` when a device node is among the entries and
  // `allow_devices` is not set.
  std::unique_ptr<format::EntryStream> entries(Include include, bool allow_devices) const;

  // In the order in which they were added; some may have no name any more.
  const std::vector<std::unique_ptr<ImageFile>>& files() const { return files_; }

  // How much of a file read_start() wants, by its name and its first bytes.
  static std::size_t start_wanted(std::string_view path, ByteView first_bytes);

 private:
  struct Name {
    std::size_t file = 0;
    std::size_t layer = 0;  // Of the archive that gave the name.
  };
  using Names = std::map<std::string, Name, format::PathLess>;
  class Entries;

  Result<std::string> place_of(std::string_view text) const;
  Result<std::string> follow(std::string path, bool last_too) const;
  Status remove(const std::string& path, const std::string& name);
  void forget(const std::string& path, bool itself);
  Status put(const std::string& path, std::size_t file);
  const ImageFile* find(std::string_view path) const;

  std::vector<std::unique_ptr<ImageFile>> files_;
  Names names_;
  std::size_t layers_ = 0;
  std::size_t members_ = 0;  // Of this layer, so far.
};

}  // namespace lamina::origin::images
