#include "shared/net/https_server.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <set>

#include "shared/base/log.hpp"
#include "shared/net/http_parser.hpp"
#include "shared/net/http_text.hpp"
#include "shared/net/tls_stream.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::net {
namespace {

class Connection;

constexpr std::size_t kFileStep = 256 * 1024;
// A peer that pipelines more than this while its request is being answered is not read further.
constexpr std::size_t kPipelinedMax = 64 * 1024;
// How long a connection that was answered before its body ended is drained, so that the answer is
// read before a reset can destroy it.
constexpr Duration kDrainTime = std::chrono::seconds{5};

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 416: return "Range Not Satisfiable";
    case 426: return "Upgrade Required";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return status < 400 ? "Done" : "Error";
  }
}

// "bytes=A-B", "bytes=A-" or "bytes=-N" within `size`. None: no range asked for, or one of the
// forms that may be answered with everything. `invalid`: outside the file.
Result<std::optional<std::pair<std::int64_t, std::int64_t>>> parse_range(std::string_view text,
                                                                         std::int64_t size) {
  using Range = std::optional<std::pair<std::int64_t, std::int64_t>>;
  constexpr std::string_view kUnit = "bytes=";
  if (!text.starts_with(kUnit)) return Range{};
  text.remove_prefix(kUnit.size());
  const auto dash = text.find('-');
  if (dash == text.npos) return Range{};
  const auto number = [](std::string_view digits) -> std::optional<std::int64_t> {
    std::int64_t value = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (ec != std::errc{} || end != digits.data() + digits.size() || value < 0) return std::nullopt;
    return value;
  };
  const auto first = number(text.substr(0, dash));
  const auto last = number(text.substr(dash + 1));
  if (dash == 0) {
    if (!last) return Range{};
    return Range{{std::max<std::int64_t>(0, size - *last), size}};
  }
  if (!first || (!last && dash + 1 != text.size())) return Range{};
  const std::int64_t end = last ? std::min(*last, size - 1) + 1 : size;
  if (*first >= size || end <= *first)
    return fail(ErrorKind::invalid, "the asked range lies outside the file");
  return Range{{*first, end}};
}

}  // namespace

struct Responder::State {
  std::weak_ptr<Connection> connection;
  std::function<void()> on_closed;
  std::filesystem::path body_file;
  bool answered = false;

  ~State();
};

namespace {

struct Shared {
  Shared(Loop& l, ServerOptions o, HttpsServer::Handler h)
      : loop(l), options(std::move(o)), handler(std::move(h)) {}

  Loop& loop;
  ServerOptions options;
  HttpsServer::Handler handler;
  std::set<std::shared_ptr<Connection>> connections;
  int strangers = 0;  // Connections without a device's certificate, or not that far yet.
  std::map<std::string, int> per_address;  // Of strangers.
  std::map<DeviceId, int> per_device;
  std::uint64_t next_spool = 1;
  bool closing = false;
};

// One connection: handshake, then head, body, answer, again.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Shared> server, std::shared_ptr<TlsStream> stream)
      : server_(std::move(server)),
        stream_(std::move(stream)),
        address_(stream_->remote_address()) {
    ++server_->strangers;
    ++server_->per_address[address_];
  }

  const std::string& address() const { return address_; }

  void start() {
    deadline(server_->options.handshake_timeout);
    stream_->handshake([self = shared_from_this()](Status done) {
      if (self->closed_) return;
      if (!done) {
        log::debug("handshake_failed", {{"peer", self->address_}, {"error", done.error().text()}});
        return self->close();
      }
      self->identify();
      if (!self->welcome()) return self->close();
      self->next_request();
      self->read();
    });
  }

  void close() {
    if (closed_) return;
    closed_ = true;
    deadline_.cancel();
    stream_->close();
    drop_spool();
    if (const auto waiting = pending_.lock()) {
      if (const auto call = std::exchange(waiting->on_closed, nullptr)) call();
    }
    if (device_) {
      const auto count = server_->per_device.find(*device_);
      if (--count->second == 0) server_->per_device.erase(count);
    } else {
      leave_strangers();
    }
    server_->connections.erase(shared_from_this());
  }

  void answer(Response response) {
    if (closed_) return;
    if (phase_ != Phase::answering) return;
    send(std::move(response));
  }

 private:
  enum class Phase { handshake, head, body, answering, sending, draining };

  void identify() {
    const auto certificate = stream_->peer_certificate();
    peer_.address = address_;
    if (!certificate) return;
    peer_.certificate_fingerprint = certificate->fingerprint;
    expires_ = certificate->not_after;
    if (auto device = DeviceId::parse(certificate->common_name)) peer_.device = *device;
  }

