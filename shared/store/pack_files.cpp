#include "shared/store/pack_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "shared/format/patch.hpp"
#include "shared/os/errno.hpp"

namespace lamina {
namespace {

constexpr std::string_view kTemporaryPrefix = ".new-";

}  // namespace

Result<OpenPack> OpenPack::open(const std::string& path, const std::string& what) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()).in(what));
  OpenPack pack(std::move(*file), what);
  auto size = os::file_size(pack.file_.get(), what);
  if (!size) return fail(std::move(size.error()));
  pack.size_ = *size;
  if (*size < format::kPackHeaderSize + format::kPackFooterSize || *size > format::kPackSizeMax)
    return fail(ErrorKind::corrupt,
                what + ": a file of " + std::to_string(*size) + " bytes is no pack");
  const auto part = [&](std::uint64_t offset, std::size_t length) {
    return os::read_at(pack.file_.get(), offset, length, what);
  };
  auto header = part(0, format::kPackHeaderSize);
  if (!header) return fail(std::move(header.error()));
  if (auto good = format::check_pack_header(*header); !good)
    return fail(std::move(good.error()).in(what));
  auto footer = part(*size - format::kPackFooterSize, format::kPackFooterSize);
  if (!footer) return fail(std::move(footer.error()));
  auto place = format::parse_pack_footer(*footer, *size);
  if (!place) return fail(std::move(place.error()).in(what));
  auto index_bytes = part(place->offset, place->size);
  if (!index_bytes) return fail(std::move(index_bytes.error()));
  auto index = format::parse_pack_index(*index_bytes, *place);
  if (!index) return fail(std::move(index.error()).in(what));
  pack.index_ = std::move(*index);
  return pack;
}

Result<std::vector<ChunkId>> OpenPack::references() const {
  std::vector<ChunkId> ids;
  ZstdDecompressor decompressor;
  for (const format::Frame& frame : index_.frames) {
    if (frame.coder != format::Coder::patch) continue;
    auto coded = read_coded(frame);
    if (!coded) return fail(std::move(coded.error()));
    auto patch = format::Patch::parse(frame, *coded, decompressor);
    if (!patch) return fail(std::move(patch.error()).in(what_));
    for (const format::ChunkRef& reference : patch->references()) ids.push_back(reference.id);
  }
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

Result<Buffer> OpenPack::read_coded(const format::Frame& frame) const {
  return os::read_at(file_.get(), frame.offset, frame.coded_size, what_);
}

Result<OpenPack::CodedFrames> OpenPack::read_coded(std::span<const format::Frame> frames) const {
  const std::uint64_t offset = frames.front().offset;
  const std::uint64_t end = frames.back().offset + frames.back().coded_size;
  auto bytes = os::read_at(file_.get(), offset, end - offset, what_);
  if (!bytes) return fail(std::move(bytes.error()));
  CodedFrames coded{std::move(*bytes), {}};
  for (const format::Frame& frame : frames)
    coded.frames.push_back(ByteView(coded.bytes).subspan(frame.offset - offset, frame.coded_size));
  return coded;
}

Result<FileIdentity> identify(const std::string& path,
                              const std::function<Status(ByteView)>& take) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  FileIdentity identity;
  MerkleHasher hasher;
  Buffer piece(256 * 1024);
  for (;;) {
    auto n = os::read_some(file->get(), piece, path);
    if (!n) return fail(std::move(n.error()));
    if (*n == 0) break;
    hasher.update(ByteView(piece).first(*n));
    identity.size += *n;
    if (!take) continue;
    if (auto done = take(ByteView(piece).first(*n)); !done) return fail(std::move(done.error()));
  }
  if (identity.size == 0) return fail(ErrorKind::corrupt, printable(path) + " is empty");
  identity.block_hashes = hasher.finish();
  identity.id = PackId(merkle_root(identity.block_hashes));
  return identity;
}

Result<FileIdentity> copy_and_identify(const std::string& path, const std::string& copy) {
  auto to = os::open_write(copy);
  if (!to) return fail(std::move(to.error()));
  return identify(path, [&](ByteView piece) { return os::write_all(to->get(), piece, copy); });
}

