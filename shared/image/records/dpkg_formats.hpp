// The formats of dpkg's databases in which the meaning of a line depends on where it stands. A file
// that would not write back byte by byte is one whole.
#pragma once

#include "shared/image/records/record_format.hpp"

namespace lamina::image {

// A format of which a file is understood as a whole or not at all.
class StrictFormat : public RecordFormat {
 public:
  RecordList parse(std::string_view bytes) const final;
  std::string write(const RecordList& list) const final;

 protected:
  // Nothing for a file that is not of this format. May read more than it should: parse() compares.
  virtual std::optional<RecordList> read(std::string_view bytes) const = 0;
  virtual std::string render(const RecordList& list) const = 0;
};

// /var/lib/dpkg/diversions: three lines each, the diverted path, where to, and the package (":" for
// the administrator). Keyed by the path.
class DiversionFormat : public StrictFormat {
 protected:
  std::optional<RecordList> read(std::string_view bytes) const override;
  std::string render(const RecordList& list) const override;
};

// /var/lib/dpkg/alternatives/NAME, update-alternatives(1): "auto" or "manual" and the link (frames
// "status" and "link"), the slaves (members of the frame "link", with their links), and the
// alternatives: a record of each path with its priority, and of its slaves that it has a file for
// (members, with the file).
class AlternativeFormat : public StrictFormat {
 protected:
  std::optional<RecordList> read(std::string_view bytes) const override;
  std::string render(const RecordList& list) const override;
};

}  // namespace lamina::image
