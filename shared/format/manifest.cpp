#include "shared/format/manifest.hpp"

#include <algorithm>

#include "shared/base/assert.hpp"
#include "shared/format/path.hpp"
#include "shared/hash/sha256.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina::format {
namespace {

constexpr std::string_view kChunkMagic = "LMmc";  // A chunk of entries.
constexpr std::string_view kFenceMagic = "LMmf";
constexpr std::uint8_t kVersion = 1;

// Cut sizes of entry chunks in bytes. Small, because a one-byte change on a device sends one whole
// manifest chunk up the line; an entry takes about 100 bytes, so 1 in 128 makes 4 + 12.8 KiB.
constexpr std::size_t kCutMin = 4 * 1024;
constexpr std::size_t kCutMax = 64 * 1024;
constexpr std::uint64_t kCutMask = 127;

constexpr std::size_t kFenceBytesMax = std::size_t{64} << 20;  // About a billion entries.
constexpr std::size_t kListBytesMax = kChunksPerFileMax * 40;

enum class ListForm : std::uint8_t { inline_list = 0, apart = 1 };

struct Fence {
  std::string first_path;
  ChunkRef chunk;
  std::uint64_t entries = 0;
};

void write_head(std::string_view magic, Writer& out) {
  out.raw(as_view(magic));
  out.u8(kVersion);
}

Status check_head(Reader& in, std::string_view magic, std::string_view what) {
  const bool good = as_text(in.raw(magic.size())) == magic;
  const std::uint8_t version = in.u8();
  if (!good || in.failed())
    return fail(ErrorKind::corrupt, std::string(what) + " does not begin as one");
  if (version != kVersion)
    return fail(ErrorKind::invalid, std::string(what) + " has version " + std::to_string(version) +
                                        "; this program reads version 1");
  return Done{};
}

// Puts `bytes` into content-defined chunks through `sink`.
Result<std::vector<ChunkRef>> store_stream(ByteView bytes, const ChunkSink& sink) {
  std::vector<ChunkRef> refs;
  const auto emit = [&](ByteView chunk) -> Status {
    const ChunkRef ref{digest<ChunkId>(chunk), static_cast<std::uint32_t>(chunk.size())};
    refs.push_back(ref);
    return sink(ref.id, chunk);
  };
  Chunker chunker;
  auto done = chunker.update(bytes, emit);
  if (done) done = chunker.finish(emit);
  if (!done) return fail(std::move(done.error()));
  return refs;
}

Result<Buffer> load_stream(const std::vector<ChunkRef>& refs, std::size_t limit,
                           const ChunkSource& source) {
  Buffer bytes;
  for (const ChunkRef& ref : refs) {
    if (ref.length > kChunkMax || bytes.size() + ref.length > limit)
      return fail(ErrorKind::invalid, "a manifest list is larger than its limit");
    auto part = source(ref);
    if (!part) return fail(std::move(part.error()));
    if (part->size() != ref.length)
      return fail(ErrorKind::corrupt, "chunk " + ref.id.short_hex() + " has the wrong length");
    bytes.insert(bytes.end(), part->begin(), part->end());
  }
  return bytes;
}

// A long chunk list travels as chunks of its own; in the entry stand the list's chunks.
Entry without_chunks(const Entry& entry) {
  Entry head = entry;
  head.chunks.clear();
  head.size = 0;
  head.sparse = false;
  head.extents.clear();
  return head;
}

}  // namespace

void encode_manifest_ref(const ManifestRef& ref, Writer& out) {
  encode_chunk_refs(ref.fence, out);
  out.varint(ref.entries);
  out.varint(ref.files);
  out.varint(ref.content_bytes);
}

ManifestRef decode_manifest_ref(Reader& in) {
  ManifestRef ref;
  ref.fence = decode_chunk_refs(in, kFenceBytesMax / 1024);
  ref.entries = in.varint();
  ref.files = in.varint();
  ref.content_bytes = in.varint();
  return ref;
}

struct ManifestWriter::State {
  ChunkSink sink;
  Writer chunk;
  std::vector<Fence> fences;
  std::string previous_path;
  ManifestRef totals;

