// What holds for random trees, layers and devices, against the model.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>

#include "shared/image/conflicts.hpp"
#include "shared/image/delta.hpp"
#include "tests/shared/image/model.hpp"

using namespace lamina;
using namespace lamina::image;

namespace {

constexpr int kRounds = 10'000;

struct Stack {
  std::vector<Tree> layers;
  Tree tree;  // Merged by the model.
};

Stack stack_of(std::vector<Tree> layers) {
  Volume volume;
  for (const Tree& layer : layers) lay_over(volume, layer);
  return {std::move(layers), tree_of(volume)};
}

Stack random_stack(Dice& dice) {
  std::vector<Tree> layers;
  Volume volume;
  for (std::size_t left = 1 + dice.below(3); left > 0; --left) {
    layers.push_back(random_layer(dice, volume));
    lay_over(volume, layers.back());
  }
  return stack_of(std::move(layers));
}

// A later state of the same stack: a layer comes, goes, or has a new version.
Stack next_of(Dice& dice, const Stack& stack) {
  std::vector<Tree> layers = stack.layers;
  for (Tree& layer : layers)  // Another layer's link to a file that is gone: not of this world.
    std::erase_if(layer, [](const Entry& entry) { return entry.path == "zz"; });
  const std::size_t place = dice.below(layers.size());
  Volume below;
  for (std::size_t i = 0; i < place; ++i) lay_over(below, layers[i]);
  switch (dice.below(4)) {
    case 0: layers.push_back(random_layer(dice, volume_of(stack_of(layers).tree))); break;
    case 1: layers.erase(layers.begin() + static_cast<std::ptrdiff_t>(place)); break;
    case 2: layers[place] = random_layer(dice, below); break;
    default:
      // A new version of a layer: a few entries differ, some in their metadata only.
      for (Entry& entry : layers[place]) {
        if (entry.kind == EntryKind::hard_link || entry.kind == EntryKind::whiteout) continue;
        if (dice.one_in(4)) entry.mode ^= 0111;
        if (dice.one_in(4) && entry.kind == EntryKind::file) {
          Entry other = file(entry.path, static_cast<char>('p' + dice.below(2)));
          other.mode = entry.mode;
          entry = other;
        }
      }
  }
  return stack_of(std::move(layers));
}

bool is_protected(const std::string& path, const Inode& inode) {
  const Rule* rule = factory_rule(path, is_directory(inode));
  return rule && rule->area != Area::runtime && rule->area != Area::leftover;
}

Volume machine_area(const Volume& volume) {
  Volume area = volume;
  std::erase_if(area, [](const auto& node) {
    return factory_rule(node.first, is_directory(node.second)) != nullptr;
  });
  return area;
}
Volume protected_area(const Volume& volume) {
  Volume area = volume;
  std::erase_if(area, [](const auto& node) { return !is_protected(node.first, node.second); });
  return area;
}

bool keeps_all(const std::vector<Action>& actions) {
  return std::ranges::all_of(actions,
                             [](const Action& action) { return action.kind == ActionKind::keep; });
}

std::string text_of(const Tree& tree) {
  std::string text;
  for (const Entry& entry : tree)
    text += "\n  " + entry.path + ' ' + std::string(name_of(entry.kind)) + ' ' +
            std::to_string(entry.mode) + ' ' + std::to_string(entry.size) + ' ' + entry.target;
  return text;
}
std::string text_of(const std::vector<Action>& actions) {
  std::string text;
  for (const Action& action : actions)
    text += "\n  " + action.entry.path + ' ' + std::string(name_of(action.kind)) + ": " +
            std::string(name_of(action.reason));
  return text;
}

}  // namespace

TEST_CASE("properties: merging is what laying one layer over the other gives", "[image]") {
  Dice dice(1);
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    const Stack stack = random_stack(dice);
    const auto tree = merged(stack.layers);
    REQUIRE(tree);
    if (*tree != stack.tree) {
      for (const Tree& layer : stack.layers) UNSCOPED_INFO("layer" << text_of(layer));
      FAIL("merged" << text_of(*tree) << "\nexpected" << text_of(stack.tree));
    }
  }
}

