// Page signatures: what the pages of large files were in the last scan, so that of a file that was
// changed in place (a database, a mail store, the image of a disk) only the changed pages travel.
//
// A signature is the low half of XXH3-64: two different pages have the same one once in four
// billion, and the receiver proves what it builds by the chunks' ids, so that one costs a full
// upload and never wrong bytes. Four bytes a page: a thousandth of the file.
//
// A local file in path order, written and read as a stream beside the walk. A row says which
// version of a file it is of; damaged and foreign rows are no signatures. One thread at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/store/row_file.hpp"

namespace lamina {

constexpr std::uint32_t kPageSize = 4096;
// Smaller files are a few chunks. Beyond the upper bound signatures would take more than 32 MiB of
// memory while a file is read.
constexpr std::uint64_t kSignedFileMin = std::uint64_t{1} << 20;
constexpr std::uint64_t kSignedFileMax = std::uint64_t{32} << 30;

using PageSignature = std::uint32_t;
constexpr PageSignature kNoSignature = 0;  // Of a page in a hole, or one that was not read whole.
PageSignature sign_page(ByteView page);

class PageSignatureWriter {
 public:
  // Creates or empties `path`.
  static Result<PageSignatureWriter> create(const std::string& path);
  // All pages of a file, in order. `version` is anything that another content of the file does not
  // have. Paths ascend.
  Status add(const std::string& file, std::int64_t version,
             const std::vector<PageSignature>& pages);
  // Makes them durable; the file's name is the caller's to sync.
  Status finish() { return rows_.finish(); }

 private:
  explicit PageSignatureWriter(RowFileWriter rows) : rows_(std::move(rows)) {}
  RowFileWriter rows_;
};

class PageSignatureReader {
 public:
  // A missing, foreign or damaged file has no signatures.
  explicit PageSignatureReader(const std::string& path);
  // That of page number `page`, kNoSignature when there is none. Files must be asked for in
  // ascending order of their paths; of a file, pages that lie before one that was asked for may be
  // forgotten.
  PageSignature find(const std::string& file, std::int64_t version, std::uint64_t page);
  // All that there are of a file of which none was asked for yet.
  std::vector<PageSignature> all(const std::string& file, std::int64_t version);

 private:
  struct Row {
    std::string file;
    std::int64_t version = 0;
    std::uint64_t first = 0;
    std::vector<PageSignature> pages;
  };
  void advance();
  bool reach(const std::string& file);

  RowFileReader rows_;
  std::optional<Row> row_;
};

}  // namespace lamina
