// Transactions that are killed at every step, again while they recover, or stopped by an obstacle.
#include "node/worker/journal.hpp"
#include "tests/node/worker/volume_fixture.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

using Content = std::vector<Entry>;
using OnStep = Transaction::OnStep;
using format::EntryKind;

// What a kill may leave: one of two contents, and which of them by the sequence that counts.
struct Case {
  std::function<void(Fixture&)> prepare;
  std::function<Status(Fixture&, OnStep)> work;
  std::function<Content(Fixture&)> wanted;
  int kills_min = 0;
};

// Kills the work at its step `at` for every `at`, then kills what recovers at its step `again`
// until it comes through; then the volume must be wholly old or wholly new, and the work must
// succeed.
void survives_every_kill(const Case& c, int again) {
  int kills = 0;
  for (int at = 1;; ++at) {
    Fixture f;
    c.prepare(f);
    const Content before = content_of(f.volume());
    const Content after = c.wanted(f);
    const bool killed =
        killed_at(at, [&](OnStep on_step) { static_cast<void>(c.work(f, std::move(on_step))); });
    for (int tries = 0; again > 0 && tries < 3; ++tries)
      killed_at(again + tries, [&](OnStep on_step) {
        static_cast<void>(Transaction::open(f.volume(), std::move(on_step)));
      });
    CAPTURE(at, again);
    {
      const auto recovered = Transaction::open(f.volume());
      if (!recovered) FAIL("killed at step " << at << ": " << recovered.error().text());
    }
    const Content content = content_of(f.volume());
    const bool is_old = content == before;
    CHECK((is_old || content == after));
    if (!killed) {
      CHECK(content == after);
      break;
    }
    ++kills;
    if (is_old && before != after) {
      check(c.work(f, [](std::string_view) {}));
      CHECK(content_of(f.volume()) == after);
    }
    CHECK_FALSE(os::exists(f.volume() + "/.lamina/txn"));
  }
  CHECK(kills > c.kills_min);
}

// Begins the update from one to two, and is killed at a named step.
void update_killed_at(Fixture& f, std::string_view name) {
  REQUIRE(killed_at(1, [&](const OnStep& on_step) {
    static_cast<void>(f.apply(f.two, 2, [&](std::string_view step) {
      if (step == name) on_step(step);
    }));
  }));
}

Status applied(Fixture& f, const Layer& layer, std::uint64_t sequence, OnStep on_step) {
  auto counts = f.apply(layer, sequence, std::move(on_step));
  return counts ? Status(Done{}) : fail(std::move(counts.error()));
}

const Case kFirst{
    .prepare = [](Fixture&) {},
    .work = [](Fixture& f, OnStep on_step) { return applied(f, f.one, 1, std::move(on_step)); },
    .wanted = [](Fixture& f) { return wanted(f.one); },
    .kills_min = 30};
const Case kUpdate{
    .prepare = [](Fixture& f) { check(f.apply(f.one, 1)); },
    .work = [](Fixture& f, OnStep on_step) { return applied(f, f.two, 2, std::move(on_step)); },
    .wanted = [](Fixture& f) { return wanted(f.two); },
    .kills_min = 30};
const Case kRemoval{
    .prepare = [](Fixture& f) { check(f.apply(f.one, 1)); },
    .work = [](Fixture& f, OnStep on_step) { return applied(f, f.nothing, 2, std::move(on_step)); },
    .wanted =
        [](Fixture& f) {
          // The root is not the layer's: it stays as the layer had made it.
          Content content = wanted(f.one);
          content.resize(1);
          return content;
        },
    .kills_min = 20};
const Case kRevert{.prepare =
                       [](Fixture& f) {
                         check(f.apply(f.one, 1));
                         check(f.apply(f.two, 2));
                       },
                   .work = [](Fixture& f, OnStep on_step) { return f.revert(std::move(on_step)); },
                   .wanted = [](Fixture& f) { return wanted(f.one); },
                   .kills_min = 15};
const Case kFirstRevert{
    .prepare = [](Fixture& f) { check(f.apply(f.one, 1)); },
    .work = [](Fixture& f, OnStep on_step) { return f.revert(std::move(on_step)); },
    .wanted =
        [](Fixture& f) {
          Content content = wanted(f.one);
          content.resize(1);
          // Of an empty volume before its first apply: the test made the directory.
          struct stat facts {};
          REQUIRE(stat(f.volume().c_str(), &facts) == 0);
          content.front().mode = 0755;
          return content;
        },
    .kills_min = 10};

