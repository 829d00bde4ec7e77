#include "origin/cli/upload.hpp"

#include <unordered_set>

#include "origin/cli/session.hpp"

namespace lamina::origin::cli {
namespace {

// What is small is coded as well as zstd can: m: an update of 768 files is 8 % smaller than at
// level 9, and takes a second more.
constexpr int kSmallLevel = 19;
constexpr std::uint64_t kSmallBytes = 16 << 20;
// Of the manifest: that of an update is a few hundred KiB; it is never much.
constexpr int kMetadataLevel = 9;
constexpr std::uint64_t kSmallMetadata = 1 << 20;

}  // namespace

Upload::Upload(Session& session, os::TemporaryDirectory directory, PackFiles files, int level)
    : session_(session),
      directory_(std::move(directory)),
      files_(std::move(files)),
      content_(files_, {.level = level, .small_level = kSmallLevel, .small_bytes = kSmallBytes},
               [this](const format::PackSummary& pack) { return hand_to_sender(pack); }),
      metadata_(
          files_,
          {.level = kMetadataLevel, .small_level = kSmallLevel, .small_bytes = kSmallMetadata},
          [this](const format::PackSummary& pack) { return hand_to_sender(pack); }),
      own_session_(std::make_unique<Session>(static_cast<const SessionOptions&>(session))),
      sender_([this] { send_packs(); }) {}

Upload::~Upload() {
  made_.discard();
  stop_sending();
}

void Upload::stop_sending() {
  made_.close();
  if (sender_.joinable()) sender_.join();
}

Result<std::unique_ptr<Upload>> Upload::start(Session& session, int level) {
  auto directory = os::TemporaryDirectory::make(os::temporary_root(), "lamina-upload-");
  if (!directory) return fail(std::move(directory.error()));
  auto files = PackFiles::open(directory->path(), PackFiles::Access::spool);
  if (!files) return fail(std::move(files.error()));
  return std::unique_ptr<Upload>(
      new Upload(session, std::move(*directory), std::move(*files), level));
}

Status Upload::add(const format::ChunkRef& ref, ByteView plain, ContentClass content) {
  if (content_.was_given(ref.id)) return Done{};
  waiting_.push_back({ref, to_buffer(plain), content});
  waiting_bytes_ += plain.size();
  return waiting_bytes_ < kBatchBytes ? Status(Done{}) : send_batch();
}

Status Upload::add_metadata(const format::ChunkRef& ref, ByteView plain) {
  waiting_.push_back({ref, to_buffer(plain), ContentClass::metadata});
  waiting_bytes_ += plain.size();
  return waiting_bytes_ < kBatchBytes ? Status(Done{}) : send_batch();
}

Status Upload::send_batch() {
  net::Call call{.method = "POST", .target = "/v1/layers/lacks"};
  call.content_type = "application/octet-stream";
  for (const Waiting& chunk : waiting_) call.body += as_text(chunk.ref.id.bytes());
  auto reply = session_.send(std::move(call));
  if (!reply) return fail(std::move(reply.error()));
  Reader in(as_view(reply->body));
  std::unordered_set<ChunkId, IdHash> lacking;
  while (in.remaining() > 0 && !in.failed()) lacking.insert(in.id<ChunkId>());
  for (const Waiting& chunk : waiting_) {
    if (!lacking.contains(chunk.ref.id)) continue;
    PackWriter& writer = chunk.content == ContentClass::metadata ? metadata_ : content_;
    if (auto done = writer.add(chunk.ref, chunk.plain, chunk.content); !done) return done;
  }
  waiting_.clear();
  waiting_bytes_ = 0;
  return Done{};
}

Status Upload::hand_to_sender(const format::PackSummary& pack) {
  // It is closed when a pack could not be sent.
  if (made_.put({pack.id, pack.size})) return Done{};
  auto why = sent();
  return why ? Status(fail(ErrorKind::unavailable, "the upload has ended")) : why;
}

Status Upload::sent() const {
  const std::lock_guard lock(mutex_);
  return sent_;
}

// The sender's thread.
void Upload::send_packs() {
  while (const auto pack = made_.take()) {
    auto done = send_pack(*pack);
    if (done) continue;
    {
      const std::lock_guard lock(mutex_);
      sent_ = std::move(done);
    }
    return made_.close();
  }
}

Status Upload::send_pack(const Made& pack) {
  net::Call call{.method = "PUT", .target = "/v1/layers/packs/" + pack.id.hex()};
  call.content_type = "application/octet-stream";
  call.upload_file = files_.path_of(pack.id);
  auto reply = own_session_->send(std::move(call));
  if (!reply) return fail(std::move(reply.error()).in("sending pack " + pack.id.short_hex()));
  ++packs_;
  bytes_ += pack.size;
  return files_.remove(pack.id);
}

Status Upload::finish() {
  if (!waiting_.empty())
    if (auto done = send_batch(); !done) return done;
  if (auto done = content_.finish(); !done) return done;
  if (auto done = metadata_.finish(); !done) return done;
  stop_sending();
  return sent();
}

}  // namespace lamina::origin::cli
