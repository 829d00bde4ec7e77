// The two ends of the lease extension as libtorrent plugins. Included by .cpp files here only.
#pragma once

#include <libtorrent/extensions.hpp>
#include <memory>

#include "shared/os/clock.hpp"
#include "shared/swarm/lease_extension.hpp"

namespace lamina::swarm {

// For a WAN session's torrents: shows `ticket`.
std::shared_ptr<libtorrent::torrent_plugin> show_lease(std::shared_ptr<const LeaseTicket> ticket);

// For a seeder's torrents. All torrents of a seeder share one guard, which knows the epochs.
struct LeaseGuard;
std::shared_ptr<LeaseGuard> make_lease_guard(CheckLease check, const os::Clock& clock);
std::shared_ptr<libtorrent::torrent_plugin> demand_lease(std::shared_ptr<LeaseGuard> guard);

}  // namespace lamina::swarm