  Status cut() {
    Fence& fence = fences.back();
    fence.chunk = {digest<ChunkId>(chunk.view()), static_cast<std::uint32_t>(chunk.size())};
    auto done = sink(fence.chunk.id, chunk.view());
    chunk.clear();
    return done;
  }
};

ManifestWriter::ManifestWriter(ChunkSink sink) : state_(std::make_unique<State>()) {
  state_->sink = std::move(sink);
}
ManifestWriter::~ManifestWriter() = default;
ManifestWriter::ManifestWriter(ManifestWriter&&) noexcept = default;

Status ManifestWriter::add(const Entry& entry) {
  State& s = *state_;
  if (auto good = check_entry(entry); !good) return good;
  if (s.totals.entries > 0 && compare_paths(s.previous_path, entry.path) >= 0)
    return fail(ErrorKind::invalid, "entry '" + printable(entry.path, 200) + "' does not follow '" +
                                        printable(s.previous_path, 200) + "' in path order");

  const bool border = s.chunk.size() >= kCutMin && (xxh3(as_view(entry.path)) & kCutMask) == 0;
  if (s.chunk.size() > 0 && (border || s.chunk.size() >= kCutMax))
    if (auto done = s.cut(); !done) return done;
  const bool starts_chunk = s.chunk.size() == 0;
  if (starts_chunk) {
    write_head(kChunkMagic, s.chunk);
    s.fences.push_back({.first_path = entry.path, .chunk = {}, .entries = 0});
  }
  const std::string_view previous = starts_chunk ? std::string_view() : s.previous_path;

  if (entry.chunks.size() <= kInlineChunksMax) {
    s.chunk.u8(static_cast<std::uint8_t>(ListForm::inline_list));
    encode_entry(entry, previous, s.chunk);
  } else {
    Writer list;
    encode_chunk_refs(entry.chunks, list);
    auto refs = store_stream(list.view(), s.sink);
    if (!refs) return fail(std::move(refs.error()));
    s.chunk.u8(static_cast<std::uint8_t>(ListForm::apart));
    encode_entry(without_chunks(entry), previous, s.chunk);
    s.chunk.varint(entry.size);
    s.chunk.u8(entry.sparse ? 1 : 0);
    s.chunk.varint(entry.extents.size());
    for (const Extent& extent : entry.extents) {
      s.chunk.varint(extent.offset);
      s.chunk.varint(extent.length);
    }
    encode_chunk_refs(*refs, s.chunk);
  }
  s.previous_path = entry.path;
  ++s.fences.back().entries;
  ++s.totals.entries;
  if (entry.kind == EntryKind::file) ++s.totals.files;
  s.totals.content_bytes += entry.size;
  return Done{};
}

Result<ManifestRef> ManifestWriter::finish() {
  State& s = *state_;
  if (s.chunk.size() > 0)
    if (auto done = s.cut(); !done) return fail(std::move(done.error()));
  Writer fence;
  write_head(kFenceMagic, fence);
  fence.varint(s.fences.size());
  for (const Fence& f : s.fences) {
    fence.text(f.first_path);
    fence.raw(f.chunk.id.bytes());
    fence.varint(f.chunk.length);
    fence.varint(f.entries);
  }
  auto refs = store_stream(fence.view(), s.sink);
  if (!refs) return fail(std::move(refs.error()));
  s.totals.fence = std::move(*refs);
  return s.totals;
}

struct ManifestReader::State {
  ManifestRef ref;
  ChunkSource source;
  std::function<void(const ChunkRef&)> list_chunk_seen;
  std::vector<Fence> fences;
  std::size_t next_fence = 0;
  Buffer chunk;
  std::optional<Reader> in;        // Over `chunk`.
  std::uint64_t entries_left = 0;  // Of this chunk, by the fence.
  std::string previous_path;
  bool chunk_start = true;
  bool any = false;

