// LineFile: a new file of lines that grows up to a bound, and then no further.
//
// Each line is written whole and at once, so that a record of a process that was killed ends with a
// whole line. Nobody waits for the disk, and a failure to write never reaches the caller: it is
// logged once, and the file ends there. One thread.
#pragma once

#include <string>
#include <string_view>

#include "shared/os/file.hpp"

namespace lamina::os {

class LineFile {
 public:
  // Creates or empties `path`, mode 0600. The kinds of os::open_write().
  static Result<LineFile> create(const std::string& path, Bytes most);

  void add(std::string_view line);

 private:
  LineFile(Descriptor file, std::string path, Bytes most)
      : file_(std::move(file)), path_(std::move(path)), left_(most) {}

  Descriptor file_;
  std::string path_;
  Bytes left_;
};

}  // namespace lamina::os
