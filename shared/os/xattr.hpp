// Extended attributes, POSIX ACLs and capabilities included, by their system names.
//
// The value's size is always asked for first: some file systems answer EIO instead of ERANGE when
// the buffer is too small. Any thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "shared/base/result.hpp"

namespace lamina::os {

using Xattrs = std::vector<std::pair<std::string, std::string>>;

// All attributes of the entry `name` in the directory `parent`, which is not followed if it is a
// symlink; ascending by name. Empty where the file system has none. `what` names it in errors.
Result<Xattrs> read_xattrs(int parent, const std::string& name, const std::string& what);
Status set_xattr(int parent, const std::string& name, const std::string& attribute,
                 const std::string& value, const std::string& what);
Status remove_xattr(int parent, const std::string& name, const std::string& attribute,
                    const std::string& what);

}  // namespace lamina::os
