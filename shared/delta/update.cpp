#include "shared/delta/update.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "shared/codec/zstd.hpp"
#include "shared/codec/zstd_program.hpp"
#include "shared/delta/file_number.hpp"
#include "shared/delta/predecessors.hpp"

namespace lamina::delta {
namespace {

// References of a group may be several times its items: a receiver holds one stream of them.
constexpr std::uint64_t kReferencesPerGroup = 4;
// A predecessor that is that much larger than the content costs more to read than it saves.
constexpr std::uint64_t kReferenceLargerBy = 8;
constexpr std::uint64_t kReferenceAlways = std::uint64_t{1} << 20;

constexpr std::uint8_t kVersion = 1;
constexpr int kAssemblyLevel = 19;
constexpr std::size_t kLeastCopy = 3;  // Bytes.
constexpr std::size_t kLeastClosing = 4;
constexpr std::size_t kLeastOrigin = 2;

// Similar names of one kind of file side by side.
std::string_view extension_of(std::string_view path) {
  if (path.ends_with(".gz")) path.remove_suffix(3);
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot);
}

bool is_worth_reading(const Content& reference, const Content& content) {
  return reference.size <= kReferenceAlways || reference.size / kReferenceLargerBy <= content.size;
}

void write_origin(Writer& out, const Origin& origin, std::int64_t& before) {
  write_file_number(out, origin.name.file, before);
  out.varint(std::uint64_t{origin.name.member} << 1 | (origin.is_old ? 1 : 0));
}

Origin read_origin(Reader& in, std::int64_t& before) {
  Origin origin;
  origin.name.file = read_file_number(in, before);
  const std::uint64_t member = in.varint(std::uint64_t{UINT32_MAX} << 1 | 1);
  origin.is_old = (member & 1) != 0;
  origin.name.member = static_cast<std::uint32_t>(member >> 1);
  return origin;
}

// Everything the receiver can have by the time it assembles, by digest.
class Origins {
 public:
  Origins(const Survey& old, const Survey& next) {
    // Whole files first: they are chunks of the store, others have to be opened.
    for (std::size_t file = 0; file < old.files.size(); ++file)
      add(old.files[file], {true, {static_cast<std::uint32_t>(file), 0}});
    for (const Content& content : old.contents) add(content.digest, {true, content.name});
    for (const Content& content : next.contents) add(content.digest, {false, content.name});
    for (const OpenedFile& opened : next.opened)
      add(next.files[opened.file], {false, {opened.file, 0}});
  }
  const Origin& of(const Sha256Digest& digest) const { return origins_.at(digest); }
  bool is_known(const Sha256Digest& digest) const { return origins_.contains(digest); }

 private:
  void add(const Sha256Digest& digest, Origin origin) { origins_.try_emplace(digest, origin); }
  std::map<Sha256Digest, Origin> origins_;
};

// Those that hold other opened containers behind these, so that a receiver closes one after the
// other. One that holds itself (there are such gzip files) comes last, and nobody can close it.
void put_in_order(std::vector<Assembly::Closing>& closings) {
  std::set<std::uint32_t> open;
  for (const Assembly::Closing& closing : closings) open.insert(closing.file);
  auto first = closings.begin();
  for (bool is_ready_found = true; is_ready_found && first != closings.end();) {
    const auto ready =
        std::stable_partition(first, closings.end(), [&](const Assembly::Closing& closing) {
          return std::ranges::none_of(closing.members, [&](const Origin& origin) {
            return !origin.is_old && origin.name.member == ItemName::kFileItself &&
                   open.contains(origin.name.file);
          });
        });
    is_ready_found = ready != first;
    for (; first != ready; ++first) open.erase(first->file);
  }
}

Assembly assemble(const Survey& old, const Survey& next) {
  const Origins origins(old, next);
  Assembly assembly;
  for (std::uint32_t file = 0; file < next.files.size(); ++file) {
    if (!origins.is_known(next.files[file])) continue;  // An empty file.
    const Origin& from = origins.of(next.files[file]);
    if (from.name.member != ItemName::kFileItself) assembly.copies.push_back({file, from});
  }
  for (const OpenedFile& opened : next.opened) {
    Assembly::Closing closing{opened.file, opened.recipe, opened.skeleton, {}};
    for (const Sha256Digest& member : opened.members) closing.members.push_back(origins.of(member));
    assembly.closings.push_back(std::move(closing));
  }
  put_in_order(assembly.closings);
  return assembly;
}

}  // namespace

