#include "shared/image/merge.hpp"

#include <catch2/catch.hpp>

#include "shared/image/diff.hpp"
#include "tests/shared/image/model.hpp"

using namespace lamina;
using namespace lamina::image;

TEST_CASE("merge: layers add up to one tree", "[image]") {
  struct Row {
    const char* what;
    std::vector<Tree> layers;
    Tree result;
  };
  const Row rows[] = {
      {"no layer", {}, {}},
      {"one layer comes out as it is",
       {{dir(""), dir("a"), file("a/b", 'x')}},
       {dir(""), dir("a"), file("a/b", 'x')}},
      {"the last wins, and directories merge",
       {{dir("a"), file("a/b", 'x'), file("a/d", 'x')},
        {dir("a", 0700), file("a/b", 'y'), file("a/c", 'y')}},
       {dir("a", 0700), file("a/b", 'y'), file("a/c", 'y'), file("a/d", 'x')}},
      {"path order has '/' lowest",
       {{dir("a"), file("a/z", 'x')}, {file("a-b", 'y')}},
       {dir("a"), file("a/z", 'x'), file("a-b", 'y')}},
      {"a whiteout hides a file",
       {{file("a", 'x'), file("b", 'x')}, {whiteout("a")}},
       {file("b", 'x')}},
      {"a whiteout hides all beneath it",
       {{dir("a"), dir("a/b"), file("a/b/c", 'x'), file("b", 'x')}, {whiteout("a")}},
       {file("b", 'x')}},
      {"a whiteout of nothing is nothing", {{file("b", 'x')}, {whiteout("a")}}, {file("b", 'x')}},
      {"a later layer brings back what one hid",
       {{file("a", 'x')}, {whiteout("a")}, {file("a", 'z')}},
       {file("a", 'z')}},
      {"a directory brought back does not bring back its old contents",
       {{dir("a"), file("a/b", 'x')}, {whiteout("a")}, {dir("a"), file("a/c", 'z')}},
       {dir("a"), file("a/c", 'z')}},
      {"a file over a directory hides what lies beneath",
       {{dir("a"), file("a/b", 'x')}, {file("a", 'y')}},
       {file("a", 'y')}},
      {"a file between two directories hides the lower one's contents only",
       {{dir("a"), file("a/b", 'x')}, {file("a", 'y')}, {dir("a"), file("a/c", 'z')}},
       {dir("a"), file("a/c", 'z')}},
      {"a directory over a file",
       {{file("a", 'x')}, {dir("a"), file("a/b", 'y')}},
       {dir("a"), file("a/b", 'y')}},
      {"a whiteout in a directory that an outer whiteout hid lower down",
       {{dir("a"), file("a/b", 'x'), file("a/c", 'x')},
        {whiteout("a")},
        {dir("a"), file("a/b", 'y'), file("a/d", 'y')},
        {dir("a"), whiteout("a/b")}},
       {dir("a"), file("a/d", 'y')}},
      {"a hard link stays when its first name does",
       {{file("a", 'x'), hard_link("b", "a")}, {file("c", 'y')}},
       {file("a", 'x'), hard_link("b", "a"), file("c", 'y')}},
      {"the next name becomes the file when the first is replaced",
       {{file("a", 'x'), hard_link("b", "a"), hard_link("c", "a")}, {file("a", 'y')}},
       {file("a", 'y'), file("b", 'x'), hard_link("c", "b")}},
      {"likewise when the first is removed or lies in a hidden directory",
       {{dir("a"), file("a/f", 'x'), hard_link("b", "a/f"), hard_link("c", "a/f")},
        {whiteout("a")}},
       {file("b", 'x'), hard_link("c", "b")}},
      {"a link to a file of a layer below",
       {{file("a", 'x')}, {hard_link("b", "a")}},
       {file("a", 'x'), hard_link("b", "a")}},
      {"means that file, also when a layer above has another one",
       {{file("a", 'x'), hard_link("a2", "a")}, {hard_link("b", "a")}, {file("a", 'y')}},
       {file("a", 'y'), file("a2", 'x'), hard_link("b", "a2")}},
      {"and the version that its layer sees",
       {{file("a", 'x')}, {file("a", 'y'), hard_link("b", "a")}, {file("a", 'z')}},
       {file("a", 'z'), file("b", 'y')}},
      {"by whichever of its names",
       {{file("a", 'x'), hard_link("b", "a")}, {hard_link("c", "b")}, {file("b", 'y')}},
       {file("a", 'x'), file("b", 'y'), hard_link("c", "a")}},
      {"which need not be the first",
       {{file("a", 'x'), hard_link("b", "a")}, {hard_link("c", "b")}},
       {file("a", 'x'), hard_link("b", "a"), hard_link("c", "a")}},
      {"a replaced second name leaves the others linked",
       {{file("a", 'x'), hard_link("b", "a"), hard_link("c", "a")}, {file("b", 'y')}},
       {file("a", 'x'), file("b", 'y'), hard_link("c", "a")}},
  };
  for (const Row& row : rows) {
    const auto result = merged(row.layers);
    CAPTURE(row.what);
    REQUIRE(result);
    CHECK((*result == row.result));
  }
}

