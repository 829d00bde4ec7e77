// The stack file: the merged entries of a stack, and the content of those of its files that are
// merged by record, which a later apply compares with the device's. Rows, one an entry.
// One thread at a time per object.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "shared/format/content.hpp"
#include "shared/store/row_file.hpp"

namespace lamina::node {

// By path.
using RecordFiles = std::map<std::string, std::string>;

// Reads a stack file. Nothing is there before the first apply: no entries.
class StackReader : public format::EntryStream {
 public:
  // Of this version or the one before, which knew no contents. What comes along of them is put into
  // `contents`, unless that is null.
  static Result<std::unique_ptr<StackReader>> open(const std::string& path, RecordFiles* contents);
  Result<std::optional<format::Entry>> next() override;

 private:
  StackReader(RowFileReader rows, bool has_contents, RecordFiles* contents)
      : rows_(std::move(rows)), has_contents_(has_contents), contents_(contents) {}

  RowFileReader rows_;
  bool has_contents_;
  RecordFiles* contents_;
};

// Passes a stack's entries on and writes them down.
class StackRecorder : public format::EntryStream {
 public:
  // Without `rows` the contents are read only. What is referred to outlives the object.
  StackRecorder(std::unique_ptr<format::EntryStream> inner, RowFileWriter* rows,
                const format::ChunkSource& source, RecordFiles& contents)
      : inner_(std::move(inner)), rows_(rows), source_(source), contents_(contents) {}
  static Result<RowFileWriter> create_rows(const std::string& path);
  Result<std::optional<format::Entry>> next() override;

 private:
  std::unique_ptr<format::EntryStream> inner_;
  RowFileWriter* rows_;
  const format::ChunkSource& source_;
  RecordFiles& contents_;
};

}  // namespace lamina::node
