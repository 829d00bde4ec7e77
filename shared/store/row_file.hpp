// Rows in a local file, one behind the other, each with a checksum: scan states, stacks, journals.
//
//   file = magic of 8 bytes, then rows: length:u32 XXH3:u64 bytes
//
// A reader stops at the first row that is cut off or damaged and says so; it never gives wrong
// bytes. One thread at a time per object.
#pragma once

#include <optional>
#include <string>

#include "shared/codec/writer.hpp"
#include "shared/os/file.hpp"

namespace lamina {

class RowFileWriter {
 public:
  // Creates or empties `path`. `magic` has 8 bytes and names what the rows are.
  static Result<RowFileWriter> create(const std::string& path, std::string_view magic);
  // Goes on behind the first `size` bytes of an existing file; cuts off what is behind them.
  static Result<RowFileWriter> append(const std::string& path, std::uint64_t size);
  Status add(ByteView row);
  // Writes what is left and makes the rows durable. The file's name is the caller's to sync.
  Status finish();
  // Of the file, once everything is written.
  std::uint64_t size() const { return size_; }

 private:
  RowFileWriter(std::string path, os::Descriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}
  Status flush();

  std::string path_;
  os::Descriptor file_;
  std::uint64_t size_ = 0;
  Writer pending_;
};

class RowFileReader {
 public:
  // A reader of no rows.
  RowFileReader() = default;
  // `not_found` when there is no such file; `corrupt` when it begins with another magic.
  static Result<RowFileReader> open(const std::string& path, std::string_view magic);

  // The next row, valid until the next call; nothing at the end. `corrupt` for a damaged row: then
  // the reader must be dropped.
  Result<std::optional<ByteView>> next();
  // Where the last row ended that was given out.
  std::uint64_t offset() const { return offset_; }
  // After a damaged row: whether it may be what a crash leaves of a row that was being written: it
  // reaches to the end of the file, or there are only zeros from it on. Otherwise bytes behind it
  // are lost too.
  Result<bool> is_torn() const;

 private:
  RowFileReader(std::string path, os::Descriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}
  Result<bool> have(std::size_t size);

  std::string path_;
  os::Descriptor file_;
  Buffer buffer_;
  std::size_t used_ = 0;
  std::uint64_t offset_ = 0;
};

}  // namespace lamina
