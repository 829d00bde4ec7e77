#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "tests/shared/image/records/laws.hpp"

using namespace lamina;
using namespace lamina::image;

namespace {

using Kind = ActionKind;

const RecordFormat& format_of(std::string_view path) { return record_rule(path)->format; }
const RecordFormat& passwd() { return format_of("etc/passwd"); }

std::string account(const std::string& name, char shell) {
  return name + ":x:100:100::/:/" + shell + '\n';
}

// Draws the same on every machine.
struct Dice {
  std::mt19937_64 engine;
  std::size_t below(std::size_t limit) { return engine() % limit; }
  bool one_in(std::size_t n) { return below(n) == 0; }
};

}  // namespace

TEST_CASE("records plan: every cell of the table", "[image]") {
  struct Row {
    const char* what;
    std::string previous, target, device;
    Mode mode;
    std::optional<std::pair<Kind, Reason>> action;
    std::string result;
  };
  const std::string x = account("a", 'x'), y = account("a", 'y'), z = account("a", 'z');
  const auto apply = Mode::apply, enforce = Mode::enforce;
  const Row rows[] = {
      {"new, absent", "", y, "", apply, {{Kind::create, Reason::new_in_target}}, y},
      {"new, same", "", y, y, apply, {{Kind::keep, Reason::already_so}}, y},
      {"new, differs", "", y, z, apply, {{Kind::replace, Reason::new_in_target}}, y},
      {"changed, absent", x, y, "", apply, {{Kind::create, Reason::changed}}, y},
      {"changed, as before", x, y, x, apply, {{Kind::replace, Reason::changed}}, y},
      {"changed, same", x, y, y, apply, {{Kind::keep, Reason::already_so}}, y},
      {"changed, differs", x, y, z, apply, {{Kind::replace, Reason::changed}}, y},
      {"unchanged, absent", x, x, "", apply, {{Kind::keep, Reason::unchanged}}, ""},
      {"unchanged, same", x, x, x, apply, {{Kind::keep, Reason::unchanged}}, x},
      {"unchanged, differs", x, x, z, apply, {{Kind::keep, Reason::unchanged}}, z},
      {"enforce, absent", x, x, "", enforce, {{Kind::create, Reason::enforced}}, x},
      {"enforce, same", x, x, x, enforce, {{Kind::keep, Reason::already_so}}, x},
      {"enforce, differs", x, x, z, enforce, {{Kind::replace, Reason::enforced}}, x},
      {"left, same", x, "", x, apply, {{Kind::remove, Reason::left_the_stack}}, ""},
      {"left, differs", x, "", z, apply, {{Kind::remove, Reason::left_the_stack}}, ""},
      {"left, absent", x, "", "", apply, {}, ""},
      {"in neither", "", "", z, apply, {}, z},
      {"in neither, enforce", "", "", z, enforce, {}, z},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    // A record of the layers and one of the device's own, which stay.
    const std::string first = account("first", 'f'), own = account("own", 'o');
    const auto plan = plan_records(passwd(), first + row.device + own, first + row.previous,
                                   first + row.target, row.mode);
    CHECK(plan.result == first + row.result + own);
    std::vector<RecordAction> actions{
        {Kind::keep, row.mode == apply ? Reason::unchanged : Reason::already_so, {"first"}}};
    if (row.action) actions.push_back({row.action->first, row.action->second, {"a"}});
    CHECK((plan.actions == actions));
  }
}