const Case kAtStart{
    .prepare =
        [](Fixture& f) {
          check(f.apply(f.one, 1));
          check(f.stage(f.two, 2));
        },
    .work = [](Fixture& f, OnStep on_step) { return f.carry_out(std::move(on_step)); },
    .wanted = [](Fixture& f) { return wanted(f.two); },
    .kills_min = 25};
// Both halves, one after the other.
const Case kStagedForStart{.prepare = [](Fixture& f) { check(f.apply(f.one, 1)); },
                           .work = [](Fixture& f, OnStep on_step) -> Status {
                             auto staged = f.stage(f.two, 2, on_step);
                             return staged ? f.carry_out(std::move(on_step))
                                           : fail(std::move(staged.error()));
                           },
                           .wanted = [](Fixture& f) { return wanted(f.two); },
                           .kills_min = 40};
const Case kRevertAtStart{.prepare =
                              [](Fixture& f) {
                                check(f.apply(f.one, 1));
                                check(f.apply(f.two, 2));
                              },
                          .work = [](Fixture& f, OnStep on_step) -> Status {
                            auto transaction = Transaction::open(f.volume(), std::move(on_step));
                            if (!transaction) return fail(std::move(transaction.error()));
                            if (auto marked = transaction->revert(Fixture::at_next_start); !marked)
                              return marked;
                            return transaction->carry_out();
                          },
                          .wanted = [](Fixture& f) { return wanted(f.one); },
                          .kills_min = 15};

}  // namespace

TEST_CASE("kill: the first apply", "[node][kill]") { survives_every_kill(kFirst, 0); }
TEST_CASE("kill: an update", "[node][kill]") { survives_every_kill(kUpdate, 0); }
TEST_CASE("kill: a removal", "[node][kill]") { survives_every_kill(kRemoval, 0); }
TEST_CASE("kill: a revert", "[node][kill]") { survives_every_kill(kRevert, 0); }
TEST_CASE("kill: the revert of the first apply", "[node][kill]") {
  survives_every_kill(kFirstRevert, 0);
}
TEST_CASE("kill: an update, and three times while it recovers", "[node][kill]") {
  for (const int again : {1, 6, 13}) survives_every_kill(kUpdate, again);
}
TEST_CASE("kill: a revert, and three times while it recovers", "[node][kill]") {
  for (const int again : {1, 4, 9, 14}) survives_every_kill(kRevert, again);
}

TEST_CASE("kill: what waited is carried out at a start that fails three times more",
          "[node][kill]") {
  survives_every_kill(kAtStart, 6);
}
TEST_CASE("kill: staged for a start, and carried out", "[node][kill]") {
  survives_every_kill(kStagedForStart, 0);
}
TEST_CASE("kill: a revert that waited for a start", "[node][kill]") {
  survives_every_kill(kRevertAtStart, 0);
}

TEST_CASE("waiting: nothing changes before the start, and nobody else carries it out", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  const Content before = content_of(f.volume());
  check(f.stage(f.two, 2));
  for (int opened = 0; opened < 2; ++opened) {
    auto transaction = Transaction::open(f.volume());
    REQUIRE(transaction);
    CHECK(content_of(f.volume()) == before);
    CHECK(transaction->applied().sequence == 1);
    const auto waiting = transaction->waiting();
    REQUIRE(waiting);
    REQUIRE(*waiting);
    CHECK((*waiting)->next.sequence == 2);
    CHECK_FALSE((*waiting)->is_revert);
    CHECK(transaction->due_commands().value().empty());
  }
  check(f.carry_out());
  CHECK(content_of(f.volume()) == wanted(f.two));
  check(f.carry_out());  // Nothing waits any more.
  check(f.revert());
  CHECK(content_of(f.volume()) == wanted(f.one));
}

