#include "shared/delta/update.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "shared/codec/zstd_program.hpp"
#include "tests/support/container_files.hpp"
#include "tests/support/content.hpp"
#include "tests/support/elf_file.hpp"

using namespace lamina;
using namespace lamina::tests;
using delta::Effort;
using delta::ItemName;

namespace {

using Files = std::map<std::string, Buffer>;

delta::Tree tree_of(const Files& files) {
  delta::Tree tree;
  std::vector<const Buffer*> contents;
  for (const auto& [path, bytes] : files) {
    tree.files.push_back({path, bytes.size()});
    contents.push_back(&bytes);
  }
  tree.open = [contents](std::uint32_t file) -> Result<delta::Source> {
    return delta::source_of(ByteView(*contents.at(file)));
  };
  return tree;
}

struct Sent {
  std::vector<Buffer> frames;
  Buffer assembly;
  std::uint64_t bytes() const {
    std::uint64_t all = assembly.size();
    for (const Buffer& frame : frames) all += frame.size();
    return all;
  }
};

Sent send(const Files& old_files, const Files& next_files, Effort effort) {
  const delta::Tree old_tree = tree_of(old_files);
  const delta::Tree next_tree = tree_of(next_files);
  const auto old = delta::survey(
      old_tree, [](const Sha256Digest&) { return false; }, nullptr);
  REQUIRE(old);
  std::set<Sha256Digest> known(old->files.begin(), old->files.end());
  for (const auto& content : old->contents) known.insert(content.digest);
  const delta::Programs programs = own_gzip();
  const auto next = delta::survey(
      next_tree, [&](const Sha256Digest& digest) { return known.contains(digest); }, &programs);
  REQUIRE(next);
  const delta::UpdatePlan plan = delta::plan_update(*old, *next, 100'000);
  REQUIRE(plan.too_large.empty());
  Sent sent;
  delta::TreeReader old_reader(old_tree);
  delta::TreeReader next_reader(next_tree);
  for (const delta::Group& group : plan.groups) {
    std::vector<delta::Item> items, references;
    for (const std::size_t i : group.items)
      items.push_back({next->contents[i].name, next_reader.open(next->contents[i].name).value()});
    for (const std::size_t i : group.references)
      references.push_back({old->contents[i].name, old_reader.open(old->contents[i].name).value()});
    sent.frames.push_back(delta::encode_frame(items, references, effort).value());
  }
  sent.assembly = delta::write_assembly(plan.assembly);
  return sent;
}

// What a receiver with the old tree makes of it; `wanted` stands for the digests that it has of all
// files.
Files receive(const Files& old_files, const Sent& sent, const Files& wanted) {
  const delta::Tree old_tree = tree_of(old_files);
  delta::TreeReader reader(old_tree);
  std::map<ItemName, Buffer> items;
  std::map<Sha256Digest, Buffer> contents;
  for (const auto& [path, bytes] : old_files) contents[sha256(bytes)] = bytes;
  for (const Buffer& frame : sent.frames) {
    const auto head = delta::FrameHead::parse(frame);
    REQUIRE(head);
    std::vector<delta::Source> references;
    for (const auto& reference : head->references)
      references.push_back(reader.open(reference.name).value());
    REQUIRE(delta::decode_frame(*head, frame, std::move(references),
                                [&](std::size_t part, ByteView piece) -> Status {
                                  Buffer& item = items[head->items[part].name];
                                  item.insert(item.end(), piece.begin(), piece.end());
                                  return Done{};
                                }));
  }
  for (const auto& [name, bytes] : items)
    if (name.member == ItemName::kFileItself) contents[sha256(bytes)] = bytes;
  const auto assembly = delta::read_assembly(sent.assembly, 1 << 20);
  REQUIRE(assembly);
  std::vector<const Buffer*> numbered;
  for (const auto& [path, bytes] : wanted) numbered.push_back(&bytes);
  const auto find = [&](const delta::Origin& origin) -> Result<delta::Source> {
    if (origin.is_old) return reader.open(origin.name);
    if (const auto item = items.find(origin.name); item != items.end())
      return delta::source_of(ByteView(item->second));
    return delta::source_of(ByteView(contents.at(sha256(*numbered.at(origin.name.file)))));
  };
  const auto put = [&](const Buffer& bytes) { contents[sha256(bytes)] = bytes; };
  for (const auto& copy : assembly->copies)
    put(delta::read_all(find(copy.from).value(), 1 << 24).value());
  for (const auto& closing : assembly->closings) {
    Buffer bytes;
    REQUIRE(delta::close_file(closing, find, own_gzip(), [&](ByteView piece) -> Status {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      return Done{};
    }));
    put(bytes);
  }
  Files got;
  for (const auto& [path, bytes] : wanted) {
    CAPTURE(path);
    if (bytes.empty()) {
      got[path] = {};
      continue;
    }
    const auto content = contents.find(sha256(bytes));
    REQUIRE(content != contents.end());
    got[path] = content->second;
  }
  return got;
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
  files["usr/share/doc/news.gz"] = own_gzip().gzip(changed(noise(40'000, 2)), 9).value();
  files["usr/share/a.odt"] =
      zip_file({{"content.xml", changed(text(4'000, 3))}, {"x", text(100, 4), false}});
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

TEST_CASE("update: random pairs of trees arrive whole", "[delta]") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    Files old = system(seed % 3 + 1);
    Files next = system(seed % 5 + 1);
    std::uint64_t dice = seed;
    for (auto& [path, bytes] : next) {
      dice = dice * 6364136223846793005U + 1442695040888963407U;
      if ((dice >> 40) % 4 == 0 && !bytes.empty())
        bytes[(dice >> 20) % bytes.size()] ^= std::byte{1};
      if ((dice >> 50) % 9 == 0) bytes.resize(bytes.size() / 3);
    }
    REQUIRE(receive(old, send(old, next, Effort::fast), next) == next);
  }
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
