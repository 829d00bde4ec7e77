#include "shared/update/make_update.hpp"

#include <algorithm>
#include <map>
#include <memory>

#include "shared/base/assert.hpp"
#include "shared/update/update_head.hpp"

namespace lamina::update {
namespace {

// Room for a pack's header, index and footer beside one frame.
constexpr std::uint64_t kFrameMost = format::kPackSizeMax - (std::uint64_t{1} << 20);

// Delta frames in, packs out.
class Packs {
 public:
  Packs(const PackFiles& files, std::uint64_t pack_bytes, bool is_metadata,
        std::vector<MadeUpdate::Pack>& made)
      : files_(files), pack_bytes_(pack_bytes), is_metadata_(is_metadata), made_(made) {}
  ~Packs() {
    // A later open of the directory removes what cannot be removed now.
    if (!path_.empty()) static_cast<void>(os::remove_file(path_));
  }
  Packs(const Packs&) = delete;
  Packs& operator=(const Packs&) = delete;

  // Precondition: at most kFrameMost bytes.
  Status add(ByteView frame) {
    if (builder_ && builder_->size() + frame.size() > pack_bytes_)
      if (auto done = finish(); !done) return done;
    if (!builder_) {
      auto path = files_.new_temporary();
      if (!path) return fail(std::move(path.error()));
      auto file = os::open_write(*path);
      if (!file) return fail(std::move(file.error()));
      path_ = std::move(*path);
      file_ = std::move(*file);
      builder_ = std::make_unique<format::PackBuilder>(
          [this](ByteView part) { return os::write_all(file_.get(), part, path_); });
    }
    return builder_->add(format::Coder::delta, frame, {});
  }

  Status finish() {
    if (!builder_) return Done{};
    auto summary = builder_->finish();
    if (!summary) return fail(std::move(summary.error()));
    if (auto done = files_.publish(path_, summary->id, summary->block_hashes); !done) return done;
    path_.clear();
    builder_.reset();
    made_.push_back({summary->id, summary->size, is_metadata_});
    return Done{};
  }

 private:
  const PackFiles& files_;
  std::uint64_t pack_bytes_;
  bool is_metadata_;
  std::vector<MadeUpdate::Pack>& made_;
  std::string path_;
  os::Descriptor file_;
  std::unique_ptr<format::PackBuilder> builder_;
};

class Making {
 public:
  Making(const format::ChunkSource& source, const PackFiles& into, const MakeOptions& options)
      : source_(source), into_(into), options_(options) {}

  Result<MadeUpdate> run(const std::optional<format::ManifestRef>& old,
                         const format::ManifestRef& next,
                         const std::function<Result<PackId>(const ChunkId&)>& pack_of) {
    is_from_nothing_ = !old;
    if (old) {
      auto read = read_content_of(*old, source_);
      if (!read) return fail(std::move(read.error()));
      old_ = std::move(*read);
    }
    auto read = read_content_of(next, source_);
    if (!read) return fail(std::move(read.error()));
    next_ = std::move(*read);
    had_ = old_.chunks();
    changed_ = changed_files(next_, had_);
    if (auto done = encode_files(); !done) return fail(std::move(done.error()));
    if (auto done = write_metadata(pack_of); !done) return fail(std::move(done.error()));
    return std::move(made_);
  }

 private:
  Status encode_files() {
    const delta::Tree old_tree = tree_of(old_.files, source_);
    const delta::Tree next_tree = tree_of(changed_, source_);
    Packs packs(into_, options_.pack_bytes, /*is_metadata=*/false, made_.packs);
    const auto add = [&](const delta::Survey& next, const delta::Group& group,
                         const Buffer& frame) -> Status {
      if (frame.size() <= kFrameMost) return packs.add(frame);
      for (const std::size_t i : group.items) missing_.insert(next.contents[i].digest);
      return Done{};
    };
    delta::EncodeOptions encoding = options_.encoding;
    if (is_from_nothing_) encoding.survey.costly = delta::Costly::closed;
    auto encoded = delta::encode_update(old_tree, next_tree, encoding, add);
    if (!encoded) return fail(std::move(encoded.error()));
    for (const std::size_t i : encoded->plan.too_large)
      missing_.insert(encoded->next.contents[i].digest);
    assemble(encoded->old, encoded->next, std::move(encoded->plan.assembly));
    return packs.finish();
  }

