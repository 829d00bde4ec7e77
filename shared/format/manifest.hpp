// Manifest: the sorted entries of a layer or snapshot, itself stored as chunks.
//
// The writer cuts the stream of encoded entries into chunks at entry borders chosen by the paths,
// so that a changed entry changes one manifest chunk. The *fence* lists each manifest chunk with
// its first path, so that one directory is read without the whole. A file's chunk list of more than
// `kInlineChunksMax` references is a byte stream of its own, cut by content, so that one change in
// a large file costs a piece of the list. See FORMAT.md, "Manifest".
//
// Streaming: the writer holds one manifest chunk and the fence, the reader one chunk and the fence.
// One thread at a time per object.
#pragma once

#include <functional>
#include <memory>

#include "shared/chunk/chunker.hpp"
#include "shared/format/entry.hpp"

namespace lamina::format {

// Receives each chunk once it is complete; the view is valid during the call.
using ChunkSink = std::function<Status(const ChunkId& id, ByteView plain)>;
// Gives the plain bytes of a chunk, already checked against `id`; at most kChunkMax bytes.
using ChunkSource = std::function<Result<Buffer>(const ChunkRef& ref)>;

constexpr std::uint32_t kChunkMax = 4 * 1024 * 1024;  // No chunk of any kind is larger (plain).
constexpr std::size_t kInlineChunksMax = 512;

// What a record says of a manifest: enough to read and verify all of it.
struct ManifestRef {
  std::vector<ChunkRef> fence;  // The chunks of the fence, in order.
  std::uint64_t entries = 0;
  std::uint64_t files = 0;
  std::uint64_t content_bytes = 0;  // Sum of the sizes of all files.
  bool operator==(const ManifestRef&) const = default;
};
void encode_manifest_ref(const ManifestRef& ref, Writer& out);
ManifestRef decode_manifest_ref(Reader& in);  // The reader fails when it is broken.

class ManifestWriter {
 public:
  explicit ManifestWriter(ChunkSink sink);
  ~ManifestWriter();
  ManifestWriter(ManifestWriter&&) noexcept;

  // `invalid` when the entry is bad or its path is not above the one before. Errors of the sink are
  // passed on; the object must then be dropped.
  Status add(const Entry& entry);
  // Writes what is left and the fence. Call once, last.
  Result<ManifestRef> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class ManifestReader : public EntryStream {
 public:
  // Reads and checks the fence. `source` is kept and called as chunks are needed.
  static Result<std::unique_ptr<ManifestReader>> open(const ManifestRef& ref, ChunkSource source);
  ~ManifestReader() override;

  // `corrupt` or `invalid`, naming the entry, when the manifest is broken: order, counts and limits
  // are all checked.
  Result<std::optional<Entry>> next() override;

  // The next entry returned is the first at or behind `path`. Costs at most one chunk.
  Status seek(std::string_view path);

  // Every chunk that holds entries, in order (the fence's own chunks are in the ManifestRef).
  std::vector<ChunkRef> entry_chunks() const;
  // The next entry is the first of entry_chunks()[index].
  void go_to_chunk(std::size_t index);
  // All entries of the chunk that was read last were returned.
  bool is_between_chunks() const;
  // `seen` is called for each chunk of a long chunk list as next() reads it.
  void on_list_chunk(std::function<void(const ChunkRef&)> seen);

 private:
  struct State;
  explicit ManifestReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Calls `visit` for every chunk that `ref` needs: fence, entries, long lists and contents; a chunk
// used twice is visited twice. Errors of `visit` and of the reader are passed on. With `enter` only
// those chunks of entries are read for which it says so: one that was read for another manifest
// needs no second look.
Status for_each_chunk(const ManifestRef& ref, const ChunkSource& source,
                      const std::function<Status(const ChunkRef& chunk, bool is_metadata)>& visit,
                      const std::function<bool(const ChunkRef& entries)>& enter = {});

}  // namespace lamina::format
