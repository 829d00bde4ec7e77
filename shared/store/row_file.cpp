#include "shared/store/row_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "shared/base/assert.hpp"
#include "shared/codec/reader.hpp"
#include "shared/hash/xxh3.hpp"
#include "shared/os/errno.hpp"

namespace lamina {
namespace {

constexpr std::size_t kMagicSize = 8;
constexpr std::size_t kRowHead = 12;
constexpr std::size_t kRowMax = std::size_t{1}
                                << 30;  // A file of a terabyte has 0.6 GB of chunk ids.
constexpr std::size_t kPiece = 256 * 1024;

}  // namespace

Result<RowFileWriter> RowFileWriter::create(const std::string& path, std::string_view magic) {
  LAMINA_ASSERT(magic.size() == kMagicSize);
  auto file = os::open_write(path);
  if (!file) return fail(std::move(file.error()));
  RowFileWriter writer(path, std::move(*file));
  writer.pending_.raw(as_view(magic));
  writer.size_ = magic.size();
  return writer;
}

Result<RowFileWriter> RowFileWriter::append(const std::string& path, std::uint64_t size) {
  os::Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.is_open()) return fail(os::last_error("opening " + printable(path)));
  const auto end = static_cast<off_t>(size);
  if (ftruncate(file.get(), end) != 0 || lseek(file.get(), end, SEEK_SET) != end)
    return fail(os::last_error("shortening " + printable(path)));
  RowFileWriter writer(path, std::move(file));
  writer.size_ = size;
  return writer;
}

Status RowFileWriter::add(ByteView row) {
  pending_.u32(static_cast<std::uint32_t>(row.size()));
  pending_.u64(xxh3(row));
  pending_.raw(row);
  size_ += kRowHead + row.size();
  return pending_.size() < kPiece ? Status(Done{}) : flush();
}

Status RowFileWriter::flush() {
  auto done = os::write_all(file_.get(), pending_.view(), path_);
  pending_.clear();
  return done;
}

Status RowFileWriter::finish() {
  if (auto done = flush(); !done) return done;
  return os::sync_data(file_.get(), path_);
}

Result<RowFileReader> RowFileReader::open(const std::string& path, std::string_view magic) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  RowFileReader reader(path, std::move(*file));
  auto there = reader.have(kMagicSize);
  if (!there) return fail(std::move(there.error()));
  if (!*there || as_text(ByteView(reader.buffer_).first(kMagicSize)) != magic)
    return fail(ErrorKind::corrupt, printable(path) + " is not what its name says");
  reader.used_ = kMagicSize;
  reader.offset_ = kMagicSize;
  return reader;
}

// Makes `size` bytes from `used_` on available; false when the file ends before.
Result<bool> RowFileReader::have(std::size_t size) {
  while (buffer_.size() - used_ < size) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ = 0;
    const std::size_t before = buffer_.size();
    buffer_.resize(before + kPiece);
    auto n = os::read_some(file_.get(), std::span(buffer_).subspan(before), path_);
    buffer_.resize(before + (n ? *n : 0));
    if (!n) return fail(std::move(n.error()));
    if (*n == 0) return false;
  }
  return true;
}

Result<std::optional<ByteView>> RowFileReader::next() {
  if (!file_.is_open()) return std::optional<ByteView>();
  const auto damaged = [&] {
    return fail(ErrorKind::corrupt, printable(path_) + " is cut off or damaged");
  };
  auto head = have(kRowHead);
  if (!head) return fail(std::move(head.error()));
  if (!*head) {
    if (buffer_.size() != used_) return damaged();
    return std::optional<ByteView>();
  }
  Reader in(ByteView(buffer_).subspan(used_, kRowHead));
  const std::uint32_t size = in.u32();
  const std::uint64_t checksum = in.u64();
  if (size > kRowMax) return damaged();
  auto body = have(kRowHead + size);
  if (!body) return fail(std::move(body.error()));
  if (!*body) return damaged();
  const ByteView row = ByteView(buffer_).subspan(used_ + kRowHead, size);
  used_ += kRowHead + size;
  if (xxh3(row) != checksum) return damaged();
  offset_ += kRowHead + size;
  return std::optional<ByteView>(row);
}

Result<bool> RowFileReader::is_torn() const {
  auto size = os::file_size(file_.get(), path_);
  if (!size) return fail(std::move(size.error()));
  const std::uint64_t rest = *size - offset_;
  if (rest < kRowHead) return true;
  auto head = os::read_at(file_.get(), offset_, kRowHead, path_);
  if (!head) return fail(std::move(head.error()));
  if (Reader(*head).u32() + kRowHead >= rest) return true;
  for (std::uint64_t at = offset_; at < *size; at += kPiece) {
    auto piece = os::read_at(file_.get(), at, std::min<std::uint64_t>(kPiece, *size - at), path_);
    if (!piece) return fail(std::move(piece.error()));
    if (std::ranges::any_of(*piece, [](std::byte byte) { return byte != std::byte{0}; }))
      return false;
  }
  return true;
}

}  // namespace lamina
