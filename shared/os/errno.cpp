#include "shared/os/errno.hpp"

#include <cerrno>
#include <system_error>

namespace lamina::os {
namespace {

ErrorKind kind_of(int code) {
  switch (code) {
    case ENOENT:
    case ENOTDIR: return ErrorKind::not_found;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ErrorKind::out_of_space;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case EXDEV: return ErrorKind::refused;
    case EINVAL:
    case ENAMETOOLONG:
    case EEXIST:
    case ENOTEMPTY:
    case EISDIR: return ErrorKind::invalid;
    case EIO:
    case EUCLEAN: return ErrorKind::corrupt;
    default: return ErrorKind::unavailable;
  }
}

}  // namespace

Error from_errno(int code, std::string doing) {
  return {kind_of(code), std::move(doing) + ": " + std::generic_category().message(code)};
}

Error last_error(std::string doing) { return from_errno(errno, std::move(doing)); }

}  // namespace lamina::os
