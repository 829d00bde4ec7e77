// Applies on real files.
#include <fcntl.h>

#include "tests/node/worker/volume_fixture.hpp"

using namespace lamina;
using namespace lamina::tests;

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

TEST_CASE("apply: a file whose zeros are holes is the file whose zeros are stored", "[node]") {
  Fixture f;
  const std::string sparse = f.scratch / "one/sparse";
  const auto bytes = os::read_file(sparse, 8 << 20);
  REQUIRE(bytes);
  make_file(sparse, *bytes);
  set_mtime(sparse, 1'600'000'000, 123'456'789);
  Layer stored{.captured = capture(f.scratch / "one")};
  if (stored.captured.result.bytes_read == f.one.captured.result.bytes_read) {
    WARN("skipped: the file system of this directory has no holes");
    return;
  }

  check(f.apply(f.one, 1));
  auto counts = f.apply(stored, 2);
  check(counts);
  CHECK(counts->replaced + counts->bytes == 0);
  counts = f.apply(f.one, 3);
  check(counts);
  CHECK(counts->replaced + counts->bytes == 0);
  // A byte where the layers have zeros makes it another file.
  auto there = os::Root::open(f.volume())->open_at("sparse", O_WRONLY);
  REQUIRE(there);
  REQUIRE(os::write_all_at(there->get(), to_buffer("x"), 2 << 20, "sparse"));
  set_mtime(f.volume() + "/sparse", 1'600'000'000, 123'456'789);
  counts = f.apply(stored, 4);
  check(counts);
  CHECK(counts->replaced == 1);
  there = os::Root::open(f.volume())->open_at("sparse", O_WRONLY);
  REQUIRE(there);
  REQUIRE(os::write_all_at(there->get(), to_buffer("x"), 2 << 20, "sparse"));
  counts = f.apply(f.one, 5);
  check(counts);
  CHECK(counts->replaced == 1);
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

TEST_CASE("apply: derived files keep no directory that goes", "[node]") {
  Fixture f;
  const std::string modules = "/lib/modules/6.1.0", volume = f.volume();
  REQUIRE(os::make_directories(f.scratch / "three" + modules));
  make_file(f.scratch / "three" + modules + "/modules.dep", to_buffer("as captured"));
  make_file(f.scratch / "three" + modules + "/ext4.ko", to_buffer("code"));
  Layer three;
  three.captured = capture(f.scratch / "three");
  // As depmod does: others in their places, and one that no layer has.
  const auto derive = [&] {
    REQUIRE(os::remove_file(volume + modules + "/modules.dep"));
    make_file(volume + modules + "/modules.dep", to_buffer("as made here"));
    make_file(volume + modules + "/modules.symbols.bin", to_buffer("made here"));
  };
  SECTION("when the apply that brought it is reverted") {
    check(f.apply(three, 1));
    derive();
    check(f.revert());
    CHECK_FALSE(os::exists(volume + "/lib"));
  }
  SECTION("when the layer leaves") {
    check(f.apply(three, 1));
    derive();
    check(f.apply(f.nothing, 2));
    CHECK_FALSE(os::exists(volume + "/lib"));
  }
  SECTION("but what a user put there does") {
    check(f.apply(three, 1));
    derive();
    make_file(volume + modules + "/mine.ko", to_buffer("mine"));
    check(f.apply(f.nothing, 2));
    CHECK(os::exists(volume + modules + "/mine.ko"));
    CHECK(os::exists(volume + modules + "/modules.symbols.bin"));
    CHECK_FALSE(os::exists(volume + modules + "/ext4.ko"));
  }
  SECTION("or a directory of that name") {
    check(f.apply(three, 1));
    REQUIRE(os::make_directories(volume + modules + "/modules.alias.d"));
    check(f.revert());
    CHECK(os::exists(volume + modules + "/modules.alias.d"));
  }
}

TEST_CASE("apply: a dry run counts and changes nothing", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  const auto before = content_of(f.volume());
  auto transaction = Transaction::open(f.volume());
  REQUIRE(transaction);
  const auto counts =
      transaction->dry_run(f.two.stream(), f.two.captured.source(), image::Mode::apply);
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

TEST_CASE("apply: a symlink that takes a file's place meanwhile gives nothing outside a mode",
          "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  make_file(f.scratch / "outside", to_buffer("not ours"), 0640);
  // From one to two only the mode of a- changes.
  const auto done = f.apply(f.two, 2, [&](std::string_view step) {
    if (step != "swap") return;
    REQUIRE(os::remove_file(f.volume() + "/a-"));
    REQUIRE(symlink((f.scratch / "outside").c_str(), (f.volume() + "/a-").c_str()) == 0);
  });
  struct stat facts {};
  REQUIRE(stat((f.scratch / "outside").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0640);
  // The apply ends either way: the next start finds nothing half done.
  CHECK(Transaction::open(f.volume()));
  CHECK((done || done.error().text().find("a-") != std::string::npos));
}

TEST_CASE("apply: .lamina that is not ours is refused", "[node]") {
  Fixture f;
  REQUIRE(symlink("/tmp", (f.volume() + "/.lamina").c_str()) == 0);
  const auto open = Transaction::open(f.volume());
  REQUIRE_FALSE(open);
  CHECK(open.error().kind() == ErrorKind::refused);
}

TEST_CASE("apply: what the user deleted is in nobody's way", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  REQUIRE(os::remove_tree(f.volume() + "/a.b"));   // The layers remove what was in it.
  REQUIRE(os::remove_tree(f.volume() + "/a/b"));   // The layers change a file in it.
  REQUIRE(os::remove_file(f.volume() + "/pipe"));  // The layers make it a directory.
  check(f.apply(f.two, 2));
  CHECK(os::read_text(f.volume() + "/a/b/script").value() == "#!/bin/sh\nexit 1\n");
  CHECK_FALSE(os::exists(f.volume() + "/a/b/deep"));  // Unchanged in the layers: stays deleted.
  CHECK_FALSE(os::exists(f.volume() + "/a.b"));
  check(f.revert());
  CHECK_FALSE(os::exists(f.volume() + "/a/b"));
  CHECK_FALSE(os::exists(f.volume() + "/a.b"));
  CHECK_FALSE(os::exists(f.volume() + "/pipe"));
}

TEST_CASE("apply: removing a layer passes by what the user put in its place", "[node]") {
  Fixture f;
  check(f.apply(f.one, 1));
  // A directory of the layer now is a link to another place, with files of the same names there.
  REQUIRE(os::rename_file(f.volume() + "/a", f.scratch / "elsewhere"));
  REQUIRE(symlink((f.scratch / "elsewhere").c_str(), (f.volume() + "/a").c_str()) == 0);
  REQUIRE(os::remove_file(f.volume() + "/a-"));
  REQUIRE(os::make_directories(f.volume() + "/a-/mine"));
  check(f.apply(f.nothing, 2));
  CHECK(os::list_directory(f.volume()).value() == std::vector<std::string>{".lamina", "a", "a-"});
  CHECK(os::exists(f.scratch / "elsewhere/file"));
  CHECK(os::exists(f.volume() + "/a-/mine"));
}
