#include "shared/policy/subnet.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "shared/base/assert.hpp"
#include "shared/base/bytes.hpp"

namespace lamina::policy {
namespace {

// The address with the bits after `prefix` cleared.
std::array<std::uint8_t, 16> masked(std::array<std::uint8_t, 16> address, int prefix) {
  for (int i = 0; i < 16; ++i) {
    const int kept = std::clamp(prefix - 8 * i, 0, 8);
    address[static_cast<std::size_t>(i)] &= static_cast<std::uint8_t>(0xff00 >> kept);
  }
  return address;
}

// Digits only, at most `max`.
std::optional<int> prefix_of(std::string_view text, int max) {
  int value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.front() == '-' || error != std::errc{} ||
      stop != text.data() + text.size() || value > max)
    return std::nullopt;
  return value;
}

}  // namespace

std::optional<Subnet> parse_address(std::string_view text) {
  // A NUL would hide what follows it.
  if (text.size() > 64 || text.find('\0') != text.npos) return std::nullopt;
  const std::string terminated(text);
  Subnet found;
  if (inet_pton(AF_INET, terminated.c_str(), found.address.data()) == 1) {
    found.prefix = 32;
    return found;
  }
  if (inet_pton(AF_INET6, terminated.c_str(), found.address.data()) != 1) return std::nullopt;
  found.v6 = true;
  found.prefix = 128;
  return found;
}

std::string text_of(const Subnet& subnet) {
  char text[INET6_ADDRSTRLEN] = {};
  LAMINA_ASSERT(inet_ntop(subnet.v6 ? AF_INET6 : AF_INET, subnet.address.data(), text,
                          sizeof text) != nullptr);
  return subnet.prefix == (subnet.v6 ? 128 : 32) ? text
                                                 : text + ('/' + std::to_string(subnet.prefix));
}

Result<Subnet> parse_subnet(std::string_view text) {
  const auto wrong = [&](const std::string& why) {
    return fail(ErrorKind::invalid, '\'' + printable(text, 80) + "' " + why);
  };
  const auto slash = text.find('/');
  auto found = parse_address(text.substr(0, slash));
  if (!found) return wrong("is no subnet like 10.1.4.0/24");
  if (slash == text.npos) return *found;
  const auto prefix = prefix_of(text.substr(slash + 1), found->prefix);
  if (!prefix) return wrong("needs a prefix of 0 to " + std::to_string(found->prefix) + " bits");
  const Subnet subnet{found->v6, masked(found->address, *prefix), *prefix};
  if (subnet.address != found->address)
    return wrong("has bits after its prefix; write " + text_of(subnet));
  return subnet;
}

bool contains(const Subnet& subnet, const Subnet& address) {
  return subnet.v6 == address.v6 && masked(address.address, subnet.prefix) == subnet.address;
}

}  // namespace lamina::policy
