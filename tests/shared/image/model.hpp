// The slow, obvious twin of what shared/image does in streams: trees as maps from paths to inodes,
// layers applied one entry after the other, a volume in memory that carries plans out.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "shared/format/path.hpp"
#include "shared/image/merge.hpp"
#include "shared/image/plan.hpp"
#include "tests/shared/image/trees.hpp"

namespace lamina::image {

using Tree = std::vector<Entry>;
// What an inode holds stands in an entry without a path. Names of a hard link share one.
using Inode = std::shared_ptr<Entry>;
using Volume = std::map<std::string, Inode, format::PathLess>;

// Draws the same on every machine.
struct Dice {
  std::mt19937_64 engine;
  explicit Dice(std::uint64_t seed) : engine(seed) {}
  std::size_t below(std::size_t limit) { return engine() % limit; }
  bool one_in(std::size_t n) { return below(n) == 0; }
};

inline bool is_directory(const Inode& inode) { return inode->kind == EntryKind::directory; }

inline void erase_beneath(Volume& volume, const std::string& path) {
  std::erase_if(volume, [&](const auto& node) {
    return node.first != path && format::is_within(node.first, path);
  });
}

inline bool is_empty(const Volume& volume, const std::string& path) {
  return std::none_of(volume.begin(), volume.end(), [&](const auto& node) {
    return node.first != path && format::is_within(node.first, path);
  });
}

inline Inode inode_of(Entry entry) {
  entry.path.clear();
  return std::make_shared<Entry>(std::move(entry));
}

inline void lay_over(Volume& volume, const Tree& layer) {
  for (const Entry& entry : layer) {
    if (entry.kind != EntryKind::directory) erase_beneath(volume, entry.path);
    if (entry.kind == EntryKind::whiteout)
      volume.erase(entry.path);
    else
      volume[entry.path] =
          entry.kind == EntryKind::hard_link ? volume.at(entry.target) : inode_of(entry);
  }
}

inline Volume volume_of(const Tree& tree) {
  Volume volume;
  lay_over(volume, tree);
  return volume;
}

// With inodes of its own.
inline Volume copy_of(const Volume& volume) {
  std::map<Inode, Inode> copies;
  Volume copy;
  for (const auto& [path, inode] : volume) {
    Inode& its = copies[inode];
    if (!its) its = std::make_shared<Entry>(*inode);
    copy[path] = its;
  }
  return copy;
}

// The entries in path order; of the names of an inode the first has it, the others link there.
inline Tree tree_of(const Volume& volume) {
  std::map<Inode, std::string> firsts;
  Tree tree;
  for (const auto& [path, inode] : volume) {
    const auto [first, is_new] = firsts.emplace(inode, path);
    if (!is_new) {
      tree.push_back(hard_link(path, first->second));
      continue;
    }
    tree.push_back(*inode);
    tree.back().path = path;
  }
  return tree;
}

inline bool has_other_names(const Volume& volume, const std::string& path) {
  const auto found = volume.find(path);
  return found != volume.end() &&
         std::count_if(volume.begin(), volume.end(),
                       [&](const auto& node) { return node.second == found->second; }) > 1;
}

inline Result<Tree> merged(const std::vector<Tree>& layers) {
  std::vector<std::unique_ptr<format::EntryStream>> streams;
  for (const Tree& layer : layers) streams.push_back(stream(layer));
  MergeStream merge(std::move(streams));
  Tree out;
  for (;;) {
    auto entry = merge.next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) return out;
    out.push_back(std::move(**entry));
  }
}

class ModelDevice : public Device {
 public:
  explicit ModelDevice(const Volume& volume) : volume_(volume) {}

  Result<Likeness> compare(const Entry& entry) override {
    using Is = Likeness::Is;
    const auto found = volume_.find(entry.path);
    if (found == volume_.end()) return Likeness{};
    const Entry& there = *found->second;
    const bool is_directory = there.kind == EntryKind::directory;
    if (entry.kind == EntryKind::hard_link) {
      const auto first = volume_.find(entry.target);
      const bool same = first != volume_.end() && first->second == found->second;
      return Likeness{same ? Is::same : Is::differs, is_directory};
    }
    Entry wanted = entry;
    wanted.path.clear();
    if (there == wanted) return Likeness{Is::same, is_directory};
    wanted.mode = there.mode, wanted.uid = there.uid, wanted.owner = there.owner;
    return Likeness{there == wanted ? Is::metadata_differs : Is::differs, is_directory};
  }

 private:
  const Volume& volume_;
};

inline Result<std::vector<Action>> planned(const Volume& volume, const Tree& previous,
                                           const Tree& target, Mode mode,
                                           const Protection& protection = {}) {
  ModelDevice device(volume);
  PlanStream plan(stream(target), stream(previous), device, protection, mode);
  std::vector<Action> actions;
  for (;;) {
    auto action = plan.next();
    if (!action) return fail(std::move(action.error()));
    if (!*action) return actions;
    actions.push_back(std::move(**action));
  }
}

