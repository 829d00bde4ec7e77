// What an HTTP exchange is made of, for both ends. Plain values.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::net {

// Names compare without case.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> all) : all_(all) {}
  void add(std::string name, std::string value) {
    all_.emplace_back(std::move(name), std::move(value));
  }
  // The first value of that name, or "".
  std::string_view value(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

// Who is at the other end of a server's connection.
struct RemotePeer {
  std::string address;  // IP address, without port.
  // Of a certificate that the API CA issued; none when the peer presented none.
  std::optional<DeviceId> device;
  std::string certificate_fingerprint;  // SHA-256 hex; "" without a certificate.
  bool certificate_expired = false;     // Otherwise valid; good for renewal only.
};

struct Request {
  std::string method;  // "GET", "POST", ...
  std::string path;    // "/v1/node/poll", percent-decoded, begins with '/'.
  std::string query;   // What follows '?', undecoded.
  Headers headers;
  std::string body;                 // Up to ServerOptions::body_in_memory bytes...
  std::filesystem::path body_file;  // ...a larger body is in this file, removed with the request's
                                    // Responder unless the handler renamed it away.
  Bytes body_size;
  RemotePeer peer;

  // The value of ?name=value, percent-decoded, or none.
  std::optional<std::string> query_value(std::string_view name) const;
  // The token of "Authorization: Bearer TOKEN", or "".
  std::string_view bearer() const;
};

struct FileBody {
  std::filesystem::path path;
  std::int64_t offset = 0;
  std::int64_t size = -1;  // -1: to the end of the file.
};

struct Response {
  int status = 200;
  Headers headers;
  std::string content_type;
  std::string body;
  std::optional<FileBody> file = std::nullopt;  // Instead of `body`; honours the request's Range.
};

Response json_response(std::string json, int status = 200);
Response binary_response(std::string bytes, int status = 200);
// {"error":{...}} with the status that stands for the error's kind.
Response error_response(const Error& error);
Response error_response(int status, const Error& error);

// Every answer carries the protocol header; a request without ours is answered 426 naming what is
// supported. None: go on.
std::optional<Response> check_protocol(const Request& request);

}  // namespace lamina::net
