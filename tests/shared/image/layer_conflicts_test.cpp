#include "shared/image/layer_conflicts.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "shared/image/records/record_format.hpp"
#include "tests/shared/image/layers.hpp"

using namespace lamina;
using namespace lamina::image;
using lamina::tests::Layers;

namespace {

std::vector<LayerConflict> conflicts_of(const std::vector<format::LayerRecord>& layers,
                                        const Layers& contents) {
  std::vector<LayerConflict> found;
  const auto done =
      for_each_conflict(layers, contents.source(), [&](const LayerConflict& conflict) -> Status {
        found.push_back(conflict);
        return Done{};
      });
  if (!done) FAIL(done.error().text());
  return found;
}

std::string account(const std::string& name, int id) {
  return name + ":x:" + std::to_string(id) + ":" + std::to_string(id) + "::/:/bin/sh\n";
}

// What a capture over `base` holds of a file that became `now`.
Layers::File changed(const std::string& path, const std::string& base, const std::string& now) {
  const RecordFormat& format = record_rule(path)->format;
  const Buffer bytes = encode_changes(changes(format.parse(base), format.parse(now)));
  return {.path = path, .content = std::string(as_text(bytes)), .is_changes = true};
}

const std::string kRoot = account("root", 0);

}  // namespace

TEST_CASE("layer conflicts: files and records, each with both layers", "[image]") {
  Layers contents;
  const auto base = contents.add("base", {{"etc/issue", "base"}, {"etc/passwd", kRoot}});
  const auto app = [&](const std::string& name, const std::string& users) {
    return contents.add(
        name,
        {{"etc/issue", name}, {"opt/" + name, name}, changed("etc/passwd", kRoot, kRoot + users)},
        format::LayerKind::app);
  };
  const auto web = app("web", account("www", 101) + account("same", 7));
  const auto mail = app("mail", account("www", 102) + account("same", 7) + account("mail", 103));
  CHECK((conflicts_of({base, web, mail}, contents) ==
         std::vector<LayerConflict>{
             {"etc/issue", "", 0, 2}, {"etc/issue", "", 1, 2}, {"etc/passwd", "www", 1, 2}}));
  CHECK((conflicts_of({base, mail, web}, contents).back() ==
         LayerConflict{"etc/passwd", "www", 1, 2}));
  CHECK(conflicts_of({base}, contents).empty());
}

TEST_CASE("layer conflicts: they are what looking at every pair finds", "[image]") {
  std::mt19937 random(20);
  const auto roll = [&](unsigned n) { return random() % n; };
  const char* const names[] = {"a", "b", "c", "d"};
  std::size_t seen = 0;
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    Layers contents;
    std::vector<format::LayerRecord> layers;
    // Of each layer: what it says of an account, or that it goes; and which file has what.
    using Said = std::map<std::string, std::string>;
    std::vector<Said> records, files;
    for (int layer = 0; layer < 4; ++layer) {
      Said users, data;
      std::vector<Layers::File> list;
      std::string before, after;
      for (const char* name : names) {
        if (roll(3) == 0) {  // It was there and goes.
          before += account(name, 5);
          users[name] = "gone";
        } else if (roll(2) == 0) {
          const int id = static_cast<int>(roll(3));
          after += account(name, id);
          users[name] = account(name, id);
        }
        if (roll(2) == 0) {
          // Before the accounts, or behind them: layers come to these at different times.
          const std::string path = (roll(2) == 0 ? "bin/" : "opt/") + std::string(name);
          data[path] = std::to_string(roll(2));
          list.push_back({path, data[path]});
        }
      }
      if (!users.empty()) list.push_back(changed("etc/passwd", before, after));
      layers.push_back(contents.add("layer" + std::to_string(layer), list));
      records.push_back(users);
      files.push_back(data);
    }
    std::vector<LayerConflict> expected;
    const auto compare = [&](const std::vector<Said>& said, const auto& conflict) {
      for (std::size_t low = 0; low < said.size(); ++low)
        for (const auto& [key, value] : said[low]) {
          std::size_t winner = low;
          for (std::size_t high = low + 1; high < said.size(); ++high)
            if (said[high].contains(key)) winner = high;
          if (said[winner].at(key) != value) expected.push_back(conflict(key, low, winner));
        }
    };
    compare(files, [](const std::string& key, std::size_t low, std::size_t high) {
      return LayerConflict{key, "", low, high};
    });
    compare(records, [](const std::string& key, std::size_t low, std::size_t high) {
      return LayerConflict{"etc/passwd", key, low, high};
    });
    auto found = conflicts_of(layers, contents);
    const auto order = [](const LayerConflict& a, const LayerConflict& b) {
      return std::tie(a.path, a.record, a.hidden) < std::tie(b.path, b.record, b.hidden);
    };
    std::ranges::sort(found, order);
    std::ranges::sort(expected, order);
    CHECK(found == expected);
    seen += found.size();
  }
  CHECK(seen > 300);
}
