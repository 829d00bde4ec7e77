// Private to shared/net: percent-encoding.
#pragma once

#include <string>
#include <string_view>

#include "shared/base/result.hpp"

namespace lamina::net {

// `invalid` for a broken escape or an escaped NUL. '+' stays '+'.
Result<std::string> percent_decoded(std::string_view text);

}  // namespace lamina::net
