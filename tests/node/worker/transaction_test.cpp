// Applies on real files, killed at every step.
#include "node/worker/transaction.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "shared/format/path.hpp"
#include "shared/image/list_stream.hpp"
#include "tests/shared/tree/trees.hpp"

using namespace lamina;
using namespace lamina::tests;
using format::Entry;
using node::AppliedState;
using node::Transaction;

namespace {

// A layer: the capture of a directory that a test filled.
struct Layer {
  Captured captured;
  std::unique_ptr<format::EntryStream> stream() const {
    return std::make_unique<image::ListStream>(captured.entries());
  }
};

// What stands on a volume, Lamina's own files and the root's time left out.
std::vector<Entry> content_of(const std::string& volume) {
  auto entries =
      capture(volume, {.include = [](const std::string& p, bool) { return p != ".lamina"; }})
          .entries();
  entries.front().mtime_ns = 0;
  return entries;
}

std::vector<Entry> wanted(const Layer& layer) {
  auto entries = layer.captured.entries();
  entries.front().mtime_ns = 0;
  return entries;
}

struct Fixture {
  Fixture() {
    make_nasty_tree(scratch / "one");
    one.captured = capture(scratch / "one");
    // The next version: changed, removed and new files, type changes, metadata only, links.
    make_nasty_tree(scratch / "two");
    const std::string two_path = scratch / "two";
    make_file(two_path + "/a/b/script", to_buffer("#!/bin/sh\nexit 1\n"), 0755);
    make_file(two_path + "/new", text(1000, 77));
    REQUIRE(os::make_directories(two_path + "/fresh/dir"));
    make_file(two_path + "/fresh/dir/file", noise(70'000, 8));
    REQUIRE(os::remove_tree(two_path + "/a.b"));
    REQUIRE(os::remove_file(two_path + "/pipe"));
    REQUIRE(os::make_directories(two_path + "/pipe"));
    make_file(two_path + "/pipe/now-a-directory", to_buffer("x"));
    REQUIRE(os::remove_tree(two_path + "/empty"));
    make_file(two_path + "/empty", to_buffer("now a file"));
    REQUIRE(chmod((two_path + "/a-").c_str(), 0600) == 0);
    REQUIRE(link((two_path + "/new").c_str(), (two_path + "/new-link").c_str()) == 0);
    two.captured = capture(two_path);
    REQUIRE(os::make_directories(scratch / "volume"));
  }

  std::string volume() const { return scratch / "volume"; }
  Result<node::ApplyCounts> apply(
      const Layer& layer, std::uint64_t sequence,
      Transaction::OnStep on_step = [](std::string_view) {}) {
    auto transaction = Transaction::open(volume(), std::move(on_step));
    if (!transaction) return fail(std::move(transaction.error()));
    return transaction->apply(layer.stream(), {sequence, {}}, layer.captured.source(),
                              image::Mode::apply);
  }
  Status revert(Transaction::OnStep on_step = [](std::string_view) {}) {
    auto transaction = Transaction::open(volume(), std::move(on_step));
    if (!transaction) return fail(std::move(transaction.error()));
    return transaction->revert();
  }

  Scratch scratch;
  Layer one;
  Layer two;
};

void check(const Result<node::ApplyCounts>& done) {
  if (!done) FAIL(done.error().text());
}
void check(const Status& done) {
  if (!done) FAIL(done.error().text());
}

// Runs `work` in a child that kills itself at step number `kill_at`; whether it was killed.
template <class Work>
bool killed_at(int kill_at, Work work) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int steps = 0;
    work([&](std::string_view) {
      if (++steps == kill_at) raise(SIGKILL);
    });
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

}  // namespace

TEST_CASE("apply: an empty volume becomes the layer, bit by bit", "[node]") {
  Fixture f;
  const auto counts = f.apply(f.one, 1);
  check(counts);
  CHECK(counts->created == f.one.captured.entries().size() - 1);
  CHECK(content_of(f.volume()) == wanted(f.one));
  CHECK(Transaction::open(f.volume())->applied().sequence == 1);
}

TEST_CASE("apply: an update changes what changed, and a revert brings it back", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  check(f.apply(f.two, 2));
  CHECK(content_of(f.volume()) == wanted(f.two));
  check(f.revert());
  CHECK(content_of(f.volume()) == wanted(f.one));
  CHECK(Transaction::open(f.volume())->applied().sequence == 2);
  CHECK(f.revert().error().kind() == ErrorKind::not_found);
  // And forward again, from the stack that counts now.
  check(f.apply(f.two, 3));
  CHECK(content_of(f.volume()) == wanted(f.two));
}

TEST_CASE("apply: the second time there is nothing to do", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  const auto again = f.apply(f.one, 2);
  check(again);
  CHECK(again->created + again->replaced + again->removed + again->bytes == 0);
}

TEST_CASE("apply: what the user has is kept, what the layers changed is not", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  make_file(f.volume() + "/a/mine", to_buffer("user"));
  make_file(f.volume() + "/a.b/mine", to_buffer("user"));            // In a directory that will go.
  make_file(f.volume() + "/a/zero", to_buffer("edited by user"));    // The layers leave it alone.
  make_file(f.volume() + "/a/b/script", to_buffer("edited"), 0755);  // The layers change it.
  check(f.apply(f.two, 2));
  CHECK(os::read_text(f.volume() + "/a/mine").value() == "user");
  CHECK(os::read_text(f.volume() + "/a.b/mine").value() == "user");
  CHECK_FALSE(os::exists(f.volume() + "/a.b/hard"));
  CHECK(os::read_text(f.volume() + "/a/zero").value() == "edited by user");
  CHECK(os::read_text(f.volume() + "/a/b/script").value() == "#!/bin/sh\nexit 1\n");
  check(f.revert());
  CHECK(os::read_text(f.volume() + "/a/b/script").value() == "edited");
}

TEST_CASE("apply: a dry run counts and changes nothing", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  const auto before = content_of(f.volume());
  auto transaction = Transaction::open(f.volume());
  REQUIRE(transaction);
  const auto counts = transaction->dry_run(f.two.stream(), image::Mode::apply);
  check(counts);
  CHECK(counts->created > 0);
  CHECK(counts->removed > 0);
  CHECK(content_of(f.volume()) == before);
}

TEST_CASE("apply: a missing chunk changes nothing and names the file", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  const auto before = content_of(f.volume());
  auto transaction = Transaction::open(f.volume());
  REQUIRE(transaction);
  const auto done = transaction->apply(
      f.two.stream(), {2, {}},
      [](const format::ChunkRef& ref) -> Result<Buffer> {
        return fail(ErrorKind::not_found, "chunk " + ref.id.short_hex());
      },
      image::Mode::apply);
  REQUIRE_FALSE(done);
  CHECK(done.error().text().find("'a/b/script'") != std::string::npos);
  CHECK(content_of(f.volume()) == before);
  CHECK(transaction->applied().sequence == 1);
}

TEST_CASE("apply: a symlink planted on the volume leads nowhere", "[node]") {
  Fixture f;
  REQUIRE(os::make_directories(f.scratch / "outside"));
  REQUIRE(symlink((f.scratch / "outside").c_str(), (f.volume() + "/a").c_str()) == 0);
  check(f.apply(f.one, 1));
  CHECK(os::list_directory(f.scratch / "outside").value().empty());
  CHECK(content_of(f.volume()) == wanted(f.one));
}

TEST_CASE("apply: a directory that the user made a symlink is not written through", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  REQUIRE(os::rename_file(f.volume() + "/a/b", f.scratch / "elsewhere"));
  REQUIRE(symlink((f.scratch / "elsewhere").c_str(), (f.volume() + "/a/b").c_str()) == 0);
  const auto done = f.apply(f.two, 2);
  REQUIRE_FALSE(done);
  CHECK(done.error().kind() == ErrorKind::refused);
  CHECK(done.error().text().find("'a/b' is no directory") != std::string::npos);
  CHECK(os::read_text(f.scratch / "elsewhere/script").value() == "#!/bin/sh\necho\n");
  CHECK(Transaction::open(f.volume())->applied().sequence == 1);
}

TEST_CASE("apply: .lamina that is not ours is refused", "[node]") {
  Fixture f;
  REQUIRE(symlink("/tmp", (f.volume() + "/.lamina").c_str()) == 0);
  const auto open = Transaction::open(f.volume());
  REQUIRE_FALSE(open);
  CHECK(open.error().kind() == ErrorKind::refused);
}

TEST_CASE("apply: killed at every step, the volume is wholly old or wholly new", "[node][kill]") {
  int kills = 0;
  for (int at = 1;; ++at) {
    Fixture f;
    check(f.apply(f.one, 1));
    const auto old_content = content_of(f.volume());
    const bool killed = killed_at(at, [&](Transaction::OnStep on_step) {
      static_cast<void>(f.apply(f.two, 2, std::move(on_step)));
    });
    const auto recovered = Transaction::open(f.volume());
    if (!recovered) FAIL("kill at step " << at << ": " << recovered.error().text());
    const auto content = content_of(f.volume());
    CAPTURE(at);
    if (recovered->applied().sequence == 1) {
      CHECK(content == old_content);
    } else {
      CHECK(recovered->applied().sequence == 2);
      CHECK(content == wanted(f.two));
    }
    if (!killed) break;
    ++kills;
  }
  CHECK(kills > 25);
}

TEST_CASE("revert: killed at every step, it is finished at the next start", "[node][kill]") {
  int kills = 0;
  for (int at = 1;; ++at) {
    Fixture f;
    check(f.apply(f.one, 1));
    check(f.apply(f.two, 2));
    const bool killed = killed_at(
        at, [&](Transaction::OnStep on_step) { static_cast<void>(f.revert(std::move(on_step))); });
    CAPTURE(at);
    const auto recovered = Transaction::open(f.volume());
    if (!recovered) FAIL("kill at step " << at << ": " << recovered.error().text());
    const auto content = content_of(f.volume());
    CHECK((content == wanted(f.one) || content == wanted(f.two)));
    if (!killed) {
      CHECK(content == wanted(f.one));
      break;
    }
    ++kills;
  }
  CHECK(kills > 15);
}
