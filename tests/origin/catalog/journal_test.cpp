#include "origin/catalog/journal.hpp"

#include <sys/resource.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <map>
#include <thread>

#include "origin/catalog/journaled_table.hpp"
#include "tests/support/killed_at.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace lamina::tests;

namespace {

using Map = std::map<std::string, std::string>;

struct Kept {
  Scratch scratch;
  std::string catalog = scratch / "catalog";
  std::string journal = scratch / "journal";
  JournaledTable::Options options{.map_max = 16_MiB};

  std::unique_ptr<JournaledTable> open() {
    auto table = JournaledTable::open(catalog, journal, options);
    if (!table) FAIL(table.error().text());
    return std::move(*table);
  }
  static void put(Table& table, const std::string& key, const std::string& value) {
    REQUIRE(table.write([&](Rows& rows) { return rows.put(key, value); }));
  }
  static Map all(const Table& table) {
    Map rows;
    REQUIRE(table.read([&](const Rows& view) {
      return view.scan("", [&](std::string_view key, std::string_view value) {
        if (key != kJournalRow) rows.emplace(key, value);
        return true;
      });
    }));
    return rows;
  }
  std::uint64_t number() {
    auto kv = Kv::open(catalog, 16_MiB).value();
    KvTable table(*kv);
    std::uint64_t number = 0;
    REQUIRE(table.read([&](const Rows& rows) -> Status {
      number = journal_number(rows).value().number;
      return Done{};
    }));
    return number;
  }
  Map rebuilt() {
    const std::string elsewhere = scratch / "rebuilt";
    REQUIRE(os::remove_tree(elsewhere));
    REQUIRE(os::make_directories(elsewhere));
    auto kv = Kv::open(elsewhere, 16_MiB).value();
    auto done = rebuild_rows(journal, *kv);
    if (!done) FAIL(done.error().text());
    last = *done;
    return all(KvTable(*kv));
  }
  Rebuilt last;
  Buffer read(const std::string& path) { return os::read_file(path, 1 << 26).value(); }
  std::string newest_changes() {
    return changes_path(journal, list_journal(journal).value().changes.back());
  }
};

}  // namespace

TEST_CASE("row changes: keys that have much in common, empty values, erasures", "[origin]") {
  RowChanges changes;
  changes.put("device/aa", "1");
  changes.put("device/ab", "");
  changes.erase("device/a");
  changes.put("e", std::string(1000, 'x'));
  std::vector<std::pair<std::string, std::optional<std::string>>> seen;
  const VisitChange note = [&](std::string_view key, auto value) -> Status {
    seen.emplace_back(key, value);
    return Done{};
  };
  REQUIRE(for_each_change(changes.bytes(), note));
  REQUIRE(seen.size() == 4);
  CHECK(seen[0] == std::pair<std::string, std::optional<std::string>>("device/aa", "1"));
  CHECK(seen[1] == std::pair<std::string, std::optional<std::string>>("device/ab", ""));
  CHECK(seen[2] == std::pair<std::string, std::optional<std::string>>("device/a", std::nullopt));
  CHECK(seen[3].second->size() == 1000);
  const Buffer bytes(changes.bytes().begin(), changes.bytes().end());
  // Every beginning is either changes or refused, and never read beyond.
  for (std::size_t size = 0; size < bytes.size(); ++size)
    if (auto done = for_each_change(ByteView(bytes).first(size), note); !done)
      CHECK(done.error().kind() == ErrorKind::corrupt);
}

TEST_CASE("journal: the rows come back without the database", "[origin]") {
  Kept kept;
  Map rows;
  {
    auto table = kept.open();
    Kept::put(*table, "a", "1");
    Kept::put(*table, "b", "2");
    REQUIRE(table->write([](Rows& view) -> Status {
      if (auto done = view.erase("a"); !done) return done;
      return view.put("c", "3");
    }));
    // What fails leaves nothing.
    CHECK_FALSE(table->write([](Rows& view) -> Status {
      if (auto done = view.put("never", "x"); !done) return done;
      return fail(ErrorKind::refused, "no");
    }));
    rows = Kept::all(*table);
    CHECK(rows == Map{{"b", "2"}, {"c", "3"}});
    CHECK(kept.rebuilt() == rows);
    CHECK(kept.last.transactions == 3);
  }
  CHECK(Kept::all(*kept.open()) == rows);
  CHECK(kept.rebuilt() == rows);

  SECTION("and nobody begins with an empty one") {
    REQUIRE(os::remove_tree(kept.catalog));
    const auto opened = JournaledTable::open(kept.catalog, kept.journal, kept.options);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind() == ErrorKind::corrupt);
    CHECK(opened.error().text().find("lamina-origin rebuild") != std::string::npos);
  }
  SECTION("the rebuilt database goes on with the journal") {
    REQUIRE(os::remove_tree(kept.catalog));
    REQUIRE(os::rename_file(kept.scratch / "rebuilt", kept.catalog));
    const auto before = list_journal(kept.journal).value();
    {
      auto table = kept.open();
      Kept::put(*table, "d", "4");
    }
    CHECK(list_journal(kept.journal).value().rows == before.rows);
    rows["d"] = "4";
    CHECK(kept.rebuilt() == rows);
  }
}

