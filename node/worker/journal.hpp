// The journal of an apply: what is done to each path, in path order, so that it can be finished or
// taken back after the power failed at any point. A file of rows below <volume>/.lamina.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "shared/format/entry.hpp"
#include "shared/store/row_file.hpp"

namespace lamina::node {

inline constexpr std::string_view kHome = ".lamina";  // Of everything of ours, in the volume.

// One step of a swap, as it is written down.
struct Operation {
  enum class Kind : std::uint8_t {
    put = 1,               // A staged non-directory takes the path.
    make_directory = 2,    // A staged directory takes the path.
    metadata = 3,          // What stands there gets the entry's metadata.
    remove = 4,            // A non-directory goes to the undo area.
    remove_directory = 5,  // If it is empty then.
    keep_time = 6,         // A directory whose content changes keeps its modification time.
  };
  Kind kind = Kind::put;
  std::uint64_t number = 0;  // Its name in the undo area.
  std::uint64_t inode = 0;   // put, make_directory: of what is staged.
  // put, make_directory: where it is staged. What stands beneath a directory that is new lies in it
  // in the stage area too, so that one rename places all of it: `top` is the number of the
  // outermost such directory and `top_length` its path's length. Otherwise they are its own.
  std::uint64_t top = 0;
  std::size_t top_length = 0;
  format::Entry entry;                  // What shall be there.
  std::optional<format::Entry> before;  // metadata, remove_directory, keep_time: what was there.

  bool is_staged() const { return kind == Kind::put || kind == Kind::make_directory; }
  bool is_within_top() const { return top != number; }
  // Paths in the volume.
  std::string staged() const;
  std::string undone() const;
};

class OperationReader {
 public:
  // Of this version or the one before, which an upgrade may have left.
  static Result<OperationReader> open(const std::string& path);
  // Nothing at the end. `corrupt` when a row is damaged.
  Result<std::optional<Operation>> next();

 private:
  OperationReader(RowFileReader rows, bool has_tops)
      : rows_(std::move(rows)), has_tops_(has_tops) {}

  RowFileReader rows_;
  bool has_tops_;
};

class OperationWriter {
 public:
  static Result<OperationWriter> create(const std::string& path);
  Status add(const Operation& operation);
  Status finish() { return rows_.finish(); }  // Durable from then on.

 private:
  explicit OperationWriter(RowFileWriter rows) : rows_(std::move(rows)) {}
  RowFileWriter rows_;
};

Status for_each_operation(const std::string& path,
                          const std::function<Status(Operation& operation)>& visit);

}  // namespace lamina::node
