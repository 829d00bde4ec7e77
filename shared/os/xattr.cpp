#include "shared/os/xattr.hpp"

#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "shared/base/bytes.hpp"
#include "shared/os/errno.hpp"

namespace lamina::os {
namespace {

// The *at forms of these calls are newer than the kernels that we serve; the descriptor's own link
// in /proc is an equivalent that does not walk the tree again.
std::string through_proc(int parent, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(parent) + '/' + (name.empty() ? "." : name);
}

constexpr int kTries = 8;  // An attribute may grow between asking its size and reading it.

}  // namespace

Result<Xattrs> read_xattrs(int parent, const std::string& name, const std::string& what) {
  const std::string path = through_proc(parent, name);
  const std::string doing = "reading the attributes of " + printable(what);
  std::string names;
  for (int tries = 0;; ++tries) {
    const ssize_t size = llistxattr(path.c_str(), nullptr, 0);
    if (size == 0 || (size < 0 && (errno == ENOTSUP || errno == ENODATA))) return Xattrs();
    if (size < 0) return fail(last_error(doing));
    names.resize(static_cast<std::size_t>(size));
    const ssize_t got = llistxattr(path.c_str(), names.data(), names.size());
    if (got >= 0) {
      names.resize(static_cast<std::size_t>(got));
      break;
    }
    if (errno != ERANGE || tries == kTries) return fail(last_error(doing));
  }
  Xattrs attributes;
  for (std::size_t at = 0; at < names.size();) {
    const std::string attribute = names.c_str() + at;
    at += attribute.size() + 1;
    std::string value;
    for (int tries = 0;; ++tries) {
      const ssize_t size = lgetxattr(path.c_str(), attribute.c_str(), nullptr, 0);
      if (size < 0 && errno == ENODATA) break;  // Removed meanwhile.
      if (size < 0) return fail(last_error(doing));
      value.resize(static_cast<std::size_t>(size));
      const ssize_t got = lgetxattr(path.c_str(), attribute.c_str(), value.data(), value.size());
      if (got >= 0) {
        value.resize(static_cast<std::size_t>(got));
        attributes.emplace_back(attribute, std::move(value));
        break;
      }
      if (errno != ERANGE || tries == kTries) return fail(last_error(doing));
    }
  }
  std::ranges::sort(attributes);
  return attributes;
}

Status set_xattr(int parent, const std::string& name, const std::string& attribute,
                 const std::string& value, const std::string& what) {
  if (lsetxattr(through_proc(parent, name).c_str(), attribute.c_str(), value.data(), value.size(),
                0) != 0)
    return fail(last_error("setting attribute " + printable(attribute) + " of " + printable(what)));
  return Done{};
}

Status remove_xattr(int parent, const std::string& name, const std::string& attribute,
                    const std::string& what) {
  if (lremovexattr(through_proc(parent, name).c_str(), attribute.c_str()) != 0 && errno != ENODATA)
    return fail(
        last_error("removing attribute " + printable(attribute) + " of " + printable(what)));
  return Done{};
}

}  // namespace lamina::os
