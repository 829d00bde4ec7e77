// Text for HTML and SVG. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace lamina::sim {

// For text and for values in double quotes: markup means nothing in it, and what is no UTF-8, or a
// control character, becomes U+FFFD.
std::string escaped(std::string_view text);

// With `digits` behind the point, the same in every locale. Finite.
std::string decimal(double number, int digits);
std::string percent_text(double share);  // "12.3 %"

}  // namespace lamina::sim
