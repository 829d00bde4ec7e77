#include "shared/store/chunk_store.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using tests::noise;
using tests::ref_of;
using tests::Scratch;

namespace {

// A pack file of these chunks, made elsewhere, as it arrives from a client.
struct Arrived {
  std::string path;
  PackId id;
};
Arrived pack_of(const Scratch& scratch, const std::vector<Buffer>& chunks,
                const ChunkStore& store) {
  const auto files = PackFiles::open(scratch / "elsewhere", PackFiles::Access::write).value();
  PackId id;
  PackWriter writer(files, {.level = 1, .frame_bytes = 5000},
                    [&](const format::PackSummary& summary) -> Status {
                      id = summary.id;
                      return Done{};
                    });
  for (const Buffer& chunk : chunks) REQUIRE(writer.add(ref_of(chunk), chunk, ContentClass::data));
  REQUIRE(writer.finish());
  const std::string path = store.files().new_temporary().value();
  REQUIRE(os::write_file(path, os::read_file(files.path_of(id), 1 << 24).value()));
  return {path, id};
}

}  // namespace

TEST_CASE("chunk store: what was taken in is found, read and kept over a restart", "[store]") {
  const Scratch scratch;
  const std::vector<Buffer> chunks{noise(4000, 1), tests::text(9000, 2), noise(10, 3)};
  {
    const auto store = ChunkStore::open(scratch / "store").value();
    const auto arrived = pack_of(scratch, chunks, *store);
    CHECK(store->take_in(arrived.path, arrived.id).value().size() == 3);
    CHECK_FALSE(os::exists(arrived.path));
    CHECK(ChunkStore::open(scratch / "store").error().kind() == ErrorKind::unavailable);
  }
  const auto store = ChunkStore::open(scratch / "store").value();
  for (const Buffer& chunk : chunks) CHECK(store->read(ref_of(chunk)).value() == chunk);
  const ChunkId other = ref_of(noise(3, 9)).id;
  CHECK(store->lacking({ref_of(chunks[0]).id, other}).value() == std::vector<ChunkId>{other});
  CHECK_FALSE(store->has(other).value());
  CHECK(store->pack_of(other).error().kind() == ErrorKind::not_found);
}

TEST_CASE("chunk store: a pack with other bytes than it claims is refused and gone", "[store]") {
  const Scratch scratch;
  const auto store = ChunkStore::open(scratch / "store").value();
  const Buffer chunk = noise(4000, 1);
  const auto good = pack_of(scratch, {chunk}, *store);
  const Buffer bytes = os::read_file(good.path, 1 << 20).value();
  for (std::size_t i = 0; i < bytes.size(); i += 101) {
    Buffer bad = bytes;
    bad[i] ^= std::byte{1};
    const std::string path = store->files().new_temporary().value();
    REQUIRE(os::write_file(path, bad));
    CHECK(store->take_in(path, good.id).error().kind() == ErrorKind::corrupt);
    CHECK_FALSE(os::exists(path));
    // With the identity of the changed bytes: now the chunk's digest must say no.
    REQUIRE(os::write_file(path, bad));
    const auto taken = store->take_in(path, identify(path).value().id);
    if (taken) CHECK(store->read(ref_of(chunk)).value() == chunk);
  }
  CHECK(os::list_directory(scratch / "store/packs").value().size() <= 1);
}

TEST_CASE("chunk store: known content is not stored twice", "[store]") {
  const Scratch scratch;
  const auto store = ChunkStore::open(scratch / "store").value();
  std::vector<Buffer> first;
  for (std::uint64_t i = 0; i < 10; ++i) first.push_back(noise(3000, i));
  auto arrived = pack_of(scratch, first, *store);
  REQUIRE(store->take_in_new(arrived.path, arrived.id, store->source()));
  const auto stored = [&] {
    std::uint64_t total = 0;
    const std::vector<PackId> ids = store->files().list().value();
    for (const PackId& id : ids) total += store->files().size_of(id).value();
    return total;
  };
  const std::uint64_t before = stored();

  std::vector<Buffer> second = first;
  second[4] = noise(3000, 100);
  arrived = pack_of(scratch, second, *store);
  CHECK(store->take_in_new(arrived.path, arrived.id, store->source()).value().size() == 10);
  CHECK(stored() - before < 3000 + 500);
  for (const Buffer& chunk : second) CHECK(store->read(ref_of(chunk)).value() == chunk);

  arrived = pack_of(scratch, first, *store);
  REQUIRE(store->take_in_new(arrived.path, arrived.id, store->source()));
  CHECK(stored() - before < 3000 + 500);
}

TEST_CASE("chunk store: a second process is told who has the store", "[store]") {
  const Scratch scratch;
  int opened[2];
  int may_end[2];
  REQUIRE(pipe(opened) == 0);
  REQUIRE(pipe(may_end) == 0);
  const pid_t first = fork();
  REQUIRE(first >= 0);
  if (first == 0) {
    const auto store = ChunkStore::open(scratch / "store");
    char byte = 0;
    const bool good = store && write(opened[1], &byte, 1) == 1 && read(may_end[0], &byte, 1) == 1;
    _exit(good ? 0 : 1);
  }
  char byte = 0;
  REQUIRE(read(opened[0], &byte, 1) == 1);
  const auto second = ChunkStore::open(scratch / "store");
  REQUIRE_FALSE(second);
  CHECK(second.error().kind() == ErrorKind::unavailable);
  CHECK(second.error().text().find("is in use by process " + std::to_string(first)) !=
        std::string::npos);
  REQUIRE(write(may_end[1], &byte, 1) == 1);
  int status = 0;
  REQUIRE(waitpid(first, &status, 0) == first);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(ChunkStore::open(scratch / "store"));
  for (const int end : {opened[0], opened[1], may_end[0], may_end[1]}) close(end);
}