  // From the handshake on a device counts by itself: a branch of any size may be behind one
  // address.
  bool welcome() {
    if (!peer_.device) return true;
    leave_strangers();
    device_ = *peer_.device;
    const int open = ++server_->per_device[*device_];
    if (open <= server_->options.connections_per_device_max) return true;
    log::warning("connection_limit", {{"peer", address_}, {"scope", "device"}});
    return false;
  }

  void leave_strangers() {
    --server_->strangers;
    const auto count = server_->per_address.find(address_);
    if (--count->second == 0) server_->per_address.erase(count);
  }

  void deadline(Duration after) {
    deadline_ = server_->loop.after(after, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->close();
    });
  }

  void next_request() {
    phase_ = Phase::head;
    request_ = Request{};
    body_bytes_ = 0;
    in_.shrink_to_fit();
    parser_ =
        std::make_unique<HttpParser>(HttpParser::Kind::request, server_->options.header_bytes_max,
                                     [this](std::string_view bytes) { return keep(bytes); });
    deadline(in_.empty() ? server_->options.idle_timeout : server_->options.header_timeout);
  }

  // One read is always under way, also while an answer is awaited: it notices the peer's leaving.
  void read() {
    if (reading_ || closed_) return;
    if (phase_ >= Phase::answering && phase_ != Phase::draining && in_.size() > kPipelinedMax)
      return;
    reading_ = true;
    stream_->read_some([self = shared_from_this()](Result<std::string_view> bytes) {
      self->reading_ = false;
      if (self->closed_) return;
      if (!bytes || bytes->empty()) return self->close();
      if (self->phase_ == Phase::draining) return self->read();
      if (self->phase_ == Phase::head && self->in_.empty() && !self->parser_->started())
        self->deadline(self->server_->options.header_timeout);
      self->in_.append(*bytes);
      self->process();
      self->read();
    });
  }

  void process() {
    while (!closed_ && (phase_ == Phase::head || phase_ == Phase::body) && !in_.empty()) {
      auto used = parser_->feed(in_);
      if (!used)
        return reject(used.error(), body_bytes_ > body_max_ && phase_ == Phase::body ? 413 : 0);
      in_.erase(0, *used);
      if (phase_ == Phase::head) {
        if (!parser_->head_done()) {
          if (in_.size() > server_->options.header_bytes_max)
            reject(Error(ErrorKind::invalid, "the request's head is too large"));
          return;
        }
        if (!take_head()) return;
      } else if (*used > 0) {
        deadline(server_->options.stall_timeout);
      }
      if (parser_->done()) return dispatch();
      if (*used == 0) return;
    }
  }

  bool take_head() {
    const MessageHead& head = parser_->head();
    request_.method = head.method;
    request_.headers = head.headers;
    request_.peer = peer_;
    request_.peer.certificate_expired =
        !peer_.certificate_fingerprint.empty() && Loop::wall_now() > expires_;
    const auto mark = head.target.find('?');
    auto path = percent_decoded(std::string_view(head.target).substr(0, mark));
    if (!path || path->empty() || path->front() != '/') {
      reject(Error(ErrorKind::invalid, "the request's path does not begin with '/'"));
      return false;
    }
    request_.path = std::move(*path);
    if (mark != std::string::npos) request_.query = head.target.substr(mark + 1);

    body_max_ = (1_MiB).count;
    if (server_->options.admit) {
      const auto admitted = server_->options.admit(request_);
      if (!admitted) {
        reject(admitted.error());
        return false;
      }
      body_max_ = admitted->count;
    }
    const auto length = parser_->content_length();
    if (length && *length > static_cast<std::uint64_t>(body_max_)) {
      reject(too_large(), 413);
      return false;
    }
    phase_ = Phase::body;
    deadline(server_->options.stall_timeout);
    if (request_.headers.value("Expect") == "100-continue" && !parser_->done()) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      stream_->write(kContinue, [](Status) {});
    }
    return true;
  }

  Error too_large() const {
    return Error(ErrorKind::invalid, "the body is larger than the " + to_text(Bytes{body_max_}) +
                                         " allowed for " + printable(request_.path, 100));
  }

  // Body bytes: in memory while small, in a spool file beyond that.
  Status keep(std::string_view bytes) {
    body_bytes_ += static_cast<std::int64_t>(bytes.size());
    if (body_bytes_ > body_max_) return fail(too_large());
    if (spool_fd_ < 0 && body_bytes_ <= server_->options.body_in_memory.count) {
      request_.body += bytes;
      return Done{};
    }
    if (spool_fd_ < 0) {
      spool_ = server_->options.spool_directory /
               ("body." + std::to_string(::getpid()) + '.' + std::to_string(server_->next_spool++));
      spool_fd_ = ::open(spool_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
      if (spool_fd_ < 0) return spool_failed();
      if (auto moved = spool_write(request_.body); !moved) return moved;
      release(request_.body);
    }
    return spool_write(bytes);
  }

  Status spool_write(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto count = ::write(spool_fd_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return spool_failed();
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return Done{};
  }

  Status spool_failed() {
    const auto kind =
        errno == ENOSPC || errno == EDQUOT ? ErrorKind::out_of_space : ErrorKind::unavailable;
    const std::string why = std::strerror(errno);
    log::error("spool_failed", {{"file", spool_.string()}, {"error", why}});
    return fail(kind, "the server cannot keep the body: " + why);
  }

  void drop_spool() {
    if (spool_fd_ >= 0) ::close(spool_fd_);
    spool_fd_ = -1;
    if (!spool_.empty()) ::unlink(spool_.c_str());
    spool_.clear();
  }

  void dispatch() {
    phase_ = Phase::answering;
    deadline_.cancel();  // The handler's time is the handler's business.
    request_.body_size = Bytes{body_bytes_};
    keep_alive_ = parser_->keep_alive();
    is_head_ = request_.method == "HEAD";
    range_ = std::string(request_.headers.value("Range"));

    auto state = std::make_shared<Responder::State>();
    state->connection = weak_from_this();
    if (spool_fd_ >= 0) {
      ::close(std::exchange(spool_fd_, -1));
      request_.body_file = std::exchange(spool_, {});
      state->body_file = request_.body_file;
    }
    pending_ = state;
    server_->handler(std::move(request_), Responder(std::move(state)));
  }

  // Answers without having read all of the request; nothing more can be understood afterwards.
  void reject(const Error& error, int status = 0) {
    drop_spool();
    keep_alive_ = false;
    is_head_ = false;
    range_.clear();
    phase_ = Phase::answering;
    send(status != 0 ? error_response(status, error) : error_response(error));
  }

  void send(Response response) {
    phase_ = Phase::sending;
    if (response.file) {
      if (auto opened = open_file(response); !opened) response = error_response(opened.error());
    }
    const std::int64_t size =
        file_fd_ >= 0 ? file_end_ - file_at_ : static_cast<std::int64_t>(response.body.size());
    out_ = "HTTP/1.1 " + std::to_string(response.status) + ' ';
    out_ += reason(response.status);
    out_ += "\r\nContent-Length: " + std::to_string(size) + "\r\n";
    out_ += std::string(wire::kProtocolHeader) + ": " + std::to_string(wire::kProtocol) + "\r\n";
    if (!response.content_type.empty()) out_ += "Content-Type: " + response.content_type + "\r\n";
    for (const auto& [name, value] : response.headers.all()) out_ += name + ": " + value + "\r\n";
    if (!keep_alive_) out_ += "Connection: close\r\n";
    out_ += "\r\n";
    if (is_head_) close_file();
    if (!is_head_ && file_fd_ < 0) out_ += response.body;
    write_out();
  }

  void write_out() {
    deadline(server_->options.stall_timeout);
    // In steps, so that a slow but moving peer is told from one that reads nothing.
    const auto step = std::string_view(out_).substr(out_at_, kFileStep);
    stream_->write(step, [self = shared_from_this(), count = step.size()](Status done) {
      if (self->closed_) return;
      if (!done) return self->close();
      self->out_at_ += count;
      if (self->out_at_ < self->out_.size()) return self->write_out();
      self->out_.clear();
      self->out_.shrink_to_fit();  // A connection that waits for hours keeps no memory of it.
      self->out_at_ = 0;
      if (self->file_fd_ >= 0 && self->file_at_ < self->file_end_) return self->write_file();
      self->sent();
    });
  }

  void write_file() {
    out_.resize(static_cast<std::size_t>(
        std::min<std::int64_t>(static_cast<std::int64_t>(kFileStep), file_end_ - file_at_)));
    const auto count = ::pread(file_fd_, out_.data(), out_.size(), file_at_);
    if (count <= 0) {
      // The head promised these bytes: only a broken connection tells the peer.
      log::error("file_vanished", {{"peer", address_}});
      return close();
    }
    out_.resize(static_cast<std::size_t>(count));
    file_at_ += count;
    write_out();
  }

  void sent() {
    close_file();
    if (!keep_alive_) {
      phase_ = Phase::draining;
      stream_->end_writing();
      deadline(kDrainTime);
      return read();
    }
    next_request();
    process();
    read();
  }

  Status open_file(Response& response) {
    const FileBody& body = *response.file;
    file_fd_ = ::open(body.path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (file_fd_ < 0 || ::fstat(file_fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
      log::warning("file_missing", {{"file", body.path.string()}});
      close_file();
      return fail(ErrorKind::not_found, "there is no such file on the server");
    }
    const std::int64_t begin = std::min<std::int64_t>(body.offset, info.st_size);
    const std::int64_t end =
        body.size < 0 ? info.st_size : std::min<std::int64_t>(begin + body.size, info.st_size);
    file_at_ = begin;
    file_end_ = end;
    response.headers.add("Accept-Ranges", "bytes");
    if (range_.empty() || response.status != 200) return Done{};
    const auto range = parse_range(range_, end - begin);
    if (!range) {
      close_file();
      response.status = 416;
      response.body.clear();
      response.headers.add("Content-Range", "bytes */" + std::to_string(end - begin));
      return Done{};
    }
    if (!*range) return Done{};
    file_at_ = begin + (*range)->first;
    file_end_ = begin + (*range)->second;
    response.status = 206;
    response.headers.add("Content-Range", "bytes " + std::to_string((*range)->first) + '-' +
                                              std::to_string((*range)->second - 1) + '/' +
                                              std::to_string(end - begin));
    return Done{};
  }

  void close_file() {
    if (file_fd_ >= 0) ::close(file_fd_);
    file_fd_ = -1;
  }

 public:
  ~Connection() { close_file(); }

 private:
  std::shared_ptr<Shared> server_;
  std::shared_ptr<TlsStream> stream_;
  std::string address_;
  RemotePeer peer_;
  std::optional<DeviceId> device_;  // It is counted as this one's, not as a stranger's.
  WallTime expires_;
  Timer deadline_;
  Phase phase_ = Phase::handshake;
  bool reading_ = false;
  bool closed_ = false;

  std::string in_;
  std::unique_ptr<HttpParser> parser_;
  Request request_;
  std::int64_t body_bytes_ = 0;
  std::int64_t body_max_ = 0;
  std::filesystem::path spool_;
  int spool_fd_ = -1;

  std::weak_ptr<Responder::State> pending_;
  bool keep_alive_ = false;
  bool is_head_ = false;
  std::string range_;
  std::string out_;
  std::size_t out_at_ = 0;
  int file_fd_ = -1;
  std::int64_t file_at_ = 0;
  std::int64_t file_end_ = 0;
};

}  // namespace

Responder::State::~State() {
  if (!body_file.empty()) ::unlink(body_file.c_str());  // Gone already if the handler took it.
  if (answered) return;
  if (const auto open = connection.lock())
    open->answer(
        error_response(500, Error(ErrorKind::unavailable, "the request was not answered")));
}

void Responder::reply(Response response) const {
  if (std::exchange(state_->answered, true)) return;
  state_->on_closed = nullptr;
  if (const auto open = state_->connection.lock()) open->answer(std::move(response));
}

bool Responder::answered() const { return state_->answered; }

void Responder::on_closed(std::function<void()> call) const {
  if (!state_->answered) state_->on_closed = std::move(call);
}

struct HttpsServer::Impl {
  std::shared_ptr<Shared> shared;
  std::unique_ptr<TlsListener> listener;
};

HttpsServer::HttpsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpsServer::~HttpsServer() {
  impl_->shared->closing = true;
  impl_->listener.reset();
  const auto open = impl_->shared->connections;  // close() edits the set.
  for (const auto& connection : open) connection->close();
}

Result<std::unique_ptr<HttpsServer>> HttpsServer::listen(Loop& loop, ServerOptions options,
                                                         Handler handler) {
  auto context = TlsContext::server(options.certificate_pem, options.key_pem, options.ca_pem,
                                    options.client_ca_pem);
  if (!context) return fail(std::move(context.error()).in("the server's certificate"));
  auto impl = std::make_unique<Impl>();
  impl->shared = std::make_shared<Shared>(loop, std::move(options), std::move(handler));
  const auto on_accept = [shared = impl->shared](std::shared_ptr<TlsStream> stream) {
    const auto& limits = shared->options;
    const auto here = shared->per_address.find(stream->remote_address());
    const bool address_full =
        here != shared->per_address.end() && here->second >= limits.strangers_per_address_max;
    const bool strangers_full = shared->strangers >= limits.strangers_max;
    if (shared->closing || address_full || strangers_full ||
        static_cast<int>(shared->connections.size()) >= limits.connections_max) {
      log::warning("connection_limit", {{"peer", stream->remote_address()},
                                        {"scope", address_full     ? "address"
                                                  : strangers_full ? "strangers"
                                                                   : "server"}});
      return stream->close();
    }
    auto connection = std::make_shared<Connection>(shared, std::move(stream));
    shared->connections.insert(connection);
    connection->start();
  };
  auto listener = TlsListener::listen(loop, *context, impl->shared->options.listen_address,
                                      impl->shared->options.port, on_accept);
  if (!listener) return fail(std::move(listener.error()));
  impl->listener = std::move(*listener);
  return std::make_unique<HttpsServer>(std::move(impl));
}

std::uint16_t HttpsServer::port() const { return impl_->listener->port(); }
int HttpsServer::connections() const { return static_cast<int>(impl_->shared->connections.size()); }

}  // namespace lamina::net