Result<PackFiles> PackFiles::open(const std::string& directory, Access access) {
  const PackFiles files(directory, access);
  if (access == Access::read) return files;
  for (const char* name : {"/packs", "/trees"})
    if (auto done = os::make_directories(directory + name); !done)
      return fail(std::move(done.error()));
  auto names = os::list_directory(directory + "/packs");
  if (!names) return fail(std::move(names.error()));
  for (const std::string& name : *names)
    if (name.starts_with(kTemporaryPrefix))
      if (auto done = os::remove_file(directory + "/packs/" + name); !done)
        return fail(std::move(done.error()));
  return files;
}

bool PackFiles::has(const PackId& id) const { return os::exists(path_of(id)); }

Result<OpenPack> PackFiles::read(const PackId& id) const {
  return OpenPack::open(path_of(id), "pack " + id.short_hex());
}

Result<std::vector<Sha256Digest>> PackFiles::block_hashes(const PackId& id) const {
  auto bytes = os::read_file(tree_path_of(id), format::kPackSizeMax / kMerkleBlockSize * 32);
  if (!bytes) return fail(std::move(bytes.error()));
  if (bytes->empty() || bytes->size() % 32 != 0)
    return fail(ErrorKind::corrupt, "block hashes of pack " + id.short_hex() + " are cut off");
  std::vector<Sha256Digest> hashes(bytes->size() / 32);
  std::memcpy(hashes.data(), bytes->data(), bytes->size());
  if (PackId(merkle_root(hashes)) != id)
    return fail(ErrorKind::corrupt,
                "block hashes of pack " + id.short_hex() + " do not lead to it");
  return hashes;
}

Result<std::vector<PackId>> PackFiles::list() const {
  auto names = os::list_directory(directory_ + "/packs");
  if (!names) return fail(std::move(names.error()));
  std::vector<PackId> ids;
  for (const std::string& name : *names)
    if (auto id = PackId::parse(name)) ids.push_back(*id);
  return ids;
}

Result<std::uint64_t> PackFiles::size_of(const PackId& id) const {
  auto file = os::open_read(path_of(id));
  if (!file) return fail(std::move(file.error()));
  return os::file_size(file->get(), path_of(id));
}

Status PackFiles::remove(const PackId& id) const {
  // The pack first, on the disk too: a tree without its pack is harmless, a pack without its tree
  // cannot be seeded.
  const auto remove_from = [](const std::string& path) {
    auto done = os::remove_file(path);
    return done || done.error().kind() == ErrorKind::not_found ? Status(Done{}) : done;
  };
  if (auto done = remove_from(path_of(id)); !done) return done;
  if (!os::exists(tree_path_of(id))) return Done{};
  if (auto done = os::sync_directory(directory_ + "/packs"); !done) return done;
  return remove_from(tree_path_of(id));
}

Result<std::string> PackFiles::new_temporary() const {
  std::string path = directory_ + "/packs/" + std::string(kTemporaryPrefix) + "XXXXXX";
  const os::Descriptor file(mkostemp(path.data(), O_CLOEXEC));
  if (!file.is_open())
    return fail(os::last_error("making a temporary file in " + printable(directory_)));
  return path;
}

Status PackFiles::publish(const std::string& path, const PackId& id,
                          const std::vector<Sha256Digest>& block_hashes) const {
  // Over one that is there, too: the sync of its name may have failed, and a later one would not
  // make up for it.
  if (access_ == Access::spool) return os::rename_file(path, path_of(id));
  const ByteView hashes = std::as_bytes(std::span(block_hashes));
  if (auto done = os::write_file(tree_path_of(id), hashes); !done) return done;
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  if (auto done = os::sync_data(file->get(), path); !done) return done;
  // Seeders run as another user.
  if (fchmod(file->get(), 0644) != 0) return fail(os::last_error("publishing " + printable(path)));
  if (auto done = os::rename_file(path, path_of(id)); !done) return done;
  return os::sync_directory(directory_ + "/packs");
}

}  // namespace lamina
