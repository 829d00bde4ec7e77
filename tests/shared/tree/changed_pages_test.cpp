// What of a changed file is said to be where it was: always true bytes, and nearly all of them.
#include <fcntl.h>
#include <unistd.h>

#include <random>

#include "shared/os/clock.hpp"
#include "shared/tree/page_signatures.hpp"
#include "tests/shared/tree/trees.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

void write_at(const std::string& path, std::uint64_t offset, const Buffer& bytes) {
  const os::Descriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  REQUIRE(pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
          static_cast<ssize_t>(bytes.size()));
}

// Scans that remember, one after the other; every scan's chunks are kept.
struct Scans {
  struct Seen {
    std::uint64_t new_bytes = 0;   // Of chunks that no scan before had.
    std::uint64_t same_bytes = 0;  // Of those: said to be somewhere.
    std::uint64_t wrong = 0;       // Said to be where they are not.
  };

  Scans() : tree(scratch / "tree") { REQUIRE(os::make_directories(tree)); }

  // `trusts`: whatever has its old times is not read again, however young they are.
  Seen scan(bool trusts = false) {
    const std::string number = std::to_string(count++);
    auto root = os::Root::open(tree);
    REQUIRE(root);
    Seen seen;
    const CaptureOptions options{
        .scan_state = state,
        .new_scan_state = scratch / ("scan" + number),
        .signatures = signatures,
        .new_signatures = scratch / ("pages" + number),
        .started = trusts ? WallTime{INT64_MAX} : os::system_clock().wall()};
    const auto done = capture_tree(
        *root, options,
        [&](const ContentChunk& chunk) -> Status {
          for (const format::Same& part : chunk.same) {
            const auto from = chunks.find(part.from.id);
            const bool is_right =
                from != chunks.end() && part.at + part.length <= chunk.ref.length &&
                part.offset + part.length <= from->second.size() &&
                std::ranges::equal(chunk.plain.subspan(part.at, part.length),
                                   ByteView(from->second).subspan(part.offset, part.length));
            seen.wrong += is_right ? 0 : 1;
          }
          if (chunks.contains(chunk.ref.id)) return Done{};
          seen.new_bytes += chunk.ref.length;
          for (const format::Same& part : chunk.same) seen.same_bytes += part.length;
          chunks[chunk.ref.id] = to_buffer(chunk.plain);
          return Done{};
        },
        [](const ChunkId&, ByteView) -> Status { return Done{}; });
    if (!done) FAIL(done.error().text());
    files_read = done->files_read;
    state = options.new_scan_state;
    signatures = options.new_signatures;
    return seen;
  }

  Scratch scratch;
  std::string tree;
  int count = 0;
  std::string state;
  std::string signatures;
  std::uint64_t files_read = 0;
  std::map<ChunkId, Buffer> chunks;
};

}  // namespace

TEST_CASE("changed pages: of a file that is changed in place only these are new", "[tree]") {
  Scans scans;
  const std::string file = scans.tree + "/database";
  make_file(file, noise(8'000'000, 1));
  make_file(scans.tree + "/zz-small", noise(100'000, 2));
  CHECK(scans.scan(true).same_bytes == 0);
  CHECK(scans.scan(true).new_bytes == 0);
  CHECK(scans.files_read == 0);  // The signatures are those of the scan before the last one.

  std::mt19937_64 random(7);
  for (std::uint64_t i = 0; i < 40; ++i)
    write_at(file, random() % 7'990'000, noise(1 + random() % 5000, i));
  const auto edited = scans.scan();
  CHECK(edited.wrong == 0);
  CHECK(edited.new_bytes > 1'000'000);
  CHECK(edited.new_bytes - edited.same_bytes < 40 * 3 * kPageSize);

  // And at its end: longer, then shorter.
  write_at(file, 8'000'000, noise(30'000, 90));
  const auto longer = scans.scan();
  CHECK(longer.wrong == 0);
  CHECK(longer.new_bytes - longer.same_bytes < 30'000 + 2 * kPageSize);
  REQUIRE(truncate(file.c_str(), 5'000'001) == 0);
  const auto shorter = scans.scan();
  CHECK(shorter.wrong == 0);
  CHECK(shorter.new_bytes - shorter.same_bytes < 2 * kPageSize);
}

TEST_CASE("changed pages: holes that come and go move nothing", "[tree]") {
  Scans scans;
  const std::string file = scans.tree + "/image";
  make_file(file, Buffer());
  REQUIRE(truncate(file.c_str(), 64 << 20) == 0);
  for (std::uint64_t i = 0; i < 10; ++i) write_at(file, i * (6 << 20), noise(1 << 20, i));
  scans.scan();
  write_at(file, 3 << 20, noise(8192, 20));           // In a hole.
  write_at(file, (6 << 20) + 40'000, noise(10, 21));  // In a run behind it.
  const auto edited = scans.scan();
  CHECK(edited.wrong == 0);
  CHECK(edited.same_bytes > 0);
  CHECK(edited.new_bytes - edited.same_bytes < 8192 + 3 * kPageSize);
}

TEST_CASE("changed pages: signatures of another version, or none, claim nothing", "[tree]") {
  Scans scans;
  const std::string file = scans.tree + "/database";
  make_file(file, noise(4'000'000, 1));
  scans.scan();
  const std::string old_signatures = scans.signatures;
  write_at(file, 1'000'000, noise(100'000, 2));
  scans.scan();
  SECTION("of the scan before") { scans.signatures = old_signatures; }
  SECTION("damaged") {
    Buffer bytes = os::read_file(scans.signatures, 1 << 20).value();
    bytes[bytes.size() / 2] ^= std::byte{1};
    REQUIRE(os::write_file(scans.signatures, bytes));
  }
  SECTION("missing") { scans.signatures = scans.scratch / "nowhere"; }
  write_at(file, 2'000'000, noise(10, 3));
  const auto edited = scans.scan();
  CHECK(edited.new_bytes > 0);
  CHECK(edited.same_bytes == 0);
  CHECK(edited.wrong == 0);
}

TEST_CASE("page signatures: rows of large files are put together again", "[tree]") {
  const Scratch scratch;
  std::vector<PageSignature> pages(40'000);
  for (std::size_t i = 0; i < pages.size(); ++i) pages[i] = static_cast<PageSignature>(i * 7 + 1);
  auto writer = PageSignatureWriter::create(scratch / "pages");
  REQUIRE(writer);
  REQUIRE(writer->add("a", 1, {1, 2, 3}));
  REQUIRE(writer->add("b", 2, pages));
  REQUIRE(writer->finish());
  {
    PageSignatureReader reader(scratch / "pages");
    CHECK(reader.find("a", 1, 2) == 3);
    CHECK(reader.find("a", 1, 3) == kNoSignature);
    for (std::size_t i = 0; i < pages.size(); i += 977) CHECK(reader.find("b", 2, i) == pages[i]);
    CHECK(reader.find("c", 2, 0) == kNoSignature);
  }
  PageSignatureReader reader(scratch / "pages");
  CHECK(reader.find("a", 9, 0) == kNoSignature);
  CHECK(reader.all("b", 2) == pages);
  CHECK(reader.all("b", 2).empty());
  CHECK(PageSignatureReader(scratch / "nowhere").all("a", 1).empty());
}
