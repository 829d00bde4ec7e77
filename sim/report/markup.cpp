#include "sim/report/markup.hpp"

#include <charconv>
#include <cstdint>

namespace lamina::sim {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// How many bytes the character at the front has that stands there whole and may be shown; 0: none
// does (RFC 3629, section 4).
std::size_t character_size(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<std::uint8_t>(text[i]) : std::uint8_t{0};
  };
  const auto follows = [&](std::size_t i, int least = 0x80, int most = 0xbf) {
    return byte(i) >= least && byte(i) <= most;
  };
  const std::uint8_t first = byte(0);
  if (first == '\t' || first == '\n' || (first >= 0x20 && first < 0x7f)) return 1;
  // C1 controls are left out with their first byte's smallest second ones.
  if (first >= 0xc2 && first <= 0xdf) return follows(1, first == 0xc2 ? 0xa0 : 0x80) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const int least = first == 0xe0 ? 0xa0 : 0x80;
    const int most = first == 0xed ? 0x9f : 0xbf;
    const bool is_good = follows(1, least, most) && follows(2);
    // U+FFFE and U+FFFF are no characters of XML.
    return is_good && !(first == 0xef && byte(1) == 0xbf && byte(2) >= 0xbe) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const int least = first == 0xf0 ? 0x90 : 0x80;
    const int most = first == 0xf4 ? 0x8f : 0xbf;
    return follows(1, least, most) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    switch (size == 0 ? '\0' : text.front()) {
      case '\0': out += kReplacement; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

std::string decimal(double number, int digits) {
  char text[400];
  const auto [end, error] =
      std::to_chars(text, text + sizeof text, number, std::chars_format::fixed, digits);
  return {text, end};
}

std::string percent_text(double share) { return decimal(share * 100, 1) + " %"; }

}  // namespace lamina::sim
