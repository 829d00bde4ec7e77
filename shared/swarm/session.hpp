// Session: a libtorrent session of one of three kinds, as commands and events.
//
//   seeder  the origin's: serves lease holders, dials nobody
//   lan     every device's: serves and fetches among the peers that it is allowed to meet
//   wan     the acting reflector's: dials seeders only, accepts nobody, shows its lease
//
// Packs lie in <directory>/packs; a wan session keeps its pieces in memory. What is held is what
// add() says; libtorrent checks nothing by itself. All calls from one thread; libtorrent's own
// threads are inside, and `notify` is called on one of them: it only posts.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <variant>

#include "shared/os/clock.hpp"
#include "shared/swarm/lease_extension.hpp"
#include "shared/swarm/piece_map.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::swarm {

struct SwarmIdentity {
  std::string certificate_pem;  // Signed by the swarm's CA, for the name "packs".
  std::string key_pem;
};

struct PieceVerified {  // Written, its hash checked.
  TorrentId torrent;
  PackId pack;
  std::uint32_t piece = 0;  // Of the pack.
};
struct PieceRead {  // Answer to read_piece().
  TorrentId torrent;
  PackId pack;
  std::uint32_t piece = 0;
  Buffer bytes;
};
struct PeerMet {  // The TLS and the BitTorrent handshake are done.
  TorrentId torrent;
  std::string peer;  // "address:port"
};
struct PeerLeft {  // Or was refused.
  TorrentId torrent;
  std::string peer;  // "address:port"
  std::string reason;
  bool is_liar = false;  // It sent bytes that are not what the torrent says.
};
struct Trouble {      // A disk or torrent error: the torrent stands still until it is added again.
  TorrentId torrent;  // None: of the whole session.
  ErrorKind kind = ErrorKind::unavailable;
  std::string text;
};
using Event = std::variant<PieceVerified, PieceRead, PeerMet, PeerLeft, Trouble>;

struct Traffic {
  Bytes received;  // Payload.
  Bytes sent;
  std::uint32_t peers = 0;
};
struct PeerTraffic {
  std::string peer;  // "address:port"
  Bytes received;    // Payload.
  Bytes sent;
  bool is_whole = false;  // It has every piece, or all that it wants.
};

class Session {
 public:
  enum class Kind { seeder, lan, wan };
  struct Config {
    Kind kind = Kind::lan;
    std::string listen;     // "10.0.0.1:8444"; "" for wan.
    std::string directory;  // Holds packs/.
    SwarmIdentity identity;
    int connections_max = 200;
    BitRate receive_max = {};  // Payload and protocol, all peers together; 0: no limit.
    BitRate send_max = {};
    CheckLease check_lease = {};                          // seeder
    std::shared_ptr<const LeaseTicket> ticket = nullptr;  // wan
    const os::Clock* clock = nullptr;                     // seeder
  };

  // `unavailable` when the address cannot be listened at, naming it.
  static Result<std::unique_ptr<Session>> start(Config config, std::function<void()> notify);
  ~Session();  // Waits until libtorrent's threads have ended; peers see the connections close.

  struct Held {
    std::set<PackId> complete;
    PieceMap partial;
  };
  // `wanted`: pieces to fetch; the others are neither fetched nor, unless held, served.
  Status add(const Buffer& torrent, const Held& held, const PieceMap& wanted);
  void remove(const TorrentId& torrent);
  bool has(const TorrentId& torrent) const;

  // Exactly these pieces are fetched from now on.
  void want_pieces(const TorrentId& torrent, const PieceMap& pieces);
  // Not this one any more: it came another way.
  void drop_piece(const TorrentId& torrent, const PackId& pack, std::uint32_t piece);
  // The pieces of each pack that some connected peer has.
  PieceMap offered(const TorrentId& torrent) const;
  // Dials a peer ("address:port"); it is dialled again a few times when the connection is lost.
  Status connect(const TorrentId& torrent, const std::string& peer);
  // Only these addresses, and those in networks like "10.7.0.0/16", may connect or be connected to.
  // Until the first call: nobody (lan), anybody (seeder, wan).
  Status allow_only(const std::vector<std::string>& addresses);
  // More connections than that are not made; those that there are stay. At least 2.
  void limit_connections(int most);
  // false: gives nobody a piece. Connections that there are may get the pieces that they have asked
  // for already.
  void give(bool gives);

  void read_piece(const TorrentId& torrent, const PackId& pack, std::uint32_t piece);
  // wan: a verified piece that is not read any more gives its memory back.
  void forget_piece(const TorrentId& torrent, const PackId& pack, std::uint32_t piece);
  // Gives a piece that came another way; its hash is checked before it counts. The padding behind a
  // pack's end may be left out.
  void add_piece(const TorrentId& torrent, const PackId& pack, std::uint32_t piece, Buffer bytes);

  // What happened since; to be called whenever `notify` was. A torrent that was added takes part
  // once its first event was taken here: it then dials at once whom it was told of until then.
  std::vector<Event> take_events();
  Traffic traffic(const TorrentId& torrent) const;
  std::vector<PeerTraffic> peers(const TorrentId& torrent) const;
  // With how many peers the handshake is over.
  std::size_t connected(const TorrentId& torrent) const;
  // Another receive_max, from now on and for connections that there are too.
  void limit_receive(BitRate most);
  // seeder: the site of the newest valid lease that was shown from this address.
  std::optional<std::string> site_at(const std::string& address) const;
  // A renewed certificate, for connections from now on.
  void use_identity(SwarmIdentity identity);
  // Ends the session: every connection is cut now; what is returned waits for libtorrent's threads
  // when it is called or destroyed, which may be done on another thread.
  static std::function<void()> close(std::unique_ptr<Session> session);
  // The port that is listened at, for tests that asked for port 0; 0 for wan.
  std::uint16_t port() const;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lamina::swarm