  // A receiver knows files by their chunks. What is the same file to a survey, and is cut into
  // other chunks, is told to it as a copy.
  void assemble(const delta::Survey& old, const delta::Survey& next, delta::Assembly assembly) {
    std::map<Sha256Digest, std::uint32_t> old_files, next_files;
    for (std::uint32_t file = 0; file < old.files.size(); ++file)
      old_files.try_emplace(old.files[file], file);
    std::set<std::uint32_t> closed, broken;
    for (const auto& closing : assembly.closings) closed.insert(closing.file);
    const auto is_missing = [&](const Sha256Digest& digest) { return missing_.contains(digest); };
    for (const delta::OpenedFile& opened : next.opened)
      if (std::ranges::any_of(opened.members, is_missing)) broken.insert(opened.file);
    std::erase_if(assembly.closings,
                  [&](const auto& closing) { return broken.contains(closing.file); });
    for (std::uint32_t file = 0; file < next.files.size(); ++file) {
      const Sha256Digest& digest = next.files[file];
      if (is_missing(digest) || broken.contains(file)) continue;
      for (const format::ChunkRef& chunk : changed_[file].chunks) made_.covered.insert(chunk.id);
      if (const auto same = old_files.find(digest); same != old_files.end()) {
        assembly.copies.push_back({file, {true, {same->second, delta::ItemName::kFileItself}}});
        continue;
      }
      const auto [same, is_first] = next_files.try_emplace(digest, file);
      if (!is_first && changed_[same->second].chunks != changed_[file].chunks)
        assembly.copies.push_back({file, {false, {same->second, delta::ItemName::kFileItself}}});
    }
    head_.assembly = delta::write_assembly(assembly);
  }

  Result<Buffer> gather(const std::vector<format::ChunkRef>& chunks) const {
    Buffer all;
    for (const format::ChunkRef& chunk : chunks) {
      auto bytes = source_(chunk);
      if (!bytes) return fail(std::move(bytes.error()));
      all.insert(all.end(), bytes->begin(), bytes->end());
    }
    if (all.size() > delta::kFrameContentsMax)
      return fail(ErrorKind::invalid, "a manifest of more than 512 MiB is not coded as an update");
    return all;
  }

  // What a receiver reads first: the head, and the manifest.
  Status write_metadata(const std::function<Result<PackId>(const ChunkId&)>& pack_of) {
    std::vector<format::ChunkRef> wanted;
    std::map<PackId, std::uint32_t> numbers;
    std::set<ChunkId> seen = had_;
    const auto note = [&](const format::ChunkRef& chunk) -> Status {
      if (!seen.insert(chunk.id).second) return Done{};
      auto pack = pack_of(chunk.id);
      if (!pack) return fail(std::move(pack.error()));
      const auto [known, is_new] =
          numbers.try_emplace(*pack, static_cast<std::uint32_t>(head_.packs.size()));
      if (is_new) head_.packs.push_back(*pack);
      if (!head_.runs.empty() && head_.runs.back().pack == known->second)
        ++head_.runs.back().chunks;
      else
        head_.runs.push_back({known->second, 1});
      return Done{};
    };
    for (const format::ChunkRef& chunk : next_.metadata) {
      if (!had_.contains(chunk.id)) {
        wanted.push_back(chunk);
        head_.metadata_lengths.push_back(chunk.length);
        made_.covered.insert(chunk.id);
      }
      if (auto done = note(chunk); !done) return done;
    }
    for (const ContentFile& file : changed_)
      for (const format::ChunkRef& chunk : file.chunks)
        if (auto done = note(chunk); !done) return done;

    Packs packs(into_, options_.pack_bytes, /*is_metadata=*/true, made_.packs);
    const auto add = [&](ByteView frame) -> Status {
      if (frame.size() <= kFrameMost) return packs.add(frame);
      return fail(ErrorKind::invalid, "its manifest is too large for an update");
    };
    if (auto done = add(write_head(head_)); !done) return done;
    if (!wanted.empty()) {
      auto items = gather(wanted);
      auto references = items ? gather(old_.metadata) : Result<Buffer>(fail(items.error()));
      if (!references) return fail(std::move(references.error()));
      const delta::Item item{{}, delta::source_of(ByteView(*items))};
      const delta::Item reference{{}, delta::source_of(ByteView(*references))};
      auto frame = delta::encode_frame({&item, 1}, {&reference, is_from_nothing_ ? 0U : 1U},
                                       options_.encoding.effort);
      if (!frame) return fail(std::move(frame.error()));
      if (auto done = add(*frame); !done) return done;
    }
    return packs.finish();
  }

  const format::ChunkSource& source_;
  const PackFiles& into_;
  const MakeOptions& options_;
  MadeUpdate made_;
  bool is_from_nothing_ = false;
  LayerContent old_, next_;
  std::set<ChunkId> had_;
  std::vector<ContentFile> changed_;
  std::set<Sha256Digest> missing_;  // Contents that no frame takes.
  UpdateHead head_;
};

}  // namespace

std::uint64_t MadeUpdate::bytes() const {
  std::uint64_t sum = 0;
  for (const Pack& pack : packs) sum += pack.size;
  return sum;
}

Result<MadeUpdate> make_update(const std::optional<format::ManifestRef>& old,
                               const format::ManifestRef& next, const format::ChunkSource& source,
                               const std::function<Result<PackId>(const ChunkId&)>& pack_of,
                               const PackFiles& into, const MakeOptions& options) {
  return Making(source, into, options).run(old, next, pack_of);
}

}  // namespace lamina::update
