// Bundle: a support bundle while it is made. One part after the other; what cannot be had of a part
// becomes a line of problems.txt. Holds no secret: see README.md. Any thread, one at a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/archive/tar_writer.hpp"

namespace lamina::support {

class Bundle {
 public:
  // As archive::TarWriter::create(). `program` and its version go into versions.txt, with the
  // system's.
  static Result<Bundle> create(const std::string& path, const std::string& program, WallTime now);

  // A part as it is. The failures of these functions are those of the bundle's own file.
  Status add(const std::string& name, std::string_view text);
  // A part, or why there is none.
  Status add_or_note(const std::string& name, const Result<std::string>& text);
  // What takes how much: of each directory below `root`, down to three levels, how many files it
  // has and their sizes; and mode, owner and size of the directories themselves and of the files at
  // the top and in `listed` (names below root). No file is opened.
  Status add_sizes(const std::string& root, const std::vector<std::string>& listed);
  // For each name: whom the certificate in the file is for, its fingerprint, and when it begins and
  // ends.
  Status add_certificates(const std::map<std::string, std::string>& paths);

  // Something that could not be had.
  void note(const std::string& what, const Error& error);

  // Adds problems.txt and ends the file.
  Status finish();

 private:
  explicit Bundle(archive::TarWriter tar) : tar_(std::move(tar)) {}

  archive::TarWriter tar_;
  std::string problems_;
};

}  // namespace lamina::support
