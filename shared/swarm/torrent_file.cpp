#include "shared/swarm/torrent_file.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <libtorrent/bencode.hpp>
#include <libtorrent/create_torrent.hpp>
#include <libtorrent/file_storage.hpp>
#include <map>

#include "shared/swarm/libtorrent.hpp"

namespace lamina::swarm {
namespace {

namespace lt = libtorrent;

// The directory of the packs; the torrent's name, and the name that swarm certificates carry.
const std::string kName = "packs";

// A layer of 64 GiB at 256 KiB a piece.
constexpr int kPiecesMax = 1 << 18;

lt::sha256_hash to_lt(const Sha256Digest& digest) {
  return lt::sha256_hash(reinterpret_cast<const char*>(digest.data()));
}

}  // namespace

Result<std::shared_ptr<lt::torrent_info>> parse_torrent(ByteView bytes) {
  if (bytes.size() > kTorrentBytesMax)
    return fail(ErrorKind::invalid, "a torrent is larger than 64 MiB");
  lt::load_torrent_limits limits;
  limits.max_buffer_size = static_cast<int>(kTorrentBytesMax);
  limits.max_pieces = kPiecesMax;
  limits.max_decode_tokens = 4 << 20;
  const lt::span<const char> buffer(reinterpret_cast<const char*>(bytes.data()),
                                    static_cast<std::ptrdiff_t>(bytes.size()));
  // The only form that takes limits throws.
  try {
    return std::make_shared<lt::torrent_info>(buffer, limits, lt::from_span);
  } catch (const std::exception& error) {
    return fail(ErrorKind::invalid, std::string("not a torrent: ") + error.what());
  }
}

TorrentId id_of(const lt::torrent_info& info) {
  const auto hash = info.info_hashes().v2;
  std::array<std::byte, TorrentId::kSize> bytes;
  std::memcpy(bytes.data(), hash.data(), bytes.size());
  return TorrentId(bytes);
}

Result<PackId> pack_of_file(const lt::file_storage& files, lt::file_index_t file) {
  const auto name = files.file_name(file);
  return PackId::parse({name.data(), name.size()});
}

Result<TorrentFile> make_torrent(const std::vector<TorrentPack>& packs,
                                 const std::string& swarm_ca_pem) {
  if (packs.empty()) return fail(ErrorKind::invalid, "a torrent needs at least one pack");
  std::map<std::string, const TorrentPack*> by_name;
  lt::file_storage files;
  for (const TorrentPack& pack : packs) {
    if ((pack.size + kMerkleBlockSize - 1) / kMerkleBlockSize != pack.block_hashes.size() ||
        pack.block_hashes.empty() || PackId(merkle_root(pack.block_hashes)) != pack.id)
      return fail(ErrorKind::invalid,
                  "the block hashes of pack " + pack.id.short_hex() + " do not fit it");
    by_name[pack.id.hex()] = &pack;
  }
  for (const auto& [name, pack] : by_name)
    files.add_file(kName + '/' + name, static_cast<std::int64_t>(pack->size));
  lt::create_torrent torrent(files, kPieceSize, lt::create_torrent::v2_only);
  torrent.set_priv(true);
  torrent.set_root_cert(swarm_ca_pem);
  // Fixed, so that the same packs give the same file.
  torrent.set_creation_date(1);
  const lt::file_storage& laid_out = torrent.files();
  for (const lt::file_index_t file : laid_out.file_range()) {
    if (laid_out.pad_file_at(file)) continue;
    const auto name = laid_out.file_name(file);
    const TorrentPack& pack = *by_name.at(std::string(name.data(), name.size()));
    auto pieces = merkle_piece_layer(pack.block_hashes, kPieceSize);
    // A file of one piece has no layer: its piece hash is the root.
    if (pieces.empty()) pieces = {merkle_root(pack.block_hashes)};
    for (std::size_t i = 0; i < pieces.size(); ++i)
      torrent.set_hash2(file, lt::piece_index_t::diff_type(static_cast<int>(i)), to_lt(pieces[i]));
  }
  std::vector<char> coded;
  lt::bencode(std::back_inserter(coded), torrent.generate());
  TorrentFile made;
  made.bytes = to_buffer(std::string_view(coded.data(), coded.size()));
  auto info = parse_torrent(made.bytes);
  if (!info) return fail(std::move(info.error()).in("reading back the torrent just made"));
  made.id = id_of(**info);
  return made;
}

Result<TorrentContent> read_torrent(ByteView bytes) {
  auto info = parse_torrent(bytes);
  if (!info) return fail(std::move(info.error()));
  const lt::torrent_info& torrent = **info;
  const auto wrong = [](const std::string& why) {
    return fail(ErrorKind::invalid, "the torrent " + why);
  };
  if (!torrent.info_hashes().has_v2() || torrent.info_hashes().has_v1())
    return wrong("is not v2 only");
  if (!torrent.priv()) return wrong("is not private");
  if (torrent.ssl_cert().empty()) return wrong("asks for no certificates");
  if (torrent.piece_length() != static_cast<int>(kPieceSize))
    return wrong("has another piece size");
  TorrentContent content{.id = id_of(torrent), .packs = {}};
  const lt::file_storage& files = torrent.files();
  for (const lt::file_index_t file : files.file_range()) {
    if (files.pad_file_at(file)) continue;
    auto id = pack_of_file(files, file);
    if (!id) return wrong("has a file that is no pack");
    const auto root = files.root(file);
    if (std::memcmp(root.data(), id->bytes().data(), PackId::kSize) != 0)
      return wrong("has a pack whose name is not the root of its bytes");
    if (files.file_size(file) > static_cast<std::int64_t>(kPieceSize) &&
        torrent.piece_layer(file).size() != files.file_num_pieces(file) * 32)
      return wrong("lacks piece hashes of pack " + id->short_hex());
    content.packs.push_back({*id, static_cast<std::uint64_t>(files.file_size(file))});
  }
  if (content.packs.empty()) return wrong("has no packs");
  // libtorrent names a torrent of one file by that file, whatever its info dictionary says.
  if (torrent.name() != kName && content.packs.size() != 1)
    return wrong("has another name than 'packs'");
  return content;
}

Result<PieceHashes> PieceHashes::of(ByteView bytes) {
  if (auto content = read_torrent(bytes); !content) return fail(std::move(content.error()));
  auto info = parse_torrent(bytes);
  if (!info) return fail(std::move(info.error()));
  PieceHashes hashes;
  const lt::file_storage& files = (*info)->files();
  for (const lt::file_index_t file : files.file_range()) {
    if (files.pad_file_at(file)) continue;
    std::vector<Sha256Digest> pieces;
    if (files.file_size(file) > static_cast<std::int64_t>(kPieceSize)) {
      const auto layer = (*info)->piece_layer(file);
      pieces.resize(static_cast<std::size_t>(layer.size()) / sizeof(Sha256Digest));
      std::memcpy(pieces.data(), layer.data(), pieces.size() * sizeof(Sha256Digest));
    }
    auto pack = pack_of_file(files, file);
    if (!pack) return fail(std::move(pack.error()));
    hashes.packs_.emplace(*pack, std::move(pieces));
  }
  return hashes;
}

bool PieceHashes::fit(const PackId& pack, std::uint32_t piece, ByteView bytes) const {
  const auto pieces = packs_.find(pack);
  if (pieces == packs_.end() || bytes.empty() || bytes.size() > kPieceSize) return false;
  MerkleHasher hasher;
  hasher.update(bytes);
  std::vector<Sha256Digest> blocks = hasher.finish();
  if (pieces->second.empty()) return piece == 0 && PackId(merkle_root(blocks)) == pack;
  // A piece at the end of a pack has the tree of a whole one, with leaves of zeros.
  blocks.resize(kPieceSize / kMerkleBlockSize);
  return piece < pieces->second.size() && merkle_root(blocks) == pieces->second[piece];
}

}  // namespace lamina::swarm