TEST_CASE("merge: an entry without a parent directory is refused by name", "[image]") {
  const std::vector<std::vector<Tree>> stacks = {
      {{file("a/b", 'x')}},
      {{file("a", 'x')}, {file("a/b", 'y')}},
      {{dir("a")}, {whiteout("a")}, {file("a/b", 'y')}},
  };
  for (const auto& stack : stacks) {
    const auto result = merged(stack);
    REQUIRE_FALSE(result);
    CHECK(result.error().kind() == ErrorKind::invalid);
    CHECK(result.error().text().find("'a/b'") != std::string::npos);
  }
}

TEST_CASE("diff: two trees side by side", "[image]") {
  DiffStream diff(stream({dir("a"), file("a/b", 'x'), file("c", 'x'), file("d", 'x')}),
                  stream({dir("a"), file("a/b", 'y'), file("b", 'x'), file("d", 'x')}));
  std::vector<std::pair<std::string, Change>> seen;
  while (auto difference = diff.next()) {
    if (!*difference) break;
    seen.emplace_back((*difference)->path(), (*difference)->change);
  }
  CHECK((seen == std::vector<std::pair<std::string, Change>>{{"a", Change::same},
                                                             {"a/b", Change::changed},
                                                             {"b", Change::added},
                                                             {"c", Change::removed},
                                                             {"d", Change::same}}));
}

TEST_CASE("diff: a link to a file that changed has changed", "[image]") {
  DiffStream diff(
      stream({file("a", 'x'), hard_link("b", "a"), file("c", 'x'), hard_link("d", "c")}),
      stream({file("a", 'y'), hard_link("b", "a"), file("c", 'x'), hard_link("d", "c")}));
  std::vector<Change> seen;
  while (auto difference = diff.next()) {
    if (!*difference) break;
    seen.push_back((*difference)->change);
  }
  CHECK(
      (seen == std::vector<Change>{Change::changed, Change::changed, Change::same, Change::same}));
}

TEST_CASE("merge: files that are merged by record come with those beneath them", "[image]") {
  const auto beneath = [](std::vector<std::vector<Entry>> layers) {
    std::vector<std::unique_ptr<format::EntryStream>> streams;
    for (auto& layer : layers) streams.push_back(stream(std::move(layer)));
    MergeStream merge(std::move(streams));
    std::map<std::string, std::vector<std::size_t>> found;
    for (;;) {
      const auto entry = merge.next();
      REQUIRE(entry);
      if (!*entry) return found;
      auto& layers_of = found[(*entry)->path];
      for (const auto& [layer, hidden] : merge.beneath()) {
        CHECK(hidden.path == (*entry)->path);
        layers_of.push_back(layer);
      }
      layers_of.push_back(merge.source());
    }
  };
  using Found = std::map<std::string, std::vector<std::size_t>>;
  const Entry etc = dir("etc"), passwd = file("etc/passwd", 'x'), other = file("etc/issue", 'x');
  CHECK((beneath({{etc, other, passwd}, {passwd}, {other, passwd}}) ==
         Found{{"etc", {0}}, {"etc/issue", {2}}, {"etc/passwd", {0, 1, 2}}}));
  // What was removed, or was no file, does not shine through.
  CHECK((beneath({{etc, passwd}, {whiteout("etc/passwd")}, {passwd}}) ==
         Found{{"etc", {0}}, {"etc/passwd", {2}}}));
  CHECK((beneath({{etc, passwd}, {whiteout("etc")}, {etc, passwd}, {passwd}}) ==
         Found{{"etc", {2}}, {"etc/passwd", {2, 3}}}));
  CHECK((beneath({{etc, passwd}, {soft_link("etc/passwd", "x")}, {passwd}}) ==
         Found{{"etc", {0}}, {"etc/passwd", {2}}}));
  CHECK((beneath({{etc, passwd}, {soft_link("etc/passwd", "x")}}) ==
         Found{{"etc", {0}}, {"etc/passwd", {1}}}));
}
