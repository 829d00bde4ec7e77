#include "origin/catalog/audit_chain.hpp"

#include <catch2/catch.hpp>

#include "origin/catalog/audit_log.hpp"
#include "origin/catalog/catalog.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;

namespace {

// A log of `size` entries as the catalogue makes it.
std::vector<wire::AuditEntry> log_of(std::size_t size) {
  std::vector<wire::AuditEntry> log;
  AuditHead head;
  for (std::size_t i = 0; i < size; ++i) {
    wire::AuditEntry entry{.number = i + 1,
                           .time_ms = 1000,
                           .actor = "admin:ann",
                           .action = "site.add",
                           .object = "s" + std::to_string(i + 1),
                           .detail = "",
                           .hash = ""};
    entry.hash = audit_hash(head.hash, entry);
    head = {entry.number, entry.hash};
    log.push_back(entry);
  }
  return log;
}

void rehash_from(std::vector<wire::AuditEntry>& log, std::size_t first) {
  for (std::size_t i = first; i < log.size(); ++i)
    log[i].hash = audit_hash(i == 0 ? AuditHead().hash : log[i - 1].hash, log[i]);
}

std::vector<std::string> wrong_with(const std::vector<wire::AuditEntry>& log,
                                    std::optional<AuditHead> pin = {}) {
  AuditChain chain(std::move(pin));
  std::vector<std::string> all;
  for (const wire::AuditEntry& entry : log)
    for (std::string& text : chain.add(entry)) all.push_back(std::move(text));
  for (std::string& text : chain.finish()) all.push_back(std::move(text));
  return all;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("audit chain: what was written fits, also through a pin of any time", "[origin]") {
  const auto log = log_of(5);
  CHECK(wrong_with(log).empty());
  CHECK(wrong_with({}).empty());
  for (const wire::AuditEntry& entry : log)
    CHECK(wrong_with(log, AuditHead{entry.number, entry.hash}).empty());
}

TEST_CASE("audit chain: an edited, removed or moved entry is named", "[origin]") {
  auto log = log_of(5);
  SECTION("edited") {
    log[2].actor = "admin:bob";
    CHECK(wrong_with(log) ==
          Texts{"entry 3 does not fit its hash: it was changed, or entry 2 before it was written "
                "anew"});
  }
  SECTION("the first one edited") {
    log[0].actor = "admin:bob";
    CHECK(wrong_with(log) == Texts{"entry 1 does not fit its hash: it was changed"});
  }
  SECTION("edited, with a hash that fits") {
    log[2].actor = "admin:bob";
    log[2].hash = audit_hash(log[1].hash, log[2]);
    CHECK(wrong_with(log) ==
          Texts{"entry 4 does not fit its hash: it was changed, or entry 3 before it was written "
                "anew"});
  }
  SECTION("removed") {
    log.erase(log.begin() + 1, log.begin() + 3);
    CHECK(wrong_with(log) == Texts{"entries 2 to 3 are missing"});
  }
  SECTION("the first ones removed") {
    log.erase(log.begin(), log.begin() + 1);
    CHECK(wrong_with(log) == Texts{"entry 1 is missing"});
  }
  SECTION("removed, and those behind it numbered anew") {
    log.erase(log.begin() + 2);
    for (std::size_t i = 2; i < log.size(); ++i) log[i].number = i + 1;
    CHECK(wrong_with(log).size() == 2);
  }
  SECTION("in another order") {
    std::swap(log[2], log[3]);
    CHECK(wrong_with(log) == Texts{"entry 3 is missing", "entry 3 comes after entry 4"});
  }
}

TEST_CASE("audit chain: a log that was cut off or written anew shows against a pin", "[origin]") {
  auto log = log_of(5);
  const AuditHead pin{5, log.back().hash};
  SECTION("cut off") {
    log.resize(3);
    CHECK(wrong_with(log).empty());
    CHECK(wrong_with(log, pin) ==
          Texts{"entries 4 to 5 are missing at the end: the log was cut off"});
  }
  SECTION("emptied") {
    CHECK(wrong_with({}, pin) ==
          Texts{"entries 1 to 5 are missing at the end: the log was cut off"});
  }
  SECTION("written anew from one entry on") {
    log[1].actor = "admin:bob";
    rehash_from(log, 1);
    CHECK(wrong_with(log).empty());
    CHECK(wrong_with(log, pin) ==
          Texts{"entry 5 is another than the one that was pinned: the log was written anew"});
  }
}

TEST_CASE("audit chain: a head is read as it is written", "[origin]") {
  const AuditHead head{1234, log_of(1)[0].hash};
  CHECK(parse_audit_head(to_text(head)).value() == head);
  for (const char* bad : {"", "1234", "x:00", ":", "1234:", "1234:00"}) {
    CAPTURE(bad);
    CHECK(parse_audit_head(bad).error().kind() == ErrorKind::invalid);
  }
  CHECK_FALSE(parse_audit_head("1:" + std::string(64, 'A')));
}

TEST_CASE("audit log: it comes page by page, and what is gone is missing there", "[origin]") {
  MemoryTable table;
  Catalog catalog(table);
  const AuditLog log(table);
  CHECK(log.head().value() == AuditHead());
  CHECK(log.after(0, 2)->entries.empty());
  for (int i = 0; i < 5; ++i)
    REQUIRE(catalog.audit({"admin:ann", WallTime{}}, "cvd.read", "device:1", ""));
  AuditChain chain;
  std::uint64_t looked_to = 0;
  for (int pages = 0; pages < 3; ++pages) {
    const auto page = log.after(looked_to, 2).value();
    CHECK(page.newest == 5);
    for (const wire::AuditEntry& entry : page.entries) CHECK(chain.add(entry).empty());
    looked_to = page.looked_to;
  }
  CHECK(looked_to == 5);
  CHECK(chain.head() == log.head().value());
  CHECK(log.after(9, 2)->entries.empty());
  table.rows().erase("audit/0000000000000003");
  const auto page = log.after(2, 2).value();
  CHECK(page.looked_to == 4);
  REQUIRE(page.entries.size() == 1);
  CHECK(page.entries[0].number == 4);
  table.rows()["audit/0000000000000004"] = "{}";
  CHECK(log.after(2, 2).error().text().find("audit/0000000000000004") != std::string::npos);
}
