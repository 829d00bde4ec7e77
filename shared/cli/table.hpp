// Columns for people: each as wide as its widest cell, two blanks between. Any thread.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace lamina::cli {

using Rows = std::vector<std::vector<std::string>>;  // The first row holds the headings.

// No blanks at the ends of lines. Cells are printed as they are: printable() is the caller's.
void write_table(std::ostream& out, const Rows& rows);

}  // namespace lamina::cli