TEST_CASE("journal: what the database lost is done again", "[origin]") {
  Kept kept;
  {
    auto table = kept.open();
    Kept::put(*table, "a", "1");
  }
  // As a power failure leaves it, or a kill before the commit.
  const Buffer before = kept.read(kept.catalog + "/data.mdb");
  {
    auto table = kept.open();
    Kept::put(*table, "a", "2");
    Kept::put(*table, "b", "3");
  }
  const auto number = kept.number();
  REQUIRE(os::write_file(kept.catalog + "/data.mdb", before));
  CHECK(kept.number() == number - 2);
  CHECK(Kept::all(*kept.open()) == Map{{"a", "2"}, {"b", "3"}});
  CHECK(kept.number() == number);
}

TEST_CASE("journal: a transaction that was being written at a crash is not there", "[origin]") {
  Kept kept;
  {
    auto table = kept.open();
    Kept::put(*table, "a", "1");
  }
  const Buffer database = kept.read(kept.catalog + "/data.mdb");
  const Buffer whole = kept.read(kept.newest_changes());
  {
    auto table = kept.open();
    Kept::put(*table, "b", std::string(100, 'x'));
  }
  const Buffer more = kept.read(kept.newest_changes());
  REQUIRE(os::write_file(kept.catalog + "/data.mdb", database));
  for (std::size_t size = whole.size(); size < more.size(); ++size) {
    Buffer cut(more.begin(), more.begin() + static_cast<std::ptrdiff_t>(size));
    if (size % 16 == 0) cut.resize(more.size());  // Zeros, as a file system may leave.
    REQUIRE(os::write_file(kept.newest_changes(), cut));
    CHECK(kept.rebuilt() == Map{{"a", "1"}});
    CHECK(kept.last.is_torn == (cut.size() > whole.size()));
  }
  {
    auto table = kept.open();
    CHECK(Kept::all(*table) == Map{{"a", "1"}});
    Kept::put(*table, "c", "2");
  }
  CHECK(kept.rebuilt() == Map{{"a", "1"}, {"c", "2"}});
}

TEST_CASE("journal: damage is told from a torn end", "[origin]") {
  Kept kept;
  {
    auto table = kept.open();
    Kept::put(*table, "a", "1");
    Kept::put(*table, "b", "2");
  }
  const Buffer good = kept.read(kept.newest_changes());
  Buffer bytes = good;
  bytes[8 + 12 + 11] ^= std::byte{1};  // In the first transaction.
  REQUIRE(os::write_file(kept.newest_changes(), bytes));
  auto kv = Kv::open(kept.scratch.path(), 16_MiB).value();
  const auto refused = rebuild_rows(kept.journal, *kv);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind() == ErrorKind::corrupt);
  SECTION("while the database is there, the journal begins anew with it") {
    CHECK(Kept::all(*kept.open()) == Map{{"a", "1"}, {"b", "2"}});
    CHECK(kept.rebuilt() == Map{{"a", "1"}, {"b", "2"}});
    CHECK(kept.last.transactions == 0);
  }
}

