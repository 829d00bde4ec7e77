#include "shared/image/plan.hpp"

#include <catch2/catch.hpp>
#include <map>

#include "tests/shared/image/trees.hpp"

using namespace lamina;
using namespace lamina::image;

namespace {

using Is = Likeness::Is;
using Kind = ActionKind;
using Tree = std::vector<Entry>;

struct FakeDevice : Device {
  std::map<std::string, Likeness> answers;
  int asked = 0;

  Result<Likeness> compare(const Entry& entry) override {
    ++asked;
    const auto answer = answers.find(entry.path);
    return answer == answers.end() ? Likeness{} : answer->second;
  }
};

struct Step {
  std::string path;
  Kind kind;
  Reason reason;
  bool operator==(const Step&) const = default;
};

Result<std::vector<Step>> plan(FakeDevice& device, Tree previous, Tree target,
                               Mode mode = Mode::apply, const Protection& protection = {}) {
  PlanStream stream_of_actions(stream(std::move(target)), stream(std::move(previous)), device,
                               protection, mode);
  std::vector<Step> steps;
  for (;;) {
    auto action = stream_of_actions.next();
    if (!action) return fail(std::move(action.error()));
    if (!*action) return steps;
    steps.push_back({(*action)->entry.path, (*action)->kind, (*action)->reason});
  }
}

}  // namespace

