#include "shared/base/csv.hpp"

#include <algorithm>

namespace lamina {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Where the first character from `at` on is that is no blank.
std::size_t skip_blanks(std::string_view line, std::size_t at) {
  while (at < line.size() && is_blank(line[at])) ++at;
  return at;
}

}  // namespace

CsvLines::CsvLines(std::string_view text) : rest_(text) {
  if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
}

bool CsvLines::is_utf16(std::string_view text) {
  return text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
}

bool CsvLines::next() {
  while (!rest_.empty()) {
    const auto end = std::min(rest_.find('\n'), rest_.size());
    line_ = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++number_;
    if (line_.ends_with('\r')) line_.remove_suffix(1);
    if (skip_blanks(line_, 0) < line_.size()) return true;
  }
  return false;
}

tl::expected<std::vector<CsvField>, CsvFault> split_csv_line(std::string_view line) {
  const auto fault = [](const char* text, std::size_t at) {
    return tl::unexpected<CsvFault>(CsvFault{text, at + 1});
  };
  std::vector<CsvField> fields;
  for (std::size_t at = 0;; ++at) {
    at = skip_blanks(line, at);
    const std::size_t began = at;
    std::string field;
    if (at < line.size() && line[at] == '"') {
      for (++at;; ++at) {
        const auto quote = line.find('"', at);
        if (quote == line.npos) return fault("a quote is not closed", began);
        field += line.substr(at, quote - at);
        at = quote + 1;
        if (at == line.size() || line[at] != '"') break;
        field += '"';  // Doubled: one of them.
      }
      at = skip_blanks(line, at);
      if (at < line.size() && line[at] != ',') return fault("text follows a closing quote", at);
    } else {
      at = std::min(line.find(',', at), line.size());
      field = line.substr(began, at - began);
      while (!field.empty() && is_blank(field.back())) field.pop_back();
    }
    fields.push_back({std::move(field), began + 1});
    if (at == line.size()) return fields;
  }
}

std::string csv_field(std::string_view text) {
  const bool is_plain = text.find_first_of(",\"\r\n") == text.npos &&
                        (text.empty() || (!is_blank(text.front()) && !is_blank(text.back())));
  if (is_plain) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace lamina
