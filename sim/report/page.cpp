#include "sim/report/page.hpp"

#include "sim/report/markup.hpp"

namespace lamina::sim {
namespace {

constexpr std::string_view kStyle = R"(
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 960px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em; margin-bottom: .2em } h2 { font-size: 1.2em; margin-top: 2em }
p.about, p.note, td.note { color: #555; font-size: .9em }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25em .6em .25em 0; border-bottom: 1px solid #ddd; vertical-align: top }
td.number, th.number { text-align: right }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif }
svg.bar { width: 240px; height: 12px } svg.key { width: 12px; height: 12px }
.grid { stroke: #ccc; stroke-width: .6 } .curve { fill: none; stroke-width: 2 }
@media print { body { margin: 0; max-width: none; font-size: 11px } section { break-inside: avoid } }
* { print-color-adjust: exact; -webkit-print-color-adjust: exact }
)";

}  // namespace

void begin_page(std::ostream& out, std::string_view title) {
  out << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n<title>"
      << escaped(title) << "</title>\n<style>" << kStyle << "</style></head><body>\n";
}

void end_page(std::ostream& out) { out << "</body></html>\n"; }

void section(std::ostream& out, const char* heading, const std::function<void()>& inside) {
  out << "<section><h2>" << heading << "</h2>\n";
  inside();
  out << "</section>\n";
}

HtmlTable::HtmlTable(std::ostream& out, const std::vector<std::string>& columns) : out_(out) {
  out_ << "<table><thead><tr>";
  for (std::string name : columns) {
    is_number_.push_back(name.ends_with('#'));
    if (is_number_.back()) name.pop_back();
    out_ << (is_number_.back() ? "<th class=\"number\">" : "<th>") << name << "</th>";
  }
  out_ << "</tr></thead><tbody>\n";
}

HtmlTable::~HtmlTable() { out_ << "</tbody></table>\n"; }

void HtmlTable::row(const std::vector<std::string>& cells) {
  out_ << "<tr>";
  for (std::size_t i = 0; i < cells.size(); ++i)
    out_ << (is_number_[i] ? "<td class=\"number\">" : "<td>") << cells[i] << "</td>";
  out_ << "</tr>\n";
}

}  // namespace lamina::sim
