// The torrent of a layer version: v2 only, private, SSL, over whole packs.
//
// Made from the packs' block hashes; no pack is read. The same packs and CA give the same bytes.
// Pure but for the block hashes that the caller reads; any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/hash/merkle.hpp"

namespace lamina::swarm {

// m: 256 KiB makes 12 KB of hashes for 100 MB of packs; 64 KiB four times that, with no faster
// swarm.
constexpr std::uint32_t kPieceSize = 256 * 1024;
constexpr std::size_t kTorrentBytesMax = std::size_t{64} << 20;

struct TorrentPack {
  PackId id;
  std::uint64_t size = 0;
  std::vector<Sha256Digest> block_hashes;  // Must lead to `id`.
};

struct TorrentFile {
  TorrentId id;
  Buffer bytes;  // Bencoded.
};

// `invalid` when there is no pack or a pack's hashes do not fit its size.
Result<TorrentFile> make_torrent(const std::vector<TorrentPack>& packs,
                                 const std::string& swarm_ca_pem);

struct TorrentContent {
  TorrentId id;
  struct Pack {
    PackId id;
    std::uint64_t size = 0;
  };
  std::vector<Pack> packs;
};

// Reads a torrent from an untrusted source. `invalid` unless it is of the form that make_torrent()
// gives: v2 only, private, SSL, packs as files named by the root of their bytes, with all piece
// hashes.
Result<TorrentContent> read_torrent(ByteView bytes);

// The hashes of a torrent's pieces, for bytes that came another way than through a session.
class PieceHashes {
 public:
  // `invalid` as for read_torrent().
  static Result<PieceHashes> of(ByteView torrent);

  // Whether these are the bytes of that piece. False for packs and pieces that there are not.
  bool fit(const PackId& pack, std::uint32_t piece, ByteView bytes) const;

 private:
  std::map<PackId, std::vector<Sha256Digest>> packs_;  // Pieces; none for a pack of one piece.
};

}  // namespace lamina::swarm
