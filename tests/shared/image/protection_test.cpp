#include "shared/image/protection.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "shared/format/path.hpp"

using namespace lamina;
using namespace lamina::image;
using format::ProtectionRule;

namespace {

const std::vector<std::string> kNoVolumes;

format::Entry file(const std::string& path, std::uint64_t size = 10) {
  return {.path = path, .kind = format::EntryKind::file, .size = size};
}

Protection made(std::vector<ProtectionRule> unprotected, std::vector<ProtectionRule> user = {}) {
  auto protection =
      Protection::make({.unprotected = std::move(unprotected), .user = std::move(user)});
  if (!protection) FAIL(protection.error().text());
  return std::move(*protection);
}

std::string owner(const Protection& protection, const char* path, bool is_directory = false) {
  const Rule* rule = protection.own_rule(path, is_directory);
  return rule ? std::string(name_of(rule->area)) + ' ' + std::string(rule->name) : "";
}

}  // namespace

TEST_CASE("protection: without a policy it is the factory rules", "[image]") {
  const Protection factory;
  CHECK(factory.in_snapshot("usr/bin/ls", false));
  CHECK(factory.is_user("home/ann/x", false));
  CHECK(factory.left_out_by("run/lock", false) == "factory");
  CHECK(factory.left_out_by(".lamina", true) == "factory");
  CHECK(factory.own_rule("usr/bin/ls", false) == nullptr);
}

TEST_CASE("protection: rules with exceptions", "[image]") {
  const Protection protection =
      made({{"caches", {"{cache}"}, {"{cache}/keep/**"}}, {"images", {"**/*.iso"}, {}}},
           {{"data", {"srv/data/*"}, {"srv/data/system"}}});
  CHECK(protection.left_out_by("home/ann/.cache/x", false) == "caches");
  CHECK(protection.in_snapshot("home/ann/.cache/keep/x", false));
  CHECK(protection.left_out_by("home/ann/debian.iso", false) == "images");
  // The way to what is kept is kept, and walked.
  CHECK(protection.in_snapshot("home/ann/.cache", true));
  CHECK(protection.in_snapshot("home/ann/.cache/keep", true));
  CHECK_FALSE(protection.in_snapshot("home/ann/.cache/other", true));
  CHECK(owner(protection, "srv/data/x") == "user data");
  CHECK(protection.in_snapshot("srv/data/x", false));
  CHECK(owner(protection, "srv/data", true).empty());
  CHECK(owner(protection, "srv/data/system/x").empty());
  CHECK(owner(protection, "srv/data/system", true).empty());
}

TEST_CASE("protection: a directory that leads to an exception is made by an apply", "[image]") {
  const Protection protection = made({}, {{"data", {"srv/data"}, {"srv/data/a/system"}}});
  CHECK(owner(protection, "srv/data", true).empty());
  CHECK(owner(protection, "srv/data/a", true).empty());
  CHECK(owner(protection, "srv/data/b", true) == "user data");
  CHECK(owner(protection, "srv/data/a") == "user data");  // A file leads nowhere.
}

TEST_CASE("protection: the factory rules come first", "[image]") {
  const Protection protection =
      made({{"spare", {"srv"}, {"run/x", ".lamina"}}},
           {{"etc", {"etc/own", "etc/machine-id", "home"}, {"home/ann", "proc/1"}}});
  CHECK(owner(protection, "home/ann/x") == "user home");
  CHECK(owner(protection, "etc/machine-id") == "identity machine-id");
  CHECK(owner(protection, "etc/own") == "user etc");
  CHECK(protection.left_out_by("run/x", false) == "factory");
  CHECK(protection.left_out_by(".lamina/applied", false) == "factory");
}

TEST_CASE("protection: what may not be replaced, and what an enforcement leaves", "[image]") {
  const Protection protection =
      made({{"images", {"var/images"}, {}}}, {{"data", {"srv/*/data"}, {}}});
  for (const char* path : {"srv", "srv/a", ""}) {
    CAPTURE(path);
    CHECK(protection.own_rule_beneath(path) != nullptr);
  }
  CHECK(protection.own_rule_beneath("srv/a/programs") == nullptr);
  CHECK(Protection().own_rule_beneath("srv") == nullptr);
  CHECK(protection.stays_unowned("srv/a/data/x", false));
  CHECK(protection.stays_unowned("var/images/x", false));
  CHECK_FALSE(protection.stays_unowned("srv/a/x", false));
  CHECK_FALSE(Protection().stays_unowned("var/images/x", false));
}

TEST_CASE("protection: it may be moved", "[image]") {
  Protection first = made({}, {{"a", {"srv/a"}, {}}});
  Protection second;
  second = std::move(first);
  CHECK(owner(second, "srv/a/x") == "user a");
}

TEST_CASE("protection: whatever is protected is found by a walk", "[image]") {
  std::mt19937 random(3);
  const auto path_of = [&](std::initializer_list<const char*> words) {
    std::string path;
    for (std::size_t n = 1 + random() % 4; n > 0; --n)
      path += (path.empty() ? "" : "/") + std::string(*(words.begin() + random() % words.size()));
    return path;
  };
  int found = 0;
  for (int i = 0; i < 5'000; ++i) {
    auto protection = Protection::make(
        {.unprotected = {{"x", {path_of({"a", "b", "*", "**"})}, {path_of({"a", "b", "*", "**"})}}},
         .user = {}});
    if (!protection) continue;  // It covered everything.
    const std::string path = path_of({"a", "b", "c"});
    if (!protection->in_snapshot(path, false)) continue;
    ++found;
    CAPTURE(path);
    for (std::string_view above = format::parent_of(path); !above.empty();
         above = format::parent_of(above))
      REQUIRE(protection->in_snapshot(above, true));
  }
  CHECK(found > 1000);
}

