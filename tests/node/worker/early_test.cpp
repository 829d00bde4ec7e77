// What a start of the machine does with what waits for it, with a boot loader that is told of.
#include "node/worker/early.hpp"
#include "tests/node/worker/volume_fixture.hpp"

using namespace lamina;
using namespace lamina::tests;
using node::EarlyEnd;
using node::Trial;
using Stage = node::Trial::Stage;

namespace {

// The kernel that is in charge: the volume's own, the kept one, or the one that is offered. On
// disk, as a loader's is: a kill forgets nothing.
struct FakeLoader : node::BootLoader {
  explicit FakeLoader(std::string path) : path_(std::move(path)) {}

  Status check() override { return Done{}; }
  Status release() override { return put("own"); }
  Status keep() override {
    if (is_stuck) return fail(ErrorKind::out_of_space, "no space in /boot");
    return put("kept");
  }
  Status offer() override {
    if (is_bad) return fail(ErrorKind::unavailable, "no initramfs could be made");
    return put("offered");
  }
  Status back_to_kept() override { return put("kept"); }
  bool is_kept_started() const override { return started == "kept"; }
  Status tidy() override { return Done{}; }

  std::string in_charge() const { return os::read_text(path_).value_or("own"); }
  bool is_stuck = false;
  bool is_bad = false;
  std::string started;  // What this start came from.

 private:
  Status put(std::string_view what) { return os::write_file(path_, as_view(what)); }
  std::string path_;
};

// A machine whose kernels start, or not.
struct Machine : Fixture {
  Machine() { check(apply(one, 1)); }

  // A start up to the point where something runs from the volume. What is in charge is started.
  Result<EarlyEnd> start(Transaction::OnStep on_step = [](std::string_view) {}) {
    loader.started = loader.in_charge();
    auto transaction = Transaction::open(volume(), std::move(on_step));
    if (!transaction) return fail(std::move(transaction.error()));
    return start_early(*transaction, loader);
  }
  // Until the start goes on.
  int starts_until_it_goes_on() {
    for (int starts = 1;; ++starts) {
      const auto end = start();
      if (!end) FAIL(end.error().text());
      if (*end == EarlyEnd::go_on) return starts;
      REQUIRE(starts < 10);
    }
  }
  // The node of the running system says that it is well.
  void came_up() {
    auto transaction = Transaction::open(volume());
    REQUIRE(transaction);
    auto trial = transaction->trial().value();
    REQUIRE(trial);
    trial->stage = Stage::ended;
    check(transaction->keep_trial(*trial));
    check(loader.release());
  }
  std::optional<Trial> trial() { return Transaction::open(volume())->trial().value(); }
  std::uint64_t applied() { return Transaction::open(volume())->applied().sequence; }
  bool is_old() { return content_of(volume()) == wanted(one); }
  bool is_new() { return content_of(volume()) == wanted(two); }

  FakeLoader loader{scratch / "loader"};
};

}  // namespace

TEST_CASE("early: a start with nothing to do goes on", "[node]") {
  Machine m;
  CHECK(m.starts_until_it_goes_on() == 1);
  CHECK(m.is_old());
  CHECK_FALSE(m.trial());
  CHECK(m.loader.in_charge() == "own");
}

TEST_CASE("early: what waits is carried out, and the machine starts from it", "[node]") {
  Machine m;
  check(m.stage(m.two, 2));
  CHECK(m.start().value() == EarlyEnd::restart);
  CHECK(m.is_new());
  CHECK(m.loader.in_charge() == "offered");
  CHECK(m.start().value() == EarlyEnd::go_on);
  m.came_up();
  CHECK(m.starts_until_it_goes_on() == 1);
  CHECK(m.is_new());
  CHECK(m.trial()->trouble.empty());
  CHECK(m.loader.in_charge() == "own");
}

TEST_CASE("early: a system whose node does not come up is taken back", "[node]") {
  Machine m;
  check(m.stage(m.two, 2));
  CHECK(m.start().value() == EarlyEnd::restart);
  for (int starts = 0; starts < node::kStartsMax; ++starts)
    CHECK(m.start().value() == EarlyEnd::go_on);
  CHECK(m.is_new());
  // By the new kernel, so that once more is due.
  CHECK(m.start().value() == EarlyEnd::restart);
  CHECK(m.is_old());
  CHECK(m.applied() == 2);  // The target does not come again.
  CHECK(m.loader.in_charge() == "kept");
  CHECK(m.starts_until_it_goes_on() == 1);
  CHECK(m.trial()->stage == Stage::ended);
  CHECK(m.trial()->trouble.find("did not come up in 3 starts") != std::string::npos);
}

