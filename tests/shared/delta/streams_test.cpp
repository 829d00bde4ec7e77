#include "shared/delta/streams.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>

#include "tests/support/content.hpp"
#include "tests/support/elf_file.hpp"

using namespace lamina;
using delta::Targets;

namespace {

Buffer library(std::uint64_t seed) {
  return tests::elf_file(
      {{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, tests::noise(3000 + seed, seed)},
       {".rodata", SHT_PROGBITS, SHF_ALLOC, tests::text(2000, seed)},
       {".rela.dyn", SHT_RELA, SHF_ALLOC, tests::noise(24 * 20, seed)},
       {".eh_frame_hdr", SHT_PROGBITS, SHF_ALLOC, tests::noise(12 + 8 * 31, seed)},
       {".bss", SHT_NOBITS, SHF_ALLOC, {}},
       {".odd name", SHT_PROGBITS, 0, tests::noise(seed % 100, seed)}});
}

Buffer module(std::uint64_t seed) {
  return tests::elf_file(
      {{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, tests::noise(1000, seed)},
       {".rela.text", SHT_RELA, 0, tests::noise(24 * 9 + 5, seed)},
       {".BTF", SHT_PROGBITS, 0, tests::text(700, seed)}},
      ET_REL, tests::noise(80, seed));
}

struct Split {
  delta::SplitContents contents;
  std::vector<delta::Part> parts;
  std::map<delta::StreamId, delta::Stream> streams;
};

Split split(const std::vector<Buffer>& contents, Targets targets) {
  std::vector<delta::Source> sources;
  for (const Buffer& content : contents) sources.push_back(delta::source_of(ByteView(content)));
  Split split{*delta::SplitContents::of(sources), {}, {}};
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < contents.size(); ++i) {
    split.parts.push_back({contents[i].size(), split.contents.is_split(i)});
    all += contents[i].size();
  }
  for (const auto& [id, size] : split.contents.sizes()) {
    split.streams[id] = {*split.contents.gather(id, targets), targets};
    REQUIRE(split.streams[id].bytes.size() == size);
    all -= size;
  }
  REQUIRE(all == 0);
  return split;
}

Result<std::vector<Buffer>> joined(const Split& split) {
  std::vector<Buffer> contents(split.parts.size());
  const auto done =
      delta::join(split.parts, split.streams, [&](std::size_t part, ByteView piece) -> Status {
        contents[part].insert(contents[part].end(), piece.begin(), piece.end());
        return Done{};
      });
  if (!done) return fail(done.error());
  return contents;
}

// The same, with streams that come in pieces of up to `most` bytes.
Split in_pieces(Split split, std::size_t most) {
  for (auto& [id, stream] : split.streams) {
    const auto all = std::make_shared<const Buffer>(std::exchange(stream.bytes, {}));
    stream.more = [all, next = tests::cut(*all, most)](ByteView rest) -> Result<Buffer> {
      const auto piece = next();
      Buffer bytes = to_buffer(rest);
      bytes.insert(bytes.end(), piece->begin(), piece->end());
      return bytes;
    };
  }
  return split;
}

void check_way_back(const std::vector<Buffer>& contents) {
  for (const Targets targets : {Targets::distances, Targets::places}) {
    const auto back = joined(split(contents, targets));
    REQUIRE(back);
    REQUIRE(*back == contents);
    for (const std::size_t most : {5U, 300U, 100'000U})
      REQUIRE(joined(in_pieces(split(contents, targets), most)).value() == contents);
  }
}

}  // namespace

TEST_CASE("streams: libraries, modules and other contents together have their way back",
          "[delta]") {
  check_way_back({});
  check_way_back({Buffer()});
  check_way_back({library(1), tests::text(500, 1), module(2), Buffer(), library(3), module(4)});
}

TEST_CASE("streams: an ELF file is split by its sections, anything else is not", "[delta]") {
  const Split two = split({library(1), tests::noise(100, 1)}, Targets::distances);
  CHECK(two.contents.is_split(0));
  CHECK_FALSE(two.contents.is_split(1));
  CHECK(two.streams.at(delta::kRaw).bytes == tests::noise(100, 1));
  CHECK(two.streams.size() >= 8);
  bool is_text_alone = false;
  for (const auto& [id, stream] : two.streams) {
    is_text_alone |= stream.bytes == tests::noise(3001, 1);
    if (stream.bytes == tests::noise(3001, 1)) CHECK(two.contents.has_code(id));
  }
  CHECK(is_text_alone);
}

TEST_CASE("streams: any changed byte of an ELF file has its way back", "[delta]") {
  for (const Buffer& file : {library(1), module(2)}) {
    // The headers at both ends decide about the layout; every byte of them takes a few values.
    for (std::size_t at = 0; at < file.size(); at += at < 64 || at + 1100 > file.size() ? 1 : 13)
      for (const int bits : {0x01, 0x80, 0xff}) {
        Buffer changed = file;
        changed[at] ^= static_cast<std::byte>(bits);
        for (const Targets targets : {Targets::distances, Targets::places}) {
          const auto back = joined(split({changed}, targets));
          if (!back || back->front() != changed) FAIL("byte " << at << ", bits " << bits);
        }
      }
    for (std::size_t size = 0; size < file.size(); size += 17)
      check_way_back({Buffer(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size))});
  }
}