TEST_CASE("plan: every cell of the table", "[image]") {
  struct Row {
    const char* what;
    std::optional<char> previous, target;
    Is device;
    Mode mode;
    std::optional<Step> step;
  };
  const auto step = [](Kind kind, Reason reason) { return Step{"f", kind, reason}; };
  const Row rows[] = {
      {"new, absent", {}, 'y', Is::absent, Mode::apply, step(Kind::create, Reason::new_in_target)},
      {"new, same", {}, 'y', Is::same, Mode::apply, step(Kind::keep, Reason::already_so)},
      {"new, metadata",
       {},
       'y',
       Is::metadata_differs,
       Mode::apply,
       step(Kind::metadata, Reason::new_in_target)},
      {"new, differs",
       {},
       'y',
       Is::differs,
       Mode::apply,
       step(Kind::replace, Reason::new_in_target)},
      {"changed, absent", 'x', 'y', Is::absent, Mode::apply, step(Kind::create, Reason::changed)},
      {"changed, same", 'x', 'y', Is::same, Mode::apply, step(Kind::keep, Reason::already_so)},
      {"changed, metadata", 'x', 'y', Is::metadata_differs, Mode::apply,
       step(Kind::metadata, Reason::changed)},
      {"changed, differs", 'x', 'y', Is::differs, Mode::apply,
       step(Kind::replace, Reason::changed)},
      {"unchanged, absent", 'x', 'x', Is::absent, Mode::apply, step(Kind::keep, Reason::unchanged)},
      {"unchanged, same", 'x', 'x', Is::same, Mode::apply, step(Kind::keep, Reason::unchanged)},
      {"unchanged, differs", 'x', 'x', Is::differs, Mode::apply,
       step(Kind::keep, Reason::unchanged)},
      {"enforce, absent", 'x', 'x', Is::absent, Mode::enforce,
       step(Kind::create, Reason::enforced)},
      {"enforce, same", 'x', 'x', Is::same, Mode::enforce, step(Kind::keep, Reason::already_so)},
      {"enforce, metadata", 'x', 'x', Is::metadata_differs, Mode::enforce,
       step(Kind::metadata, Reason::enforced)},
      {"enforce, differs", 'x', 'x', Is::differs, Mode::enforce,
       step(Kind::replace, Reason::enforced)},
      {"left, same", 'x', {}, Is::same, Mode::apply, step(Kind::remove, Reason::left_the_stack)},
      {"left, differs",
       'x',
       {},
       Is::differs,
       Mode::apply,
       step(Kind::remove, Reason::left_the_stack)},
      {"left, metadata",
       'x',
       {},
       Is::metadata_differs,
       Mode::apply,
       step(Kind::remove, Reason::left_the_stack)},
      // Whoever carries it out finds nothing there.
      {"left, absent",
       'x',
       {},
       Is::absent,
       Mode::apply,
       step(Kind::remove, Reason::left_the_stack)},
      {"left, enforce",
       'x',
       {},
       Is::differs,
       Mode::enforce,
       step(Kind::remove, Reason::left_the_stack)},
      {"unchanged, metadata", 'x', 'x', Is::metadata_differs, Mode::apply,
       step(Kind::keep, Reason::unchanged)},
      {"in neither, apply", {}, {}, Is::differs, Mode::apply, {}},
      {"in neither, enforce", {}, {}, Is::differs, Mode::enforce, {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    FakeDevice device;
    device.answers["f"] = {row.device};
    const auto tree = [](std::optional<char> content) {
      return content ? Tree{file("f", *content)} : Tree{};
    };
    const auto steps = plan(device, tree(row.previous), tree(row.target), row.mode);
    REQUIRE(steps);
    CHECK((*steps == (row.step ? std::vector{*row.step} : std::vector<Step>{})));
  }
}

TEST_CASE("plan: what a rule covers is kept in every operation and never asked about", "[image]") {
  for (const Mode mode : {Mode::apply, Mode::enforce}) {
    for (const auto& [previous, target] : std::vector<std::pair<Tree, Tree>>{
             {{}, {dir("etc"), file("etc/fstab", 'y')}},
             {{dir("etc"), file("etc/fstab", 'x')}, {dir("etc"), file("etc/fstab", 'y')}},
             {{dir("etc"), file("etc/fstab", 'x')}, {dir("etc")}}}) {
      FakeDevice device;
      const auto steps = plan(device, previous, target, mode);
      REQUIRE(steps);
      CHECK((steps->back() == Step{"etc/fstab", Kind::keep, Reason::rule}));
      CHECK(device.asked <= 1);
    }
  }
}

TEST_CASE("plan: a user area of the device's policy is left alone in every operation", "[image]") {
  const auto protection = Protection::make({.unprotected = {{"data", {"srv/data"}, {}}},
                                            .user = {{"data", {"srv/data"}, {"srv/data/shared"}}}});
  REQUIRE(protection);
  const Tree before = {dir("srv"), dir("srv/data"), file("srv/data/x", 'x'), file("srv/y", 'x')};
  const Tree after = {dir("srv"),
                      dir("srv/data"),
                      file("srv/data/x", 'y'),
                      dir("srv/data/shared"),
                      file("srv/data/shared/z", 'y'),
                      file("srv/y", 'y')};
  for (const Mode mode : {Mode::apply, Mode::enforce, Mode::remove_others}) {
    FakeDevice device;
    const auto steps = plan(device, before, after, mode, *protection);
    REQUIRE(steps);
    const auto of = [&](const char* path) { return *std::ranges::find(*steps, path, &Step::path); };
    CHECK((of("srv/data/x") == Step{"srv/data/x", Kind::keep, Reason::rule}));
    CHECK(of("srv/data/shared/z").kind == Kind::create);
    CHECK(of("srv/y").kind == Kind::create);  // As absent from the device as all of it.
  }
  FakeDevice device;
  const auto left = plan(device, before, {}, Mode::apply, *protection);
  REQUIRE(left);
  CHECK((left->front() == Step{"srv/data/x", Kind::keep, Reason::rule}));

  device.answers["srv"] = {Is::differs, true};
  const auto refused = plan(device, {}, {soft_link("srv", "usr/srv")}, Mode::apply, *protection);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().text().find("rule data") != std::string::npos);
}

TEST_CASE("plan: a directory that left is removed after what lies beneath", "[image]") {
  FakeDevice device;
  const auto steps =
      plan(device, {dir("a"), dir("a/b"), file("a/b/c", 'x'), file("a/d", 'x'), file("e", 'x')},
           {file("e", 'x')});
  REQUIRE(steps);
  std::vector<std::string> order;
  for (const Step& step : *steps) order.push_back(step.path);
  CHECK((order == std::vector<std::string>{"a/b/c", "a/b", "a/d", "a", "e"}));
}

TEST_CASE("plan: a file over a directory takes its contents along", "[image]") {
  FakeDevice device;
  device.answers["a"] = {Is::differs, true};
  const auto steps = plan(device, {dir("a"), file("a/b", 'x')}, {file("a", 'y')});
  REQUIRE(steps);
  CHECK((*steps == std::vector{Step{"a", Kind::replace, Reason::changed}}));
}

TEST_CASE("plan: a layer cannot replace a directory that holds the device's own", "[image]") {
  FakeDevice device;
  device.answers["home"] = {Is::differs, true};
  const auto refused = plan(device, {}, {soft_link("home", "usr/home")});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind() == ErrorKind::refused);
  CHECK(refused.error().text().find("'home'") != std::string::npos);

  device.answers["home"] = {Is::differs, false};
  CHECK(plan(device, {}, {soft_link("home", "usr/home")}));
}