TEST_CASE("journal: what another program changed is taken in", "[origin]") {
  Kept kept;
  {
    auto table = kept.open();
    Kept::put(*table, "a", "1");
  }
  {
    auto kv = Kv::open(kept.catalog, 16_MiB).value();
    KvTable table(*kv);
    Kept::put(table, "a", "2");
  }
  CHECK(kept.rebuilt() == Map{{"a", "1"}});
  {
    auto table = kept.open();
    Kept::put(*table, "b", "3");
  }
  CHECK(kept.rebuilt() == Map{{"a", "2"}, {"b", "3"}});
  SECTION("also where there never was a journal") {
    REQUIRE(os::remove_tree(kept.journal));
    kept.open();
    CHECK(kept.rebuilt() == Map{{"a", "2"}, {"b", "3"}});
  }
  SECTION("but an older database is not taken for the newest") {
    const auto number = kept.number();
    REQUIRE(os::remove_tree(kept.catalog));
    REQUIRE(os::rename_file(rows_path(kept.journal, list_journal(kept.journal)->rows.back()),
                            rows_path(kept.journal, number + 5)));
    REQUIRE(os::rename_file(kept.scratch / "rebuilt", kept.catalog));
    const auto opened = JournaledTable::open(kept.catalog, kept.journal, kept.options);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().text().find("older than its journal") != std::string::npos);
  }
}

TEST_CASE("journal: rows are written anew when the changes outgrow them", "[origin]") {
  Kept kept;
  kept.options.changes_max = 4_KiB;
  Map rows;
  {
    auto table = kept.open();
    const auto first = list_journal(kept.journal).value().rows.back();
    for (int i = 0; i < 100; ++i) {
      const std::string key = "key-" + std::to_string(i % 37);
      Kept::put(*table, key, rows[key] = std::string(300, static_cast<char>('a' + i % 26)));
    }
    table->wait_for_rows();
    const auto files = list_journal(kept.journal).value();
    CHECK(files.rows.size() == 1);
    CHECK(files.rows.back() > first);
    CHECK(files.changes.size() <= 2);
    CHECK(kept.rebuilt() == rows);
  }
  CHECK(Kept::all(*kept.open()) == rows);
  CHECK(kept.rebuilt() == rows);
}

TEST_CASE("journal: several threads write, and every transaction is in it", "[origin]") {
  constexpr int kThreads = 4;
  constexpr int kEach = 40;
  Kept kept;
  kept.options.changes_max = 4_KiB;  // Rows are written anew meanwhile.
  Map rows;
  for (int thread = 0; thread < kThreads; ++thread)
    for (int i = 0; i < kEach; ++i)
      rows[std::to_string(thread) + '/' + std::to_string(i)] = std::string(200, 'x');
  {
    const auto table = kept.open();
    std::atomic<int> failures = 0;
    {
      std::vector<std::jthread> threads;
      for (int thread = 0; thread < kThreads; ++thread)
        threads.emplace_back([&, thread] {
          for (int i = 0; i < kEach; ++i) {
            const auto done = table->write([&](Rows& all) -> Status {
              auto count = all.get("count");
              if (!count) return fail(std::move(count.error()));
              const int before = *count ? std::stoi(**count) : 0;
              if (auto put = all.put("count", std::to_string(before + 1)); !put) return put;
              return all.put(std::to_string(thread) + '/' + std::to_string(i),
                             std::string(200, 'x'));
            });
            failures += done ? 0 : 1;
          }
        });
    }
    CHECK(failures == 0);
    rows["count"] = std::to_string(kThreads * kEach);
    CHECK(kept.rebuilt() == rows);
  }
  CHECK(Kept::all(*kept.open()) == rows);
  CHECK(kept.rebuilt() == rows);
}

