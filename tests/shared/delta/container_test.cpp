#include "shared/delta/container.hpp"

#include <catch2/catch.hpp>

#include "shared/codec/zstd_program.hpp"
#include "tests/support/container_files.hpp"
#include "tests/support/content.hpp"

using namespace lamina;
using namespace lamina::tests;
using delta::Encoder;
using delta::Opened;

namespace {

using Inside = std::vector<std::pair<std::string, Buffer>>;

Inside inside(const Opened& opened) {
  Inside members;
  for (const auto& member : opened.members)
    members.emplace_back(member.name, to_buffer(member.bytes));
  return members;
}

Result<Buffer> closed(const Opened& opened, const delta::Programs& programs) {
  // The recipe as it travels.
  Writer out;
  delta::write_recipe(out, opened.recipe);
  Reader in(out.view());
  const auto recipe = delta::read_recipe(in);
  REQUIRE(in.finished());
  REQUIRE(recipe == opened.recipe);
  REQUIRE(recipe.skeleton_size() == opened.skeleton.size());
  REQUIRE(recipe.member_sizes().size() == opened.members.size());
  Buffer bytes;
  const auto done = delta::close_container(
      recipe, opened.skeleton,
      [&](std::size_t index) -> Result<Buffer> { return to_buffer(opened.members[index].bytes); },
      programs,
      [&](ByteView piece) -> Status {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
        return Done{};
      });
  if (!done) return fail(done.error());
  return bytes;
}

// Opens to these members and closes to the same bytes.
void check_opens_to(const Buffer& file, const Inside& members, const delta::Programs& programs) {
  CHECK(
      delta::may_be_container(ByteView(file).first(std::min(file.size(), delta::kContainerMagic))));
  const auto opened = delta::open_proven(file, programs);
  REQUIRE(opened);
  CHECK(inside(*opened) == members);
  CHECK(closed(*opened, programs).value() == file);
  const auto unproven = delta::open_unproven(file);
  REQUIRE(unproven);
  CHECK(inside(*unproven) == members);
}

// Compresses in many blocks, and quickly.
Buffer letters(std::size_t size, std::uint64_t seed) {
  Buffer bytes = noise(size, seed);
  for (auto& byte : bytes) byte &= std::byte{0x3f};
  return bytes;
}

const Inside kFiles = {
    {"bin/sh", text(5000, 1)}, {"etc/rc", text(300, 2)}, {"lib/x.ko", noise(4001, 3)}};

}  // namespace

