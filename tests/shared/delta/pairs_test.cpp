// Random pairs of trees, encoded, decoded and compared: identical, or refused. A few of them run
// with the others; all thousand with `delta_test "[pairs]"`.
#include <catch2/catch.hpp>

#include "shared/codec/zstd_program.hpp"
#include "tests/support/container_files.hpp"
#include "tests/support/content.hpp"
#include "tests/support/elf_file.hpp"
#include "tests/support/whole_update.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15U + 1) {}
  std::uint64_t below(std::uint64_t count) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return (state_ >> 33) % count;
  }
  bool one_in(std::uint64_t count) { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

Buffer plain_content(Dice& dice) {
  const std::size_t size = dice.below(6000);
  const std::uint64_t seed = dice.below(40);  // So that some are the same.
  switch (dice.below(4)) {
    case 0: return noise(size, seed);
    case 1: return Buffer(size, static_cast<std::byte>(seed));
    case 2: {
      const bool is_module = dice.one_in(2);
      return elf_file({{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, noise(size, seed)},
                       {".rela.text", SHT_RELA, 0, noise(size / 3, seed + 1)},
                       {".eh_frame_hdr", SHT_PROGBITS, SHF_ALLOC, noise(size / 5, seed + 2)}},
                      static_cast<std::uint16_t>(is_module ? ET_REL : ET_DYN));
    }
    default: return text(size, seed);
  }
}

Buffer container_of(const std::vector<std::pair<std::string, Buffer>>& members, Dice& dice) {
  const Buffer& first = members.front().second;
  const Buffer archive = cpio_file(members);
  const DeflateShape shape{static_cast<std::uint8_t>(1 + dice.below(9)), 8};
  const Lzma2Shape xz{.preset = static_cast<std::uint8_t>(dice.below(7)),
                      .has_x86 = dice.one_in(2),
                      .dictionary_code = static_cast<std::uint8_t>(dice.below(12))};
  switch (dice.below(9)) {
    case 0: return gzip_file(first, deflate_bytes(first, shape));
    case 1: return own_gzip_file(first, 9);
    case 2: return gzip_file(archive, deflate_bytes(archive, shape));
    case 3: return zstd_as_program(archive, {.level = 9, .has_size = dice.one_in(2)});
    case 4: return xz_file(first, xz, dice.one_in(2));
    case 5: return kernel_file(xz_file(first, xz), noise(200, dice.below(3)));
    case 6: return kernel_file(gzip_file(first, deflate_bytes(first, shape)), noise(200, 1), false);
    case 7: {
      std::vector<ZipEntry> entries;
      for (const auto& [name, bytes] : members) entries.push_back({name, bytes, !dice.one_in(3)});
      return zip_file(entries);
    }
    default: return archive;
  }
}

Files random_tree(Dice& dice) {
  Files files;
  for (std::uint64_t left = dice.below(12); left > 0; --left)
    files["d" + std::to_string(dice.below(3)) + "/f-" + std::to_string(dice.below(30)) +
          (dice.one_in(3) ? ".ko" : "")] = plain_content(dice);
  for (std::uint64_t left = dice.below(5); left > 0; --left) {
    std::vector<std::pair<std::string, Buffer>> members;
    for (std::uint64_t count = 1 + dice.below(3); count > 0; --count) {
      const bool is_file = !files.empty() && dice.one_in(2);
      members.emplace_back(
          "m" + std::to_string(count),
          is_file ? std::next(files.begin(), static_cast<std::ptrdiff_t>(dice.below(files.size())))
                        ->second
                  : plain_content(dice));
    }
    files["c/" + std::to_string(dice.below(9))] = container_of(members, dice);
  }
  return files;
}

// What may happen to a file: a byte, the end, the beginning, another's content, another name.
Files changed(const Files& files, Dice& dice) {
  Files next;
  for (const auto& [path, content] : files) {
    Buffer bytes = content;
    std::string name = path;
    const std::size_t at = bytes.empty() ? 0 : dice.below(bytes.size());
    switch (dice.below(8)) {
      case 0: continue;
      case 1:
        if (!bytes.empty()) bytes[at] ^= std::byte{0x41};
        break;
      case 2: bytes.resize(at); break;
      case 3: bytes = noise(at % 300, at) + bytes; break;
      case 4: name += "-2." + std::to_string(dice.below(9)); break;
      case 5: bytes = plain_content(dice); break;
      default: break;
    }
    next[name] = std::move(bytes);
  }
  for (auto& [path, bytes] : random_tree(dice))
    if (dice.one_in(3)) next[path] = std::move(bytes);
  return next;
}

void flip_a_byte(Buffer& bytes, Dice& dice) {
  if (!bytes.empty())
    bytes[dice.below(bytes.size())] ^= static_cast<std::byte>(1 + dice.below(255));
}

void check_pair(std::uint64_t seed) {
  CAPTURE(seed);
  Dice dice(seed);
  Files old = random_tree(dice);
  const Files next = dice.one_in(8) ? random_tree(dice) : changed(old, dice);
  const FileDigests wanted = digests_of(next);
  const auto effort = static_cast<delta::Effort>(dice.below(3));
  auto sent = send(old, next, effort, own_gzip());
  REQUIRE(sent);
  const auto got = receive(old, *sent, wanted, own_gzip());
  if (!got) FAIL(got.error().text());
  REQUIRE(*got == next);

  // A device that was changed, and bytes that broke on the way.
  switch (dice.below(3)) {
    case 0:
      if (!old.empty())
        flip_a_byte(
            std::next(old.begin(), static_cast<std::ptrdiff_t>(dice.below(old.size())))->second,
            dice);
      break;
    case 1:
      if (!sent->frames.empty()) flip_a_byte(sent->frames[dice.below(sent->frames.size())], dice);
      break;
    default: flip_a_byte(sent->assembly, dice);
  }
  if (const auto broken = receive(old, *sent, wanted, own_gzip())) REQUIRE(*broken == next);
}

}  // namespace

TEST_CASE("update: fifty random pairs of trees arrive whole, broken ones whole or not at all",
          "[delta]") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) check_pair(seed);
}

TEST_CASE("update: a thousand random pairs", "[.][pairs]") {
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) check_pair(seed);
}
