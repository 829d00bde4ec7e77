// How errno becomes an Error. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "shared/base/result.hpp"

namespace lamina::os {

// "<doing>: <strerror>" with the kind that callers act on: ENOENT, ENOTDIR not_found; ENOSPC,
// EDQUOT, EFBIG out_of_space; EACCES, EPERM, EROFS, ELOOP, EXDEV refused; EINVAL, ENAMETOOLONG,
// EEXIST, ENOTEMPTY, EISDIR invalid; EIO, EUCLEAN corrupt; everything else unavailable.
Error from_errno(int code, std::string doing);

// The same for the calling thread's errno.
Error last_error(std::string doing);

}  // namespace lamina::os