TEST_CASE("aftermath: what was not told is kept once, wherever a kill comes", "[node]") {
  const auto ended = [](std::uint64_t sequence, const std::string& name) {
    return node::Aftermath{
        .sequence = sequence,
        .scripts = {{.layer = "app 1",
                     .script = {.name = name},
                     .end = wire::ScriptEnd{.layer = "app 1", .name = name, .code = 3}}}};
  };
  const auto change = [&](Fixture& f, bool reverts, const OnStep& on_step) -> Status {
    auto transaction = Transaction::open(f.volume(), on_step);
    if (!transaction) return fail(std::move(transaction.error()));
    const auto prepare = [&](const node::ApplyCounts&) -> Result<Transaction::Prepared> {
      return Transaction::Prepared{.after = {.sequence = reverts ? 1U : 2U, .restart = {"app 2"}}};
    };
    if (reverts) return transaction->revert(prepare);
    auto done = transaction->apply(f.two.stream(), {2, {}}, f.two.captured.source(),
                                   image::Mode::apply, prepare);
    return done ? Status(Done{}) : fail(std::move(done.error()));
  };
  const std::vector<node::EarlierEnds> kept = {{1, {*ended(1, "first").scripts[0].end}}};
  for (const bool reverts : {false, true}) {
    for (int at = 1;; ++at) {
      Fixture f;
      check(f.apply(f.one, 1));
      check(Transaction::open(f.volume())->keep_aftermath(ended(1, "first")));
      const bool killed =
          killed_at(at, [&](OnStep on_step) { static_cast<void>(change(f, reverts, on_step)); });
      CAPTURE(at, reverts);
      const auto after = Transaction::open(f.volume()).value().aftermath();
      REQUIRE(after);
      // Either nothing happened, or what was there came to what follows it.
      if (after->scripts.empty())
        CHECK(after->earlier == kept);
      else
        CHECK(*after == ended(1, "first"));
      if (!killed) {
        CHECK(after->scripts.empty());
        break;
      }
    }
  }
}

TEST_CASE("waiting: another apply takes its place, at once or for the start", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  check(f.stage(f.nothing, 2));
  check(f.stage(f.two, 3));
  {
    auto transaction = Transaction::open(f.volume());
    REQUIRE(transaction);
    CHECK(transaction->waiting().value()->next.sequence == 3);
    CHECK(transaction->undoable().value().has_value());
  }
  check(f.apply(f.two, 4));
  CHECK(content_of(f.volume()) == wanted(f.two));
  check(f.carry_out());
  CHECK(Transaction::open(f.volume())->applied().sequence == 4);
}

TEST_CASE("waiting: a revert gives it up, and its target does not come again", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  const auto give_up = [&](const OnStep& on_step) {
    auto transaction = Transaction::open(f.volume(), on_step);
    if (transaction) static_cast<void>(transaction->revert());
  };
  for (int at = 1;; ++at) {
    check(f.stage(f.two, static_cast<std::uint64_t>(at) + 1));
    const bool killed = killed_at(at, give_up);
    check(f.carry_out());
    const auto transaction = Transaction::open(f.volume());
    REQUIRE(transaction);
    CHECK_FALSE(transaction->waiting().value());
    CHECK(content_of(f.volume()) == wanted(f.one));
    CHECK(transaction->applied().sequence == static_cast<std::uint64_t>(at) + 1);
    if (!killed) break;
  }
  check(f.revert());  // Of what was applied before it.
  CHECK(content_of(f.volume()).size() == 1);
}

TEST_CASE("waiting: a revert that waits is given up by an apply, and its undo area stays",
          "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  check(f.apply(f.two, 2));
  {
    auto transaction = Transaction::open(f.volume());
    REQUIRE(transaction);
    check(transaction->revert(Fixture::at_next_start));
    CHECK(transaction->waiting().value()->is_revert);
    CHECK(transaction->waiting().value()->next.sequence == 1);
    CHECK(content_of(f.volume()) == wanted(f.two));
  }
  check(f.apply(f.one, 3));
  CHECK(content_of(f.volume()) == wanted(f.one));
  check(f.revert());
  CHECK(content_of(f.volume()) == wanted(f.two));
}