TEST_CASE("plan: a link to a file made anew is made anew", "[image]") {
  FakeDevice device;
  device.answers["a"] = {Is::differs};
  device.answers["b"] = {Is::same};
  const auto steps =
      plan(device, {file("a", 'x'), hard_link("b", "a")}, {file("a", 'y'), hard_link("b", "a")});
  REQUIRE(steps);
  CHECK((*steps == std::vector{Step{"a", Kind::replace, Reason::changed},
                               Step{"b", Kind::replace, Reason::changed}}));
}

TEST_CASE("plan: names that part get an inode each", "[image]") {
  // The device has all names on one inode, with the content that the target wants.
  const Tree linked{file("a", 'x'), hard_link("b", "a"), hard_link("c", "a")};
  struct Row {
    const char* what;
    Tree target;
    std::vector<Step> steps;
  };
  const Row rows[] = {
      {"the first name keeps it",
       {file("a", 'x'), file("b", 'x'), hard_link("c", "b")},
       {{"a", Kind::keep, Reason::unchanged},
        {"b", Kind::replace, Reason::changed},
        {"c", Kind::replace, Reason::changed}}},
      {"the next one, when the first leaves",
       {file("b", 'x'), file("c", 'x')},
       {{"a", Kind::remove, Reason::left_the_stack},
        {"b", Kind::keep, Reason::already_so},
        {"c", Kind::replace, Reason::changed}}},
      {"the last one, when no other is left",
       {file("c", 'x')},
       {{"a", Kind::remove, Reason::left_the_stack},
        {"b", Kind::remove, Reason::left_the_stack},
        {"c", Kind::keep, Reason::already_so}}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    FakeDevice device;
    for (const char* path : {"a", "b", "c"}) device.answers[path] = {Is::same};
    const auto steps = plan(device, linked, row.target);
    REQUIRE(steps);
    CHECK((*steps == row.steps));
  }
}

TEST_CASE("plan: a derived file is compared by nobody", "[image]") {
  struct Row {
    Tree previous;
    char target;
    Likeness device;
    Mode mode;
    Step step;
  };
  const auto etc = [&](Tree files) {
    files.insert(files.begin(), dir("etc"));
    return files;
  };
  const auto cache = [](char content) { return file("etc/ld.so.cache", content); };
  const auto step = [](Kind kind, Reason reason) { return Step{"etc/ld.so.cache", kind, reason}; };
  const Row rows[] = {
      {{cache('x')}, 'x', {Is::differs}, Mode::apply, step(Kind::keep, Reason::unchanged)},
      {{cache('x')}, 'x', {Is::differs}, Mode::enforce, step(Kind::keep, Reason::derived)},
      {{cache('x')}, 'x', {Is::metadata_differs}, Mode::enforce, step(Kind::keep, Reason::derived)},
      {{cache('x')}, 'x', {Is::same}, Mode::enforce, step(Kind::keep, Reason::already_so)},
      {{cache('x')}, 'x', {}, Mode::enforce, step(Kind::create, Reason::enforced)},
      {{cache('x')},
       'x',
       {Is::differs, true},
       Mode::enforce,
       step(Kind::replace, Reason::enforced)},
      // Until it is made again, what the layers have fits best.
      {{cache('x')}, 'y', {Is::differs}, Mode::apply, step(Kind::replace, Reason::changed)},
      {{}, 'y', {Is::differs}, Mode::apply, step(Kind::replace, Reason::new_in_target)},
  };
  for (const Row& row : rows) {
    FakeDevice device;
    device.answers["etc"] = {Is::same, true};
    device.answers["etc/ld.so.cache"] = row.device;
    const auto steps = plan(device, etc(row.previous), etc({cache(row.target)}), row.mode);
    REQUIRE(steps);
    CHECK((steps->back() == row.step));
  }
}
