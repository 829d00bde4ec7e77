// Scan state: what a scan saw of each file, so that the next one reads only what changed.
//
// A local file in path order, read as a stream beside the walk. Each row has a checksum; a damaged
// or foreign file means that everything is read again, never a wrong answer. One thread at a time.
#pragma once

#include <optional>

#include "shared/store/row_file.hpp"
#include "shared/tree/walker.hpp"

namespace lamina {

struct ScannedFile {
  FileFacts facts;
  // Changed so close to the scan that a later change might carry the same times, or not taken
  // whole: must be read again.
  bool racy = false;
  format::Entry entry;  // Path, size, extents and chunks count.
};

class ScanStateReader {
 public:
  // A missing, foreign or damaged file is an empty state.
  explicit ScanStateReader(const std::string& path);
  // The row of `path`, if there is one. Paths must be asked for in ascending order.
  const ScannedFile* find(const std::string& path);

 private:
  void advance();

  RowFileReader rows_;
  std::optional<ScannedFile> row_;
};

class ScanStateWriter {
 public:
  // Writes beside `path` until finish() puts it there, durably.
  static Result<ScanStateWriter> create(const std::string& path);
  Status add(const ScannedFile& file);
  Status finish();

 private:
  ScanStateWriter(std::string path, RowFileWriter rows)
      : path_(std::move(path)), rows_(std::move(rows)) {}

  std::string path_;
  RowFileWriter rows_;
};

}  // namespace lamina
