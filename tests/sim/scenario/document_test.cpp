#include "sim/scenario/document.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::sim;

namespace {

const Value* at(const Value& top, const std::string& key) {
  for (const Entry& entry : *top.table())
    if (entry.key == key) return &entry.value;
  return nullptr;
}

std::string wrong(std::string_view text) {
  Findings findings;
  const Value top = parse_document(text, "f", findings);
  CHECK(findings.empty() != top.table()->empty());
  return findings.text();
}

}  // namespace

TEST_CASE("document: values know their places", "[document]") {
  Findings findings;
  const Value top = parse_document("a = 1\n[t]\n  b = \"x\"\n  c = [1.5, true]\n", "f", findings);
  REQUIRE(findings.empty());
  CHECK(at(top, "a")->place == Place{"f", 1, 5});
  CHECK(at(top, "a")->scalar() == "1");
  const Value& table = *at(top, "t");
  CHECK(at(table, "b")->place == Place{"f", 3, 7});
  const Value::List& list = *at(table, "c")->list();
  CHECK(list[0].scalar() == "1.5");
  CHECK(list[1].scalar() == "true");
  CHECK_FALSE(table.scalar());
}

TEST_CASE("document: a moment needs its distance from UTC", "[document]") {
  Findings findings;
  const Value top = parse_document(
      "a = 1970-01-01T02:00:00+01:00\nb = 1970-01-01T02:00:00\nc = 1970-01-01\n"
      "d = 0001-01-01T00:00:00Z\n",
      "f", findings);
  REQUIRE(at(top, "a")->moment() != nullptr);
  CHECK(*at(top, "a")->moment() == Moment{{3'600'000'000'000}, std::chrono::hours(1)});
  for (const char* key : {"b", "c", "d"}) CHECK(at(top, key)->moment() == nullptr);
}

TEST_CASE("document: what is no TOML is one finding with its place", "[document]") {
  CHECK(wrong("a = 1\nb = \n").starts_with("f:2:"));
  CHECK(wrong("a = 1\na = 2\n").starts_with("f:2:"));
  CHECK(wrong("a = \"\xff\"").starts_with("f:1:"));
  CHECK(wrong(std::string_view("a = 1\nb\0 = 2\n", 13)) == "f:2:2: a zero byte: this is no text\n");
  CHECK(wrong("\xff\xfe\x61") == "f: it is written in UTF-16: save it in UTF-8\n");
}

TEST_CASE("document: nesting is bounded, wherever it hides", "[document]") {
  const std::string deep = "too many brackets or dots in each other\n";
  CHECK(wrong("a = " + std::string(17, '[') + std::string(17, ']')) == "f:1:21: " + deep);
  CHECK(wrong("a." + std::string(1000, 'a') + ".a = 1").empty());
  std::string dotted = "x";
  for (int i = 0; i < 40; ++i) dotted += ".x";
  CHECK(wrong("a = 1\n" + dotted + " = 1").ends_with(deep));
  CHECK(wrong("a = 1\n[" + dotted + "]").ends_with(deep));
  CHECK(wrong("a = \"\"\" '\n\"\"\"\nb = " + std::string(17, '[')).ends_with(deep));
  // Neither in a text nor in a comment.
  CHECK(wrong("a = \"" + std::string(40, '[') + "\\\"" + std::string(40, '.') + "\"").empty());
  CHECK(wrong("a = '''\n" + std::string(40, '[') + "'''").empty());
  CHECK(wrong("a = 1 # " + std::string(40, '[')).empty());
  CHECK(wrong("a = [" + std::string(50 * 4, ' ') +
              "1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5,"
              "1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5,"
              "1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]")
            .empty());
}

TEST_CASE("document: overrides change, add and find list elements", "[document]") {
  Findings findings;
  Value top = parse_document(
      "[o]\nup = \"1Gbit\"\n[[w]]\nname = \"first\"\n[[w]]\nname = \"last\"\n", "f", findings);
  const auto set = [&](const char* path, const char* value) {
    apply_override(top, {path, value}, findings);
  };
  set("o.up", "5Gbit");
  set("o.new.deep", "0.5");
  set("w.2.percent", "10");
  set("w.first.names", "[\"a\", \"b\"]");
  set("o.when", "2026-03-02T18:00:00Z");
  CHECK(findings.text().empty());
  CHECK(at(*at(top, "o"), "up")->scalar() == "5Gbit");
  CHECK(at(*at(top, "o"), "up")->place.file == "--set o.up");
  CHECK(std::get<double>(at(*at(*at(top, "o"), "new"), "deep")->data) == 0.5);
  CHECK(std::get<std::int64_t>(at((*at(top, "w")->list())[1], "percent")->data) == 10);
  CHECK(at((*at(top, "w")->list())[0], "names")->list()->size() == 2);
  CHECK(at(*at(top, "o"), "when")->moment() != nullptr);

  set("w.3.percent", "10");
  set("w.0.percent", "10");
  set("o.up.more", "1");
  set("o..up", "1");
  set("", "1");
  CHECK(findings.text() ==
        "--set w.3.percent: 'w' has no element '3': give its number or its name\n"
        "--set w.0.percent: 'w' has no element '0': give its number or its name\n"
        "--set o.up.more: 'o.up' is no table\n"
        "--set o..up: a path is names with dots between them\n"
        "--set : a path is names with dots between them\n");
}
