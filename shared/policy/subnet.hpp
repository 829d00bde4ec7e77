// Subnets of IPv4 and IPv6 as administrators write them. Pure; any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "shared/base/result.hpp"

namespace lamina::policy {

// A network of IPv4 or IPv6, or one address of it.
struct Subnet {
  bool v6 = false;
  std::array<std::uint8_t, 16> address{};  // IPv4: the first four. Zero after the prefix.
  int prefix = 0;                          // In bits.
  auto operator<=>(const Subnet&) const = default;
};

// The address alone, with all its bits. None: the text is no IP address without port and scope.
std::optional<Subnet> parse_address(std::string_view text);
// "10.1.4.0/24", "10.1.4.7" or the like in IPv6. `invalid` quotes the text and says what is wrong.
Result<Subnet> parse_subnet(std::string_view text);
// "10.1.4.0/24"; of one address without the prefix.
std::string text_of(const Subnet& subnet);
// Whether `address`, a whole one, is in it.
bool contains(const Subnet& subnet, const Subnet& address);

}  // namespace lamina::policy