UpdatePlan plan_update(const Survey& old, const Survey& next, std::uint64_t group_bytes) {
  UpdatePlan plan{.groups = {}, .assembly = assemble(old, next), .too_large = {}};
  Predecessors predecessors;
  std::set<Sha256Digest> had(old.files.begin(), old.files.end());
  for (const Content& content : old.contents) {
    predecessors.add(content.path, content.size, content.fingerprints);
    had.insert(content.digest);
  }
  predecessors.seal();

  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < next.contents.size(); ++i) {
    if (had.contains(next.contents[i].digest)) continue;
    if (next.contents[i].size > kFrameContentsMax)
      plan.too_large.push_back(i);
    else
      order.push_back(i);
  }
  std::ranges::sort(order, {}, [&](std::size_t i) {
    const Content& content = next.contents[i];
    return std::tuple(content.kind, extension_of(content.path), std::string_view(content.path), i);
  });

  group_bytes = std::min(group_bytes, kFrameContentsMax);
  const std::uint64_t references_max =
      std::min(kReferencesPerGroup * group_bytes, kFrameContentsMax);
  std::set<std::size_t> references;  // Of the last group.
  std::uint64_t reference_bytes = 0;
  for (const std::size_t i : order) {
    const Content& content = next.contents[i];
    auto reference = predecessors.find(content.path, content.size, content.fingerprints);
    if (reference && (!is_worth_reading(old.contents[*reference], content) ||
                      old.contents[*reference].size > kFrameContentsMax))
      reference.reset();
    const std::uint64_t more =
        reference && !references.contains(*reference) ? old.contents[*reference].size : 0;
    const bool starts_group =
        plan.groups.empty() ||
        next.contents[plan.groups.back().items.front()].kind != content.kind ||
        plan.groups.back().bytes + content.size > group_bytes ||
        reference_bytes + more > references_max;
    if (starts_group) {
      plan.groups.emplace_back();
      references.clear();
      reference_bytes = 0;
    }
    Group& group = plan.groups.back();
    group.items.push_back(i);
    group.bytes += content.size;
    if (reference && references.insert(*reference).second) {
      group.references.push_back(*reference);
      reference_bytes += old.contents[*reference].size;
    }
  }
  return plan;
}

Buffer write_assembly(const Assembly& assembly) {
  Writer out;
  out.u8(kVersion);
  out.varint(assembly.copies.size());
  std::int64_t file = 0;
  std::int64_t from = 0;
  for (const Assembly::Copy& copy : assembly.copies) {
    write_file_number(out, copy.file, file);
    write_origin(out, copy.from, from);
  }
  out.varint(assembly.closings.size());
  file = 0;
  for (const Assembly::Closing& closing : assembly.closings) {
    write_file_number(out, closing.file, file);
    write_recipe(out, closing.recipe);
    out.bytes(closing.skeleton);
    out.varint(closing.members.size());
    for (const Origin& origin : closing.members) write_origin(out, origin, from);
  }
  return ZstdCompressor(kAssemblyLevel).compress(out.view());
}

Result<Assembly> read_assembly(ByteView bytes, std::size_t plain_max) {
  const auto plain = zstd_decode_any(bytes, plain_max);
  if (!plain) return fail(ErrorKind::corrupt, plain.error().text());
  Reader in(*plain);
  if (const std::uint8_t version = in.u8(); !in.failed() && version != kVersion)
    return fail(ErrorKind::invalid, "an assembly of version " + std::to_string(version) +
                                        "; this program reads version " + std::to_string(kVersion));
  Assembly assembly;
  std::int64_t file = 0;
  std::int64_t from = 0;
  for (std::uint64_t left = in.count(kLeastCopy); left > 0 && !in.failed(); --left) {
    Assembly::Copy copy;
    copy.file = read_file_number(in, file);
    copy.from = read_origin(in, from);
    assembly.copies.push_back(copy);
  }
  file = 0;
  for (std::uint64_t left = in.count(kLeastClosing); left > 0 && !in.failed(); --left) {
    Assembly::Closing closing;
    closing.file = read_file_number(in, file);
    closing.recipe = read_recipe(in);
    closing.skeleton = to_buffer(in.bytes(kSmallSkeleton));
    const std::uint64_t members = in.count(kLeastOrigin);
    for (std::uint64_t i = 0; i < members && !in.failed(); ++i)
      closing.members.push_back(read_origin(in, from));
    const bool has_skeleton_member = closing.skeleton.size() != closing.recipe.skeleton_size();
    if (closing.members.size() !=
            closing.recipe.member_sizes().size() + (has_skeleton_member ? 1 : 0) ||
        (has_skeleton_member && !closing.skeleton.empty()))
      in.set_failed();
    assembly.closings.push_back(std::move(closing));
  }
  if (!in.finished()) return fail(ErrorKind::corrupt, "this is no whole assembly");
  return assembly;
}

Status check_closable(const Assembly& assembly, const Programs& programs) {
  for (const Assembly::Closing& closing : assembly.closings)
    if (const auto can = check_closable(closing.recipe, programs); !can) return can;
  return Done{};
}

Status close_file(const Assembly::Closing& closing,
                  const std::function<Result<Source>(const Origin&)>& find,
                  const Programs& programs, const std::function<Status(ByteView)>& emit) {
  const auto member = [&](std::size_t index) -> Result<Buffer> {
    const auto source = find(closing.members[index]);
    if (!source) return fail(source.error());
    return read_all(*source, kContainerMax);
  };
  const bool has_skeleton_member = closing.members.size() > closing.recipe.member_sizes().size();
  Buffer skeleton = closing.skeleton;
  if (has_skeleton_member) {
    auto bytes = member(0);
    if (!bytes) return fail(std::move(bytes.error()));
    skeleton = std::move(*bytes);
  }
  return close_container(
      closing.recipe, skeleton,
      [&](std::size_t index) { return member(index + (has_skeleton_member ? 1 : 0)); }, programs,
      emit);
}

}  // namespace lamina::delta
