// What this folder adds to libtorrent's torrents, as its plugins: the two ends of the lease
// extension (lease_extension.hpp), and a fence. Included by .cpp files here only.
#pragma once

#include <libtorrent/extensions.hpp>
#include <memory>
#include <optional>
#include <string>

#include "shared/os/clock.hpp"
#include "shared/swarm/lease_extension.hpp"

namespace lamina::swarm {

// For a WAN session's torrents: shows `ticket`.
std::shared_ptr<libtorrent::torrent_plugin> show_lease(std::shared_ptr<const LeaseTicket> ticket);

// For a seeder's torrents. All torrents of a seeder share one guard, which knows the epochs.
struct LeaseGuard;
std::shared_ptr<LeaseGuard> make_lease_guard(CheckLease check, const os::Clock& clock);
std::shared_ptr<libtorrent::torrent_plugin> demand_lease(std::shared_ptr<LeaseGuard> guard);
// The site that the newest valid lease shown from this address is of. Any thread.
std::optional<std::string> site_at(LeaseGuard& guard, const std::string& address);

// Keeps a torrent's connections from asking peers for hashes, and from being asked.
//
// Our torrents come with the hashes of all their pieces, so nothing is missing. But libtorrent
// 2.0.8 asks for the hashes of a piece's blocks once the piece proved wrong, and when the peer
// rejects that it writes past the end of an array (hash_picker::hashes_rejected takes a block's
// number for a piece's): a member of the site that sends wrong blocks could crash all others (seen
// with valgrind; `./dev lab corrupt-peer`). It sends and accepts such messages only between peers
// that both speak BitTorrent v2, as it remembers for each; once the handshake has told which
// torrent is meant, nothing else depends on that. A peer that sends one all the same is cut off.
std::shared_ptr<libtorrent::torrent_plugin> forbid_hash_exchange();

}  // namespace lamina::swarm