  Status load_fence() {
    auto bytes = load_stream(ref.fence, kFenceBytesMax, source);
    if (!bytes) return fail(std::move(bytes.error()).in("reading the manifest's fence"));
    Reader reader(*bytes);
    if (auto good = check_head(reader, kFenceMagic, "the manifest's fence"); !good) return good;
    const std::uint64_t count = reader.count(ChunkId::kSize + 3);
    std::uint64_t entries = 0;
    for (std::uint64_t i = 0; i < count && !reader.failed(); ++i) {
      Fence fence;
      fence.first_path = reader.text(kPathMax);
      fence.chunk.id = reader.id<ChunkId>();
      fence.chunk.length = static_cast<std::uint32_t>(reader.varint(kChunkMax));
      fence.entries = reader.varint();
      if (fence.entries == 0 || fence.entries > ref.entries - entries) reader.set_failed();
      entries += fence.entries;
      if (!fences.empty() && compare_paths(fences.back().first_path, fence.first_path) >= 0)
        reader.set_failed();
      fences.push_back(std::move(fence));
    }
    if (!reader.finished() || entries != ref.entries)
      return fail(ErrorKind::corrupt, "the manifest's fence is broken");
    return Done{};
  }

  Status load_chunk() {
    const Fence& fence = fences[next_fence];
    auto bytes = source(fence.chunk);
    if (!bytes) return fail(std::move(bytes.error()).in("reading the manifest"));
    if (bytes->size() != fence.chunk.length)
      return fail(ErrorKind::corrupt,
                  "manifest chunk " + fence.chunk.id.short_hex() + " has the wrong length");
    chunk = std::move(*bytes);
    in.emplace(chunk);
    if (auto good = check_head(*in, kChunkMagic, "manifest chunk " + fence.chunk.id.short_hex());
        !good)
      return good;
    entries_left = fence.entries;
    chunk_start = true;
    ++next_fence;
    return Done{};
  }

  Status load_list(Entry& entry) {
    entry.size = in->varint();
    const std::uint8_t sparse = in->u8();
    if (sparse > 1) in->set_failed();
    entry.sparse = sparse == 1;
    const std::uint64_t extents = in->count(2);
    if (extents > kExtentsMax) in->set_failed();
    for (std::uint64_t i = 0; i < extents && !in->failed(); ++i) {
      const std::uint64_t offset = in->varint();
      entry.extents.push_back({offset, in->varint()});
    }
    const auto list = decode_chunk_refs(*in, kListBytesMax / 1024);
    const std::string doing = "chunk list of '" + printable(entry.path, 200) + "'";
    if (in->failed()) return fail(ErrorKind::invalid, doing + " is broken");
    auto bytes = load_stream(list, kListBytesMax, source);
    if (!bytes) return fail(std::move(bytes.error()).in(doing));
    if (list_chunk_seen)
      for (const ChunkRef& ref : list) list_chunk_seen(ref);
    Reader reader(*bytes);
    entry.chunks = decode_chunk_refs(reader, kChunksPerFileMax);
    if (!reader.finished() || entry.chunks.size() <= kInlineChunksMax)
      return fail(ErrorKind::corrupt, doing + " is broken");
    return check_entry(entry);
  }
};

ManifestReader::ManifestReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
ManifestReader::~ManifestReader() = default;

Result<std::unique_ptr<ManifestReader>> ManifestReader::open(const ManifestRef& ref,
                                                             ChunkSource source) {
  auto state = std::make_unique<State>();
  state->ref = ref;
  state->source = std::move(source);
  if (auto done = state->load_fence(); !done) return fail(std::move(done.error()));
  return std::unique_ptr<ManifestReader>(new ManifestReader(std::move(state)));
}