TEST_CASE("properties: a delta on top of the old tree is the new tree", "[image]") {
  Dice dice(12);
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    const Stack old_stack = random_stack(dice);
    // Half of them have much in common.
    const Tree before = old_stack.tree,
               after = dice.one_in(2) ? next_of(dice, old_stack).tree : random_stack(dice).tree;
    DeltaStream stream_of_delta(stream(before), stream(after));
    Tree delta;
    for (auto entry = stream_of_delta.next(); entry && *entry; entry = stream_of_delta.next())
      delta.push_back(**entry);
    const auto tree = merged({before, delta});
    REQUIRE(tree);
    if (*tree != after)
      FAIL("delta" << text_of(delta) << "\nof" << text_of(before) << "\nto" << text_of(after)
                   << "\nis" << text_of(*tree));
    if (before == after) CHECK(delta.empty());
  }
}

TEST_CASE("properties: a device follows its stacks there and back", "[image]") {
  Dice dice(2);
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    const Stack old_stack = random_stack(dice);
    const Stack new_stack = next_of(dice, old_stack);
    Volume device = volume_of(old_stack.tree);
    // What is the device's own, and what a user installed beside the layers.
    std::erase_if(device, [](const auto& node) {
      return factory_rule(node.first, is_directory(node.second)) != nullptr;
    });
    device["home"] = inode_of(dir(""));
    device["home/user"] = inode_of(dir(""));
    device["home/user/file"] = inode_of(file("", 'u'));
    device["own"] = inode_of(dir(""));
    device["own/program"] = inode_of(file("", 'u'));
    Tree old_tree = old_stack.tree, new_tree = new_stack.tree;
    // The user area's own directory comes from the base, as in every system.
    for (Tree* tree : {&old_tree, &new_tree}) {
      Volume volume = volume_of(*tree);
      erase_beneath(volume, "home");
      volume["home"] = inode_of(dir(""));
      volume.try_emplace("", inode_of(dir("")));
      *tree = tree_of(volume);
    }
    device["home"] = inode_of(dir(""));
    const Volume before = copy_of(device);
    const auto story = [&] {
      return "\nold" + text_of(old_tree) + "\nnew" + text_of(new_tree) + "\ndevice" +
             text_of(tree_of(before));
    };

    const auto plan = planned(device, old_tree, new_tree, Mode::apply);
    if (!plan) {  // A file in place of a directory that may hold what is the device's own.
      CHECK(plan.error().kind() == ErrorKind::refused);
      ++refused;
      continue;
    }
    if (!carry_out(device, *plan, new_tree)) FAIL(text_of(*plan) << story());
    Volume expected = machine_area(volume_of(new_tree));
    expected["own"] = before.at("own");
    expected["own/program"] = before.at("own/program");
    for (const auto& [path, inode] : protected_area(before)) expected[path] = inode;
    if (tree_of(device) != tree_of(expected))
      FAIL("got" << text_of(tree_of(device)) << "\nexpected" << text_of(tree_of(expected))
                 << "\nplan" << text_of(*plan) << story());

    // Again: nothing to do, in either mode.
    for (const Mode mode : {Mode::apply, Mode::enforce}) {
      const auto again = planned(device, new_tree, new_tree, mode);
      REQUIRE(again);
      if (!keeps_all(*again)) FAIL("again" << text_of(*again) << story());
    }
    const auto back = planned(device, new_tree, old_tree, Mode::apply);
    if (!back) {
      CHECK(back.error().kind() == ErrorKind::refused);
      ++refused;
      continue;
    }
    if (!carry_out(device, *back, old_tree)) FAIL(text_of(*back) << story());
    if (tree_of(device) != tree_of(before))
      FAIL("back at" << text_of(tree_of(device)) << text_of(*back) << story());
  }
  CHECK(refused < kRounds / 4);
}

// The table of plan.hpp, said path by path. Nothing when the device has something in the way.
namespace {

struct Model {
  const Volume& device;
  const Volume& previous;  // Both without what rules cover.
  const Volume& target;
  Mode mode;

  bool is_layers_say(const std::string& path) const {
    const auto was = previous.find(path);
    if (was == previous.end()) return true;
    if (*was->second != *target.at(path)) return true;
    // The tests' users leave the files of groups alone.
    return has_other_names(previous, path) || has_other_names(target, path);
  }

  bool is_kept(const std::string& path, const Volume& result) const {
    if (is_layers_say(path)) return false;
    if (mode == Mode::apply) return true;
    const auto there = result.find(path);
    return derived_rule(path) && there != result.end() && !is_directory(there->second) &&
           !is_directory(target.at(path));
  }

