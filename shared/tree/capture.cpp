#include "shared/tree/capture.hpp"

#include <thread>

#include "shared/base/bounded_queue.hpp"
#include "shared/hash/sha256_many.hpp"
#include "shared/tree/capture_reader.hpp"

namespace lamina {
namespace {

// Between two stages: one that is worked on at each end, and one in between.
constexpr std::size_t kBatchesWaiting = 1;

void name_chunks(CaptureBatch& batch) {
  std::vector<ByteView> messages;
  messages.reserve(batch.chunks.size());
  for (const auto& chunk : batch.chunks) messages.push_back(batch.bytes_of(chunk));
  std::vector<Sha256Digest> digests(messages.size());
  sha256_many(messages, digests);
  for (std::size_t i = 0; i < digests.size(); ++i) batch.chunks[i].id = ChunkId(digests[i]);
}

// The last stage: everything reaches the sinks from here, in order.
class Delivery {
 public:
  Delivery(const CaptureOptions& options, const ContentSink& content,
           const format::ChunkSink& manifest)
      : options_(options), content_(content), manifest_(manifest) {}

  Status start() {
    if (options_.new_scan_state.empty()) return Done{};
    auto created = ScanStateWriter::create(options_.new_scan_state);
    if (!created) return fail(std::move(created.error()));
    state_.emplace(std::move(*created));
    return Done{};
  }

  Status take(CaptureBatch& batch) {
    std::size_t next = 0;
    for (CaptureBatch::Step& step : batch.steps) {
      if (auto done = send(batch, next, step.after); !done) return done;
      next = step.after;
      if (auto done = follow(step); !done) return done;
      ids_.clear();
    }
    if (auto done = send(batch, next, batch.chunks.size()); !done) return done;
    for (Note& found : batch.notes) note(std::move(found));
    options_.progress(batch.entries_seen, batch.bytes_seen);
    return Done{};
  }

  Result<CaptureResult> finish(const CaptureResult& counts) {
    auto manifest = manifest_.finish();
    if (!manifest) return fail(std::move(manifest.error()));
    if (state_)
      if (auto done = state_->finish(); !done) return fail(std::move(done.error()));
    result_.manifest = std::move(*manifest);
    result_.files_read = counts.files_read;
    result_.bytes_read = counts.bytes_read;
    result_.files_reused = counts.files_reused;
    result_.files_reread = counts.files_reread;
    return std::move(result_);
  }

 private:
  void note(Note found) {
    ++result_.notes_total;
    if (result_.notes.size() < kNotesMax) result_.notes.push_back(std::move(found));
  }

  Status send(const CaptureBatch& batch, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      const auto& chunk = batch.chunks[i];
      ids_.push_back(chunk.id);
      if (auto done = content_(
              {{chunk.id, chunk.length}, batch.bytes_of(chunk), chunk.content, chunk.same});
          !done)
        return done;
    }
    return Done{};
  }

  Status follow(CaptureBatch::Step& step) {
    if (!step.found) return Done{};
    format::Entry& entry = step.found->entry;
    if (step.is_read)
      for (std::size_t i = 0; i < entry.chunks.size(); ++i) entry.chunks[i].id = ids_[i];
    if (step.before && *step.before != entry.chunks)
      note({Note::Kind::changed, entry.path,
            "its content is another though its times are not: the disk may be failing, or a "
            "program puts times back"});
    if (state_ && entry.kind == format::EntryKind::file)
      if (auto done = state_->add({step.found->facts, step.is_racy, entry}); !done) return done;
    return manifest_.add(entry);
  }

  const CaptureOptions& options_;
  const ContentSink& content_;
  format::ManifestWriter manifest_;
  std::optional<ScanStateWriter> state_;
  std::vector<ChunkId> ids_;  // Of the file that is being read.
  CaptureResult result_;
};

}  // namespace

Result<CaptureResult> capture_tree(const os::Root& root, const CaptureOptions& options,
                                   const ContentSink& content, const format::ChunkSink& manifest) {
  Delivery delivery(options, content, manifest);
  if (auto done = delivery.start(); !done) return fail(std::move(done.error()));
  BoundedQueue<CaptureBatch> read(kBatchesWaiting), named(kBatchesWaiting);
  CaptureReader reader(root, options,
                       [&read](CaptureBatch batch) { return read.put(std::move(batch)); });
  Status walked = Done{};
  std::thread walking([&] {
    walked = reader.run();
    read.close();
  });
  std::thread naming([&] {
    while (auto batch = read.take()) {
      name_chunks(*batch);
      if (!named.put(std::move(*batch))) break;
    }
    read.close();
    named.close();
  });
  Status delivered = Done{};
  while (auto batch = named.take()) {
    delivered = delivery.take(*batch);
    if (!delivered) break;
  }
  named.close();
  naming.join();
  walking.join();
  if (!delivered) return fail(std::move(delivered.error()));
  if (!walked) return fail(std::move(walked.error()));
  return delivery.finish(reader.counts());
}

}  // namespace lamina
