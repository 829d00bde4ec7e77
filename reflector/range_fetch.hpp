// RangeFetch gets pieces from a PieceSource for the lease holder that reaches no seeder: it asks
// for the runs that Ranges decides on, compares what comes with the torrent's hashes, and hands it
// to the LAN session, again and again until that has verified it.
//
// Loop thread only. The host outlives it; after it is gone no call comes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "reflector/ranges.hpp"
#include "shared/net/loop.hpp"
#include "shared/swarm/lease_extension.hpp"
#include "shared/swarm/piece_source.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::reflector {

class RangeFetch : public std::enable_shared_from_this<RangeFetch> {
 public:
  // The reflector, as seen from here.
  class Host {
   public:
    virtual ~Host() = default;
    // Who fetches a pack now, and a layer that has it. None: nobody any more.
    struct Owner {
      TorrentId torrent;
      LayerId layer;
    };
    virtual std::optional<Owner> owner_of(const PackId& pack) const = 0;
    // Whether the torrent is still there with this pack; what follows is asked only then.
    virtual bool has(const TorrentId& torrent, const PackId& pack) const = 0;
    virtual const Buffer& torrent_file(const TorrentId& torrent) const = 0;
    virtual Bytes size_of_piece(const PackId& pack, std::uint32_t piece) const = 0;
    virtual bool holds(const PackId& pack, std::uint32_t piece) const = 0;

    // Takes the run's pieces out of the WAN session. False: a seeder has come, to which they are
    // left, and they are not asked for.
    virtual bool take_out(const TorrentId& torrent, const Ranges::Run& run) = 0;
    // Whether the LAN session takes pieces of the torrent now; and a piece for it.
    virtual bool takes(const TorrentId& torrent) const = 0;
    virtual void hand_over(const TorrentId& torrent, const PackId& pack, std::uint32_t piece,
                           const Buffer& bytes) = 0;
    // The source failed, or gave wrong bytes; it is asked again after a while.
    virtual void range_failed(Error error) = 0;
    // Before what came is looked at: the lease may have ended, see stop().
    virtual void check_lease() = 0;
  };

  // `ticket` has the lease's newest token.
  RangeFetch(net::Loop& loop, std::shared_ptr<swarm::PieceSource> source,
             std::shared_ptr<swarm::LeaseTicket> ticket, BitRate rate, Host& host)
      : loop_(loop),
        source_(std::move(source)),
        ticket_(std::move(ticket)),
        ranges_({.rate = rate}),
        host_(host) {}

  // Asks for as many runs of the chosen pieces as may be under way, and goes on by itself.
  void fetch(swarm::PieceMap chosen);
  // Nothing is asked for any more; what is under way comes. Until the next fetch().
  void pause() { chosen_.clear(); }
  // The lease ended: what is under way is cut off, what is not verified forgotten.
  void stop();
  // Once a second: gives the LAN session again what it did not verify.
  void tick(Instant now);

  // The piece is held, whichever way it came.
  void settle(const PackId& pack, std::uint32_t piece);
  // The torrent leaves: what came for it is for nobody.
  void forget(const TorrentId& torrent);

  // Whether the piece is under way or came and is not verified yet...
  bool has(const PackId& pack, std::uint32_t piece) const { return ranges_.has(pack, piece); }
  // ...and whether it came, and so was paid for.
  bool has_received(const PackId& pack, std::uint32_t piece) const {
    return received_.contains({pack, piece});
  }
  // Payload received, in all.
  Bytes received() const { return source_->received(); }
  void limit(BitRate rate) { ranges_.limit(rate, loop_.now()); }

 private:
  using Place = std::pair<PackId, std::uint32_t>;
  struct Received {
    TorrentId torrent;
    Buffer bytes;
    Instant handed_over;
    int times = 1;
  };

  void ask();
  void ask_for(const Ranges::Run& run, const Host::Owner& owner);
  void came(const Ranges::Run& run, const TorrentId& torrent, Result<Buffer> bytes);
  void piece_came(const TorrentId& torrent, const PackId& pack, std::uint32_t piece, Buffer bytes);
  void spoil(const PackId& pack, std::uint32_t piece, const std::string& why);

  net::Loop& loop_;
  std::shared_ptr<swarm::PieceSource> source_;
  std::shared_ptr<swarm::LeaseTicket> ticket_;
  Ranges ranges_;
  Host& host_;
  swarm::PieceMap chosen_;
  std::map<Place, Received> received_;  // Not verified by the LAN session yet.
  std::map<TorrentId, swarm::PieceHashes> hashes_;
  net::Timer again_;
};

}  // namespace lamina::reflector
