#include "shared/store/kv.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <vector>

#include "tests/support/scratch_directory.hpp"

using namespace lamina;

namespace {

struct Bench {
  ScratchDirectory directory;
  std::unique_ptr<Kv> kv = open();

  std::unique_ptr<Kv> open() {
    auto opened = Kv::open(directory.path(), 1_MiB);
    REQUIRE(opened);
    return std::move(*opened);
  }
  Status put(const std::string& key, const std::string& value) {
    return kv->write([&](Kv::Edit& edit) { return edit.put(key, value); });
  }
  std::optional<std::string> get(const std::string& key) {
    std::optional<std::string> value;
    REQUIRE(kv->read([&](const Kv::View& view) -> Status {
      auto found = view.get(key);
      if (!found) return fail(std::move(found.error()));
      value = *found;
      return Done{};
    }));
    return value;
  }
  std::vector<std::string> keys(const std::string& prefix, const std::string& from = "") {
    std::vector<std::string> all;
    REQUIRE(kv->read([&](const Kv::View& view) {
      const auto note = [&](std::string_view key, std::string_view) {
        all.emplace_back(key);
        return true;
      };
      return view.scan(prefix, note, from);
    }));
    return all;
  }
  std::optional<std::string> last(const std::string& prefix) {
    std::optional<std::string> key;
    REQUIRE(kv->read([&](const Kv::View& view) -> Status {
      auto found = view.last_key(prefix);
      if (!found) return fail(std::move(found.error()));
      key = *found;
      return Done{};
    }));
    return key;
  }
};

}  // namespace

TEST_CASE("kv: what was written is there after a restart", "[store]") {
  Bench bench;
  REQUIRE(bench.put("a", "1"));
  REQUIRE(bench.put("b", ""));
  bench.kv.reset();
  bench.kv = bench.open();
  CHECK(bench.get("a") == "1");
  CHECK(bench.get("b") == "");
  CHECK_FALSE(bench.get("c"));
}

TEST_CASE("kv: a change that fails leaves no trace", "[store]") {
  Bench bench;
  REQUIRE(bench.put("a", "1"));
  const auto status = bench.kv->write([](Kv::Edit& edit) -> Status {
    REQUIRE(edit.put("a", "2"));
    REQUIRE(edit.erase("a"));
    REQUIRE(edit.put("b", "2"));
    return fail(ErrorKind::refused, "no");
  });
  CHECK(status.error().kind() == ErrorKind::refused);
  CHECK(bench.get("a") == "1");
  CHECK_FALSE(bench.get("b"));
}

TEST_CASE("kv: prefixes end where they end", "[store]") {
  Bench bench;
  for (const char* key : {"a", "a/1", "a/2", "a0", "b", "\xff", "\xff\xff"})
    REQUIRE(bench.put(key, "x"));
  CHECK(bench.keys("a/") == std::vector<std::string>{"a/1", "a/2"});
  CHECK(bench.keys("").size() == 7);
  CHECK(bench.keys("c").empty());
  CHECK(bench.keys("a/", "a/2") == std::vector<std::string>{"a/2"});
  CHECK(bench.keys("a/", std::string("a/1\0", 4)) == std::vector<std::string>{"a/2"});
  CHECK(bench.keys("a/", "a/3").empty());
  CHECK(bench.keys("a/", "A").size() == 2);
  CHECK(bench.last("a/") == "a/2");
  CHECK(bench.last("a") == "a0");
  CHECK(bench.last("\xff") == "\xff\xff");
  CHECK_FALSE(bench.last("a/3"));
  CHECK_FALSE(bench.last("0"));
}

TEST_CASE("kv: keys that LMDB cannot hold are refused", "[store]") {
  Bench bench;
  CHECK(bench.put("", "x").error().kind() == ErrorKind::invalid);
  CHECK(bench.put(std::string(512, 'k'), "x").error().kind() == ErrorKind::invalid);
  CHECK(bench.put(std::string(511, 'k'), "x"));
}

TEST_CASE("kv: a full database says so and stays as it was", "[store]") {
  Bench bench;
  REQUIRE(bench.put("a", "1"));
  const auto status = bench.put("big", std::string(2 << 20, 'x'));
  REQUIRE_FALSE(status);
  CHECK(status.error().kind() == ErrorKind::out_of_space);
  CHECK(bench.get("a") == "1");
  CHECK(bench.put("b", "2"));
}

TEST_CASE("kv: the map grows with the database, for another process too", "[store]") {
  Bench bench;
  REQUIRE(bench.put("first", "1"));
  int is_open[2];
  int is_grown[2];
  REQUIRE(pipe(is_open) == 0);
  REQUIRE(pipe(is_grown) == 0);
  const pid_t other = fork();
  REQUIRE(other >= 0);
  if (other == 0) {
    // It has the database open while the map grows, then reads and writes behind its own map.
    const auto kv = Kv::open(bench.directory.path(), 1_MiB);
    char byte = 0;
    bool good = kv && write(is_open[1], &byte, 1) == 1 && read(is_grown[0], &byte, 1) == 1;
    good = good && (*kv)->read([](const Kv::View& view) -> Status {
      auto last = view.get("key159");
      if (last && *last && (*last)->size() == 100'000) return Done{};
      return fail(ErrorKind::not_found, "the last row");
    });
    good = good && (*kv)->write([](Kv::Edit& edit) { return edit.put("late", "1"); });
    _exit(good ? 0 : 1);
  }
  char byte = 0;
  REQUIRE(read(is_open[0], &byte, 1) == 1);
  // Sixteen times what the map had room for.
  for (int i = 0; i < 160; ++i)
    REQUIRE(bench.put("key" + std::to_string(i), std::string(100'000, static_cast<char>(i))));
  REQUIRE(write(is_grown[1], &byte, 1) == 1);
  int status = 0;
  REQUIRE(waitpid(other, &status, 0) == other);
  CHECK(status == 0);
  CHECK(bench.get("late") == "1");
  CHECK(bench.keys("key").size() == 160);
}

TEST_CASE("kv: a directory that is not there, a file that is no database", "[store]") {
  ScratchDirectory directory;
  const auto nowhere = Kv::open(directory.path() / "nowhere", 1_MiB);
  REQUIRE_FALSE(nowhere);
  CHECK_THAT(nowhere.error().text(), Catch::Contains("nowhere"));

  std::ofstream(directory.path() / "data.mdb") << std::string(8192, 'x');
  const auto broken = Kv::open(directory.path(), 1_MiB);
  REQUIRE_FALSE(broken);
  CHECK(broken.error().kind() == ErrorKind::corrupt);
}
