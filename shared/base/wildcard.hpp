// Text against a pattern in which '*' stands for any run of characters. Any thread.
#pragma once

#include <string_view>

namespace lamina {

// Case counts; there is no way to mean a '*' itself.
bool matches_wildcard(std::string_view pattern, std::string_view text);

}  // namespace lamina