TEST_CASE("container: gzip files of zlib and of gzip(1) open, with and without a name", "[delta]") {
  const Buffer plain = letters(90'000, 1);
  for (const DeflateShape shape : {DeflateShape{9, 8}, DeflateShape{6, 8}, DeflateShape{9, 9}})
    for (const char* name : {"", "a.txt"})
      check_opens_to(gzip_file(plain, deflate_bytes(plain, shape), 2, name), {{"", plain}}, {});
  for (const int level : {6, 9}) {
    const Buffer file = own_gzip_file(plain, level);
    check_opens_to(file, {{"", plain}}, own_gzip());
    const auto opened = delta::open_proven(file, own_gzip());
    CHECK(opened->recipe.steps[1].encoder.library == Encoder::Library::gzip);
    // Where the program is missing, the sender leaves it closed and the receiver names it.
    CHECK_FALSE(delta::open_proven(file, {}));
    const auto refused = closed(*opened, {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind() == ErrorKind::unavailable);
    CHECK(refused.error().text().find("gzip 1.99") != std::string::npos);
  }
}

TEST_CASE("container: xz files of all presets open, filtered or not, with sizes and without",
          "[delta]") {
  const Buffer plain = letters(150'000, 1);
  const Buffer archive = cpio_file(kFiles);
  for (const std::uint8_t preset : {0, 1, 2, 3, 4, 5, 6})
    for (const bool is_extreme : {false, true}) {
      CAPTURE(int{preset}, is_extreme);
      const Lzma2Shape shape{.preset = preset,
                             .is_extreme = is_extreme,
                             .has_x86 = preset % 2 == 1,
                             .dictionary_code = 16};
      const Buffer file = xz_file(plain, shape, preset % 3 == 0);
      check_opens_to(file, {{"", plain}}, {});
      CHECK(delta::is_costly(file));
    }
  check_opens_to(xz_file(archive, {}), kFiles, {});
  check_opens_to(cpio_file({{"early", noise(3000, 9)}}) + xz_file(archive, {}),
                 [] {
                   Inside all = kFiles;
                   all.insert(all.begin(), {"early", noise(3000, 9)});
                   return all;
                 }(),
                 {});
}

TEST_CASE("container: xz files that take too much memory, and those of several parts, stay closed",
          "[delta]") {
  const Buffer plain = letters(1'000'000, 1);
  const Buffer file = xz_file(plain, {.preset = 1, .dictionary_code = 22});
  CHECK(delta::open_proven(file, {}, 20 << 20));
  CHECK_FALSE(delta::open_proven(file, {}, 10 << 20));
  CHECK_FALSE(delta::open_unproven(file + file));
  CHECK_FALSE(delta::open_unproven(xz_file({}, {})));
  CHECK_FALSE(delta::open_unproven(Buffer(file.begin(), file.begin() + 1000)));
}

TEST_CASE("container: kernel images open, whatever compressed the kernel", "[delta]") {
  const Buffer kernel = letters(90'000, 5);
  const Buffer code = noise(9000, 6);
  const Buffer gzip = gzip_file(kernel, deflate_bytes(kernel, {9, 8}));
  check_opens_to(kernel_file(gzip, code, false), {{"", kernel}}, {});
  const Lzma2Shape x86{.has_x86 = true, .dictionary_code = 20};
  check_opens_to(kernel_file(xz_file(kernel, x86), code), {{"", kernel}}, {});
  check_opens_to(kernel_file(zstd_as_program(kernel, {.level = 9}), code), {{"", kernel}}, {});
  CHECK(delta::is_costly(kernel_file(gzip, code, false)));
  // Compressed in an unknown way, cut off, or with a payload that is elsewhere.
  CHECK_FALSE(delta::open_unproven(kernel_file(noise(5000, 7), code)));
  const Buffer whole = kernel_file(gzip, code, false);
  for (const std::size_t size : {600U, 3000U})
    CHECK_FALSE(delta::open_unproven(
        Buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))));
  Buffer moved = whole;
  moved[0x248] ^= std::byte{1};
  CHECK_FALSE(delta::open_unproven(moved));
}

TEST_CASE("container: what no encoder here makes again stays closed", "[delta]") {
  const Buffer plain = letters(90'000, 1);
  Buffer file = gzip_file(plain, deflate_bytes(plain, {4, 5}));
  CHECK_FALSE(delta::open_proven(file, own_gzip()));
  CHECK(delta::open_unproven(file));
  // As zstd data behind much larger archives, whatever made it.
  const Inside front = {{"large", noise(200'000, 1)}};
  check_opens_to(cpio_file(front) + zstd_as_program(plain, {.level = 9}), front, {});
  file.push_back(std::byte{0});
  CHECK_FALSE(delta::open_unproven(file));
  CHECK_FALSE(delta::open_unproven(Buffer()));
  CHECK_FALSE(delta::open_unproven(text(1000, 1)));
  CHECK_FALSE(delta::may_be_container(text(6, 1)));
}

TEST_CASE("container: an initramfs in gzip or zstd, plain archives in front", "[delta]") {
  const Buffer archive = cpio_file(kFiles);
  const Buffer early = cpio_file({{"kernel/x86/microcode", noise(3000, 9)}, {"tiny", noise(8, 1)}});
  Inside all = {{"kernel/x86/microcode", noise(3000, 9)}};
  all.insert(all.end(), kFiles.begin(), kFiles.end());
  Inside doubled = all;
  doubled.insert(doubled.begin(), all[0]);
  const Buffer gzip = gzip_file(archive, deflate_bytes(archive, {9, 8}));
  check_opens_to(gzip, kFiles, {});
  check_opens_to(early + gzip, all, {});
  check_opens_to(early + early + gzip, doubled, {});
  for (const bool has_size : {false, true}) {
    const Buffer zstd = zstd_as_program(archive, {.level = 9, .has_size = has_size});
    check_opens_to(zstd, kFiles, {});
    check_opens_to(early + zstd, all, {});
  }
  check_opens_to(archive, kFiles, {});
  // Compressed in an unknown way: the plain archive opens, the rest is skeleton.
  check_opens_to(early + noise(5000, 4), {all[0]}, {});
}

TEST_CASE("container: an encoder of another version is refused by name", "[delta]") {
  auto opened = delta::open_proven(zstd_as_program(cpio_file(kFiles), {.level = 9}), {});
  REQUIRE(opened);
  REQUIRE(opened->recipe.steps[0].encoder.version == zstd_version());
  opened->recipe.steps[0].encoder.version = "0.0.1";
  const auto refused = closed(*opened, {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind() == ErrorKind::unavailable);
  CHECK(refused.error().text().find("zstd 0.0.1") != std::string::npos);
}

TEST_CASE("container: encoders are at hand by their versions", "[delta]") {
  const auto at_hand = [](Encoder::Library library, const std::string& version) {
    return delta::check_at_hand({.library = library, .version = version}, own_gzip()).has_value();
  };
  using enum Encoder::Library;
  CHECK(at_hand(zlib, deflate_version()));
  CHECK(at_hand(zlib, "1.0.4"));
  CHECK_FALSE(at_hand(zlib, "2.0"));
  CHECK_FALSE(at_hand(zlib, "1.3.1.zlib-ng"));
  CHECK_FALSE(at_hand(zlib, ""));
  CHECK(at_hand(gzip, "1.12"));
  CHECK_FALSE(at_hand(gzip, "2.1"));
  CHECK_FALSE(delta::check_at_hand({.library = gzip, .version = "1.12"}, {}));
  CHECK(at_hand(lzma, "5.2.0"));
  CHECK_FALSE(at_hand(lzma, "6.0.0"));
  CHECK(at_hand(zstd, zstd_version()));
  CHECK_FALSE(at_hand(zstd, zstd_version() + "1"));
}

TEST_CASE("container: zip with deflated members; stored ones stay in the skeleton", "[delta]") {
  const Buffer file = zip_file(
      {{"a", text(3000, 1)}, {"mimetype", text(40, 2), false}, {"b", text(9000, 3), true, {6, 8}}});
  check_opens_to(file, {{"a", text(3000, 1)}, {"b", text(9000, 3)}}, {});
  CHECK_FALSE(delta::open_unproven(zip_file({{"a", text(3000, 1), false}})));
  CHECK_FALSE(delta::open_unproven(zip_file({})));
  CHECK_FALSE(delta::open_proven(zip_file({{"a", letters(90'000, 1), true, {3, 2}}}), {}));
}

TEST_CASE("container: a bomb stays closed", "[delta]") {
  const Buffer zeros(1 << 20);
  std::vector<ZipEntry> entries(260, ZipEntry{"zeros", zeros, true, {1, 8}});
  CHECK_FALSE(delta::open_unproven(zip_file(entries)));
}

TEST_CASE("container: members and skeletons of other sizes are refused", "[delta]") {
  const auto opened = delta::open_proven(cpio_file(kFiles), {});
  REQUIRE(opened);
  const auto close = [&](ByteView skeleton, std::size_t less) {
    return delta::close_container(
        opened->recipe, skeleton,
        [&](std::size_t index) -> Result<Buffer> {
          const ByteView bytes = opened->members[index].bytes;
          return to_buffer(bytes.first(bytes.size() - less));
        },
        {}, [](ByteView) -> Status { return Done{}; });
  };
  CHECK(close(opened->skeleton, 0));
  CHECK(close(opened->skeleton, 1).error().kind() == ErrorKind::corrupt);
  CHECK(close(ByteView(opened->skeleton).first(10), 0).error().kind() == ErrorKind::corrupt);
  CHECK(close(opened->skeleton + Buffer(1), 0).error().kind() == ErrorKind::corrupt);
}

TEST_CASE("container: any changed or cut byte leaves it closed or closes to the same bytes",
          "[delta]") {
  const Buffer archive = cpio_file(kFiles);
  const std::vector<Buffer> files = {
      gzip_file(archive, deflate_bytes(archive, {9, 8}), 2, "name"),
      archive,
      zip_file({{"a", text(300, 1)}, {"b", text(900, 3)}}),
      zstd_as_program(archive, {.level = 9}),
      xz_file(archive, {.dictionary_code = 8}),
      kernel_file(gzip_file(archive, deflate_bytes(archive, {9, 8})), noise(200, 1), false)};
  for (const Buffer& file : files)
    for (std::size_t at = 0; at < file.size(); at += 1 + file.size() / 40)
      for (const int bits : {0x01, 0x80, 0xff}) {
        Buffer changed = file;
        changed[at] ^= static_cast<std::byte>(bits);
        for (const Buffer& other :
             {changed, Buffer(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(at))})
          if (const auto opened = delta::open_proven(other, {}))
            if (closed(*opened, {}).value() != other) FAIL("byte " << at << ", bits " << bits);
      }
}

TEST_CASE("container: recipes that cannot be are refused", "[delta]") {
  const auto accepts = [](std::initializer_list<std::uint8_t> bytes) {
    Writer out;
    for (const std::uint8_t byte : bytes) out.u8(byte);
    Reader in(out.view());
    delta::read_recipe(in);
    return in.finished();
  };
  CHECK(accepts({1, 1, 5}));        // One member of 5 bytes.
  CHECK_FALSE(accepts({1, 1, 0}));  // An empty one.
  CHECK_FALSE(accepts({2, 1, 5}));  // A step is missing.
  CHECK_FALSE(accepts({1, 3, 5}));  // An unknown step.
  constexpr std::uint8_t kZlib = 1, kZstd = 3, kLzma = 4;
  CHECK(accepts({2, 2, 1, kZlib, 9, 8, 1, '1', 1, 5}));        // A member, deflated.
  CHECK_FALSE(accepts({2, 2, 2, kZlib, 9, 8, 1, '1', 1, 5}));  // More steps than there are.
  CHECK_FALSE(accepts({2, 2, 1, kZlib, 10, 8, 1, '1', 1, 5}));
  CHECK_FALSE(accepts({2, 2, 1, kZlib, 9, 10, 1, '1', 1, 5}));
  CHECK_FALSE(accepts({2, 2, 1, 0, 9, 8, 1, '1', 1, 5}));
  CHECK_FALSE(accepts({2, 2, 1, 5, 9, 8, 1, '1', 1, 5}));
  CHECK(accepts({2, 2, 1, kZstd, 19, 3, 1, '1', 1, 5}));
  CHECK_FALSE(accepts({2, 2, 1, kZstd, 20, 3, 1, '1', 1, 5}));
  CHECK_FALSE(accepts({2, 2, 1, kZstd, 19, 4, 1, '1', 1, 5}));
  CHECK(accepts({2, 2, 1, kLzma, 0, 3, kDictionaryCodeMax, 1, '5', 1, 5}));
  CHECK_FALSE(accepts({2, 2, 1, kLzma, 0, 3, kDictionaryCodeMax + 1, 1, '5', 1, 5}));
  CHECK_FALSE(accepts({2, 2, 1, kLzma, 10, 3, 8, 1, '5', 1, 5}));
  CHECK_FALSE(accepts({2, 2, 1, kLzma, 0, 4, 8, 1, '5', 1, 5}));
  CHECK_FALSE(accepts(
      {3, 2, 2, kZlib, 9, 8, 1, '1', 2, 1, kZlib, 9, 8, 1, '1', 1, 5}));  // Coded inside of coded.
}
