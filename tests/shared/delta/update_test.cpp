#include "shared/delta/update.hpp"

#include <catch2/catch.hpp>

#include "shared/codec/zstd_program.hpp"
#include "tests/support/container_files.hpp"
#include "tests/support/content.hpp"
#include "tests/support/elf_file.hpp"
#include "tests/support/whole_update.hpp"

using namespace lamina;
using namespace lamina::tests;
using delta::Effort;
using delta::ItemName;

namespace {

Sent send(const Files& old, const Files& next, Effort effort) {
  auto sent = tests::send(old, next, effort, own_gzip());
  REQUIRE(sent);
  return std::move(*sent);
}

Files receive(const Files& old, const Sent& sent, const Files& wanted) {
  auto got = tests::receive(old, sent, digests_of(wanted), own_gzip());
  if (!got) FAIL(got.error().text());
  return std::move(*got);
}

Buffer program(std::uint64_t seed, std::size_t size) {
  return elf_file({{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, noise(size, seed)},
                   {".rodata", SHT_PROGBITS, SHF_ALLOC, noise(size / 2, seed + 1000)}});
}

Buffer gzipped(const Buffer& plain) { return gzip_file(plain, deflate_bytes(plain, {9, 8})); }

// A tree with an initramfs of some of its files, as a system has it; `version` changes a bit of
// all.
Files system(std::uint64_t version) {
  const std::string v = std::to_string(version);
  Files files;
  const auto changed = [&](Buffer bytes) {
    bytes[bytes.size() / 2] ^= static_cast<std::byte>(version);
    return bytes;
  };
  for (std::uint64_t i = 0; i < 12; ++i)
    files["lib/modules/6.1." + v + "/m" + std::to_string(i) + ".ko"] =
        changed(program(i, 9000 + 100 * i));
  files["usr/lib/libx.so." + v] = changed(program(50, 50'000));
  files["usr/bin/same"] = program(60, 5000);
  files["etc/empty"] = {};
  files["usr/share/doc/changelog.gz"] = gzipped(changed(text(3'000, 1)));
  files["usr/share/doc/news.gz"] = own_gzip_file(changed(noise(40'000, 2)), 9);
  files["usr/share/a.odt"] =
      zip_file({{"content.xml", changed(text(4'000, 3))}, {"x", text(100, 4), false}});
  files["lib/modules/6.1." + v + "/x.ko.xz"] =
      xz_file(changed(program(70, 6000)), {.dictionary_code = 16}, true);
  files["usr/share/copy"] = changed(text(4'000, 3));
  const Buffer archive = cpio_file({{"lib/modules/m1.ko", files["lib/modules/6.1." + v + "/m1.ko"]},
                                    {"bin/same", files["usr/bin/same"]},
                                    {"init", changed(text(8000, 7))},
                                    {"etc/only-here", changed(noise(5000, 8))}});
  files["boot/initrd-" + v] = zstd_as_program(archive, {.level = 9});
  return files;
}

}  // namespace

TEST_CASE("update: a system's next version arrives whole, and small", "[delta]") {
  const Files old = system(1);
  const Files next = system(2);
  for (const Effort effort : {Effort::fast, Effort::standard, Effort::high}) {
    const Sent sent = send(old, next, effort);
    CHECK(receive(old, sent, next) == next);
    const Sent fresh = send({}, next, effort);
    CHECK(receive({}, fresh, next) == next);
    CHECK(sent.bytes() * 20 < fresh.bytes());
  }
}

TEST_CASE("update: nothing travels for what the old tree has", "[delta]") {
  const Files old = system(1);
  Files moved;
  for (const auto& [path, bytes] : old) moved["elsewhere/" + path] = bytes;
  const Sent sent = send(old, moved, Effort::standard);
  CHECK(sent.frames.empty());
  CHECK(sent.assembly.size() < 40);
  CHECK(receive(old, sent, moved) == moved);
}

TEST_CASE("update: a file that was inside a container, and one that went into one", "[delta]") {
  const Buffer a = noise(5000, 1);
  const Buffer b = noise(6000, 2);
  const Files old = {{"a.gz", gzipped(a)}, {"b", b}};
  const Files next = {{"a", a}, {"b.gz", gzipped(b)}};
  const Sent sent = send(old, next, Effort::standard);
  CHECK(sent.frames.empty());
  CHECK(receive(old, sent, next) == next);
}

TEST_CASE("update: a receiver without gzip(1) learns so before it closes anything", "[delta]") {
  const Files next = system(2);
  const Sent sent = send({}, next, Effort::fast);
  const auto refused = tests::receive({}, sent, digests_of(next), {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind() == ErrorKind::unavailable);
  CHECK(refused.error().text().find("gzip 1.99") != std::string::npos);
  const auto assembly = delta::read_assembly(sent.assembly, 1 << 20);
  REQUIRE(assembly);
  CHECK(delta::check_closable(*assembly, own_gzip()));
  CHECK_FALSE(delta::check_closable(*assembly, {}));
}

TEST_CASE("update: containers inside of containers are closed first, whatever they are called",
          "[delta]") {
  Files next = {{"z/inner.gz", gzipped(text(4000, 1))}};
  next["m/middle"] = cpio_file({{"inner", next["z/inner.gz"]}, {"x", text(500, 2)}});
  next["a/outer.zst"] = zstd_as_program(cpio_file({{"middle", next["m/middle"]}}), {.level = 9});
  const Sent sent = send({}, next, Effort::fast);
  CHECK(receive({}, sent, next) == next);
  const auto assembly = delta::read_assembly(sent.assembly, 1 << 20);
  REQUIRE(assembly);
  std::vector<std::uint32_t> order;
  for (const auto& closing : assembly->closings) order.push_back(closing.file);
  CHECK(order == std::vector<std::uint32_t>{2, 1, 0});
}

TEST_CASE("update: costly containers stay closed if asked so, and arrive", "[delta]") {
  const Files next = {{"m.ko.xz", xz_file(program(1, 5000), {})},
                      {"vmlinuz", kernel_file(gzipped(program(2, 5000)), noise(200, 1), false)},
                      {"a.gz", gzipped(text(3000, 1))}};
  const delta::Tree tree = tree_of(next);
  const delta::Programs programs = own_gzip();
  const auto opened = [&](delta::Costly costly) {
    const auto survey = delta::survey(tree, [](const Sha256Digest&) { return false; }, &programs,
                                      {.costly = costly});
    REQUIRE(survey);
    return survey->opened.size();
  };
  CHECK(opened(delta::Costly::opened) == 3);
  CHECK(opened(delta::Costly::closed) == 1);
}

TEST_CASE("update: assemblies come back, cut and changed ones are refused or are others",
          "[delta]") {
  delta::Assembly assembly;
  assembly.copies = {{7, {true, {3, 2}}}, {5, {true, {UINT32_MAX, UINT32_MAX}}}};
  auto opened = delta::open_proven(gzipped(text(5000, 1)), {});
  assembly.closings = {{9, opened->recipe, opened->skeleton, {{false, {4, 0}}}}};
  const Buffer bytes = delta::write_assembly(assembly);
  CHECK(delta::read_assembly(bytes, 1000).value() == assembly);
  CHECK(delta::read_assembly(bytes, 20).error().kind() == ErrorKind::corrupt);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(delta::read_assembly(ByteView(bytes).first(size), 1000));
}

TEST_CASE("update: a name that is not in the tree is refused", "[delta]") {
  const Files files = {{"a", noise(100, 1)}, {"a.gz", gzipped(noise(500, 2))}};
  const delta::Tree tree = tree_of(files);
  delta::TreeReader reader(tree);
  CHECK(reader.open({0, 0}));
  CHECK(reader.open({1, 0}));
  CHECK(reader.open({1, delta::kFirstMember}));
  CHECK(reader.open({1, delta::kSkeletonMember}));
  for (const ItemName name :
       {ItemName{2, 0}, ItemName{0, 1}, ItemName{0, 2}, ItemName{1, 3}, ItemName{1, UINT32_MAX}})
    CHECK(reader.open(name).error().kind() == ErrorKind::corrupt);
}

TEST_CASE("update: a container is open once, in whatever order its members are asked for",
          "[delta]") {
  const std::vector<Buffer> files = {
      gzipped(cpio_file({{"one", noise(500, 1)}, {"two", noise(500, 2)}})),
      gzipped(cpio_file({{"one", noise(500, 3)}, {"two", noise(500, 4)}}))};
  std::map<std::uint32_t, int> opened;
  delta::Tree tree;
  for (const Buffer& file : files) tree.files.push_back({"a", file.size()});
  tree.open = [&](std::uint32_t file) -> Result<delta::Source> {
    ++opened[file];
    return delta::source_of(ByteView(files.at(file)));
  };
  delta::TreeReader reader(tree);
  std::vector<delta::Source> sources;
  for (const std::uint32_t member : {delta::kFirstMember, delta::kFirstMember + 1})
    for (const std::uint32_t file : {0U, 1U}) {
      auto source = reader.open({file, member});
      REQUIRE(source);
      CHECK(delta::read_all(*source, 500).value() ==
            noise(500, 1 + file * 2 + member - delta::kFirstMember));
      sources.push_back(std::move(*source));
    }
  CHECK(opened == std::map<std::uint32_t, int>{{0, 1}, {1, 1}});
  sources.clear();
  REQUIRE(reader.open({0, delta::kFirstMember}));
  CHECK(opened.at(0) == 2);
}

TEST_CASE("update: a content too large for a frame is left to others, and no reference",
          "[delta]") {
  const auto one = [](std::uint64_t size, std::uint8_t tag) {
    delta::Survey survey;
    survey.files = {Sha256Digest{std::byte{tag}}};
    survey.contents.push_back({.name = {0, 0},
                               .path = "disk.img",
                               .size = size,
                               .kind = delta::ItemClass::other,
                               .digest = survey.files[0],
                               .fingerprints = {}});
    return survey;
  };
  const auto large = delta::plan_update({}, one(delta::kFrameContentsMax + 1, 1), 1000);
  CHECK(large.groups.empty());
  CHECK(large.too_large == std::vector<std::size_t>{0});
  const auto fits = delta::plan_update(one(delta::kFrameContentsMax + 1, 2),
                                       one(delta::kFrameContentsMax, 1), 1000);
  CHECK(fits.too_large.empty());
  REQUIRE(fits.groups.size() == 1);
  CHECK(fits.groups[0].references.empty());
}
