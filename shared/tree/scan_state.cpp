#include "shared/tree/scan_state.hpp"

#include "shared/format/path.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina {
namespace {

constexpr std::string_view kMagic = "LMss0001";
constexpr std::size_t kRowHead = 12;  // Length and checksum.
constexpr std::size_t kRowMax = std::size_t{1} << 30;
constexpr std::size_t kPiece = 256 * 1024;

}  // namespace

ScanStateReader::ScanStateReader(const std::string& path) {
  auto file = os::open_read(path);
  if (!file) return;
  auto magic = os::read_at(file->get(), 0, kMagic.size(), path);
  if (!magic || as_text(*magic) != kMagic) return;
  // The first piece repeats the magic: it is skipped by `used_`.
  file_ = std::move(*file);
  used_ = kMagic.size();
  buffer_.clear();
  Buffer first(kPiece);
  auto n = os::read_some(file_.get(), first, path);
  if (!n || *n < kMagic.size()) {
    file_ = os::Descriptor();
    return;
  }
  first.resize(*n);
  buffer_ = std::move(first);
  advance();
}

void ScanStateReader::advance() {
  row_.reset();
  // Makes `size` bytes from `used_` on available; false at the end of the file.
  const auto have = [&](std::size_t size) {
    while (buffer_.size() - used_ < size) {
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
      used_ = 0;
      const std::size_t before = buffer_.size();
      buffer_.resize(before + kPiece);
      auto n = os::read_some(file_.get(), std::span(buffer_).subspan(before), "scan state");
      buffer_.resize(before + (n ? *n : 0));
      if (!n || *n == 0) return false;
    }
    return true;
  };
  if (!file_.is_open() || !have(kRowHead)) return;
  Reader head(ByteView(buffer_).subspan(used_, kRowHead));
  const std::uint32_t size = head.u32();
  const std::uint64_t checksum = head.u64();
  if (size > kRowMax || !have(kRowHead + size)) return;
  const ByteView bytes = ByteView(buffer_).subspan(used_ + kRowHead, size);
  used_ += kRowHead + size;
  if (xxh3(bytes) != checksum) {
    file_ = os::Descriptor();  // What follows cannot be trusted either.
    return;
  }
  Reader in(bytes);
  ScannedFile row;
  row.facts = {in.u64(), in.u64(), in.u64(), static_cast<std::int64_t>(in.u64()),
               static_cast<std::int64_t>(in.u64())};
  row.racy = in.u8() != 0;
  auto entry = format::decode_entry(in, "");
  if (!entry || !in.finished()) return;
  row.entry = std::move(*entry);
  row_ = std::move(row);
}

const ScannedFile* ScanStateReader::find(const std::string& path) {
  while (row_ && format::compare_paths(row_->entry.path, path) < 0) advance();
  return row_ && row_->entry.path == path ? &*row_ : nullptr;
}

Result<ScanStateWriter> ScanStateWriter::create(const std::string& path) {
  auto file = os::open_write(path + ".new");
  if (!file) return fail(std::move(file.error()));
  ScanStateWriter writer(path, std::move(*file));
  writer.pending_.raw(as_view(kMagic));
  return writer;
}

Status ScanStateWriter::add(const ScannedFile& file) {
  Writer row;
  row.u64(file.facts.device);
  row.u64(file.facts.inode);
  row.u64(file.facts.size);
  row.u64(static_cast<std::uint64_t>(file.facts.mtime_ns));
  row.u64(static_cast<std::uint64_t>(file.facts.ctime_ns));
  row.u8(file.racy ? 1 : 0);
  format::encode_entry(file.entry, "", row);
  pending_.u32(static_cast<std::uint32_t>(row.size()));
  pending_.u64(xxh3(row.view()));
  pending_.raw(row.view());
  return pending_.size() < kPiece ? Status(Done{}) : flush();
}

Status ScanStateWriter::flush() {
  auto done = os::write_all(file_.get(), pending_.view(), path_);
  pending_.clear();
  return done;
}

Status ScanStateWriter::finish() {
  if (auto done = flush(); !done) return done;
  if (auto done = os::sync_data(file_.get(), path_); !done) return done;
  return os::rename_file(path_ + ".new", path_);
}

}  // namespace lamina
