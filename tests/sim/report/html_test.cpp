#include <catch2/catch.hpp>

#include <sstream>

#include "sim/report/markup.hpp"
#include "sim/report/result_html.hpp"
#include "sim/report/sweep.hpp"
#include "tests/sim/report/sample.hpp"

using namespace lamina;
using namespace lamina::sim;

namespace {

std::string html(const Scenario& scenario, const RunResult& result) {
  std::ostringstream out;
  write_result_html(out, scenario, result);
  return out.str();
}

// What keeps the text from being well-formed XML, as far as tags, attributes and references go;
// empty: nothing. Written from the grammar (XML 1.0, 2 and 3), not from the code that writes.
std::string problem_of(std::string_view text) {
  std::vector<std::string> open;
  const std::string_view doctype = "<!DOCTYPE html>";
  if (!text.starts_with(doctype)) return "no doctype";
  text.remove_prefix(doctype.size());
  const auto is_name = [](std::string_view name) {
    return !name.empty() && std::ranges::all_of(name, [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-';
    });
  };
  const auto text_problem = [](std::string_view part) -> std::string {
    for (std::size_t at = 0; (at = part.find('&', at)) != part.npos; ++at) {
      const auto name = part.substr(at + 1, part.find(';', at) - at - 1);
      if (name != "lt" && name != "gt" && name != "amp" && name != "quot" && name != "#39")
        return "reference '" + std::string(name.substr(0, 20)) + "'";
    }
    return {};
  };
  while (!text.empty()) {
    const auto tag = std::min(text.find('<'), text.size());
    if (const auto wrong = text_problem(text.substr(0, tag)); !wrong.empty()) return wrong;
    if (text.substr(0, tag).find('>') != text.npos && (open.empty() || open.back() != "style"))
      return "a '>' in text";
    if (tag == text.size()) break;
    const auto end = text.find('>', tag);
    if (end == text.npos) return "a tag is not closed";
    std::string_view inside = text.substr(tag + 1, end - tag - 1);
    text.remove_prefix(end + 1);
    if (inside.starts_with('/')) {
      if (open.empty() || open.back() != inside.substr(1)) return "</" + std::string(inside) + ">";
      open.pop_back();
      continue;
    }
    const bool is_empty = inside.ends_with('/');
    if (is_empty) inside.remove_suffix(1);
    const auto space = std::min(inside.find(' '), inside.size());
    const std::string name(inside.substr(0, space));
    if (!is_name(name)) return "<" + name + ">";
    inside.remove_prefix(space);
    while (!inside.empty()) {
      if (!inside.starts_with(' ')) return "attributes of " + name;
      inside.remove_prefix(1);
      const auto equals = inside.find("=\"");
      if (equals == inside.npos || !is_name(inside.substr(0, equals)))
        return "attribute of " + name + ": " + std::string(inside);
      inside.remove_prefix(equals + 2);
      const auto quote = inside.find('"');
      if (quote == inside.npos) return "value in " + name;
      if (const auto wrong = text_problem(inside.substr(0, quote)); !wrong.empty()) return wrong;
      inside.remove_prefix(quote + 1);
    }
    if (!is_empty) open.push_back(name);
  }
  return open.empty() ? "" : open.back() + " is not closed";
}

}  // namespace

TEST_CASE("markup: nothing in a text is markup, and everything is UTF-8", "[report]") {
  CHECK(escaped("a < b & \"c\" > 'd'") == "a &lt; b &amp; &quot;c&quot; &gt; &#39;d&#39;");
  CHECK(escaped("B\xc3\xbcro \xe2\x82\xac \xf0\x9f\x9a\x80") ==
        "B\xc3\xbcro \xe2\x82\xac \xf0\x9f\x9a\x80");
  const std::string bad = "\xef\xbf\xbd";
  for (const std::string text : {"\xff", "\xc3", "\x01", "\x7f", "\x1b"})
    CHECK(escaped(text) == bad);
  CHECK(escaped(std::string(1, '\0')) == bad);
  CHECK(escaped("\xc0\xaf") == bad + bad);            // Longer than need be.
  CHECK(escaped("\xed\xa0\x80") == bad + bad + bad);  // A surrogate.
  CHECK(escaped("\xf4\x90\x80\x80") == bad + bad + bad + bad);
  CHECK(escaped("\xc2\x85") == bad + bad);  // A control character of the upper half.
  CHECK(decimal(1234.56, 1) == "1234.6");
  CHECK(percent_text(0.1234) == "12.3 %");
}

