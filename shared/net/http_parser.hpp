// Private to shared/net: HTTP/1.1 messages out of bytes, by Beast's parser, fed by hand.
//
// Beast's templates are compiled once, in http_parser.cpp; the socket code never sees them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "shared/net/http.hpp"

namespace lamina::net {

struct MessageHead {
  std::string method;  // Of a request.
  std::string target;  // Of a request: path and query as sent.
  int status = 0;      // Of a response.
  Headers headers;
};

class HttpParser {
 public:
  enum class Kind { request, response };
  using BodySink = std::function<Status(std::string_view)>;

  // `on_body` gets the body's bytes, transfer coding removed; its failure ends the message.
  HttpParser(Kind kind, std::size_t header_bytes_max, BodySink on_body);
  ~HttpParser();

  // Takes what it can from the front of `input` and says how much. Stops once behind the head, so
  // that the caller can look at it before any body. Bytes it could not use yet must be offered
  // again with more behind them. `invalid` for what is no HTTP.
  Result<std::size_t> feed(std::string_view input);
  // The stream ended: `unavailable` when inside a message.
  Status feed_end();

  bool head_done() const;
  bool done() const;
  bool started() const;  // Some byte was taken.
  const MessageHead& head() const;
  bool keep_alive() const;
  std::optional<std::uint64_t> content_length() const;
  // Before the first byte: a response to HEAD has no body whatever its head says.
  void expect_no_body();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamina::net
