#include "shared/tree/scan_state.hpp"

#include "shared/format/path.hpp"

namespace lamina {
namespace {

constexpr std::string_view kMagic = "LMss0001";

}  // namespace

ScanStateReader::ScanStateReader(const std::string& path) {
  auto rows = RowFileReader::open(path, kMagic);
  if (!rows) return;
  rows_ = std::move(*rows);
  advance();
}

void ScanStateReader::advance() {
  row_.reset();
  auto bytes = rows_.next();
  if (!bytes || !*bytes) {
    rows_ = RowFileReader();  // What follows a damaged row cannot be trusted either.
    return;
  }
  Reader in(**bytes);
  ScannedFile row;
  row.facts = {in.u64(), in.u64(), in.u64(), static_cast<std::int64_t>(in.u64()),
               static_cast<std::int64_t>(in.u64())};
  row.racy = in.u8() != 0;
  auto entry = format::decode_entry(in, "");
  if (!entry || !in.finished()) {
    rows_ = RowFileReader();
    return;
  }
  row.entry = std::move(*entry);
  row_ = std::move(row);
}

const ScannedFile* ScanStateReader::find(const std::string& path) {
  while (row_ && format::compare_paths(row_->entry.path, path) < 0) advance();
  return row_ && row_->entry.path == path ? &*row_ : nullptr;
}

Result<ScanStateWriter> ScanStateWriter::create(const std::string& path) {
  auto rows = RowFileWriter::create(path + ".new", kMagic);
  if (!rows) return fail(std::move(rows.error()));
  return ScanStateWriter(path, std::move(*rows));
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
  return rows_.add(row.view());
}

Status ScanStateWriter::finish() {
  if (auto done = rows_.finish(); !done) return done;
  return os::rename_file(path_ + ".new", path_);
}

}  // namespace lamina
