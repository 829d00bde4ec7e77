#include "shared/net/https_client.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <list>

#include "shared/net/http_parser.hpp"
#include "shared/net/tls_stream.hpp"
#include "shared/wire/error.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::net {
namespace {

constexpr std::size_t kStep = 128 * 1024;
constexpr std::size_t kHeaderBytesMax = 32 * 1024;
constexpr int kRedialsMax = 1;  // For a kept connection that the server closed meanwhile.
constexpr const char* kPeerName = "packs";  // What every swarm certificate names.

Error file_error(const std::filesystem::path& path, std::string_view doing) {
  const auto kind = errno == ENOSPC || errno == EDQUOT ? ErrorKind::out_of_space
                    : errno == ENOENT                  ? ErrorKind::not_found
                                                       : ErrorKind::unavailable;
  return Error(kind, std::string(doing) + ' ' + path.string() + ": " + std::strerror(errno));
}

struct File {
  int descriptor = -1;
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(); }
  void close() {
    if (descriptor >= 0) ::close(std::exchange(descriptor, -1));
  }
};

struct Job {
  Call call;
  HttpsClient::Then then;
  int redials = 0;
};

}  // namespace

// Holds the calls that wait and the connections; each Link carries one call at a time.
struct HttpsClient::Impl : std::enable_shared_from_this<HttpsClient::Impl> {
  Impl(Loop& l, ClientOptions o) : loop(l), options(std::move(o)) {}

  class Link;

  std::string place() const { return options.host + ':' + std::to_string(options.port); }
  void pump();
  void finish(Job job, Result<Reply> reply) {
    loop.post([self = shared_from_this(), then = std::move(job.then), reply = std::move(reply),
               at = cancellations]() mutable {
      if (!self->ended && at == self->cancellations) then(std::move(reply));
    });
  }
  void cancel_all();
  void close_all();

  Loop& loop;
  ClientOptions options;
  std::shared_ptr<TlsContext> context;
  std::deque<Job> waiting;
  std::list<std::shared_ptr<Link>> links;
  std::string local_address;
  std::uint64_t cancellations = 0;  // Answers from before the last one are for nobody.
  bool ended = false;
};

class HttpsClient::Impl::Link : public std::enable_shared_from_this<Link> {
 public:
  explicit Link(Impl& owner)
      : owner_(owner.weak_from_this()), loop_(owner.loop), context_(owner.context) {}

  bool idle() const { return !job_ && !closed_; }
  bool current(const Impl& owner) const { return context_ == owner.context; }

  void take(Job job) {
    job_ = std::move(job);
    if (stream_) return begin();
    const auto owner = owner_.lock();
    if (!owner) return;
    deadline(owner->options.connect_timeout, "no answer in time; check address and network");
    limit_call();
    stream_ = tls_connect(loop_, context_, owner->options.host, owner->options.port,
                          owner->options.peer ? std::string(kPeerName) : owner->options.host,
                          [self = shared_from_this()](Status done) {
                            if (self->closed_) return;
                            if (!done) return self->lost(std::move(done.error()));
                            self->connected();
                          });
  }

  void close() {
    if (closed_) return;
    closed_ = true;
    deadline_.cancel();
    total_.cancel();
    pause_.cancel();
    if (stream_) stream_->close();
  }

 private:
  void connected() {
    const auto owner = owner_.lock();
    if (!owner) return;
    owner->local_address = stream_->local_address();
    if (owner->options.peer && !is_peer(*owner->options.peer))
      return lost(
          Error(ErrorKind::refused,
                "another device than " + owner->options.peer->short_hex() + " answers there"),
          /*may_redial=*/false);
    begin();
  }

  bool is_peer(const DeviceId& peer) const {
    const auto certificate = stream_->peer_certificate();
    return certificate && certificate->common_name == peer.hex();
  }

