#include "shared/tree/page_signatures.hpp"

#include <algorithm>

#include "shared/codec/reader.hpp"
#include "shared/format/path.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina {
namespace {

constexpr std::string_view kMagic = "LMps0001";
constexpr std::size_t kPagesARow = 16'384;  // 64 MiB of a file.

}  // namespace

PageSignature sign_page(ByteView page) {
  const auto low = static_cast<PageSignature>(xxh3(page));
  return low == kNoSignature ? 1 : low;
}

Result<PageSignatureWriter> PageSignatureWriter::create(const std::string& path) {
  auto rows = RowFileWriter::create(path, kMagic);
  if (!rows) return fail(std::move(rows.error()));
  return PageSignatureWriter(std::move(*rows));
}

Status PageSignatureWriter::add(const std::string& file, std::int64_t version,
                                const std::vector<PageSignature>& pages) {
  for (std::size_t first = 0; first < pages.size(); first += kPagesARow) {
    const std::size_t end = std::min(pages.size(), first + kPagesARow);
    Writer row;
    row.text(file);
    row.u64(static_cast<std::uint64_t>(version));
    row.u64(first);
    for (std::size_t i = first; i < end; ++i) row.u32(pages[i]);
    if (auto done = rows_.add(row.view()); !done) return done;
  }
  return Done{};
}

PageSignatureReader::PageSignatureReader(const std::string& path) {
  auto rows = RowFileReader::open(path, kMagic);
  if (!rows) return;
  rows_ = std::move(*rows);
  advance();
}

void PageSignatureReader::advance() {
  row_.reset();
  auto bytes = rows_.next();
  if (!bytes || !*bytes) {
    rows_ = RowFileReader();
    return;
  }
  Reader in(**bytes);
  Row row;
  row.file = in.text(format::kPathMax);
  row.version = static_cast<std::int64_t>(in.u64());
  row.first = in.u64();
  row.pages.reserve(in.remaining() / sizeof(PageSignature));
  while (in.remaining() > 0 && !in.failed()) row.pages.push_back(in.u32());
  if (in.failed()) {
    rows_ = RowFileReader();
    return;
  }
  row_ = std::move(row);
}

// Whether the row that is read is of this file.
bool PageSignatureReader::reach(const std::string& file) {
  while (row_ && format::compare_paths(row_->file, file) < 0) advance();
  return row_ && row_->file == file;
}

PageSignature PageSignatureReader::find(const std::string& file, std::int64_t version,
                                        std::uint64_t page) {
  while (reach(file) && row_->first + row_->pages.size() <= page) advance();
  if (!row_ || row_->file != file || row_->version != version || page < row_->first)
    return kNoSignature;
  return row_->pages[page - row_->first];
}

std::vector<PageSignature> PageSignatureReader::all(const std::string& file, std::int64_t version) {
  std::vector<PageSignature> pages;
  while (reach(file)) {
    if (row_->version == version && row_->first == pages.size())
      pages.insert(pages.end(), row_->pages.begin(), row_->pages.end());
    advance();
  }
  return pages;
}

}  // namespace lamina
