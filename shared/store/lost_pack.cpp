#include "shared/store/lost_pack.hpp"

#include <algorithm>

#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"
#include "shared/format/pack.hpp"
#include "shared/hash/merkle.hpp"
#include "shared/hash/xxh3.hpp"
#include "shared/os/file.hpp"

namespace lamina {
namespace {

constexpr std::string_view kMagic = "LAMLOST1";
constexpr std::string_view kSuffix = ".lost";
constexpr std::size_t kTextMax = 4096;
constexpr std::size_t kBlocksMax = format::kPackSizeMax / kMerkleBlockSize + 1;
// A chunk takes 36 bytes, and a pack has one for each byte at most in theory; in practice one for
// each few hundred bytes.
constexpr std::size_t kNoteMax = std::size_t{64} << 20;

std::string directory_of(const std::string& space) { return space + "/unsound"; }
std::string note_path(const std::string& space, const PackId& pack) {
  return unsound_path(space, pack) + std::string(kSuffix);
}

}  // namespace

Buffer encode(const LostPack& note) {
  Writer out;
  out.raw(as_view(kMagic));
  out.raw(note.pack.bytes());
  out.u64(static_cast<std::uint64_t>(note.found.ns));
  out.u64(note.size);
  out.text(std::string_view(note.text).substr(0, kTextMax));
  out.varint(note.wrong_blocks.size());
  for (const std::uint32_t block : note.wrong_blocks) out.u32(block);
  out.varint(note.chunks.size());
  for (const format::ChunkRef& chunk : note.chunks) {
    out.raw(chunk.id.bytes());
    out.u32(chunk.length);
  }
  out.u64(xxh3(out.view()));
  return out.take();
}

Result<LostPack> parse_lost_pack(ByteView bytes) {
  const auto broken = [](const char* why) {
    return fail(ErrorKind::corrupt, std::string("the note on a lost pack ") + why);
  };
  if (bytes.size() < kMagic.size() + 8) return broken("is cut off");
  const std::size_t sealed = bytes.size() - 8;
  Reader seal(bytes.subspan(sealed));
  if (seal.u64() != xxh3(bytes.first(sealed))) return broken("has another checksum");
  Reader in(bytes.first(sealed));
  if (as_text(in.raw(kMagic.size())) != kMagic) return broken("begins with another magic");
  LostPack note;
  note.pack = in.id<PackId>();
  note.found = WallTime{static_cast<std::int64_t>(in.u64())};
  note.size = in.u64();
  note.text = in.text(kTextMax);
  const std::uint64_t blocks = in.count(4);
  if (blocks > kBlocksMax) in.set_failed();
  for (std::uint64_t i = 0; i < blocks && !in.failed(); ++i) note.wrong_blocks.push_back(in.u32());
  const std::uint64_t chunks = in.count(ChunkId::kSize + 4);
  for (std::uint64_t i = 0; i < chunks && !in.failed(); ++i) {
    const auto id = in.id<ChunkId>();
    note.chunks.push_back({id, in.u32()});
  }
  const auto ascends = [](const auto& list, auto key) {
    return std::ranges::adjacent_find(list, [&](const auto& a, const auto& b) {
             return !(key(a) < key(b));
           }) == list.end();
  };
  if (!in.finished() || !ascends(note.wrong_blocks, [](std::uint32_t block) { return block; }) ||
      !ascends(note.chunks, [](const format::ChunkRef& chunk) { return chunk.id; }))
    return broken("is malformed");
  return note;
}

std::string unsound_path(const std::string& directory, const PackId& pack) {
  return directory_of(directory) + '/' + pack.hex();
}

Result<std::vector<LostPack>> read_lost_packs(const std::string& directory) {
  std::vector<LostPack> notes;
  if (!os::exists(directory_of(directory))) return notes;
  auto names = os::list_directory(directory_of(directory));
  if (!names) return fail(std::move(names.error()));
  for (const std::string& name : *names) {
    if (!name.ends_with(kSuffix)) continue;
    const auto pack = PackId::parse(name.substr(0, name.size() - kSuffix.size()));
    if (!pack) continue;
    auto bytes = os::read_file(note_path(directory, *pack), kNoteMax);
    auto note = bytes ? parse_lost_pack(*bytes) : Result<LostPack>(fail(bytes.error()));
    if (note && note->pack != *pack) note = fail(ErrorKind::corrupt, "it is of another pack");
    if (note)
      notes.push_back(std::move(*note));
    else
      notes.push_back({.pack = *pack,
                       .text = "its note cannot be read: " + note.error().text(),
                       .wrong_blocks = {},
                       .chunks = {}});
  }
  return notes;
}

Status write_lost_pack(const std::string& directory, const LostPack& note) {
  if (auto done = os::make_directories(directory_of(directory), 0700); !done) return done;
  return os::write_file(note_path(directory, note.pack), encode(note), 0600);
}

Status remove_lost_pack(const std::string& directory, const PackId& pack) {
  auto done = os::remove_file(note_path(directory, pack));
  if (!done && done.error().kind() != ErrorKind::not_found) return done;
  return Done{};
}

}  // namespace lamina
