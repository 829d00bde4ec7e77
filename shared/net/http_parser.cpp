#include "shared/net/http_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <variant>

namespace lamina::net {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using Text = boost::beast::string_view;

// More header lines than any of our programs or a proxy between them send.
constexpr std::size_t kHeaderLinesMax = 100;

template <bool kIsRequest>
class Parser final : public http::basic_parser<kIsRequest> {
 public:
  Parser(std::size_t header_bytes_max, HttpParser::BodySink on_body)
      : on_body_(std::move(on_body)) {
    this->header_limit(static_cast<std::uint32_t>(header_bytes_max));
    // The caller looks at the head, then counts in its sink.
    this->body_limit(std::numeric_limits<std::uint64_t>::max());
  }

  MessageHead head;
  std::optional<Error> sink_error;

 private:
  void take_body(Text bytes, error_code& ec) {
    if (auto taken = on_body_({bytes.data(), bytes.size()}); !taken) {
      sink_error = std::move(taken.error());
      ec = http::error::body_limit;
    }
  }

  void on_request_impl(http::verb, Text method, Text target, int, error_code&) override {
    head.method = std::string(method);
    head.target = std::string(target);
  }
  void on_response_impl(int code, Text, int, error_code&) override { head.status = code; }
  void on_field_impl(http::field, Text name, Text value, error_code& ec) override {
    if (head.headers.all().size() >= kHeaderLinesMax) {
      ec = http::error::header_limit;
      return;
    }
    head.headers.add(std::string(name), std::string(value));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(Text bytes, error_code& ec) override {
    take_body(bytes, ec);
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, Text, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text bytes, error_code& ec) override {
    take_body(bytes, ec);
    return bytes.size();
  }
  void on_finish_impl(error_code&) override {}

  HttpParser::BodySink on_body_;
};

}  // namespace

struct HttpParser::Impl {
  std::variant<std::unique_ptr<Parser<true>>, std::unique_ptr<Parser<false>>> parser;

  template <class Call>
  auto visit(Call call) {
    return std::visit([&](auto& held) { return call(*held); }, parser);
  }
};

HttpParser::HttpParser(Kind kind, std::size_t header_bytes_max, BodySink on_body)
    : impl_(std::make_unique<Impl>()) {
  if (kind == Kind::request)
    impl_->parser = std::make_unique<Parser<true>>(header_bytes_max, std::move(on_body));
  else
    impl_->parser = std::make_unique<Parser<false>>(header_bytes_max, std::move(on_body));
}

HttpParser::~HttpParser() = default;

Result<std::size_t> HttpParser::feed(std::string_view input) {
  return impl_->visit([&](auto& parser) -> Result<std::size_t> {
    std::size_t used = 0;
    while (used < input.size() && !parser.is_done()) {
      const bool had_head = parser.is_header_done();
      error_code ec;
      used += parser.put(boost::asio::const_buffer(input.data() + used, input.size() - used), ec);
      if (ec == http::error::need_more) break;
      if (parser.sink_error) return fail(*parser.sink_error);
      if (ec) return fail(ErrorKind::invalid, "not a valid HTTP message: " + ec.message());
      if (!had_head && parser.is_header_done()) break;
    }
    return used;
  });
}

Status HttpParser::feed_end() {
  return impl_->visit([](auto& parser) -> Status {
    if (parser.is_done()) return Done{};
    error_code ec;
    if (parser.got_some()) parser.put_eof(ec);
    if (parser.is_done() && !ec) return Done{};
    return fail(ErrorKind::unavailable, "the connection ended in the middle of a message");
  });
}

bool HttpParser::head_done() const {
  return impl_->visit([](auto& parser) { return parser.is_header_done(); });
}
bool HttpParser::done() const {
  return impl_->visit([](auto& parser) { return parser.is_done(); });
}
bool HttpParser::started() const {
  return impl_->visit([](auto& parser) { return parser.got_some(); });
}
const MessageHead& HttpParser::head() const {
  return *impl_->visit([](auto& parser) { return &parser.head; });
}
bool HttpParser::keep_alive() const {
  return impl_->visit([](auto& parser) { return parser.keep_alive(); });
}
std::optional<std::uint64_t> HttpParser::content_length() const {
  return impl_->visit([](auto& parser) -> std::optional<std::uint64_t> {
    const auto length = parser.content_length();
    if (!length) return std::nullopt;
    return *length;
  });
}
void HttpParser::expect_no_body() {
  impl_->visit([](auto& parser) { parser.skip(true); });
}

}  // namespace lamina::net
