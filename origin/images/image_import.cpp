#include "origin/images/image_import.hpp"

#include <algorithm>

#include "shared/chunk/chunker.hpp"
#include "shared/image/delta.hpp"
#include "shared/image/list_stream.hpp"

namespace lamina::origin::images {
namespace {

using archive::ByteSource;

// The bytes of another source, and their digest.
class HashedSource : public ByteSource {
 public:
  explicit HashedSource(ByteSource& source) : source_(source) {}

  Result<std::size_t> read(std::span<std::byte> into) override {
    auto size = source_.read(into);
    if (size) hash_.update(ByteView(into).first(*size));
    return size;
  }
  // Of everything, what nobody read yet included.
  Result<Sha256Digest> finish() {
    Buffer rest(256 * 1024);
    for (;;) {
      auto size = read(rest);
      if (!size) return fail(std::move(size.error()));
      if (*size == 0) return hash_.finish();
    }
  }

 private:
  ByteSource& source_;
  Sha256 hash_;
};

// Reads a member's content; `file.entry` gets what its header could not say. `chunk` is given each
// piece that a capture would cut.
using OnChunk = std::function<Status(const format::ChunkRef& ref, ByteView plain)>;
Status cut(archive::TarReader& tar, const std::string& name, ImageFile& file,
           const OnChunk& chunk) {
  format::Entry& entry = file.entry;
  Chunker chunker;
  std::size_t start_wanted = 0;
  bool is_first = true;
  const auto emit = [&](ByteView plain) {
    const format::ChunkRef ref{digest<ChunkId>(plain), static_cast<std::uint32_t>(plain.size())};
    entry.chunks.push_back(ref);
    return chunk(ref, plain);
  };
  auto done = tar.read([&](std::uint64_t offset, ByteView bytes) -> Status {
    if (std::exchange(is_first, false)) start_wanted = ImageTree::start_wanted(name, bytes);
    if (file.start.size() < start_wanted)
      file.start += as_text(bytes.first(std::min(bytes.size(), start_wanted - file.start.size())));
    auto& runs = entry.extents;
    if (!runs.empty() && runs.back().offset + runs.back().length == offset)
      runs.back().length += bytes.size();
    else
      runs.push_back({offset, bytes.size()});
    if (runs.size() > format::kExtentsMax)
      return fail(ErrorKind::invalid, "it has more holes than an entry may have");
    return chunker.update(bytes, emit);
  });
  if (done) done = chunker.finish(emit);
  if (!done) return done;
  // A file without holes has no extents; a header may announce holes that are none.
  const std::vector<format::Extent> whole{{0, entry.size}};
  if (entry.size == 0 || entry.extents == whole) entry.sparse = false;
  if (!entry.sparse && entry.size > 0 && entry.extents != whole)
    return fail(ErrorKind::corrupt, "it has less content than it says");
  if (!entry.sparse) entry.extents.clear();
  return Done{};
}

std::string member_of(const Blob& blob, const std::string& name) {
  return blob.what + ": '" + printable(name, 200) + "'";
}

Error changed(const Blob& blob) {
  return {ErrorKind::corrupt, blob.what + " was changed while it was imported: start again"};
}

}  // namespace

Result<std::unique_ptr<ImageImport>> ImageImport::read(Image image, Options options) {
  std::unique_ptr<ImageImport> import(new ImageImport(std::move(image), std::move(options)));
  import->below_ = std::make_unique<image::ListStream>();
  for (const Blob& blob : import->image_.layers) {
    if (auto done = import->read_archive(blob); !done) return fail(std::move(done.error()));
    if (import->options_.squash) continue;
    if (auto done = import->take_layer(blob.what); !done) return fail(std::move(done.error()));
  }
  if (import->options_.squash)
    if (auto done = import->take_layer("the image"); !done) return fail(std::move(done.error()));
  import->below_.reset();
  return import;
}

Status ImageImport::read_archive(const Blob& blob) {
  auto source = blob.open();
  if (!source) return fail(std::move(source.error()).in(blob.what));
  HashedSource hashed(**source);
  auto tar = archive::TarReader::open(hashed, blob.what);
  if (!tar) return fail(std::move(tar.error()));
  tree_.begin_layer();
  for (;;) {
    auto member = tar->next();
    if (!member) return fail(std::move(member.error()));
    if (!*member) break;
    const std::string& name = (*member)->name;
    if (!(*member)->warning.empty() && warnings_.size() < kNotesMax)
      warnings_.push_back(member_of(blob, name) + ": " + printable((*member)->warning, 200));
    auto file = tree_.add(**member, image_.whiteouts);
    if (!file) return fail(std::move(file.error()).in(blob.what));
    if (*file != nullptr) {
      auto done =
          cut(*tar, name, **file, [](const format::ChunkRef&, ByteView) { return Status(Done{}); });
      if (!done) return fail(std::move(done.error()).in(member_of(blob, name)));
      bytes_seen_ += (*file)->entry.stored_bytes();
    }
    if (++members_seen_ % 256 == 0) options_.progress(members_seen_, bytes_seen_);
  }
  auto digest = hashed.finish();
  if (!digest) return fail(std::move(digest.error()).in(blob.what));
  if (blob.digest && *blob.digest != *digest)
    return fail(ErrorKind::corrupt, blob.what +
                                        " is damaged: its digest is sha256:" + to_hex(*digest) +
                                        ", and should be sha256:" + to_hex(*blob.digest));
  if (auto done = tree_.end_layer(); !done) return fail(std::move(done.error()).in(blob.what));
  return Done{};
}

Status ImageImport::take_layer(std::string what) {
  Layer layer{.what = std::move(what), .entries = {}};
  image::DeltaStream delta(std::move(below_), tree_entries());
  for (;;) {
    auto entry = delta.next();
    if (!entry) return fail(std::move(entry.error()).in(layer.what));
    if (!*entry) break;
    layer.entries.push_back(std::move(**entry));
  }
  layers_.push_back(std::move(layer));
  below_ = tree_entries();
  return Done{};
}

std::unique_ptr<format::EntryStream> ImageImport::entries(std::size_t layer) const {
  return std::make_unique<image::ListStream>(layers_[layer].entries);
}

Status ImageImport::send(std::unordered_set<ChunkId, IdHash> wanted,
                         const ContentSink& sink) const {
  // The files that have what is wanted, by archive and in the order of its members.
  std::vector<std::vector<const ImageFile*>> needed(image_.layers.size());
  auto unplaced = wanted;
  for (const auto& file : tree_.files()) {
    bool is_needed = false;
    for (const format::ChunkRef& chunk : file->entry.chunks)
      is_needed = unplaced.erase(chunk.id) > 0 || is_needed;
    if (is_needed) needed[file->layer].push_back(file.get());
  }
  for (std::size_t i = 0; i < needed.size(); ++i) {
    if (needed[i].empty()) continue;
    const Blob& blob = image_.layers[i];
    auto source = blob.open();
    if (!source) return fail(std::move(source.error()).in(blob.what));
    auto tar = archive::TarReader::open(**source, blob.what);
    if (!tar) return fail(std::move(tar.error()));
    std::size_t number = 0;
    for (const ImageFile* file : needed[i]) {
      Result<std::optional<archive::Member>> member = std::optional<archive::Member>();
      do {
        member = tar->next();
        if (!member) return fail(std::move(member.error()));
        if (!*member) return fail(changed(blob));
      } while (number++ != file->member);
      ImageFile again;
      again.entry = (*member)->entry;
      if (again.entry.kind != format::EntryKind::file) return fail(changed(blob));
      const std::string& name = (*member)->name;
      std::optional<ContentClass> content;
      auto done =
          cut(*tar, name, again, [&](const format::ChunkRef& ref, ByteView plain) -> Status {
            if (!content)
              content =
                  classify_content(name, plain.first(std::min<std::size_t>(16, plain.size())));
            return wanted.erase(ref.id) == 0
                       ? Status(Done{})
                       : sink({.ref = ref, .plain = plain, .content = *content});
          });
      if (!done) return fail(std::move(done.error()).in(member_of(blob, name)));
      if (again.entry.chunks != file->entry.chunks) return fail(changed(blob));
    }
  }
  if (!wanted.empty())
    return fail(ErrorKind::invalid, "a chunk is wanted that the image does not have");
  return Done{};
}

}  // namespace lamina::origin::images