TEST_CASE("journal: a transaction for which its disk is full is not made", "[origin]") {
  Kept kept;
  {
    auto table = kept.open();
    // Much in the journal, little in the database.
    for (int i = 0; i < 20; ++i) Kept::put(*table, "a", std::string(20'000, 'x'));
  }
  const auto size = kept.read(kept.newest_changes()).size();
  // The limit of a file's size stands for the end of a disk, in a process of its own.
  CHECK_FALSE(killed_at(1, [&](const auto& die) {
    auto table = JournaledTable::open(kept.catalog, kept.journal, kept.options);
    if (!table) die("open");
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{size + 1000, size + 1000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) die("limit");
    auto done = (*table)->write([](Rows& rows) { return rows.put("b", std::string(5000, 'y')); });
    if (done || done.error().kind() != ErrorKind::out_of_space) die("full");
    if (!(*table)->write([](Rows& rows) { return rows.put("c", "z"); })) die("again");
  }));
  CHECK(Kept::all(*kept.open()).size() == 2);
  CHECK(kept.rebuilt().contains("c"));
  CHECK_FALSE(kept.rebuilt().contains("b"));
}

TEST_CASE("journal: one process at a time", "[origin]") {
  Kept kept;
  const auto table = kept.open();
  const auto second = JournaledTable::open(kept.catalog, kept.journal, kept.options);
  REQUIRE_FALSE(second);
  CHECK(second.error().kind() == ErrorKind::unavailable);
}

TEST_CASE("row dump: a damaged or cut off one is refused", "[origin]") {
  Kept kept;
  auto table = kept.open();
  REQUIRE(table->write([](Rows& rows) -> Status {
    for (std::size_t i = 0; i < 3000; ++i)
      if (auto done = rows.put("key-" + std::to_string(i), std::string(i % 90, 'x')); !done)
        return done;
    return Done{};
  }));
  const std::string path = kept.scratch / "dump";
  DumpFacts written;
  REQUIRE(table->read([&](const Rows& rows) -> Status {
    written = write_dump(path, rows).value();
    return Done{};
  }));
  Map rows;
  const VisitChange note = [&](std::string_view key, auto value) -> Status {
    rows.emplace(key, value.value());
    return Done{};
  };
  const auto read = read_dump(path, note);
  REQUIRE(read);
  CHECK(read->rows == written.rows);
  CHECK(read->number == written.number);
  rows.erase(std::string(kJournalRow));
  CHECK(rows == Kept::all(*table));
  const Buffer good = kept.read(path);
  const auto refuses = [&](const Buffer& bytes) {
    REQUIRE(os::write_file(path, bytes));
    const auto refused = read_dump(path, note);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind() == ErrorKind::corrupt);
  };
  for (std::size_t at = 0; at < good.size(); at += 9771) {
    Buffer bytes = good;
    bytes[at] ^= std::byte{4};
    refuses(bytes);
    bytes.resize(at);
    refuses(bytes);
  }
}

TEST_CASE("journal: a row that the database has otherwise is found", "[origin]") {
  Kept kept;
  kept.options.changes_max =
      1_KiB;  // So that some rows come from a file of rows, some from changes.
  {
    const auto table = kept.open();
    for (int n = 0; n < 200; ++n)
      Kept::put(*table, "key/" + std::to_string(n), std::string(40, 'a'));
    table->wait_for_rows();
    for (int n = 0; n < 20; ++n) Kept::put(*table, "late/" + std::to_string(n), "b");
    REQUIRE(table->write([](Rows& rows) { return rows.erase("key/7"); }));
    table->wait_for_rows();
  }
  REQUIRE(list_journal(kept.journal).value().rows.back() > 1);
  const auto kv = Kv::open(kept.catalog, 16_MiB).value();
  const auto differs = [&] {
    std::optional<std::string> found;
    REQUIRE(kv->read([&](const Kv::View& view) -> Status {
      found = row_that_differs(kept.journal, view).value();
      return Done{};
    }));
    return found.value_or("");
  };
  const auto change = [&](const std::string& key, const std::optional<std::string>& value) {
    REQUIRE(
        kv->write([&](Kv::Edit& edit) { return value ? edit.put(key, *value) : edit.erase(key); }));
  };
  CHECK(differs().empty());
  for (const std::string key : {"key/0", "key/99", "late/0", "late/19"}) {
    const std::string right = key[0] == 'k' ? std::string(40, 'a') : "b";
    change(key, "c" + right.substr(1));
    CHECK(differs() == "has another value for the row " + key);
    change(key, std::nullopt);
    CHECK(differs() == "lacks the row " + key);
    change(key, right);
    CHECK(differs().empty());
  }
  for (const std::string key : {"a", "key/7", "z"}) {
    change(key, "d");
    CHECK(differs() == "has 220 rows instead of 219");
    change(key, std::nullopt);
  }
  CHECK(differs().empty());
}

TEST_CASE("journal: rows that are newer than a view are not held against it", "[origin]") {
  Kept kept;
  kept.options.changes_max = 1_KiB;
  const auto table = kept.open();
  Kept::put(*table, "key", "before");
  const auto kv = Kv::open(kept.catalog, 16_MiB, Kv::Durable::but_the_last);
  REQUIRE(kv);
  REQUIRE((*kv)->read([&](const Kv::View& view) -> Status {
    CHECK_FALSE(row_that_differs(kept.journal, view).value());
    Kept::put(*table, "key", "after");
    CHECK_FALSE(row_that_differs(kept.journal, view).value());
    for (int n = 0; n < 40; ++n) Kept::put(*table, std::to_string(n), std::string(100, 'a'));
    table->wait_for_rows();
    const auto late = row_that_differs(kept.journal, view);
    REQUIRE_FALSE(late);
    CHECK(late.error().kind() == ErrorKind::unavailable);
    return Done{};
  }));
}
