// Tables as text, as spreadsheets save them: one row a line, fields between commas.
//
// A field with a comma stands in quotes, and a quote in it is doubled. Blanks around fields do not
// count; a field does not go over the end of a line. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/result.hpp"

namespace lamina {

// The lines of a text that are not blank, without their ends ("\n" or "\r\n") and without the mark
// that spreadsheets put before the first. The text must outlive it.
class CsvLines {
 public:
  explicit CsvLines(std::string_view text);

  // A text in UTF-16, which spreadsheets save under names like "Unicode": no line of it can be
  // read.
  static bool is_utf16(std::string_view text);

  // Goes to the next line; false: there is none. The first call goes to the first line.
  bool next();
  std::string_view text() const { return line_; }
  std::size_t number() const { return number_; }  // Counted from 1, blank ones too.

 private:
  std::string_view rest_;
  std::string_view line_;
  std::size_t number_ = 0;
};

struct CsvField {
  std::string text;
  std::size_t column = 1;  // Of its first character, counted from 1 in bytes.
  bool operator==(const CsvField&) const = default;
};
struct CsvFault {
  std::string text;  // "a quote is not closed"
  std::size_t column = 1;
};

// At least one field.
tl::expected<std::vector<CsvField>, CsvFault> split_csv_line(std::string_view line);

// The field as it has to stand in a line: in quotes where it needs them.
std::string csv_field(std::string_view text);

}  // namespace lamina