TEST_CASE("report.html: well-formed, and nothing is loaded from anywhere", "[report]") {
  const std::string page = html(sample_scenario(), sample_result());
  CHECK(problem_of(page) == "");
  for (const char* foreign : {"http:", "https:", "src=", "href=", "url(", "@import", "<script",
                              "<link", "<iframe", "onload"})
    CHECK(page.find(foreign) == std::string::npos);
  CHECK(problem_of("<!DOCTYPE html><p>a<b></p>") != "");  // The check itself finds something.
  CHECK(problem_of("<!DOCTYPE html><p>a & b</p>") != "");
}

TEST_CASE("report.html: names cannot become markup", "[report]") {
  Scenario scenario = sample_scenario();
  RunResult result = sample_result();
  const std::string evil = "</td><script>x</script>\"'&\x01\xff";
  scenario.name = scenario.sites[0].name = scenario.regions[0].name = result.waves[0].name = evil;
  result.engine_version = result.input_hash = evil;
  scenario.assumptions = {evil, "no rain"};
  const std::string page = html(scenario, result);
  CHECK(problem_of(page) == "");
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("<li>no rain</li>") != std::string::npos);
}

TEST_CASE("sweep.html: well-formed whatever names and values hold, and where nobody was done",
          "[report]") {
  const std::string evil = "</td><script>x</script>\"'&\x01\xff";
  RunResult result = sample_result();
  result.waves[0].name = evil;
  Sweep sweep{evil, {evil, "b"}, {variant_of({evil, "1"}, result), variant_of({"2", "2"}, result)}};
  RunResult nothing = result;
  for (Replica& replica : nothing.replicas)
    for (Replica::Wave& wave : replica.waves) wave.completion = {};
  sweep.variants.push_back(variant_of({"3", "3"}, nothing));
  std::ostringstream page;
  write_sweep_html(page, sweep);
  CHECK(problem_of(page.view()) == "");
  for (const char* bad : {"<script", "http:", "https:", "nan", "inf"})
    CHECK(page.view().find(bad) == std::string::npos);
  CHECK(page.view().find("3 variants, each with the same 3 seeds") != std::string::npos);
}

TEST_CASE("report.html: tells what a planner asks for", "[report]") {
  const std::string page = html(sample_scenario(), sample_result());
  for (const char* text :
       {"B\xc3\xbcro &amp; &lt;script&gt;", "2 sites, 40 devices, mode reflector",
        "it begins at Mon 18:00", "Seed 7, 3 replicas", "1 h 20 min to not reached in 1 of 3",
        "the site&#39;s line (wan)", "37 of 40", "10.0 times", "Every device for itself",
        "lan-peer", "1 h 50 min", "not reached", "<small>wan 75.0 %, offline 25.0 %</small>",
        "<small>origin 100.0 %</small>"}) {
    CAPTURE(text);
    CHECK(page.find(text) != std::string::npos);
  }
}

TEST_CASE("report.html: a run in which nothing happened", "[report]") {
  Scenario scenario = sample_scenario();
  RunResult result;
  result.waves = {{.name = "pilot"}, {.name = "all"}};
  result.replicas = {{7, {{}, {}}, {}}};
  scenario.sites.clear();
  const std::string page = html(scenario, result);
  CHECK(problem_of(page) == "");
  CHECK(page.find("No line was ever full.") != std::string::npos);
  CHECK(page.find("nan") == std::string::npos);
  CHECK(page.find("inf<") == std::string::npos);
}
