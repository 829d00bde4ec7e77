// The device's volume as an apply sees it: what stands at a path, compared with an entry.
// One thread at a time per object.
#pragma once

#include "shared/image/plan.hpp"
#include "shared/os/beneath.hpp"

namespace lamina::node {

// What stands at `path`: kind and metadata, a symlink's target; no size, no content. Nothing when
// nothing is there. `invalid` for a socket.
Result<std::optional<format::Entry>> describe(const os::Root& volume, const std::string& path);

// The regular file at `path` of the volume, if it has at most `limit` bytes; nothing when something
// else, or nothing, stands there.
Result<std::optional<std::string>> read_small_file(const os::Root& volume, const std::string& path,
                                                   std::size_t limit);

// Removes a directory that is empty or has nothing but derived files (image::derived_rule): what
// they were made from is gone. Anything else in it, or mounted at it, keeps it, and all of it: that
// is no error.
Status remove_spent_directory(const os::Root& volume, const std::string& path);

// Reads the device to compare it with entries; a file's content is read only when its size is
// equal.
class VolumeDevice : public image::Device {
 public:
  // `volume` must outlive the object.
  explicit VolumeDevice(const os::Root& volume) : volume_(volume) {}
  Result<image::Likeness> compare(const format::Entry& entry) override;

 private:
  Result<bool> same_content(const format::Entry& entry);

  const os::Root& volume_;
  std::string absent_;  // Nothing stands there, nor beneath it; empty: not known of any path.
};

}  // namespace lamina::node