Result<std::optional<Entry>> ManifestReader::next() {
  State& s = *state_;
  if (s.entries_left == 0) {
    if (s.in && s.in->remaining() > 0)
      return fail(ErrorKind::corrupt, "a manifest chunk has bytes behind its last entry");
    if (s.next_fence == s.fences.size()) return std::optional<Entry>();
    if (auto done = s.load_chunk(); !done) return fail(std::move(done.error()));
  }
  const std::uint8_t form = s.in->u8();
  if (form > 1) return fail(ErrorKind::invalid, "an entry has an unknown form");
  auto entry = decode_entry(*s.in, s.chunk_start ? std::string_view() : s.previous_path);
  if (!entry) return fail(std::move(entry.error()));
  if (static_cast<ListForm>(form) == ListForm::apart) {
    if (entry->kind != EntryKind::file || entry->size != 0 || entry->sparse)
      return fail(ErrorKind::invalid,
                  "entry '" + printable(entry->path, 200) + "' has a list apart but is no file");
    if (auto done = s.load_list(*entry); !done) return fail(std::move(done.error()));
  } else if (entry->chunks.size() > kInlineChunksMax) {
    return fail(ErrorKind::invalid,
                "entry '" + printable(entry->path, 200) + "' has its long list not apart");
  }
  if (s.any && compare_paths(s.previous_path, entry->path) >= 0)
    return fail(ErrorKind::corrupt, "entry '" + printable(entry->path, 200) + "' is out of order");
  if (s.chunk_start && entry->path != s.fences[s.next_fence - 1].first_path)
    return fail(ErrorKind::corrupt,
                "entry '" + printable(entry->path, 200) + "' is not what the fence names");
  s.chunk_start = false;
  s.any = true;
  s.previous_path = entry->path;
  --s.entries_left;
  return std::optional<Entry>(std::move(*entry));
}

Status ManifestReader::seek(std::string_view path) {
  State& s = *state_;
  const auto behind = std::ranges::upper_bound(s.fences, path, PathLess{}, &Fence::first_path);
  const auto index = behind - s.fences.begin();
  s.next_fence = index == 0 ? 0 : static_cast<std::size_t>(index) - 1;
  s.entries_left = 0;
  s.in.reset();
  s.any = false;
  if (index == 0) return Done{};
  // Skip the entries of that chunk before `path`: decode them and put the reader back at the first
  // one that counts.
  if (auto done = s.load_chunk(); !done) return done;
  while (s.entries_left > 0) {
    const Reader before = *s.in;
    const std::string previous = s.previous_path;
    const bool start = s.chunk_start;
    const bool any = s.any;
    auto entry = next();
    if (!entry) return fail(std::move(entry.error()));
    if (compare_paths((*entry)->path, path) < 0) continue;
    s.in = before;
    s.previous_path = previous;
    s.chunk_start = start;
    s.any = any;
    ++s.entries_left;
    return Done{};
  }
  return Done{};
}

std::vector<ChunkRef> ManifestReader::entry_chunks() const {
  std::vector<ChunkRef> refs;
  for (const Fence& fence : state_->fences) refs.push_back(fence.chunk);
  return refs;
}

void ManifestReader::on_list_chunk(std::function<void(const ChunkRef&)> seen) {
  state_->list_chunk_seen = std::move(seen);
}

void ManifestReader::go_to_chunk(std::size_t index) {
  State& s = *state_;
  s.next_fence = std::min(index, s.fences.size());
  s.entries_left = 0;
  s.in.reset();
  s.any = false;
}

bool ManifestReader::is_between_chunks() const { return state_->entries_left == 0; }

Status for_each_chunk(const ManifestRef& ref, const ChunkSource& source,
                      const std::function<Status(const ChunkRef&, bool)>& visit,
                      const std::function<bool(const ChunkRef&)>& enter) {
  auto reader = ManifestReader::open(ref, source);
  if (!reader) return fail(std::move(reader.error()));
  for (const ChunkRef& chunk : ref.fence)
    if (auto done = visit(chunk, true); !done) return done;
  const std::vector<ChunkRef> parts = (*reader)->entry_chunks();
  for (const ChunkRef& chunk : parts)
    if (auto done = visit(chunk, true); !done) return done;
  std::vector<ChunkRef> lists;
  (*reader)->on_list_chunk([&](const ChunkRef& chunk) { lists.push_back(chunk); });
  for (std::size_t part = 0;;) {
    if (enter && (*reader)->is_between_chunks()) {
      const std::size_t before = part;
      while (part < parts.size() && !enter(parts[part])) ++part;
      if (part != before) (*reader)->go_to_chunk(part);
      ++part;
    }
    auto entry = (*reader)->next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) return Done{};
    for (const ChunkRef& chunk : lists)
      if (auto done = visit(chunk, true); !done) return done;
    lists.clear();
    for (const ChunkRef& chunk : (*entry)->chunks)
      if (auto done = visit(chunk, false); !done) return done;
  }
}

}  // namespace lamina::format
