#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "shared/format/content.hpp"
#include "shared/store/pack_set.hpp"
#include "shared/store/pack_writer.hpp"
#include "shared/update/make_update.hpp"
#include "shared/update/take_update.hpp"
#include "shared/update/update_head.hpp"
#include "tests/support/container_files.hpp"
#include "tests/support/content.hpp"
#include "tests/support/elf_file.hpp"
#include "tests/support/pack_parts.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::tests;
using update::MadeUpdate;
using update::TakenUpdate;

namespace {

using Files = std::map<std::string, Buffer>;

enum class Holes { none, made };

// Blocks of zeros become holes of the entry; what is stored of it.
Buffer make_holes(const Buffer& bytes, format::Entry& entry) {
  constexpr std::size_t kBlock = 4096;
  Buffer stored;
  for (std::size_t at = 0; at < bytes.size(); at += kBlock) {
    const auto block = ByteView(bytes).subspan(at, std::min(kBlock, bytes.size() - at));
    if (std::ranges::all_of(block, [](std::byte byte) { return byte == std::byte{0}; })) {
      entry.sparse = true;
      continue;
    }
    stored.insert(stored.end(), block.begin(), block.end());
    auto& extents = entry.extents;
    if (!extents.empty() && extents.back().offset + extents.back().length == at)
      extents.back().length += block.size();
    else
      extents.push_back({at, block.size()});
  }
  if (!entry.sparse) entry.extents.clear();
  return stored;
}

// Packs of layers, as an origin has them, and where each chunk is.
struct Store {
  Scratch scratch;
  PackFiles files = PackFiles::open(scratch.path(), PackFiles::Access::write).value();
  std::map<ChunkId, PackId> places;
  std::vector<PackId> packs;
  std::optional<PackSet> set;

  format::ManifestRef publish(const Files& tree, std::size_t chunk = 30'000,
                              Holes holes = Holes::none) {
    PackWriter writer(files, {.level = 3, .pack_bytes = 200'000},
                      [&](const format::PackSummary& summary) -> Status {
                        packs.push_back(summary.id);
                        for (const auto& frame : summary.index.frames)
                          for (const auto& ref : frame.chunks)
                            places.try_emplace(ref.id, summary.id);
                        return Done{};
                      });
    format::ManifestWriter manifest([&](const ChunkId& id, ByteView plain) {
      return writer.add({id, static_cast<std::uint32_t>(plain.size())}, plain,
                        ContentClass::metadata);
    });
    for (const auto& [path, bytes] : tree) {
      format::Entry entry{.path = path, .mode = 0644, .size = bytes.size()};
      const Buffer stored = holes == Holes::made ? make_holes(bytes, entry) : bytes;
      for (std::size_t at = 0; at < stored.size(); at += chunk) {
        const auto part = ByteView(stored).subspan(at, std::min(chunk, stored.size() - at));
        entry.chunks.push_back(ref_of(part));
        if (!places.contains(entry.chunks.back().id))
          REQUIRE(writer.add(entry.chunks.back(), part, ContentClass::data));
      }
      REQUIRE(manifest.add(entry));
    }
    auto ref = manifest.finish();
    REQUIRE(ref);
    REQUIRE(writer.finish());
    set.emplace();
    for (const PackId& id : packs) REQUIRE(set->add(files.path_of(id), id.short_hex()));
    set->seal();
    return *ref;
  }
  Result<PackId> pack_of(const ChunkId& id) const { return places.at(id); }
  std::uint64_t size_of(const std::set<PackId>& ids) const {
    std::uint64_t sum = 0;
    for (const PackId& id : ids) sum += files.size_of(id).value();
    return sum;
  }
};

struct Case {
  Store store;
  std::optional<format::ManifestRef> old;
  format::ManifestRef next;
  Scratch sent;
  std::optional<PackFiles> into = PackFiles::open(sent.path(), PackFiles::Access::write).value();