TEST_CASE("early: a kernel that does not come up is known by the loader's choice", "[node]") {
  Machine m;
  check(m.stage(m.two, 2));
  CHECK(m.start().value() == EarlyEnd::restart);
  check(m.loader.back_to_kept());  // As GRUB does it, when its tries are used up.
  CHECK(m.start().value() == EarlyEnd::go_on);
  CHECK(m.is_old());
  CHECK(m.trial()->trouble.find("does not come up") != std::string::npos);
}

TEST_CASE("early: without an initramfs for the new kernel all goes back at once", "[node]") {
  Machine m;
  check(m.stage(m.two, 2));
  m.loader.is_bad = true;
  CHECK(m.start().value() == EarlyEnd::restart);
  CHECK(m.is_old());
  CHECK(m.loader.in_charge() == "kept");
  CHECK(m.trial()->trouble.find("no initramfs") != std::string::npos);
}

TEST_CASE("early: without a kept kernel nothing is changed, and the next start tries again",
          "[node]") {
  Machine m;
  check(m.stage(m.two, 2));
  m.loader.is_stuck = true;
  CHECK_FALSE(m.start());
  CHECK(m.is_old());
  m.loader.is_stuck = false;
  CHECK(m.starts_until_it_goes_on() == 2);
  CHECK(m.is_new());
}

TEST_CASE("early: a change that cannot be carried out is undone, and told", "[node]") {
  Machine m;
  check(m.stage(m.two, 2));
  REQUIRE(os::rename_file(m.volume() + "/a/b", m.scratch / "elsewhere"));
  REQUIRE(symlink((m.scratch / "elsewhere").c_str(), (m.volume() + "/a/b").c_str()) == 0);
  CHECK_FALSE(m.start());
  REQUIRE(os::remove_file(m.volume() + "/a/b"));
  REQUIRE(os::rename_file(m.scratch / "elsewhere", m.volume() + "/a/b"));
  set_mtime(m.volume() + "/a", 1'600'000'000, 123'456'789);
  CHECK(m.is_old());
  CHECK(m.trial()->stage == Stage::ended);
  CHECK(m.trial()->trouble.find("the apply was undone") != std::string::npos);
  CHECK(m.starts_until_it_goes_on() == 1);
  CHECK(m.loader.in_charge() == "kept");  // Until the running system releases it.
}

TEST_CASE("early: a revert that waited is carried out, and starts the kernel of before", "[node]") {
  Machine m;
  check(m.apply(m.two, 2));
  {
    auto transaction = Transaction::open(m.volume());
    REQUIRE(transaction);
    check(transaction->revert(Fixture::at_next_start));
  }
  CHECK(m.starts_until_it_goes_on() == 2);
  CHECK(m.is_old());
  CHECK(m.loader.in_charge() == "offered");
  m.came_up();
  CHECK(m.trial()->is_revert);
  CHECK(m.starts_until_it_goes_on() == 1);
}

TEST_CASE("early: the power fails at every step of the starts", "[node][kill]") {
  for (const bool comes_up : {true, false}) {
    int kills = 0;
    bool was_killed = true;
    for (int at = 1; was_killed; ++at) {
      Machine m;
      check(m.stage(m.two, 2));
      if (!comes_up) {
        // The starts before the one that takes it back.
        CHECK(m.start().value() == EarlyEnd::restart);
        for (int starts = 0; starts < node::kStartsMax; ++starts)
          CHECK(m.start().value() == EarlyEnd::go_on);
      }
      was_killed = killed_at(
          at, [&](const Transaction::OnStep& on_step) { static_cast<void>(m.start(on_step)); });
      kills += was_killed ? 1 : 0;
      CAPTURE(comes_up, at);
      m.starts_until_it_goes_on();
      // Wholly what it shall be, with the kernel that belongs to it in charge.
      CHECK((comes_up ? m.is_new() : m.is_old()));
      CHECK(m.loader.in_charge() == (comes_up ? "offered" : "kept"));
      CHECK(m.trial()->stage == (comes_up ? Stage::trying : Stage::ended));
      CHECK(m.trial()->trouble.empty() == comes_up);
    }
    CHECK(kills > 20);
  }
}