  void deadline(Duration after, std::string text) {
    deadline_ = loop_.after(after, [weak = weak_from_this(), text = std::move(text)] {
      if (const auto self = weak.lock())
        self->lost(Error(ErrorKind::unavailable, text), /*may_redial=*/false);
    });
  }
  void moved() {
    const auto owner = owner_.lock();
    if (owner) deadline(owner->options.stall_timeout, "the connection stalled; try again");
  }
  void limit_call() {
    if (job_->call.timeout <= Duration{}) return;
    total_ = loop_.after(job_->call.timeout, [weak = weak_from_this()] {
      if (const auto self = weak.lock())
        self->lost(Error(ErrorKind::unavailable, "no answer in time; try again"), false);
    });
  }

  void begin() {
    const auto owner = owner_.lock();
    if (!owner) return close();
    const Call& call = job_->call;
    reply_ = {};
    received_ = 0;
    sent_all_ = false;
    fresh_bytes_ = false;
    sink_error_.reset();
    upload_.close();
    download_.close();
    std::int64_t size = static_cast<std::int64_t>(call.body.size());
    if (!call.upload_file.empty()) {
      upload_.descriptor = ::open(call.upload_file.c_str(), O_RDONLY | O_CLOEXEC);
      struct stat info {};
      if (upload_.descriptor < 0 || ::fstat(upload_.descriptor, &info) != 0)
        return local_failure(file_error(call.upload_file, "reading"));
      size = info.st_size;
    }
    // What is long goes in steps, so that each that arrives counts as progress.
    const bool in_steps = upload_.descriptor >= 0 || size > static_cast<std::int64_t>(kStep);
    upload_left_ = in_steps ? size : 0;
    uploaded_ = 0;

    parser_ = std::make_unique<HttpParser>(HttpParser::Kind::response, kHeaderBytesMax,
                                           [this](std::string_view bytes) { return keep(bytes); });
    if (call.method == "HEAD") parser_->expect_no_body();

    const bool v6 = owner->options.host.find(':') != std::string::npos;
    out_ = call.method + ' ' + call.target + " HTTP/1.1\r\nHost: ";
    out_ += v6 ? '[' + owner->options.host + ']' : owner->options.host;
    out_ += ':' + std::to_string(owner->options.port) + "\r\n";
    out_ += std::string(wire::kProtocolHeader) + ": " + std::to_string(wire::kProtocol) + "\r\n";
    out_ += "User-Agent: lamina/" LAMINA_VERSION "\r\n";
    if (size > 0 || (call.method != "GET" && call.method != "HEAD"))
      out_ += "Content-Length: " + std::to_string(size) + "\r\n";
    if (!call.content_type.empty()) out_ += "Content-Type: " + call.content_type + "\r\n";
    if (!owner->options.bearer.empty())
      out_ += "Authorization: Bearer " + owner->options.bearer + "\r\n";
    for (const auto& [name, value] : call.headers.all()) out_ += name + ": " + value + "\r\n";
    out_ += "\r\n";
    if (!in_steps) out_ += call.body;
    moved();
    if (!total_.pending()) limit_call();
    write();
    read();
  }

  void write() {
    writing_ = true;
    stream_->write(out_, [self = shared_from_this(), job = job_number_](Status done) {
      self->writing_ = false;
      if (self->closed_ || job != self->job_number_) return;
      // A failed write is not yet the end: the server may have answered before hanging up, and
      // the reader is the one who sees that.
      if (!done) return;
      self->moved();
      if (self->upload_left_ > 0) return self->write_upload();
      self->sent_all_ = true;
      if (self->parser_ && self->parser_->done()) self->complete();
    });
  }

