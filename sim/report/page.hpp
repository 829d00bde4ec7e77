// The frame of a page for people, and tables on it: no network, no script, well-formed as XML too.
// One thread.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace lamina::sim {

void begin_page(std::ostream& out, std::string_view title);
void end_page(std::ostream& out);

// What `inside` writes stands below the heading.
void section(std::ostream& out, const char* heading, const std::function<void()>& inside);

// Cells are markup already; columns whose name ends with "#" hold numbers. Ends with the object.
class HtmlTable {
 public:
  HtmlTable(std::ostream& out, const std::vector<std::string>& columns);
  ~HtmlTable();
  HtmlTable(const HtmlTable&) = delete;
  HtmlTable& operator=(const HtmlTable&) = delete;

  void row(const std::vector<std::string>& cells);

 private:
  std::ostream& out_;
  std::vector<bool> is_number_;
};

}  // namespace lamina::sim
