// Is this text an IP address, without port, brackets or scope? Any thread.
#pragma once

#include <arpa/inet.h>

#include <string>

namespace lamina::origin {

inline bool is_ip_address(const std::string& text) {
  unsigned char bytes[sizeof(in6_addr)];
  // A NUL would hide what follows it from inet_pton.
  return text.find('\0') == std::string::npos && (inet_pton(AF_INET, text.c_str(), bytes) == 1 ||
                                                  inet_pton(AF_INET6, text.c_str(), bytes) == 1);
}

}  // namespace lamina::origin
