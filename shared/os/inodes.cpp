#include "shared/os/inodes.hpp"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "shared/base/bytes.hpp"
#include "shared/os/errno.hpp"

namespace lamina::os {

Result<std::vector<NamedInode>> list_inodes(const std::string& path) {
  const auto close = [](DIR* directory) { closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> directory(opendir(path.c_str()), close);
  if (!directory) return fail(last_error("listing " + printable(path)));
  std::vector<NamedInode> files;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr && errno != 0) return fail(last_error("listing " + printable(path)));
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") files.push_back({std::string(name), entry->d_ino});
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace lamina::os
