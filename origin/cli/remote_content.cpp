#include "origin/cli/remote_content.hpp"

#include "origin/cli/session.hpp"

namespace lamina::origin::cli {
// What cannot be removed goes with its directory.
RemoteBatch::~RemoteBatch() { static_cast<void>(os::remove_file(path_)); }

Status RemoteBatch::fetch(Session& session, const std::vector<format::ChunkRef>& refs) {
  Writer body;
  format::encode_chunk_refs(refs, body);
  net::Call call{.method = "POST", .target = target_};
  call.content_type = "application/octet-stream";
  call.body = std::string(as_text(body.view()));
  call.reply_max = 64_MiB;
  call.download_to = path_;
  auto reply = session.send(std::move(call));
  if (!reply) return fail(std::move(reply.error()));
  set_.emplace();
  if (auto done = set_->add(path_, "what the origin sent"); !done) return done;
  set_->seal();
  return Done{};
}

std::string cvd_chunks(const std::string& device) { return "/v1/cvds/" + device + "/chunks"; }

RemoteContent::RemoteContent(const Session& like, const std::string& device, std::string spool)
    : target_(cvd_chunks(device)),
      spool_(std::move(spool)),
      ahead_(std::make_unique<ReadAhead>(
          [this] { return next(); },
          [this](const format::ChunkRef& ref) { return now_->batch->read(ref); })) {
  for (std::size_t i = 0; i < kConnections; ++i) {
    sessions_[i] = std::make_unique<Session>(static_cast<const SessionOptions&>(like));
    fetching_[i] = std::thread([this, i] { fetch(*sessions_[i]); });
  }
}

RemoteContent::~RemoteContent() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
    changed_.notify_all();
  }
  fetched_.close();
  for (std::thread& thread : fetching_) thread.join();
  ahead_.reset();
}

void RemoteContent::expect(const std::vector<format::ChunkRef>& refs) {
  const std::lock_guard lock(mutex_);
  expected_.insert(expected_.end(), refs.begin(), refs.end());
  changed_.notify_all();
}

// Waits until something is expected; nothing at the end. What is there is enough: who expects more
// says so while this is fetched.
RemoteContent::Fetched RemoteContent::take_expected() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_ending_ || !expected_.empty(); });
  Fetched next{.number = taken_++, .refs = {}};
  for (std::uint64_t bytes = 0; !is_ending_ && !expected_.empty(); expected_.pop_front()) {
    bytes += expected_.front().length;
    if (bytes > RemoteBatch::kBytesMax && !next.refs.empty()) break;
    next.refs.push_back(expected_.front());
  }
  return next;
}

void RemoteContent::fetch(Session& session) {
  for (;;) {
    Fetched next = take_expected();
    if (next.refs.empty()) break;
    next.batch =
        std::make_unique<RemoteBatch>(target_, spool_ + "/batch-" + std::to_string(next.number));
    next.done = next.batch->fetch(session, next.refs);
    const bool is_good = next.done.has_value();
    if (!hand_over(std::move(next)) || !is_good) break;
  }
  fetched_.close();
}

// In the order in which they were taken on. False: nobody wants more.
bool RemoteContent::hand_over(Fetched fetched) {
  const std::uint64_t number = fetched.number;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, number] { return is_ending_ || handed_over_ == number; });
    if (is_ending_) return false;
  }
  const bool is_wanted = fetched_.put(std::move(fetched));
  const std::lock_guard lock(mutex_);
  ++handed_over_;
  changed_.notify_all();
  return is_wanted;
}

Result<std::optional<format::ChunkRef>> RemoteContent::next() {
  while (!now_ || at_ == now_->refs.size()) {
    now_.reset();
    at_ = 0;
    auto fetched = fetched_.take();
    if (!fetched) return std::optional<format::ChunkRef>();
    if (!fetched->done) return fail(std::move(fetched->done.error()));
    now_ = std::move(*fetched);
  }
  return std::optional(now_->refs[at_++]);
}

}  // namespace lamina::origin::cli
