#include "origin/cli/capture_difference.hpp"

#include <algorithm>
#include <map>

#include "origin/cli/included_stream.hpp"
#include "origin/cli/remote_layers.hpp"
#include "origin/cli/session.hpp"
#include "shared/image/delta.hpp"
#include "shared/image/merge.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/image/stack.hpp"

namespace lamina::origin::cli {
namespace {

using format::Entry;
using format::EntryKind;

// A tree in memory: its manifest, and the chunks that were not uploaded.
class HeldCapture {
 public:
  Result<CaptureResult> take(const os::Root& root, const CaptureOptions& options,
                             const ContentSink& content) {
    auto captured = capture_tree(root, options, content, [this](const ChunkId& id, ByteView plain) {
      chunks_.try_emplace(id, to_buffer(plain));
      return Status(Done{});
    });
    if (captured) manifests_.push_back(captured->manifest);
    return captured;
  }
  ContentSink keep() {
    return [this](const ContentChunk& chunk) -> Status {
      chunks_.try_emplace(chunk.ref.id, to_buffer(chunk.plain));
      return Done{};
    };
  }
  // All that was taken as one tree.
  Result<std::unique_ptr<format::EntryStream>> entries() const {
    std::vector<std::unique_ptr<format::EntryStream>> parts;
    for (const format::ManifestRef& manifest : manifests_) {
      auto reader = format::ManifestReader::open(manifest, source());
      if (!reader) return fail(std::move(reader.error()));
      parts.push_back(std::move(*reader));
    }
    return std::make_unique<image::MergeStream>(std::move(parts));
  }
  format::ChunkSource source() const {
    return [this](const format::ChunkRef& ref) -> Result<Buffer> {
      const auto held = chunks_.find(ref.id);
      if (held != chunks_.end()) return held->second;
      return fail(ErrorKind::not_found, "chunk " + ref.id.short_hex() + " was not captured");
    };
  }

 private:
  std::map<ChunkId, Buffer> chunks_;
  std::vector<format::ManifestRef> manifests_;
};

}  // namespace

CaptureOptions records_only(const CaptureOptions& options) {
  CaptureOptions records = options;
  records.scan_state.clear();
  records.new_scan_state.clear();
  records.include = [&options](const std::string& path, bool is_directory) {
    return (is_directory ? image::has_record_rules_beneath(path)
                         : image::record_rule(path) != nullptr) &&
           options.include(path, is_directory);
  };
  return records;
}

namespace {

// Of the files that are merged by record only the changes are uploaded, so they are captured by
// themselves.
Result<CaptureResult> capture_all(const os::Root& root, const CaptureOptions& options,
                                  Upload& upload, HeldCapture& held) {
  CaptureOptions plain = options;
  plain.include = [&options](const std::string& path, bool is_directory) {
    return (is_directory || !image::record_rule(path)) && options.include(path, is_directory);
  };
  auto captured = held.take(root, plain, [&upload](const ContentChunk& chunk) {
    return upload.add(chunk.ref, chunk.plain, chunk.content);
  });
  if (!captured) return captured;
  auto others = held.take(root, records_only(options), held.keep());
  if (!others) return others;
  captured->notes_total += others->notes_total;
  std::ranges::move(others->notes, std::back_inserter(captured->notes));
  return captured;
}

}  // namespace

Status send_record_changes(const format::Entry& entry, const format::ChunkSource& source,
                           Upload& upload) {
  for (const format::ChunkRef& ref : entry.chunks) {
    auto bytes = source(ref);
    if (!bytes) return fail(std::move(bytes.error()));
    if (auto done = upload.add(ref, *bytes, ContentClass::text); !done) return done;
  }
  return Done{};
}

Result<CapturedDifference> capture_difference(Session& session,
                                              const std::vector<std::string>& over,
                                              const os::Root& root, const CaptureOptions& options,
                                              Upload& upload) {
  auto layers = RemoteLayers::open(session, over);
  if (!layers) return fail(std::move(layers.error()));
  // The tree was made of these layers: its ids are theirs.
  auto stack = image::Stack::open((*layers)->records(), (*layers)->source(), {});
  if (!stack) return fail(std::move(stack.error()));
  auto before = (*stack)->entries();
  if (!before) return fail(std::move(before.error()));

  HeldCapture held;
  auto captured = capture_all(root, options, upload, held);
  if (!captured) return fail(std::move(captured.error()));
  auto after = held.entries();
  if (!after) return fail(std::move(after.error()));
  format::MadeContent made;
  image::DeltaStream difference(
      std::make_unique<IncludedStream>(std::move(*before), options.include), std::move(*after),
      {.before = (*stack)->source(), .after = held.source(), .made = made});
  const auto changes = made.source(held.source());
  format::ManifestWriter manifest([&upload](const ChunkId& id, ByteView plain) {
    return upload.add_metadata({id, static_cast<std::uint32_t>(plain.size())}, plain);
  });
  for (;;) {
    auto entry = difference.next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) break;
    if ((*entry)->record_changes)
      if (auto done = send_record_changes(**entry, changes, upload); !done)
        return fail(std::move(done.error()));
    if (auto done = manifest.add(**entry); !done) return fail(std::move(done.error()));
  }
  auto written = manifest.finish();
  if (!written) return fail(std::move(written.error()));
  captured->manifest = std::move(*written);
  return CapturedDifference{std::move(*captured), difference.has_record_changes()};
}

}  // namespace lamina::origin::cli