  void write_upload() {
    Bytes step{std::min<std::int64_t>(upload_left_, static_cast<std::int64_t>(kStep))};
    if (Pace* const pace = job_->call.pace.get()) {
      if (pace->is_stopped())
        return lost(Error(ErrorKind::unavailable, "uploads are stopped; try again later"), false);
      if (const Duration wait = pace->wait(loop_.now()); wait > Duration{}) return pause(wait);
      step = pace->step(step);
      pace->spend(step, loop_.now());
    }
    const auto wanted = static_cast<std::size_t>(step.count);
    if (upload_.descriptor >= 0) {
      out_.resize(wanted);
      const auto count = ::read(upload_.descriptor, out_.data(), out_.size());
      if (count <= 0) return local_failure(file_error(job_->call.upload_file, "reading"));
      out_.resize(static_cast<std::size_t>(count));
    } else {
      out_.assign(job_->call.body, static_cast<std::size_t>(uploaded_), wanted);
    }
    upload_left_ -= static_cast<std::int64_t>(out_.size());
    uploaded_ += static_cast<std::int64_t>(out_.size());
    if (job_->call.progress && upload_.descriptor >= 0) job_->call.progress(Bytes{uploaded_});
    write();
  }

  void pause(Duration wait) {
    pause_ = loop_.after(wait, [weak = weak_from_this(), job = job_number_] {
      const auto self = weak.lock();
      if (self && !self->closed_ && job == self->job_number_) self->write_upload();
    });
  }

  void read() {
    if (reading_ || closed_) return;
    reading_ = true;
    stream_->read_some([self = shared_from_this()](Result<std::string_view> bytes) {
      self->reading_ = false;
      if (self->closed_) return;
      if (!self->job_) return self->leave();  // An idle connection ended, or the server babbles.
      if (!bytes) return self->lost(std::move(bytes.error()));
      self->received(*bytes);
    });
  }

  void received(std::string_view bytes) {
    if (bytes.empty()) {
      auto ended = parser_->feed_end();
      if (!ended)
        return lost(Error(ErrorKind::unavailable, "the server closed the connection; try again"));
      sent_all_ = false;
      return complete();
    }
    moved();
    fresh_bytes_ = true;
    in_.append(bytes);
    while (!in_.empty() && !parser_->done()) {
      auto used = parser_->feed(in_);
      if (sink_error_) return local_failure(std::move(*sink_error_));
      if (!used) return lost(std::move(used.error()), false);
      in_.erase(0, *used);
      // An interim answer (100 Continue) precedes the real one.
      if (parser_->done() && parser_->head().status / 100 == 1) {
        parser_ =
            std::make_unique<HttpParser>(HttpParser::Kind::response, kHeaderBytesMax,
                                         [this](std::string_view bytes) { return keep(bytes); });
        continue;
      }
      if (*used == 0) break;
    }
    if (parser_->done()) return complete();
    read();
  }