TEST_CASE("swap: what cannot go on goes back, and can be tried again", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  const Content before = content_of(f.volume());
  auto transaction = Transaction::open(f.volume(), [&](std::string_view step) {
    // Somebody makes a directory a link while the swap is under way.
    if (step != "swap") return;
    REQUIRE(os::rename_file(f.volume() + "/a/b", f.scratch / "elsewhere"));
    REQUIRE(symlink((f.scratch / "elsewhere").c_str(), (f.volume() + "/a/b").c_str()) == 0);
  });
  REQUIRE(transaction);
  const auto done =
      transaction->apply(f.two.stream(), {2, {}}, f.two.captured.source(), image::Mode::apply);
  REQUIRE_FALSE(done);
  CAPTURE(done.error().text());
  CHECK(done.error().text().find("the apply was undone") != std::string::npos);
  CHECK(transaction->applied().sequence == 1);
  CHECK(os::read_text(f.scratch / "elsewhere/script").value() == "#!/bin/sh\necho\n");
  REQUIRE(os::remove_file(f.volume() + "/a/b"));
  REQUIRE(os::rename_file(f.scratch / "elsewhere", f.volume() + "/a/b"));
  set_mtime(f.volume() + "/a", 1'600'000'000, 123'456'789);
  CHECK(content_of(f.volume()) == before);
  transaction = fail(ErrorKind::unavailable, "closed");
  check(f.apply(f.two, 2));
  CHECK(content_of(f.volume()) == wanted(f.two));
  check(f.revert());
  CHECK(content_of(f.volume()) == wanted(f.one));
}

TEST_CASE("swap: a directory that somebody makes meanwhile keeps what is in it", "[node]") {
  Fixture f;
  const std::string own = f.volume() + "/a/b/own";
  check(f.apply(f.one, 1, [&](std::string_view step) {
    if (step != "swap") return;
    REQUIRE(os::make_directories(f.volume() + "/a/b"));
    make_file(own, to_buffer("mine"));
  }));
  CHECK(os::read_text(own).value() == "mine");
  REQUIRE(os::remove_file(own));
  set_mtime(f.volume() + "/a/b", 1'600'000'000, 123'456'789);
  CHECK(content_of(f.volume()) == wanted(f.one));
  check(f.revert());
  // The directories are theirs.
  CHECK(content_of(f.volume()).size() == 3);
}

TEST_CASE("swap: what the user put into a new directory survives a revert", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  make_file(f.volume() + "/a/b/deep/own", to_buffer("mine"));
  check(f.revert());
  CHECK(os::read_text(f.volume() + "/a/b/deep/own").value() == "mine");
  CHECK(content_of(f.volume()).size() == 5);
}

TEST_CASE("recovery: content that the disk lost is found though its file looks right", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  const Content before = content_of(f.volume());
  update_killed_at(f, "swapped");
  const std::string path = f.volume() + "/fresh/dir/file";
  struct stat facts {};
  REQUIRE(stat(path.c_str(), &facts) == 0);
  {
    const os::Descriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(os::write_all(file.get(), Buffer(static_cast<std::size_t>(facts.st_size)), path));
  }
  set_mtime(path, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
  const auto recovered = Transaction::open(f.volume());
  REQUIRE(recovered);
  CHECK(recovered->applied().sequence == 1);
  CHECK(content_of(f.volume()) == before);
}

TEST_CASE("journal: that of the version before is read", "[node]") {
  const Scratch scratch;
  {
    auto rows = RowFileWriter::create(scratch / "operations", "LMop0002");
    REQUIRE(rows);
    Writer row;
    row.u8(1);
    row.u64(7);
    row.u64(4711);
    row.u8(0);
    format::encode_entry({.path = "etc/motd", .kind = EntryKind::symlink, .target = "x"}, "", row);
    REQUIRE(rows->add(row.view()));
    REQUIRE(rows->finish());
  }
  std::vector<node::Operation> read;
  REQUIRE(node::for_each_operation(scratch / "operations",
                                   [&](const node::Operation& operation) -> Status {
                                     read.push_back(operation);
                                     return Done{};
                                   }));
  REQUIRE(read.size() == 1);
  CHECK(read[0].inode == 4711);
  CHECK(read[0].entry.path == "etc/motd");
  CHECK(read[0].staged() == ".lamina/txn/stage/7");
  CHECK_FALSE(read[0].is_within_top());
}

TEST_CASE("recovery: what was swapped before a kill is verified before it counts", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  const Content before = content_of(f.volume());
  update_killed_at(f, "swapped");
  // The power failed, and the disk lost what was written.
  make_file(f.volume() + "/new", Buffer(1000));
  const auto recovered = Transaction::open(f.volume());
  REQUIRE(recovered);
  CHECK(recovered->applied().sequence == 1);
  CHECK(content_of(f.volume()) == before);
}

TEST_CASE("recovery: an apply that counts is not done again over the user's work", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  update_killed_at(f, "committed");
  REQUIRE(chmod((f.volume() + "/a-").c_str(), 0640) == 0);
  const auto recovered = Transaction::open(f.volume());
  REQUIRE(recovered);
  CHECK(recovered->applied().sequence == 2);
  CHECK((recovered->volume().facts("a-").value()->st_mode & 0777) == 0640);
}
