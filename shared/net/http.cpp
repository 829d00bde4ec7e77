#include "shared/net/http.hpp"

#include <algorithm>
#include <cctype>

#include "shared/net/http_text.hpp"
#include "shared/wire/error.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::net {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

std::string_view Headers::value(std::string_view name) const {
  for (const auto& [key, text] : all_)
    if (same_name(key, name)) return text;
  return {};
}

Result<std::string> percent_decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    const auto byte = from_hex(text.substr(i + 1, 2));
    if (!byte || byte->size() != 1)
      return fail(ErrorKind::invalid, "the address has a '%' without two hex digits after it");
    plain += static_cast<char>((*byte)[0]);
    i += 2;
  }
  if (plain.find('\0') != std::string::npos)
    return fail(ErrorKind::invalid, "the address has a NUL character in it");
  return plain;
}

std::optional<std::string> Request::query_value(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const auto pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    if (pair.substr(0, equals) != name) continue;
    auto value = percent_decoded(equals == pair.npos ? "" : pair.substr(equals + 1));
    if (value) return *value;
  }
  return std::nullopt;
}

std::string_view Request::bearer() const {
  const auto value = headers.value("Authorization");
  constexpr std::string_view kScheme = "Bearer ";
  if (value.size() <= kScheme.size() || !same_name(value.substr(0, kScheme.size()), kScheme))
    return {};
  return value.substr(kScheme.size());
}

Response json_response(std::string json, int status) {
  return {.status = status,
          .headers = {},
          .content_type = std::string(wire::kJson),
          .body = std::move(json)};
}

Response binary_response(std::string bytes, int status) {
  return {.status = status,
          .headers = {},
          .content_type = std::string(wire::kBinary),
          .body = std::move(bytes)};
}

Response error_response(const Error& error) {
  return error_response(wire::http_status(error.kind()), error);
}

Response error_response(int status, const Error& error) {
  return json_response(wire::to_json(error), status);
}

std::optional<Response> check_protocol(const Request& request) {
  const auto version = request.headers.value(wire::kProtocolHeader);
  const auto spoken = std::to_string(wire::kProtocol);
  if (version == spoken) return std::nullopt;
  return error_response(
      426, Error(ErrorKind::invalid,
                 "this origin speaks version " + spoken + " of the protocol, the request " +
                     (version.empty() ? std::string("names none")
                                      : "version '" + printable(version, 16) + "'") +
                     ": send '" + std::string(wire::kProtocolHeader) + ": " + spoken +
                     "' or install a matching release"));
}

}  // namespace lamina::net