  std::optional<Volume> result() const {
    Volume result = copy_of(device);
    std::map<Inode, Inode> copies;
    for (const auto& [path, inode] : target) {
      if (is_kept(path, result)) continue;
      for (std::string above(format::parent_of(path)); !above.empty();
           above = format::parent_of(above)) {
        if (!result.contains(above)) result[above] = std::make_shared<Entry>(*target.at(above));
        if (!is_directory(result.at(above))) return std::nullopt;
      }
      Inode& copy = copies[inode];
      if (!copy) copy = std::make_shared<Entry>(*inode);
      if (!is_directory(inode)) erase_beneath(result, path);
      result[path] = copy;
    }
    for (auto leaving = previous.rbegin(); leaving != previous.rend(); ++leaving) {
      const auto& [path, inode] = *leaving;
      const auto there = result.find(path);
      if (target.contains(path) || there == result.end() || path.empty()) continue;
      if (is_directory(there->second) != is_directory(inode)) continue;
      if (!is_directory(inode) || is_empty(result, path)) result.erase(there);
    }
    return result;
  }
};

// What users do to a machine, the layers' hard links aside.
void drift(Dice& dice, Volume& device, const std::function<bool(const std::string&)>& is_free) {
  const Volume before = device;
  for (const auto& [path, inode] : before) {
    if (!dice.one_in(4) || !device.contains(path)) continue;
    if (is_directory(inode)) {
      const std::string added =
          path.empty() ? (dice.one_in(2) ? "own" : "x") : path + (dice.one_in(2) ? "/own" : "/a");
      switch (dice.below(3)) {
        case 0:
          if (device.contains(added) || !is_free(added)) break;
          device[added] = inode_of(file("", 'u'));
          break;
        case 1: device[path] = inode_of(dir("", 0711)); break;
        default:
          if (path.empty() || std::any_of(before.begin(), before.end(), [&](const auto& node) {
                return format::is_within(node.first, path) && !is_free(node.first);
              }))
            break;
          erase_beneath(device, path);
          device.erase(path);
      }
      continue;
    }
    if (!is_free(path)) continue;
    switch (dice.below(4)) {
      case 0: device.erase(path); break;
      case 1: device[path] = inode_of(file("", 'u')); break;
      case 2: {
        Entry other = *inode;
        other.mode ^= 0111;
        device[path] = inode_of(other);
        break;
      }
      default: device[path] = inode_of(dir("")); break;
    }
  }
}

}  // namespace

TEST_CASE("properties: drifted devices, path by path", "[image]") {
  Dice dice(3);
  int done = 0;
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    const Stack old_stack = random_stack(dice);
    const Stack new_stack = next_of(dice, old_stack);
    const Volume previous = machine_area(volume_of(old_stack.tree));
    const Volume target = machine_area(volume_of(new_stack.tree));
    Volume device = copy_of(previous);
    drift(dice, device, [&](const std::string& path) {
      return !has_other_names(previous, path) && !has_other_names(target, path);
    });
    // Adding to the user area is drift as well; a file in its place is not.
    if (!device.contains("home")) device["home"] = inode_of(dir(""));
    if (is_directory(device["home"])) device["home/user"] = inode_of(file("", 'u'));
    const Volume before = copy_of(device);
    const auto story = [&] {
      return "\nold" + text_of(old_stack.tree) + "\nnew" + text_of(new_stack.tree) + "\ndevice" +
             text_of(tree_of(before));
    };
    for (const Mode mode : {Mode::apply, Mode::enforce}) {
      device = copy_of(before);
      const auto plan = planned(device, old_stack.tree, new_stack.tree, mode);
      if (!plan) {
        CHECK(plan.error().kind() == ErrorKind::refused);
        continue;
      }
      for (const Action& action : *plan)
        if (action.kind != ActionKind::keep &&
            factory_rule(action.entry.path, action.entry.kind == EntryKind::directory))
          FAIL(action.entry.path << " is the device's own" << story());
      const auto expected = Model{device, previous, target, mode}.result();
      const bool is_carried_out = carry_out(device, *plan, new_stack.tree);
      if (is_carried_out != expected.has_value()) FAIL(text_of(*plan) << story());
      if (!expected) continue;
      ++done;
      if (tree_of(device) != tree_of(*expected))
        FAIL("got" << text_of(tree_of(device)) << "\nexpected" << text_of(tree_of(*expected))
                   << "\nplan" << text_of(*plan) << story());
      if (tree_of(protected_area(device)) != tree_of(protected_area(before)))
        FAIL("the device's own changed" << text_of(*plan) << story());
      const auto again = planned(device, new_stack.tree, new_stack.tree, mode);
      REQUIRE(again);
      if (!keeps_all(*again)) FAIL("again" << text_of(*again) << story());
    }
  }
  CHECK(done > kRounds);
}