TEST_CASE("protection: what is wrong with a rule is named", "[image]") {
  const auto error = [](const std::vector<ProtectionRule>& rules,
                        const std::vector<ProtectionRule>& user = {}) {
    auto made = Protection::make({.unprotected = rules, .user = user});
    REQUIRE_FALSE(made);
    CHECK(made.error().kind() == ErrorKind::invalid);
    return made.error().text();
  };
  using Catch::Contains;
  CHECK_THAT(error({{"x", {"/abs"}, {}}}), Contains("'x'") && Contains("'/abs'"));
  CHECK_THAT(error({{"x", {"a"}, {"{none}"}}}), Contains("{home}"));
  CHECK_THAT(error({{"x", {}, {}}}), Contains("no paths"));
  CHECK_THAT(error({{"factory", {"a"}, {}}}), Contains("'factory'"));
  CHECK_THAT(error({{"x", {"a"}, {}}, {"x", {"b"}, {}}}), Contains("'x'"));
  CHECK_THAT(error({{"a b", {"a"}, {}}}), Contains("rule name"));
  CHECK_THAT(error({{"x", std::vector<std::string>(257, "a"), {}}}), Contains("256"));
  CHECK_THAT(error({{"x", std::vector<std::string>(9, std::string(4000, 'a')), {}}}),
             Contains("bytes"));
  std::vector<ProtectionRule> many;
  for (int i = 0; i < 65; ++i) many.push_back({"r" + std::to_string(i), {"a"}, {}});
  CHECK_THAT(error(many), Contains("64"));
  for (const char* area : {"usr", "u*", "usr/*", "etc/*", "**/lib", "var", "boot"}) {
    CAPTURE(area);
    CHECK_THAT(error({}, {{"x", {area}, {}}}), Contains("no layer could change"));
  }
}

TEST_CASE("protection change: what a policy takes from the next snapshots", "[image]") {
  const Protection before;
  const Protection after = made({{"caches", {"{cache}"}, {}}}, {{"data", {"srv/data"}, {}}});
  ProtectionChange change(before, after, kNoVolumes);
  for (const char* path : {"etc/issue", "home/ann/.cache/a", "home/ann/.cache/b", "home/ann/x",
                           "srv/data/x", "var/cache/apt/x"})
    change.add(file(path));
  REQUIRE(change.leaves().size() == 1);
  const auto& left = change.leaves().at("caches");
  CHECK(left.entries == 3);
  CHECK(left.bytes == 30);
  CHECK(left.examples ==
        std::vector<std::string>{"home/ann/.cache/a", "home/ann/.cache/b", "var/cache/apt/x"});
  CHECK(change.becomes_user().entries == 1);
  CHECK(change.becomes_machine().entries == 0);
  CHECK(change.comes().entries == 0);
  CHECK(change.held().entries == 6);

  ProtectionChange back(after, before, kNoVolumes);
  back.add(file("srv/data/x"));
  back.add(file("var/cache/apt/x"));  // The snapshot was made before it was left out.
  CHECK(back.becomes_machine().entries == 1);
  CHECK(back.comes().entries == 1);
  CHECK(back.leaves().empty());
  for (int i = 0; i < 20; ++i) back.add(file("var/cache/" + std::to_string(i)));
  CHECK(back.comes().examples.size() == ProtectionChange::kExamplesMax);
}

TEST_CASE("protection: volumes are places that snapshots can hold", "[image]") {
  const auto made = Protection::make({.unprotected = {{"caches", {"var/cache"}, {}}},
                                      .user = {},
                                      .volumes = {"srv/data", "home", "srv"}});
  REQUIRE(made);
  CHECK(made->volumes() == std::vector<std::string>{"home", "srv", "srv/data"});
  CHECK(made->holds_volume("srv"));
  CHECK_FALSE(made->holds_volume("srv/dat"));
  for (const auto& [volumes, why] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"/srv"}, "as in \"srv/data\""},
           {{""}, "as in \"srv/data\""},
           {{"run/media"}, "'factory'"},
           {{"var/cache/apt"}, "'caches'"},
           {{"srv", "a", "srv"}, "'srv' is named twice"},
           {std::vector<std::string>(format::kProtectedVolumesMax + 1, "x"),
            "at most 32 volumes"}}) {
    CAPTURE(why);
    const auto refused = Protection::make(
        {.unprotected = {{"caches", {"var/cache"}, {}}}, .user = {}, .volumes = volumes});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().text().find(why) != std::string::npos);
  }
}

TEST_CASE("protection: what leaves snapshots with a volume is told by volume", "[image]") {
  const auto before = Protection::make({{}, {}, {"srv", "srv/data"}}).value();
  const auto after = Protection::make({{}, {}, {"srv"}}).value();
  const std::vector<std::string> held{"srv", "srv/data"};
  ProtectionChange change(before, after, held);
  for (const char* path : {"etc/issue", "srv/data", "srv/data/a", "srv/data/b/c", "srv/other"})
    change.add(file(path));
  CHECK(change.leaves().empty());
  REQUIRE(change.volumes_leave().size() == 1);
  CHECK(change.volumes_leave().at("srv/data").entries == 2);
  CHECK(change.held().entries == 5);
}
