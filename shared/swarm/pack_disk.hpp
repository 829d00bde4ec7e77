// Where a session's torrents have their bytes: what libtorrent calls a disk, written for packs.
//
// libtorrent 2.0.8's own disks open and close the file for every block of 16 KiB, read a piece back
// block by block to hash it, and hash one block after the other. Here files stay open, a piece is
// read at once, and its blocks are hashed together (shared/hash/merkle.hpp). Like libtorrent's
// posix disk it works on the session's own thread. Included by .cpp files of this folder only.
#pragma once

#include <functional>
#include <libtorrent/disk_interface.hpp>
#include <libtorrent/session_params.hpp>
#include <map>
#include <memory>
#include <mutex>

#include "shared/base/bytes.hpp"

namespace lamina::swarm {

// Packs as files in the torrent's directory. They are there as the store says: nothing is looked
// for, made in advance or cut to size. A pack that was removed or replaced by another file while it
// was open is opened anew.
libtorrent::disk_io_constructor_type packs_in_files();

// The pieces of a session that only passes them on: in memory until forgotten. Any thread.
class PieceMemory {
 public:
  using Torrent = libtorrent::sha1_hash;
  using Piece = libtorrent::piece_index_t;

  void write(const Torrent& torrent, Piece piece, std::uint32_t piece_size, std::uint32_t offset,
             ByteView bytes);
  // False when nothing was written of that piece. What was not written of it is zero.
  bool read(const Torrent& torrent, Piece piece, std::uint32_t offset,
            std::span<std::byte> into) const;
  void forget(const Torrent& torrent, Piece piece);
  void forget(const Torrent& torrent);

 private:
  mutable std::mutex mutex_;
  std::map<Torrent, std::map<Piece, Buffer>> torrents_;
};

libtorrent::disk_io_constructor_type packs_in_memory(std::shared_ptr<PieceMemory> memory);

}  // namespace lamina::swarm
