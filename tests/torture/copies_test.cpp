// Backups of an origin, and origins made of them: killed, or without power, anywhere in `backup`,
// `restore`, `rebuild`, `repair` and `move`. The origin that is copied loses nothing, a backup that
// was finished stays one, and the command that was cut off ends well when it is typed again.
#include <filesystem>

#include "tests/origin/worked_origin.hpp"
#include "tests/torture/torture.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

// All below one directory: origin/, backup/, restored/, moved/.
struct Story {
  WorkedOrigin o;
  std::string top = o.scratch / "world";
  enum Part { first_backup, work, second_backup, restore, rebuild, repair, move, done };
  std::vector<std::size_t> ends;  // Of the parts.
  // What the first backup holds, and the second.
  std::map<SnapshotId, Acknowledged> old_snapshots, snapshots;
  std::map<LayerId, Acknowledged> old_layers, layers;
  disk::History history;

  Story() {
    o.layer("1.0", seeds(1, 3));
    o.snapshot(o.ann, seeds(3, 6));
    REQUIRE(os::make_directories(top));
    std::filesystem::rename(o.path, top + "/origin");
    o.use(top + "/origin");
    old_snapshots = o.snapshots;
    old_layers = o.layers;
    DiskLog log(top);
    const auto must = [&](int code) {
      if (code != 0) FAIL(o.out << o.err);
      ends.push_back(log.count());
    };
    must(backup(top));
    o.layer("1.1", seeds(2, 5));
    o.snapshot(o.ann, seeds(5, 8));
    snapshots = o.snapshots;
    layers = o.layers;
    must(0);
    must(backup(top));
    must(restored(top));
    lose_databases(top + "/restored");
    must(rebuilt(top));
    REQUIRE(os::remove_tree(top + "/restored/layers/index"));
    must(repaired(top));
    must(moved(top));
    history = log.take();
  }

  int backup(const std::string& at) {
    return o.run({"backup", "--data", (at + "/origin").c_str(), "--to", (at + "/backup").c_str()});
  }
  int restored(const std::string& at) {
    return o.run(
        {"restore", "--from", (at + "/backup").c_str(), "--data", (at + "/restored").c_str()});
  }
  int rebuilt(const std::string& at) {
    return o.run({"rebuild", "--data", (at + "/restored").c_str()});
  }
  int repaired(const std::string& at) {
    return o.run({"repair", "--data", (at + "/restored").c_str()});
  }
  int moved(const std::string& at) {
    return o.run({"move", "--data", (at + "/restored").c_str(), "--to", (at + "/moved").c_str()});
  }
  static void lose_databases(const std::string& origin) {
    for (const char* database : {"/catalog", "/layers/index", "/cvd/index"})
      REQUIRE(os::remove_tree(origin + database));
  }

  enum class Holds { old_at_least, all };
  std::string whats_wrong(const std::string& directory, Holds holds) {
    o.use(directory);
    o.snapshots = holds == Holds::all ? snapshots : old_snapshots;
    o.layers = holds == Holds::all ? layers : old_layers;
    const std::string wrong = o.whats_wrong();
    return wrong.empty() ? "" : directory.substr(directory.rfind('/') + 1) + ": " + wrong;
  }
  // A command that was cut off, typed again.
  std::string again(const char* command, int code) const {
    return code == 0 ? "" : std::string(command) + " once more: " + o.out + o.err;
  }

  std::string examine(const std::string& at, std::size_t after, bool thorough) {
    const auto part = static_cast<Part>(std::ranges::upper_bound(ends, after) - ends.begin());
    std::string wrong;
    const auto is_well = [&](const std::string& said) {
      if (wrong.empty()) wrong = said;
      return wrong.empty();
    };
    switch (part) {
      case first_backup:
      case work:
      case second_backup: {
        if (!is_well(whats_wrong(at + "/origin",
                                 part == second_backup ? Holds::all : Holds::old_at_least)))
          return wrong;
        if (part == first_backup || thorough)
          if (!is_well(again("backup", backup(at)))) return wrong;
        if (!is_well(again("restore", restored(at)))) return wrong;
        is_well(whats_wrong(at + "/restored",
                            part == second_backup && thorough ? Holds::all : Holds::old_at_least));
        return wrong;
      }
      case restore:
        if (!is_finished(at + "/restored") && !is_well(again("restore", restored(at))))
          return wrong;
        is_well(whats_wrong(at + "/restored", Holds::all));
        return wrong;
      case rebuild:
        if (is_well(again("rebuild", rebuilt(at))))
          is_well(whats_wrong(at + "/restored", Holds::all));
        return wrong;
      case repair:
        if (is_well(again("repair", repaired(at))))
          is_well(whats_wrong(at + "/restored", Holds::all));
        return wrong;
      case move:
      case done:
        if (os::exists(at + "/restored/origin.json") && is_finished(at + "/moved"))
          return "the old origin and the new one could both be served";
        if (!is_finished(at + "/moved") && !is_well(again("move", moved(at)))) return wrong;
        is_well(whats_wrong(at + "/moved", Holds::all));
        return wrong;
    }
    return wrong;
  }
  // Made, and may be served.
  static bool is_finished(const std::string& directory) {
    return read_config(DataDirectory(directory)).has_value();
  }
};

}  // namespace

TEST_CASE("torture: backups and what is made of them", "[copies]") {
  Story story;
  must_survive("backup, restore, rebuild, repair, move", story.history,
               [&](const std::string& directory, const disk::Image&, const Crash& crash,
                   bool thorough) { return story.examine(directory, crash.after, thorough); });
}