TEST_CASE("streams: real programs are split and have their way back", "[delta]") {
  for (const char* path : {"/proc/self/exe", "/bin/sh", "/lib64/ld-linux-x86-64.so.2"}) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    CAPTURE(path);
    REQUIRE(!text.empty());
    CHECK(split({to_buffer(text)}, Targets::places).contents.is_split(0));
    check_way_back({to_buffer(text)});
  }
}

TEST_CASE("streams: missing, cut and longer streams are corrupt", "[delta]") {
  const Split whole = split({library(1), tests::text(100, 2)}, Targets::distances);
  for (const auto& [id, stream] : whole.streams) {
    CAPTURE(int(id));
    Split changed = whole;
    changed.streams.erase(id);
    CHECK(joined(changed).error().kind() == ErrorKind::corrupt);
    changed = whole;
    changed.streams[id].bytes.pop_back();
    CHECK(joined(changed).error().kind() == ErrorKind::corrupt);
    changed = whole;
    changed.streams[id].bytes.push_back(std::byte{0});
    CHECK(joined(changed).error().kind() == ErrorKind::corrupt);
    CHECK(joined(in_pieces(changed, 50)).error().kind() == ErrorKind::corrupt);
  }
  Split other = whole;
  other.parts[1].is_split = true;
  CHECK_FALSE(joined(other));
}

TEST_CASE("streams: errors of sources and sinks are passed on", "[delta]") {
  const Buffer file = library(1);
  delta::Source broken = delta::source_of(ByteView(file));
  broken.read = [](std::uint64_t, std::span<std::byte>) -> Status {
    return fail(ErrorKind::unavailable, "disk");
  };
  CHECK(delta::SplitContents::of({broken}).error().kind() == ErrorKind::unavailable);
  const Split whole = split({file}, Targets::distances);
  CHECK(delta::join(
            whole.parts, whole.streams,
            [](std::size_t, ByteView) -> Status { return fail(ErrorKind::out_of_space, "full"); })
            .error()
            .kind() == ErrorKind::out_of_space);
  Split torn = split({file}, Targets::distances);
  for (auto& [id, stream] : torn.streams) {
    stream.bytes.pop_back();
    stream.more = [](ByteView) -> Result<Buffer> { return fail(ErrorKind::unavailable, "disk"); };
  }
  CHECK(joined(torn).error().kind() == ErrorKind::unavailable);
}

TEST_CASE("streams: a window shows what the whole stream has", "[delta]") {
  constexpr std::size_t kSize = 2'700'000;  // Several pieces that are read at once.
  const std::vector<Buffer> contents = {
      library(1),
      tests::elf_file({{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, tests::noise(kSize, 2)}}),
      library(3), tests::text(kSize, 4), tests::text(10, 5)};
  std::vector<delta::Source> sources;
  for (const Buffer& content : contents) sources.push_back(delta::source_of(ByteView(content)));
  const auto split = delta::SplitContents::of(sources);
  REQUIRE(split);
  for (const Targets targets : {Targets::distances, Targets::places})
    for (const auto& [id, size] : split->sizes()) {
      const Buffer whole = *split->gather(id, targets);
      REQUIRE(whole.size() == size);
      for (const std::uint64_t length : {std::uint64_t{1000}, std::uint64_t{900'000}, size}) {
        delta::StreamWindow window(*split, id, targets);
        // Overlapping, with gaps, and the last one away from the end.
        for (std::uint64_t at = 0; at + length <= size; at += length + length / 3) {
          const std::uint64_t from = at - std::min<std::uint64_t>(at, length / 2);
          const auto view = window.view(from, at + length);
          REQUIRE(view);
          REQUIRE(std::ranges::equal(*view, ByteView(whole).subspan(from, at + length - from)));
        }
        REQUIRE(*window.checksum() == xxh3(whole));
      }
    }
  delta::StreamWindow none(*split, 200, Targets::distances);
  CHECK(none.view(0, 0)->empty());
  CHECK(*none.checksum() == xxh3({}));
}