  Case(const Files& old_tree, const Files& next_tree, std::size_t next_chunk = 30'000,
       Holes old_holes = Holes::none, Holes next_holes = Holes::none)
      : old(store.publish(old_tree, 30'000, old_holes)),
        next(store.publish(next_tree, next_chunk, next_holes)) {}
  // Of an update from nothing.
  explicit Case(const Files& tree) : next(store.publish(tree)) {}

  MadeUpdate make(delta::Effort effort = delta::Effort::standard) {
    auto made = update::make_update(
        old, next, store.set->source(), [this](const ChunkId& id) { return store.pack_of(id); },
        *into,
        {.encoding = {.effort = effort, .group_bytes = 100'000, .programs = own_gzip()},
         .pack_bytes = 3'000});
    REQUIRE(made);
    return std::move(*made);
  }
  update::TakeOrder order(const MadeUpdate& made, const std::string& directory) {
    update::TakeOrder order{.old = old,
                            .next = next,
                            .source = store.set->source(),
                            .metadata_packs = {},
                            .packs = {},
                            .directory = directory,
                            .programs = own_gzip()};
    for (const auto& pack : made.packs)
      (pack.is_metadata ? order.metadata_packs : order.packs).push_back(into->path_of(pack.id));
    return order;
  }
};

// What lies in `directory`/packs, beside the chunks of the old layer.
// What did not come out is taken out of packs of which no more is there than it needs.
Files read_tree(Case& one, const format::ManifestRef& ref, const std::string& directory,
                const std::map<PackId, TakenUpdate::Lacking>& lacking = {}) {
  const auto files_there = PackFiles::open(directory, PackFiles::Access::write).value();
  PackWriter writer(files_there, {}, [](const format::PackSummary&) -> Status { return Done{}; });
  Scratch parts;
  for (const auto& [id, some] : lacking) {
    const std::uint64_t size = one.store.files.size_of(id).value();
    auto part = make_part(some.chunks, size);
    for (bool is_taken = false; !is_taken;) {
      const auto before = part.ranges;
      copy_ranges(one.store.files.path_of(id), parts / id.hex(), size, part.ranges);
      const auto taken = take_part(parts / id.hex(), size, part, writer);
      REQUIRE(taken);
      is_taken = *taken;
      REQUIRE((is_taken || part.ranges != before));
    }
  }
  REQUIRE(writer.finish());
  PackSet set;
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/packs"))
    REQUIRE(set.add(entry.path(), "taken"));
  set.seal();
  std::set<ChunkId> had;
  if (one.old) had = update::read_content_of(*one.old, one.store.set->source()).value().chunks();
  const format::ChunkSource source = [&](const format::ChunkRef& chunk) -> Result<Buffer> {
    if (had.contains(chunk.id)) return one.store.set->read(chunk);
    return set.read(chunk);
  };
  auto reader = format::ManifestReader::open(ref, source);
  REQUIRE(reader);
  Files files;
  for (;;) {
    auto entry = (*reader)->next();
    REQUIRE(entry);
    if (!*entry) return files;
    const auto bytes = format::read_content(**entry, source, std::size_t{1} << 24);
    REQUIRE(bytes);
    files[(*entry)->path] = to_buffer(as_view(*bytes));
  }
}

Buffer program(std::uint64_t seed, std::size_t size) {
  return elf_file({{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, noise(size, seed)},
                   {".rodata", SHT_PROGBITS, SHF_ALLOC, noise(size / 2, seed + 1000)}});
}
Buffer gzipped(const Buffer& plain) { return gzip_file(plain, deflate_bytes(plain, {9, 8})); }

Files system(std::uint64_t version) {
  const std::string v = std::to_string(version);
  const auto changed = [&](Buffer bytes) {
    bytes[bytes.size() / 2] ^= static_cast<std::byte>(version);
    return bytes;
  };
  Files files;
  for (std::uint64_t i = 0; i < 12; ++i)
    files["lib/modules/6.1." + v + "/m" + std::to_string(i) + ".ko"] =
        changed(program(i, 9000 + 100 * i));
  files["usr/lib/libx.so." + v] = changed(program(50, 150'000));
  files["usr/bin/same"] = program(60, 5000);
  files["etc/empty"] = {};
  files["usr/share/doc/changelog.gz"] = gzipped(changed(text(3'000, 1)));
  files["usr/share/doc/news.gz"] = own_gzip_file(changed(noise(40'000, 2)), 9);
  // A member is a container that the tree has as a file.
  files["usr/share/all.zip"] = zip_file(
      {{"news.gz", files["usr/share/doc/news.gz"]}, {"content.xml", changed(text(4'000, 3))}});
  files["usr/share/copy"] = changed(text(4'000, 3));
  return files;
}

}  // namespace

TEST_CASE("update of a layer: a device with the old one gets the new one, and little travels",
          "[update]") {
  Case one(system(1), system(2));
  for (const auto effort : {delta::Effort::fast, delta::Effort::high}) {
    const MadeUpdate made = one.make(effort);
    CHECK(made.bytes() < 40'000);
    CHECK(std::ranges::any_of(made.packs, [](const auto& pack) { return pack.is_metadata; }));
    Scratch taken_at;
    const auto taken = update::take_update(one.order(made, taken_at.path()));
    REQUIRE(taken);
    CHECK(taken->lacking_chunks == 0);
    CHECK(taken->lacking.empty());
    CHECK(taken->troubles.empty());
    CHECK(taken->chunks > 20);
    CHECK(read_tree(one, one.next, taken_at.path()) == system(2));
    // What it says to cover is what came out.
    const auto next = update::read_content_of(one.next, one.store.set->source()).value();
    const auto old = update::read_content_of(*one.old, one.store.set->source()).value().chunks();
    for (const ChunkId& id : next.chunks()) CHECK((old.contains(id) || made.covered.contains(id)));
  }
}

TEST_CASE("update of a layer: from nothing it has all of it, in fewer bytes than its packs",
          "[update]") {
  Case one(system(2));
  const MadeUpdate made = one.make(delta::Effort::fast);
  CHECK(made.bytes() < one.store.size_of({one.store.packs.begin(), one.store.packs.end()}));
  const auto next = update::read_content_of(one.next, one.store.set->source()).value();
  CHECK(made.covered == next.chunks());
  Scratch taken_at;
  auto order = one.order(made, taken_at.path());
  order.source = [](const format::ChunkRef& chunk) -> Result<Buffer> {
    return fail(ErrorKind::not_found, "nothing is here of " + chunk.id.short_hex());
  };
  SECTION("it comes out whole") {
    const auto taken = update::take_update(order);
    REQUIRE(taken);
    CHECK(taken->lacking_chunks == 0);
    CHECK(taken->chunks == made.covered.size());
    CHECK(taken->troubles.empty());
    CHECK(read_tree(one, one.next, taken_at.path()) == system(2));
  }
  SECTION("without a pack the rest comes out, and what is lacking is named") {
    REQUIRE(order.packs.size() >= 2);
    order.packs.erase(order.packs.begin());
    const auto taken = update::take_update(order);
    REQUIRE(taken);
    CHECK(taken->chunks > 0);
    CHECK(taken->lacking_chunks > 0);
    CHECK(taken->chunks + taken->lacking_chunks == made.covered.size());
    CHECK(read_tree(one, one.next, taken_at.path(), taken->lacking) == system(2));
  }
}

TEST_CASE("update of a layer: one from a layer is none from nothing, nor the other way",
          "[update]") {
  Case one(system(1), system(2));
  Scratch taken_at;
  auto order = one.order(one.make(), taken_at.path());
  order.old.reset();
  CHECK(update::take_update(order).error().kind() == ErrorKind::corrupt);
  const auto old = std::exchange(one.old, std::nullopt);
  Scratch elsewhere;
  auto other = one.order(one.make(), elsewhere.path());
  other.old = old;
  CHECK(update::take_update(other).error().kind() == ErrorKind::corrupt);
}

TEST_CASE("update of a layer: the same layers give the same packs", "[update]") {
  Case one(system(1), system(2));
  const auto first = one.make();
  const auto again = one.make();
  REQUIRE(first.packs.size() == again.packs.size());
  for (std::size_t i = 0; i < first.packs.size(); ++i)
    CHECK(first.packs[i].id == again.packs[i].id);
}

TEST_CASE("update of a layer: files that are cut into other chunks than before arrive too",
          "[update]") {
  Case one(system(1), system(1), 7'000);
  const MadeUpdate made = one.make();
  Scratch taken_at;
  const auto taken = update::take_update(one.order(made, taken_at.path()));
  INFO((taken ? "" : taken.error().text()));
  REQUIRE(taken);
  CHECK(taken->lacking_chunks == 0);
  CHECK(read_tree(one, one.next, taken_at.path()) == system(1));
}

TEST_CASE("update of a layer: with holes a file is the same content", "[update]") {
  const auto holes =
      GENERATE(std::pair(Holes::none, Holes::made), std::pair(Holes::made, Holes::none),
               std::pair(Holes::made, Holes::made));
  const auto library = [](std::size_t zeros, std::byte change) {
    Buffer code = noise(150'000, 50);
    code[100'000] ^= change;
    return elf_file({{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, code},
                     {".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, Buffer(zeros)},
                     {".rodata", SHT_PROGBITS, SHF_ALLOC, noise(70'000, 51)}});
  };
  const auto disk = [](std::byte change) {  // Mostly holes.
    Buffer bytes = noise(90'000, 52);
    bytes[40'000] ^= change;
    bytes.resize(1'000'000);
    return bytes;
  };
  const Files old{
      {"libx.so.1", library(30'000, {})}, {"liby.so", library(40'000, {})}, {"disk", disk({})}};
  const Files next{{"libx.so.2", library(30'000, std::byte{1})},
                   {"liby.so", library(40'000, {})},
                   {"disk", disk(std::byte{1})}};
  Case one(old, next, 30'000, holes.first, holes.second);
  const MadeUpdate made = one.make();
  CHECK(made.bytes() < 8'000);
  Scratch taken_at;
  const auto taken = update::take_update(one.order(made, taken_at.path()));
  REQUIRE(taken);
  CHECK(taken->lacking_chunks == 0);
  CHECK(read_tree(one, one.next, taken_at.path()) == next);
}

TEST_CASE("update of a layer: random pairs arrive whole", "[update]") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    Files old, next;
    auto random = [state = seed + 77](std::uint64_t below) mutable {
      state = state * 6364136223846793005U + 1442695040888963407U;
      return (state >> 33) % below;
    };
    for (int i = 0; i < 14; ++i) {
      const std::string path = "d/" + std::to_string(random(30));
      Buffer bytes = random(2) == 0 ? noise(random(80'000), random(9)) : program(random(6), 20'000);
      if (random(4) == 0) bytes = gzipped(bytes);
      (random(2) == 0 ? old : next)[path] = bytes;
      if (random(3) == 0) {
        if (!bytes.empty()) bytes[random(bytes.size())] ^= std::byte{1};
        old[path] = bytes;
      }
    }
    Case one(old, next, random(2) == 0 ? 30'000 : 11'000);
    const MadeUpdate made = one.make(delta::Effort::fast);
    Scratch taken_at;
    const auto taken = update::take_update(one.order(made, taken_at.path()));
    INFO((taken ? "" : taken.error().text()));
    REQUIRE(taken);
    CHECK(taken->lacking_chunks == 0);
    CHECK(read_tree(one, one.next, taken_at.path()) == next);
  }
}

TEST_CASE("update of a layer: a damaged reference costs the packs of what leans on it alone",
          "[update]") {
  Case one(system(1), system(2));
  const MadeUpdate made = one.make();
  auto order = one.order(made, "");
  const auto old = update::read_content_of(*one.old, one.store.set->source()).value();
  const auto library =
      std::ranges::find(old.files, "usr/lib/libx.so.1", &update::ContentFile::path);
  REQUIRE(library != old.files.end());
  const ChunkId damaged = library->chunks[1].id;
  order.source = [&](const format::ChunkRef& chunk) -> Result<Buffer> {
    if (chunk.id == damaged) return fail(ErrorKind::corrupt, "the disk forgot it");
    return one.store.set->read(chunk);
  };
  Scratch taken_at;
  order.directory = taken_at.path();
  const auto taken = update::take_update(order);
  REQUIRE(taken);
  CHECK(taken->lacking_chunks > 0);
  CHECK(taken->lacking_bytes < 400'000);
  CHECK(taken->chunks > 10);
  REQUIRE(taken->troubles.size() == 1);
  CHECK(taken->troubles[0].find("the disk forgot it") != std::string::npos);
  CHECK_FALSE(taken->lacking.empty());
  CHECK(read_tree(one, one.next, taken_at.path(), taken->lacking) == system(2));
}

TEST_CASE("update of a layer: without a pack, or an encoder, the rest still comes out",
          "[update]") {
  Files next = system(2);
  next["usr/share/new"] = noise(50'000, 99);
  Case one(system(1), next);
  const MadeUpdate made = one.make();
  auto order = one.order(made, "");
  REQUIRE(order.packs.size() >= 2);
  std::string other;
  SECTION("a pack is gone") { order.packs.erase(order.packs.begin()); }
  SECTION("a pack is cut off") {
    other = one.sent.path() + "/short";
    std::filesystem::copy_file(order.packs[0], other);
    std::filesystem::resize_file(other, std::filesystem::file_size(other) / 2);
    order.packs[0] = other;
  }
  SECTION("an encoder is missing") {
    order.programs.gzip = [](const NextPiece&, std::uint64_t, int, const TakePiece&) -> Status {
      return fail(ErrorKind::not_found, "there is no program gzip");
    };
  }
  SECTION("an encoder makes other bytes") {
    order.programs.gzip = [](const NextPiece& next, std::uint64_t size, int level,
                             const TakePiece& take) -> Status {
      Buffer bytes;
      if (auto done = own_gzip().gzip(next, size, level, append_to(bytes)); !done) return done;
      bytes.back() ^= std::byte{1};
      bytes.at(bytes.size() / 2) ^= std::byte{1};
      return take(bytes);
    };
  }
  Scratch taken_at;
  order.directory = taken_at.path();
  const auto taken = update::take_update(order);
  REQUIRE(taken);
  CHECK(taken->chunks > 5);
  CHECK(taken->lacking_chunks > 0);
  CHECK_FALSE(taken->lacking.empty());
  CHECK(read_tree(one, one.next, taken_at.path(), taken->lacking) == next);
}

TEST_CASE("update of a layer: what takes long to make is left for somebody else, or made apart",
          "[update]") {
  const auto module = [](std::uint64_t n) {
    Buffer plain = noise(60'000, 3);
    for (std::size_t at = 0; at < plain.size(); at += 4000) plain[at] ^= std::byte(n);
    return plain;
  };
  Files old = system(1), next = system(2);
  old["lib/modules/a.ko.xz"] = xz_file(module(1), {});
  next["lib/modules/a.ko.xz"] = xz_file(module(2), {});
  // It is made of one that is.
  old["boot/initrd"] =
      cpio_file({{"a.ko.xz", old.at("lib/modules/a.ko.xz")}, {"b", noise(500, 5)}});
  next["boot/initrd"] =
      cpio_file({{"a.ko.xz", next.at("lib/modules/a.ko.xz")}, {"b", noise(500, 5)}});
  Case one(old, next);
  const MadeUpdate made = one.make();
  Scratch left_at, made_at;
  auto order = one.order(made, left_at.path());
  order.leaves_costly = true;
  const auto left = update::take_update(order);
  REQUIRE(left);
  CHECK(left->lacking_chunks == 0);
  CHECK(left->troubles.empty());
  CHECK(left->costly.empty());
  REQUIRE(left->left.size() >= 2);

  order.leaves_costly = false;
  order.directory = made_at.path();
  const auto all = update::take_update(order);
  REQUIRE(all);
  CHECK(all->left.empty());
  CHECK(all->chunks == left->chunks + left->left.size());
  REQUIRE_FALSE(all->costly.empty());
  // The packs that were made apart have what was left, and nothing that was not.
  const auto files = PackFiles::open(made_at.path(), PackFiles::Access::read).value();
  std::set<ChunkId> apart;
  for (const PackId& id : all->costly) {
    const auto pack = OpenPack::open(files.path_of(id), "costly");
    REQUIRE(pack);
    for (const auto& frame : pack->index().frames)
      for (const auto& chunk : frame.chunks) apart.insert(chunk.id);
    std::filesystem::copy(files.path_of(id), left_at.path() + "/packs/" + id.hex());
  }
  CHECK(apart == left->left);
  CHECK(read_tree(one, one.next, left_at.path()) == next);
}

TEST_CASE("update of a layer: without its head, or of another layer, it is refused", "[update]") {
  Case one(system(1), system(2));
  const MadeUpdate made = one.make();
  Scratch taken_at;
  auto order = one.order(made, taken_at.path());
  SECTION("no head") { order.metadata_packs.clear(); }
  SECTION("another layer") {
    const auto third = one.store.publish(system(3));
    order.source = one.store.set->source();
    order.next = third;
  }
  SECTION("packs of chunks") { order.packs.push_back(one.store.files.path_of(one.store.packs[0])); }
  CHECK_FALSE(update::take_update(order));
}

TEST_CASE("update of a layer: the head is read back, and nothing else is taken for one",
          "[update]") {
  update::UpdateHead head;
  head.metadata_lengths = {5, 4'000'000};
  head.packs = {PackId(sha256(as_view("a"))), PackId(sha256(as_view("b")))};
  head.runs = {{0, 5}, {1, 70'000}};
  head.assembly = noise(40, 1);
  const Buffer bytes = update::write_head(head);
  CHECK(update::is_head(bytes));
  CHECK(update::read_head(bytes).value() == head);
  for (std::size_t size = 0; size < bytes.size() - 1; ++size)
    CHECK_FALSE(update::read_head(ByteView(bytes).first(size)));
  head.runs.push_back({2, 1});
  CHECK_FALSE(update::read_head(update::write_head(head)));
}
