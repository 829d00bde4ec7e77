// Keeps a torrent's connections from asking peers for hashes, and from being asked.
//
// Our torrents come with the hashes of all their pieces, so nothing is missing. But libtorrent
// 2.0.8 asks for the hashes of a piece's blocks once the piece proved wrong, and when the peer
// rejects that it writes past the end of an array (hash_picker::hashes_rejected takes a block's
// number for a piece's): a member of the site that sends wrong blocks could crash all others (seen
// with valgrind; `./dev lab corrupt-peer`). It sends and accepts such messages only between peers
// that both speak BitTorrent v2, as it remembers for each; once the handshake has told which
// torrent is meant, nothing else depends on that. A peer that sends one all the same is cut off.
//
// Included by .cpp files here only. Called on libtorrent's thread.
#pragma once

#include <libtorrent/extensions.hpp>
#include <memory>

namespace lamina::swarm {

std::shared_ptr<libtorrent::torrent_plugin> forbid_hash_exchange();

}  // namespace lamina::swarm