// Carries a plan out as node/worker/transaction does: a directory that the user removed comes back
// with what is put in it. False when that cannot be: something else stands there, or the first name
// of a new link is gone.
inline bool carry_out(Volume& volume, const std::vector<Action>& actions, const Tree& target) {
  const Volume wanted = volume_of(target);
  for (const Action& action : actions) {
    const Entry& entry = action.entry;
    const auto there = volume.find(entry.path);
    switch (action.kind) {
      case ActionKind::keep: break;
      case ActionKind::create:
      case ActionKind::replace: {
        std::string above(format::parent_of(entry.path));
        if (!entry.path.empty())
          for (;; above = format::parent_of(above)) {
            const auto parent = volume.find(above);
            if (parent != volume.end() && !is_directory(parent->second)) return false;
            if (parent == volume.end()) volume[above] = std::make_shared<Entry>(*wanted.at(above));
            if (above.empty()) break;
          }
        if (entry.kind != EntryKind::directory) erase_beneath(volume, entry.path);
        if (entry.kind == EntryKind::hard_link && !volume.contains(entry.target)) return false;
        volume[entry.path] =
            entry.kind == EntryKind::hard_link ? volume.at(entry.target) : inode_of(entry);
        break;
      }
      case ActionKind::metadata:
        there->second->mode = entry.mode;
        there->second->uid = entry.uid;
        there->second->owner = entry.owner;
        break;
      case ActionKind::remove:
        if (there == volume.end() || entry.path.empty() ||
            is_directory(there->second) != (entry.kind == EntryKind::directory))
          break;
        if (!is_directory(there->second) || is_empty(volume, entry.path)) volume.erase(there);
        break;
    }
  }
  return true;
}

// A random layer: every entry has its directories in it. Some paths are covered by factory rules,
// some differ in case only. `below`: the tree that it may remove from, and link to.
inline Tree random_layer(Dice& dice, const Volume& below) {
  Volume layer{{"", inode_of(dir(""))}};
  std::set<std::string, format::PathLess> whiteouts;
  std::vector<std::string> open{""};
  const std::vector<std::string> tops{"etc", "home", "usr", "Usr", "x"};
  const std::vector<std::string> names{"a", "A", "b", "a.b", "fstab", "ld.so.cache"};
  std::vector<std::string> files;
  const auto metadata = [&](Entry entry) {
    if (dice.one_in(4)) entry.mode = 0700;
    if (dice.one_in(6)) entry.uid = 7, entry.owner = "seven";
    return entry;
  };
  for (std::size_t i = 0; i < open.size(); ++i) {
    const std::string above = open[i];
    const auto depth = above.empty() ? 0 : 1 + std::count(above.begin(), above.end(), '/');
    for (const std::string& name : above.empty() ? tops : names) {
      if (!dice.one_in(depth == 0 ? 2 : 3)) continue;
      const std::string path = above.empty() ? name : above + '/' + name;
      const std::size_t draw = dice.below(10);
      if (draw < 3 && depth < 3) {
        layer[path] = inode_of(metadata(dir("")));
        open.push_back(path);
      } else if (draw == 3) {
        layer[path] = inode_of(metadata(soft_link("", dice.one_in(2) ? "a" : "b")));
      } else if (draw == 4 && !files.empty() && !factory_rule(path, false)) {
        layer[path] = layer.at(files[dice.below(files.size())]);
      } else if (draw == 5 && below.contains(path)) {
        whiteouts.insert(path);
      } else {
        layer[path] = inode_of(metadata(file("", static_cast<char>('x' + dice.below(3)))));
        // A capture holds nothing of a device's own, and no other name of it as a link.
        if (!factory_rule(path, false)) files.push_back(path);
      }
    }
  }
  Tree tree = tree_of(layer);
  for (const std::string& path : whiteouts) tree.push_back(whiteout(path));
  // Another name of a file that only a layer below has.
  if (dice.one_in(3)) {
    std::vector<std::string> theirs;
    for (const auto& [path, inode] : below)
      if (inode->kind == EntryKind::file && !factory_rule(path, false) && !layer.contains(path) &&
          !whiteouts.contains(path) && format::compare_paths(path, "zz") < 0)
        theirs.push_back(path);
    Volume after = below;
    lay_over(after, tree);
    if (!theirs.empty()) {
      const std::string first = theirs[dice.below(theirs.size())];
      if (after.contains(first)) tree.push_back(hard_link("zz", first));
    }
  }
  std::ranges::sort(tree, format::PathLess{}, &Entry::path);
  return tree;
}

}  // namespace lamina::image