TEST_CASE("records plan: files that are missing, or not understood, are compared as wholes",
          "[image]") {
  const RecordFormat& diversions = format_of("var/lib/dpkg/diversions");
  const std::string one = "/a\n/b\nc\n", two = "/a\n/b\nd\n", broken = "?\n";
  using File = std::optional<std::string>;
  struct Row {
    const char* what;
    File device, previous, target;
    File applied, enforced;
  };
  const Row rows[] = {
      {"a new file", {}, {}, one, one, one},
      {"the user removed it", {}, one, one, {}, one},
      {"the user removed it, and it changed", {}, one, two, two, two},
      {"it leaves", one, one, {}, {}, {}},
      {"it leaves, with a record of the user's",
       two + "/u\n/v\n:\n",
       one,
       {},
       "/u\n/v\n:\n",
       "/u\n/v\n:\n"},
      {"no layer has it", one, {}, {}, one, one},
      {"no layer has it, nor the device", {}, {}, {}, {}, {}},
      {"broken on the device", broken, one, one, broken, one},
      {"broken on the device, and changed", broken, one, two, two, two},
      {"broken on the device, and it leaves", broken, one, {}, {}, {}},
      {"broken on the device, which no layer has", broken, {}, {}, broken, broken},
      {"broken in the stack", one, one, broken, broken, broken},
      {"empty on the device", "", one, one, "", one},
      {"empty in the stack", one, one, "", "", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const auto plan = [&](Mode mode) {
      return plan_records(diversions, row.device, row.previous, row.target, mode).result;
    };
    CHECK((plan(Mode::apply) == row.applied));
    CHECK((plan(Mode::enforce) == row.enforced));
  }
}

TEST_CASE("records plan: what is new stands where the layers have it", "[image]") {
  const auto names = [](const std::string& letters) {
    std::string bytes;
    for (const char letter : letters)
      bytes += letter == '#' ? "#\n" : account(std::string(1, letter), 's');
    return bytes;
  };
  struct Row {
    const char *device, *previous, *target, *result;
  };
  const Row rows[] = {
      {"ac", "ac", "abc", "abc"},      // Behind its neighbour.
      {"auc", "ac", "abcd", "abucd"},  // The device's own stays where it is.
      {"bu", "b", "ab", "abu"},        // The first one, before its neighbour.
      {"u", "", "ab", "abu"},          // No neighbour: before the device\'s own.
      {"cu", "abc", "abxc", "xcu"},    // The user removed its neighbour.
      {"a#bu", "a#b", "a#", "a#u"},    // A comment stays as long as the layers have it.
      {"a#bu", "a#b", "ab", "abu"},
      {"abu#", "ab", "a#b", "abu#"},  // The device has that text already.
  };
  for (const Row& row : rows) {
    CAPTURE(row.device, row.previous, row.target);
    CHECK(plan_records(passwd(), names(row.device), names(row.previous), names(row.target),
                       Mode::apply)
              .result == names(row.result));
  }
}

TEST_CASE("records plan: the end of the last line stays as it is", "[image]") {
  const std::string a = "a:x:1:1::/:/s", b = "b:x:1:1::/:/s";
  const auto grown = plan_records(passwd(), a, a + '\n', a + '\n' + b + '\n', Mode::apply);
  CHECK(grown.result == a + '\n' + b);
  const auto shrunk =
      plan_records(passwd(), *grown.result, a + '\n' + b + '\n', a + '\n', Mode::apply);
  CHECK(shrunk.result == a);
}

TEST_CASE("records plan: a password that the device changed is its own", "[image]") {
  const RecordFormat& shadow = format_of("etc/shadow");
  const std::string old = "root:*:1:0:99999:7:::\n", fresh = "root:!:2:0:90:7:::\n";
  struct Row {
    const char* what;
    std::string device, previous, result;
  };
  const Row rows[] = {
      {"untouched", old, old, fresh},
      {"set by somebody", "root:$y$abc:9:0:99999:7:::\n", old, "root:$y$abc:9:0:90:7:::\n"},
      {"there before the first apply", "root:$y$abc:9:0:7:7:::\n", "", "root:$y$abc:9:0:90:7:::\n"},
      {"not there", "", old, fresh},
  };
  for (const Row& row : rows)
    for (const Mode mode : {Mode::apply, Mode::enforce}) {
      CAPTURE(row.what);
      CHECK(plan_records(shadow, row.device, row.previous, fresh, mode).result == row.result);
    }
}

TEST_CASE("records plan: the laws hold for random files of every format", "[image]") {
  Dice dice{std::mt19937_64{5}};
  const std::vector<std::string> pieces = {"a:x:1:1::/:/s\n",
                                           "a:x:2:1::/:/s\n",
                                           "b:x:1:1::/:/s\n",
                                           "c:x:3:1::/:/s\n",
                                           "g:x:1:\n",
                                           "g:x:1:a,b\n",
                                           "g:!:a:b,c\n",
                                           "h:x:1:,\n",
                                           "r:1:2\n",
                                           "r:3:4\n",
                                           "s:*:1:0:9:7:::\n",
                                           "s:$y$:1:0:9:7:::\n",
                                           "# text\n",
                                           "\n",
                                           "\n\n",
                                           "+::::::\n",
                                           "Package: a\nVersion: 1\n\n",
                                           "Package: a\nVersion: 2\n\n",
                                           "package: b\n\n",
                                           "Package: c\nMulti-Arch: same\nArchitecture: amd64\n\n",
                                           "Package: c\nMulti-Arch: same\nArchitecture: i386\n\n",
                                           "Name: q\n\n",
                                           "root root 644 /x\n",
                                           "/t p/noawait\n",
                                           "/t p\n",
                                           "/a\n/b\nc\n",
                                           "/d\n/e\nf\n",
                                           "auto\n/l\n\n/p\n1\n\n",
                                           "auto\n/l\nsl\n/m\n\n/p\n1\n/q\n\n",
                                           "manual\n/l\n\n/r\n2\n\n",
                                           "x",
                                           ":",
                                           std::string(1, '\0'),
                                           "\xff"};
  const auto draw = [&] {
    std::string bytes;
    for (std::size_t left = dice.below(7); left > 0; --left)
      bytes += pieces[dice.below(pieces.size())];
    if (dice.one_in(8) && !bytes.empty()) bytes.resize(dice.below(bytes.size()));
    return bytes;
  };
  for (int round = 0; round < 3000; ++round)
    for (const RecordRule& rule : record_rules())
      check_record_laws(rule.format, draw(), draw(), draw());
}

// The slow, obvious twin: names and values, looked up one by one.
TEST_CASE("records plan: drifted devices, against a slow model", "[image]") {
  Dice dice{std::mt19937_64{6}};
  using Accounts = std::vector<std::pair<std::string, char>>;
  const auto value = [](const Accounts& accounts, const std::string& name) -> char {
    for (const auto& [other, shell] : accounts)
      if (other == name) return shell;
    return 0;
  };
  const auto text = [](const Accounts& accounts) {
    std::string bytes;
    for (const auto& [name, shell] : accounts) bytes += account(name, shell);
    return bytes;
  };
  for (int round = 0; round < 3000; ++round) {
    CAPTURE(round);
    Accounts previous, target, device;
    for (char c = 'a'; c < 'k'; ++c) {
      const std::string name(1, c);
      const char shell = static_cast<char>('0' + dice.below(2));
      if (!dice.one_in(3)) previous.emplace_back(name, shell);
      if (!dice.one_in(3))
        target.emplace_back(name, dice.one_in(3) ? static_cast<char>('0' + dice.below(3)) : shell);
    }
    // Drift only where the stacks agree: there the device's counts.
    for (const auto& [name, shell] : previous) {
      const bool is_common = value(target, name) == shell;
      if (is_common && dice.one_in(6)) continue;
      device.emplace_back(name, is_common && dice.one_in(6) ? 'u' : shell);
    }
    for (std::size_t own = dice.below(3); own > 0; --own)
      device.emplace_back("own" + std::to_string(own), 'o');

    Accounts expected;
    for (const auto& [name, shell] : target)
      if (const char has = value(device, name); value(previous, name) != shell)
        expected.emplace_back(name, shell);
      else if (has != 0)
        expected.emplace_back(name, has);
    for (const auto& [name, shell] : device)
      if (value(previous, name) == 0 && value(target, name) == 0)
        expected.emplace_back(name, shell);

    const auto there =
        plan_records(passwd(), text(device), text(previous), text(target), Mode::apply);
    CHECK(diff(passwd().parse(*there.result), passwd().parse(text(expected))).empty());
    const auto back =
        plan_records(passwd(), *there.result, text(target), text(previous), Mode::apply);
    CHECK(*back.result == text(device));
    const auto enforced =
        plan_records(passwd(), text(device), text(previous), text(target), Mode::enforce);
    for (const auto& [name, shell] : target)
      CHECK(enforced.result->find(account(name, shell)) != std::string::npos);
  }
}
