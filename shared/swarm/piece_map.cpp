#include "shared/swarm/piece_map.hpp"

#include <algorithm>

#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"
#include "shared/format/record.hpp"
#include "shared/hash/xxh3.hpp"
#include "shared/os/file.hpp"
#include "shared/store/pack_files.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::swarm {
namespace {

// magic of 8 bytes, count, then for each pack, ascending: id, number of pieces, one bit a piece
// (the lowest bit of the first byte is piece 0, unused bits are 0); XXH3 of all that, u64.
constexpr std::string_view kMagic = "LAMPMAP1";
constexpr std::uint64_t kPiecesMax = format::kPackBytesMax / kPieceSize;
// A device fetches a few layers at a time, each of up to kPacksMax packs of 16 MiB.
constexpr std::size_t kMapBytesMax = std::size_t{16} << 20;

std::string map_path(const std::string& directory) { return directory + "/state/pieces"; }
std::string pack_path(const std::string& directory, const PackId& pack) {
  return directory + "/packs/" + pack.hex();
}
std::string tree_path(const std::string& directory, const PackId& pack) {
  return directory + "/trees/" + pack.hex();
}

Result<std::uint64_t> size_of(const std::string& path) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  return os::file_size(file->get(), path);
}

Status sync(const std::string& path) {
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  return os::sync_data(file->get(), path);
}

}  // namespace

Buffer encode(const PieceMap& map) {
  Writer writer;
  writer.raw(as_view(kMagic));
  writer.varint(map.size());
  for (const auto& [pack, pieces] : map) {
    writer.raw(pack.bytes());
    writer.varint(pieces.size());
    for (std::size_t i = 0; i < pieces.size(); i += 8) {
      unsigned byte = 0;
      for (std::size_t bit = 0; bit < 8 && i + bit < pieces.size(); ++bit)
        if (pieces[i + bit]) byte |= 1U << bit;
      writer.u8(static_cast<std::uint8_t>(byte));
    }
  }
  writer.u64(xxh3(writer.view()));
  return writer.take();
}

Result<PieceMap> parse_piece_map(ByteView bytes) {
  const auto broken = [](const char* why) {
    return fail(ErrorKind::corrupt, std::string("the piece map ") + why);
  };
  if (bytes.size() < kMagic.size() + 8) return broken("is cut off");
  const std::size_t sealed = bytes.size() - 8;
  Reader seal(bytes.subspan(sealed));
  if (seal.u64() != xxh3(bytes.first(sealed))) return broken("has another checksum");
  Reader reader(bytes.first(sealed));
  if (as_text(reader.raw(kMagic.size())) != kMagic) return broken("begins with another magic");
  PieceMap map;
  PackId last;
  for (std::uint64_t left = reader.count(PackId::kSize + 1); left > 0; --left) {
    const auto pack = reader.id<PackId>();
    if (pack <= last) reader.set_failed();
    last = pack;
    PieceBits pieces(reader.varint(kPiecesMax));
    for (std::size_t i = 0; i < pieces.size(); i += 8) {
      const unsigned byte = reader.u8();
      for (std::size_t bit = 0; bit < 8; ++bit) {
        const bool set = (byte >> bit & 1U) != 0;
        if (i + bit < pieces.size())
          pieces[i + bit] = set;
        else if (set)
          reader.set_failed();
      }
    }
    if (reader.failed()) break;
    map.emplace(pack, std::move(pieces));
  }
  if (!reader.finished()) return broken("is malformed");
  return map;
}

Result<PieceMap> load_piece_map(const std::string& directory) {
  auto bytes = os::read_file(map_path(directory), kMapBytesMax);
  if (!bytes && bytes.error().kind() == ErrorKind::not_found) return PieceMap{};
  if (!bytes) return fail(std::move(bytes.error()));
  auto map = parse_piece_map(*bytes);
  if (!map) return map;
  for (auto it = map->begin(); it != map->end();) {
    auto& [pack, pieces] = *it;
    const auto size = size_of(pack_path(directory, pack));
    for (std::size_t i = 0; i < pieces.size(); ++i)
      if (!size || i * kPieceSize >= *size) pieces[i] = false;
    const bool any = std::ranges::find(pieces, true) != pieces.end();
    it = any ? std::next(it) : map->erase(it);
  }
  return map;
}

Status save_piece_map(const std::string& directory, const PieceMap& map,
                      const std::set<PackId>& changed) {
  for (const PackId& pack : changed)
    if (auto done = sync(pack_path(directory, pack)); !done)
      return fail(std::move(done.error()).in("syncing pack " + pack.short_hex()));
  return os::write_file(map_path(directory), encode(map));
}

bool is_whole(const std::string& directory, const PackId& pack, std::uint64_t size) {
  if (!os::exists(tree_path(directory, pack))) return false;
  const auto on_disk = size_of(pack_path(directory, pack));
  return on_disk && *on_disk == size;
}

Status finish_pack(const std::string& directory, const PackId& pack, std::uint64_t size) {
  const std::string path = pack_path(directory, pack);
  if (auto done = sync(path); !done) return done;
  auto found = identify(path);
  if (!found) return fail(std::move(found.error()));
  if (found->id != pack || found->size != size)
    return fail(ErrorKind::corrupt, "pack " + pack.short_hex() +
                                        " was fetched whole but its bytes on disk lead to " +
                                        found->id.short_hex());
  // The directory's entry for the pack first, then the mark that says it is whole.
  if (auto done = os::sync_directory(directory + "/packs"); !done) return done;
  return os::write_file(tree_path(directory, pack), std::as_bytes(std::span(found->block_hashes)));
}

Status forget_pack(const std::string& directory, const PackId& pack) {
  auto done = os::remove_file(tree_path(directory, pack));
  if (!done && done.error().kind() != ErrorKind::not_found) return done;
  return Done{};
}

}  // namespace lamina::swarm
