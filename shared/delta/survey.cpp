#include <algorithm>
#include <set>

#include "shared/base/assert.hpp"
#include "shared/delta/predecessors.hpp"
#include "shared/delta/update.hpp"

namespace lamina::delta {
namespace {

ItemClass class_of(std::string_view path, ByteView first) {
  if (path.ends_with(".ko")) return ItemClass::module;
  return as_text(first).starts_with(
             "\x7f"
             "ELF")
             ? ItemClass::program
             : ItemClass::other;
}

std::string without_slashes(std::string_view name) {
  while (name.starts_with('/') || name.starts_with("./")) name.remove_prefix(1);
  return std::string(name);
}

class Surveying {
 public:
  Surveying(const Tree& tree, const std::function<bool(const Sha256Digest&)>& is_known,
            const Programs* programs, const SurveyOptions& options)
      : tree_(tree), is_known_(is_known), programs_(programs), options_(options) {}

  Result<Survey> run() {
    std::vector<std::uint32_t> containers;
    for (std::uint32_t file = 0; file < tree_.files.size(); ++file) {
      const auto is_container = add_file(file);
      if (!is_container) return fail(Error(is_container.error()).in(tree_.files[file].path));
      if (*is_container) containers.push_back(file);
    }
    // Files first: a member that is a file of the tree is named by that.
    for (const std::uint32_t file : containers)
      if (const auto added = add_container(file); !added)
        return fail(Error(added.error()).in(tree_.files[file].path));
    return std::move(survey_);
  }

 private:
  bool is_new(const Sha256Digest& digest) { return seen_.insert(digest).second; }

  // Whether it is to be looked at again as a container.
  Result<bool> add_file(std::uint32_t file) {
    const auto source = tree_.open(file);
    if (!source) return fail(source.error());
    Sha256 sha;
    Fingerprinter fingerprinter;
    Buffer first;
    const auto read = read_pieces(*source, [&](ByteView piece) -> Status {
      if (first.empty()) first = to_buffer(piece.first(std::min(piece.size(), kContainerMagic)));
      sha.update(piece);
      fingerprinter.update(piece);
      return Done{};
    });
    if (!read) return fail(read.error());
    const auto digest = sha.finish();
    survey_.files.push_back(digest);
    if (source->size == 0 || is_known_(digest) || !is_new(digest)) return false;
    const std::string& path = tree_.files[file].path;
    Content content{.name = {file, ItemName::kFileItself},
                    .path = path,
                    .size = source->size,
                    .kind = class_of(path, first),
                    .digest = digest,
                    .fingerprints = fingerprinter.finish()};
    if (may_be_container(first) && source->size <= kContainerMax &&
        (options_.costly == Costly::opened || !is_costly(first))) {
      closed_.push_back(std::move(content));
      return true;
    }
    survey_.contents.push_back(std::move(content));
    return false;
  }

  void add_member(ItemName name, std::string path, ByteView bytes, ItemClass kind) {
    const auto digest = sha256(bytes);
    survey_.opened.back().members.push_back(digest);
    if (is_known_(digest) || !is_new(digest)) return;
    Fingerprinter fingerprinter;
    fingerprinter.update(bytes);
    survey_.contents.push_back({.name = name,
                                .path = std::move(path),
                                .size = bytes.size(),
                                .kind = kind,
                                .digest = digest,
                                .fingerprints = fingerprinter.finish()});
  }

  Status add_container(std::uint32_t file) {
    const auto source = tree_.open(file);
    if (!source) return fail(source.error());
    auto bytes = read_all(*source, kContainerMax);
    if (!bytes) return fail(std::move(bytes.error()));
    auto opened = programs_ != nullptr
                      ? open_proven(std::move(*bytes), *programs_, options_.close_memory_max)
                      : open_unproven(std::move(*bytes));
    if (!opened) {
      const auto closed = std::ranges::find(
          closed_, file, [](const Content& content) { return content.name.file; });
      LAMINA_ASSERT(closed != closed_.end());
      survey_.contents.push_back(std::move(*closed));
      return Done{};
    }
    const std::string& path = tree_.files[file].path;
    survey_.opened.push_back({file, std::move(opened->recipe), {}, {}});
    if (opened->skeleton.size() > kSmallSkeleton)
      add_member({file, kSkeletonMember}, path, opened->skeleton, ItemClass::skeleton);
    else
      survey_.opened.back().skeleton = std::move(opened->skeleton);
    std::uint32_t number = kFirstMember;
    for (const Opened::Member& member : opened->members) {
      std::string name = member.name.empty() ? path : without_slashes(member.name);
      const ItemClass kind =
          class_of(name, member.bytes.first(std::min(member.bytes.size(), kContainerMagic)));
      add_member({file, number++}, std::move(name), member.bytes, kind);
    }
    return Done{};
  }

  const Tree& tree_;
  const std::function<bool(const Sha256Digest&)>& is_known_;
  const Programs* programs_;
  const SurveyOptions options_;
  std::set<Sha256Digest> seen_;
  std::vector<Content> closed_;  // Containers, as contents if they cannot be opened.
  Survey survey_;
};

}  // namespace

Result<Survey> survey(const Tree& tree, const std::function<bool(const Sha256Digest&)>& is_known,
                      const Programs* programs, const SurveyOptions& options) {
  return Surveying(tree, is_known, programs, options).run();
}

Result<Source> TreeReader::open(ItemName name) {
  if (name.file >= tree_.files.size())
    return fail(ErrorKind::corrupt, "a tree has no file number " + std::to_string(name.file));
  if (name.member == ItemName::kFileItself) return tree_.open(name.file);
  std::weak_ptr<const Opened>& known = opened_[name.file];
  auto container = known.lock();
  if (container == nullptr) {
    const auto source = tree_.open(name.file);
    if (!source) return fail(source.error());
    auto bytes = read_all(*source, kContainerMax);
    if (!bytes) return fail(std::move(bytes.error()));
    if (auto opened = open_unproven(std::move(*bytes)))
      container = std::make_shared<const Opened>(std::move(*opened));
    known = container;
  }
  const bool is_there =
      container != nullptr &&
      (name.member == kSkeletonMember || name.member - kFirstMember < container->members.size());
  if (!is_there)
    return fail(ErrorKind::corrupt, "'" + printable(tree_.files[name.file].path) +
                                        "' has no member number " + std::to_string(name.member));
  Source source = source_of(name.member == kSkeletonMember
                                ? ByteView(container->skeleton)
                                : container->members[name.member - kFirstMember].bytes);
  source.read = [read = std::move(source.read), kept = container](
                    std::uint64_t offset, std::span<std::byte> into) { return read(offset, into); };
  return source;
}

}  // namespace lamina::delta