TEST_CASE("properties: a policy's user area is as it was, whatever the layers have", "[image]") {
  Dice dice(8);
  int carried_out = 0, differed = 0;
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    const Stack old_stack = random_stack(dice);
    const Stack new_stack = next_of(dice, old_stack);
    if (new_stack.tree.empty() || old_stack.tree.empty()) continue;
    const Tree& named = dice.one_in(2) ? old_stack.tree : new_stack.tree;
    const std::string& area = named[dice.below(named.size())].path;
    const std::string& spared = named[dice.below(named.size())].path;
    const auto protection = Protection::make(
        {.unprotected = {},
         .user = {{"area", {dice.one_in(4) ? area + "/**" : area}, {spared + "/*"}}}});
    if (!protection) continue;  // It is the volume's root, or what all systems have.
    const Volume before = volume_of(old_stack.tree);
    // A file with a name in the area and another outside of it changes with the other.
    const auto own = [&](const Volume& volume) {
      Volume part = copy_of(volume);
      std::erase_if(part, [&](const auto& node) {
        return has_other_names(before, node.first) ||
               !protection->is_user(node.first, is_directory(node.second));
      });
      return tree_of(part);
    };
    const Tree owned = own(before);
    for (const Mode mode : {Mode::apply, Mode::enforce}) {
      Volume device = copy_of(before);
      const auto plan = planned(device, old_stack.tree, new_stack.tree, mode, *protection);
      if (!plan) {
        CHECK(plan.error().kind() == ErrorKind::refused);
        continue;
      }
      // A link to what the device has not, because it is in the area, is an apply that fails.
      if (!carry_out(device, *plan, new_stack.tree)) continue;
      ++carried_out;
      if (own(volume_of(new_stack.tree)) != owned) ++differed;
      if (own(device) != owned)
        FAIL("area " << area << " without " << spared << text_of(*plan) << "\nbefore"
                     << text_of(owned) << "\nafter" << text_of(own(device)));
    }
  }
  CHECK(carried_out > kRounds / 2);  // The others are refused, or link to what is not there.
  CHECK(differed > kRounds / 4);     // Without the area they would have been changed.
}

TEST_CASE("properties: the plan of equal stacks is empty, whatever the device has", "[image]") {
  Dice dice(4);
  for (int round = 0; round < kRounds / 10; ++round) {
    const Stack stack = random_stack(dice);
    const Volume device = volume_of(random_stack(dice).tree);
    const auto plan = planned(device, stack.tree, stack.tree, Mode::apply);
    REQUIRE(plan);
    CHECK(keeps_all(*plan));
  }
}

TEST_CASE("properties: conflicts are what asking each layer of each entry finds", "[image]") {
  Dice dice(5);
  std::size_t seen = 0;
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    const std::vector<Tree> layers = random_stack(dice).layers;
    std::vector<Conflict> expected;
    for (std::size_t low = 0; low < layers.size(); ++low)
      for (const Entry& entry : layers[low]) {
        if (factory_rule(entry.path, entry.kind == EntryKind::directory) ||
            derived_rule(entry.path))
          continue;
        // The highest layer that says something about the path.
        const Entry* last = &entry;
        std::size_t winner = low;
        for (std::size_t high = low + 1; high < layers.size(); ++high)
          for (const Entry& other : layers[high])
            if (other.path == entry.path ||
                (other.kind != EntryKind::directory && format::is_within(entry.path, other.path)))
              last = &other, winner = high;
        const bool is_gone = last->path != entry.path || last->kind == EntryKind::whiteout;
        const bool differs = is_gone ? entry.kind != EntryKind::whiteout : *last != entry;
        if (differs) expected.push_back({entry.path, low, winner});
      }
    std::ranges::sort(expected, [](const Conflict& a, const Conflict& b) {
      const auto order = format::compare_paths(a.path, b.path);
      return order != 0 ? order < 0 : a.hidden < b.hidden;
    });
    std::vector<std::unique_ptr<format::EntryStream>> streams;
    for (const Tree& layer : layers) streams.push_back(stream(layer));
    ConflictStream conflicts(std::move(streams));
    std::vector<Conflict> found;
    for (;;) {
      auto conflict = conflicts.next();
      REQUIRE(conflict);
      if (!*conflict) break;
      found.push_back(std::move(**conflict));
    }
    seen += found.size();
    if (found != expected) {
      for (const Tree& layer : layers) UNSCOPED_INFO("layer" << text_of(layer));
      FAIL("found " << found.size() << ", expected " << expected.size());
    }
  }
  CHECK(seen > kRounds / 2);
}
