#include "shared/format/content.hpp"

#include <catch2/catch.hpp>

#include "tests/support/content.hpp"

using namespace lamina;
using namespace lamina::format;

namespace {

ChunkSource nothing() {
  return [](const ChunkRef& ref) -> Result<Buffer> {
    return fail(ErrorKind::not_found, "chunk " + ref.id.short_hex());
  };
}

}  // namespace

TEST_CASE("content: what was made is cut as a capture cuts it, and reads back", "[format]") {
  MadeContent made;
  const Buffer bytes = tests::noise(700'000, 3);
  Entry entry{.path = "etc/passwd", .sparse = true, .record_changes = true};
  made.set(entry, as_text(bytes));
  CHECK(check_entry(entry));
  CHECK(entry.size == bytes.size());
  CHECK_FALSE(entry.record_changes);

  std::vector<std::uint32_t> cuts;
  Chunker chunker;
  const auto emit = [&](ByteView chunk) -> Status {
    cuts.push_back(static_cast<std::uint32_t>(chunk.size()));
    return Done{};
  };
  REQUIRE(chunker.update(bytes, emit));
  REQUIRE(chunker.finish(emit));
  REQUIRE(cuts.size() > 1);
  REQUIRE(entry.chunks.size() == cuts.size());
  for (std::size_t i = 0; i < cuts.size(); ++i) CHECK(entry.chunks[i].length == cuts[i]);

  const auto read = read_content(entry, made.source(nothing()), bytes.size());
  REQUIRE(read);
  CHECK(as_view(*read).size() == bytes.size());
  CHECK(std::ranges::equal(as_view(*read), bytes));
}

TEST_CASE("content: an empty file has no chunks", "[format]") {
  MadeContent made;
  Entry entry{.path = "etc/subuid", .size = 1, .chunks = {{ChunkId{}, 1}}};
  made.set(entry, "");
  CHECK(entry.chunks.empty());
  CHECK(read_content(entry, nothing(), 0).value() == "");
}

TEST_CASE("content: holes read as zeros", "[format]") {
  MadeContent made;
  Entry entry{.path = "f"};
  made.set(entry, "abcdef");
  entry.size = 10;
  entry.sparse = true;
  entry.extents = {{1, 2}, {5, 4}};
  REQUIRE(check_entry(entry));
  CHECK(read_content(entry, made.source(nothing()), 10).value() ==
        std::string("\0ab\0\0cdef\0", 10));
}

TEST_CASE("content: too much, and what is missing, is said by name", "[format]") {
  MadeContent made;
  Entry entry{.path = "etc/group"};
  made.set(entry, "abcdef");
  const auto large = read_content(entry, made.source(nothing()), 5);
  REQUIRE_FALSE(large);
  CHECK(large.error().text().find("'etc/group' has 6 bytes") != std::string::npos);
  const auto missing = read_content(entry, nothing(), 100);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind() == ErrorKind::not_found);
  CHECK(missing.error().text().find("'etc/group'") != std::string::npos);
}
