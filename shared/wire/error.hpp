// The body of every answer that is not a success: {"error":{"kind":"refused","text":"..."}}.
#pragma once

#include <string>
#include <string_view>

#include "shared/base/result.hpp"

namespace lamina::wire {

std::string to_json(const Error& error);

// The error that an answer carries. A body that is no such message becomes an error of the kind
// that `status` stands for, quoting the start of the body, so callers always have one to show.
Error parse_error(int status, std::string_view body);

// 404 not_found, 422 corrupt, 503 unavailable, 507 out_of_space, 400 invalid, 403 refused.
int http_status(ErrorKind kind);

}  // namespace lamina::wire
