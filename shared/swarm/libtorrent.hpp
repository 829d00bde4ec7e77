// What the files of this folder share of libtorrent. Included by .cpp files here only.
#pragma once

#include <libtorrent/load_torrent.hpp>
#include <libtorrent/torrent_info.hpp>
#include <memory>

#include "shared/base/ids.hpp"

namespace lamina::swarm {

// Parses a torrent with limits that fit a layer of 64 GiB. `invalid` with libtorrent's reason.
Result<std::shared_ptr<libtorrent::torrent_info>> parse_torrent(ByteView bytes);

// The info-hash of a v2 torrent as our id.
TorrentId id_of(const libtorrent::torrent_info& info);

// The pack that a file of a torrent is; `invalid` when it is named otherwise.
Result<PackId> pack_of_file(const libtorrent::file_storage& files, libtorrent::file_index_t file);

}  // namespace lamina::swarm
