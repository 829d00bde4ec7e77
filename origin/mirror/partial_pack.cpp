#include "origin/mirror/partial_pack.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "shared/base/assert.hpp"
#include "shared/os/errno.hpp"

namespace lamina::origin {
namespace {

constexpr std::uint64_t kPiece = swarm::kPieceSize;

Result<os::Descriptor> open_file(const std::string& path) {
  os::Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.is_open()) return fail(os::last_error("opening " + printable(path)));
  return file;
}

Status cut(int fd, std::uint64_t size, const std::string& path) {
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0)
    return fail(os::last_error("cutting " + printable(path)));
  return Done{};
}

}  // namespace

bool PartialPack::fits(std::uint64_t offset, ByteView piece) const {
  return hashes_->fit(id_, static_cast<std::uint32_t>(offset / kPiece), piece);
}

Result<std::uint64_t> PartialPack::resume() {
  auto file = open_file(path_);
  if (!file) return fail(std::move(file.error()));
  auto there = os::file_size(file->get(), path_);
  if (!there) return fail(std::move(there.error()));
  const std::uint64_t end = std::min(*there, size_);
  have_ = 0;
  while (have_ < end) {
    const std::uint64_t length = std::min(kPiece, size_ - have_);
    if (have_ + length > end) break;
    auto piece = os::read_at(file->get(), have_, length, path_);
    if (!piece) return fail(std::move(piece.error()));
    if (!fits(have_, *piece)) break;
    have_ += length;
  }
  if (have_ < *there)
    if (auto done = cut(file->get(), have_, path_); !done) return fail(std::move(done.error()));
  return have_;
}

Status PartialPack::append(ByteView bytes) {
  auto file = open_file(path_);
  if (!file) return fail(std::move(file.error()));
  while (!bytes.empty()) {
    const std::uint64_t length = std::min(kPiece, size_ - have_);
    if (length == 0 || bytes.size() < length)
      return fail(ErrorKind::corrupt, "pack " + id_.short_hex() + " came in no whole pieces");
    const ByteView piece = bytes.first(length);
    if (!fits(have_, piece))
      return fail(ErrorKind::corrupt, "pack " + id_.short_hex() + " differs from its hashes at " +
                                          std::to_string(have_));
    if (auto done = os::write_all_at(file->get(), piece, have_, path_); !done) return done;
    have_ += length;
    bytes = bytes.subspan(length);
  }
  return Done{};
}

Status PartialPack::finish(const PackFiles& files) {
  LAMINA_ASSERT(is_whole());
  auto identity = identify(path_);
  if (!identity) return fail(std::move(identity.error()));
  if (identity->id != id_ || identity->size != size_) {
    have_ = 0;
    if (auto gone = os::remove_file(path_); !gone) return gone;
    return fail(ErrorKind::corrupt, "the bytes of pack " + id_.short_hex() + " are another pack's");
  }
  return files.publish(path_, id_, identity->block_hashes);
}

}  // namespace lamina::origin