  Status keep(std::string_view bytes) {
    received_ += static_cast<std::int64_t>(bytes.size());
    const Call& call = job_->call;
    if (received_ > call.reply_max.count) {
      sink_error_ = Error(ErrorKind::invalid,
                          "the answer is larger than the " + to_text(call.reply_max) + " expected");
      return fail(*sink_error_);
    }
    const bool is_good = parser_->head().status / 100 == 2;
    if (call.download_to.empty() || !is_good) {
      reply_.body += bytes;
      if (call.progress && is_good && call.upload_file.empty()) call.progress(Bytes{received_});
      return Done{};
    }
    if (download_.descriptor < 0)
      download_.descriptor =
          ::open(call.download_to.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    while (!bytes.empty()) {
      const auto count =
          download_.descriptor < 0 ? -1 : ::write(download_.descriptor, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        sink_error_ = file_error(call.download_to, "writing");
        return fail(*sink_error_);
      }
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    if (call.progress) call.progress(Bytes{received_});
    return Done{};
  }

  // The answer is whole. An early one (an upload refused half-way) ends the connection.
  void complete() {
    const Call& call = job_->call;
    reply_.status = parser_->head().status;
    reply_.headers = parser_->head().headers;
    reply_.body_size = Bytes{received_};
    if (!call.download_to.empty() && reply_.status / 100 == 2 && download_.descriptor < 0)
      download_.descriptor =
          ::open(call.download_to.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    download_.close();
    upload_.close();
    deadline_.cancel();
    total_.cancel();
    ++job_number_;
    auto job = std::move(*job_);
    job_.reset();
    const bool reusable = sent_all_ && !writing_ && parser_->keep_alive() && in_.empty();
    const auto owner = owner_.lock();
    if (!owner) return close();
    owner->finish(std::move(job), std::move(reply_));
    if (!reusable || !current(*owner)) return leave();
    used_before_ = true;
    read();  // Notices when the server closes the idle connection.
    owner->pump();
  }

  // The connection failed under a call.
  void lost(Error error, bool may_redial = true) {
    const auto owner = owner_.lock();
    if (job_ && owner) {
      auto job = std::move(*job_);
      job_.reset();
      ++job_number_;
      if (may_redial && used_before_ && !fresh_bytes_ && job.redials < kRedialsMax) {
        ++job.redials;
        owner->waiting.push_front(std::move(job));
      } else {
        owner->finish(std::move(job), fail(std::move(error).in("origin " + owner->place())));
      }
    }
    leave();
  }

  void local_failure(Error error) {
    const auto owner = owner_.lock();
    if (job_ && owner) owner->finish(std::move(*job_), fail(std::move(error)));
    job_.reset();
    ++job_number_;
    leave();
  }

  void leave() {
    close();
    if (const auto owner = owner_.lock()) {
      owner->links.remove(shared_from_this());
      owner->pump();
    }
  }

  std::weak_ptr<Impl> owner_;
  Loop& loop_;
  std::shared_ptr<TlsContext> context_;
  std::shared_ptr<TlsStream> stream_;
  std::optional<Job> job_;
  std::uint64_t job_number_ = 0;
  Timer deadline_;
  Timer total_;
  Timer pause_;  // Of an upload, by its pace.
  bool closed_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool used_before_ = false;
  bool fresh_bytes_ = false;  // Something of the answer came.
  bool sent_all_ = false;

  std::string in_;
  std::string out_;
  std::unique_ptr<HttpParser> parser_;
  Reply reply_;
  std::int64_t received_ = 0;
  std::optional<Error> sink_error_;
  File upload_;
  std::int64_t upload_left_ = 0;
  std::int64_t uploaded_ = 0;
  File download_;
};

void HttpsClient::Impl::pump() {
  while (!ended && !waiting.empty()) {
    const auto idle = std::ranges::find_if(links, [](const auto& link) { return link->idle(); });
    std::shared_ptr<Link> link;
    if (idle != links.end()) {
      link = *idle;
    } else if (static_cast<int>(links.size()) < options.connections_max) {
      link = std::make_shared<Link>(*this);
      links.push_back(link);
    } else {
      return;
    }
    Job job = std::move(waiting.front());
    waiting.pop_front();
    link->take(std::move(job));
  }
}

void HttpsClient::Impl::cancel_all() {
  ++cancellations;
  waiting.clear();
  std::erase_if(links, [](const auto& link) {
    if (link->idle()) return false;
    link->close();
    return true;
  });
}

void HttpsClient::Impl::close_all() {
  ended = true;
  waiting.clear();
  for (const auto& link : links) link->close();
  links.clear();
}

HttpsClient::HttpsClient(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpsClient::~HttpsClient() { impl_->close_all(); }

Result<std::unique_ptr<HttpsClient>> HttpsClient::create(Loop& loop, ClientOptions options) {
  auto context = TlsContext::client(options.ca_pem, options.ca_fingerprint, options.certificate_pem,
                                    options.key_pem);
  if (!context) return fail(std::move(context.error()));
  auto impl = std::make_shared<Impl>(loop, std::move(options));
  impl->context = std::move(*context);
  return std::make_unique<HttpsClient>(std::move(impl));
}

void HttpsClient::send(Call call, Then then) {
  impl_->waiting.push_back({std::move(call), std::move(then)});
  impl_->pump();
}

void HttpsClient::cancel_all() { impl_->cancel_all(); }

Status HttpsClient::use_certificate(const std::string& certificate_pem,
                                    const std::string& key_pem) {
  auto context = TlsContext::client(impl_->options.ca_pem, impl_->options.ca_fingerprint,
                                    certificate_pem, key_pem);
  if (!context) return fail(std::move(context.error()));
  impl_->context = std::move(*context);
  impl_->options.certificate_pem = certificate_pem;
  impl_->options.key_pem = key_pem;
  std::erase_if(impl_->links, [](const auto& link) {
    if (!link->idle()) return false;
    link->close();
    return true;
  });
  return Done{};
}

std::string HttpsClient::local_address() const { return impl_->local_address; }

Result<Reply> check(Result<Reply> reply) {
  if (!reply || reply->status / 100 == 2) return reply;
  return fail(wire::parse_error(reply->status, reply->body));
}

namespace {

// The port is -1 where none is said.
Result<std::pair<std::string, int>> split_host_port(std::string_view text) {
  const auto wrong = [&] {
    return fail(ErrorKind::invalid,
                "'" + printable(text, 80) + "' is not of the form HOST:PORT or [IPV6]:PORT");
  };
  std::pair<std::string, int> place{{}, -1};
  std::string_view port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == text.npos) return wrong();
    place.first = text.substr(1, end - 1);
    const auto rest = text.substr(end + 1);
    if (!rest.empty() && rest[0] != ':') return wrong();
    if (!rest.empty()) port = rest.substr(1);
  } else {
    const auto colon = text.find(':');
    place.first = text.substr(0, colon);
    if (colon != text.npos) port = text.substr(colon + 1);
  }
  if (!port.empty()) {
    std::uint16_t number = 0;
    const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (ec != std::errc{} || end != port.data() + port.size()) return wrong();
    place.second = number;
  }
  if (place.first.empty()) return wrong();
  return place;
}

}  // namespace

Result<HostPort> parse_host_port(std::string_view text, std::uint16_t default_port) {
  auto place = split_host_port(text);
  if (!place) return fail(std::move(place.error()));
  const int port = place->second < 0 ? default_port : place->second;
  if (port == 0)
    return fail(ErrorKind::invalid, "'" + printable(text, 80) + "' says no port: HOST:PORT");
  return HostPort{std::move(place->first), static_cast<std::uint16_t>(port)};
}

Result<HostPort> parse_listen_address(std::string_view text) {
  auto place = split_host_port(text);
  if (!place) return fail(std::move(place.error()));
  if (place->second < 0)
    return fail(ErrorKind::invalid, "'" + printable(text, 80) + "' says no port: ADDRESS:PORT");
  return HostPort{std::move(place->first), static_cast<std::uint16_t>(place->second)};
}

Result<std::unique_ptr<BlockingClient>> BlockingClient::create(ClientOptions options) {
  std::unique_ptr<BlockingClient> made(new BlockingClient);
  made->loop_ = std::make_unique<Loop>(1);
  auto client = HttpsClient::create(*made->loop_, std::move(options));
  if (!client) return fail(std::move(client.error()));
  made->client_ = std::move(*client);
  return made;
}

BlockingClient::~BlockingClient() { client_.reset(); }

Result<Reply> BlockingClient::send(Call call) {
  std::optional<Result<Reply>> answer;
  client_->send(std::move(call), [&](Result<Reply> reply) { answer = std::move(reply); });
  loop_->run_until([&] { return answer.has_value(); });
  if (!answer) return fail(ErrorKind::unavailable, "the loop ended before the answer came");
  return std::move(*answer);
}

}  // namespace lamina::net
