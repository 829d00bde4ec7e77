#include "reflector/reflector.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "reflector/holdings.hpp"
#include "reflector/range_fetch.hpp"
#include "shared/base/log.hpp"
#include "shared/os/file.hpp"
#include "shared/policy/lease_holder.hpp"
#include "shared/policy/shares.hpp"
#include "shared/policy/shut_out.hpp"
#include "shared/policy/wan_pieces.hpp"

namespace lamina::reflector {
namespace {

using namespace std::chrono_literals;

constexpr Duration kTick = 1s;
constexpr Duration kMeetingTick = 100ms;    // Until it may fetch over the WAN.
constexpr Duration kRedial = 3s;            // libtorrent gives a peer up after three failures.
constexpr Duration kHandOverMax = 2s;       // m: 10 ms. Then a peer's bad block spoilt it: again.
constexpr std::size_t kHandedOverMax = 64;  // Pieces in memory, 16 MiB; of a slow or full disk.
// In the record of decisions.
constexpr const char *kLeaseName = "wan", *kPiecesName = "wan", *kTransportName = "wan",
                     *kShutOutName = "lan";

std::string endpoint_of(const wire::Peer& peer) {
  const bool v6 = peer.address.find(':') != std::string::npos;
  return (v6 ? '[' + peer.address + ']' : peer.address) + ':' + std::to_string(peer.port);
}

// The torrent is what the origin's signed record says, pack by pack.
Result<std::vector<Holdings::Pack>> agreed_packs(
    const swarm::TorrentContent& content, const std::vector<format::DistributedPack>& packs) {
  std::map<PackId, std::uint64_t> expected;
  for (const format::DistributedPack& pack : packs) expected[pack.id] = pack.size;
  std::vector<Holdings::Pack> agreed;
  for (const auto& pack : content.packs) {
    const auto entry = expected.find(pack.id);
    if (entry == expected.end() || entry->second != pack.size)
      return fail(ErrorKind::invalid, "the torrent has pack " + pack.id.short_hex() +
                                          " otherwise than the distribution record");
    agreed.push_back({pack.id, pack.size});
  }
  if (agreed.size() != expected.size())
    return fail(ErrorKind::invalid, "the torrent lacks packs of the distribution record");
  return agreed;
}

}  // namespace

struct Reflector::State : std::enable_shared_from_this<State>, RangeFetch::Host {
  struct Layer {
    TorrentId torrent;
    bool told_complete = false;
    Bytes told_missing;
  };
  struct Piece {
    TorrentId torrent;
    PackId pack;
    std::uint32_t number = 0;
    auto operator<=>(const Piece&) const = default;
  };
  // Who of the site has what of a torrent is found out before it is fetched over the WAN.
  struct Meeting {
    Instant since{};
    bool is_over = false;
    Instant looked{};
    std::size_t connected = 0;  // Peers, as of the last look.
  };
  // Saves of the piece map, in the pool and at the end: the newest one stays.
  struct Saver {
    std::mutex mutex;
    std::uint64_t newest = 0;

    Status save(const std::string& cache, const swarm::PieceMap& map, const std::set<PackId>& packs,
                std::uint64_t number) {
      const std::lock_guard lock(mutex);
      if (number < newest) return Done{};
      newest = number;
      return swarm::save_piece_map(cache, map, packs);
    }
  };
  // Rung on libtorrent's threads: asks for one turn on the loop, whatever the number of alerts.
  struct Bell {
    net::Loop& loop;
    std::weak_ptr<State> state;
    std::atomic<bool> is_posted = false;
  };

  State(net::Loop& on, Config with, std::function<void(const Event&)> handler)
      : loop(on),
        config(std::move(with)),
        on_event(std::move(handler)),
        transport(config.transport) {
    if (config.source)
      ranges = std::make_shared<RangeFetch>(loop, config.source, ticket, config.wan_receive_max,
                                            static_cast<RangeFetch::Host&>(*this));
  }

  net::Loop& loop;
  Config config;
  std::function<void(const Event&)> on_event;
  std::shared_ptr<Bell> bell;

  std::map<LayerId, Layer> layers;
  std::map<TorrentId, Buffer> torrents;
  Holdings holdings;
  swarm::PieceMap remembered;  // From before the start, and of layers that were left.
  std::vector<wire::Peer> peers;
  policy::ShutOut shut_out;
  Service service;
  std::map<std::string, net::Timer> let_in;  // By address, those that are shut out.
  std::unique_ptr<swarm::Session> lan;

  policy::LeaseHolder lease;
  policy::WanPieces wan_choice;
  std::shared_ptr<swarm::LeaseTicket> ticket = std::make_shared<swarm::LeaseTicket>();
  std::vector<std::string> seeders;
  std::unique_ptr<swarm::Session> wan;  // While the lease is open.
  std::map<TorrentId, swarm::PieceMap> wan_wants;
  bool by_budget = false;
  ShareSet shares = ShareSet::all();  // Of the lease.
  std::optional<Bytes> wan_left;
  BitRate wan_limit;                      // Beside the configured one; 0: none.
  std::optional<Bytes> wan_most;          // What may still be asked for.
  std::map<Piece, Instant> handed_over;   // Since when: verified over the WAN, not yet by `lan`.
  bool wan_stale = false;                 // What is missing changed: choose anew.
  std::map<TorrentId, Meeting> meetings;  // Of all torrents of `wan`.

  policy::WanTransport transport;
  std::shared_ptr<RangeFetch> ranges;  // None without a source.
  Bytes ranges_paid;                   // Off wan_most already.

  std::vector<PackId> to_read_back;
  bool reading_back = false;
  std::set<PackId> changed;  // Packs with pieces that are not in the saved map.
  bool unsaved = false;
  bool saving = false;
  Instant saved_at{};
  std::shared_ptr<Saver> saver = std::make_shared<Saver>();
  std::uint64_t saves = 0;
  Instant dialled_at{};
  std::map<TorrentId, Instant> lan_again;
  std::optional<Instant> wan_again;
  std::optional<Instant> read_back_again;

  Sources past;  // Of sessions and torrents that are gone.
  net::Timer tick_timer;
  net::Timer lease_timer;

  // --- turns

  std::function<void()> ringer() {
    return [bell = bell] {
      if (bell->is_posted.exchange(true)) return;
      bell->loop.post([bell] {
        bell->is_posted = false;
        if (const auto self = bell->state.lock()) self->turn();
      });
    };
  }

  template <class Call>
  std::function<void()> later(Call call) {
    return [weak = weak_from_this(), call = std::move(call)] {
      if (const auto self = weak.lock()) call(*self);
    };
  }

  void emit(Event event) {
    loop.post(later([event = std::move(event)](State& self) { self.on_event(event); }));
  }

  void turn() {
    // Before anything else: what waits in a session may be older than the lease's end.
    check_lease();
    if (wan)
      for (swarm::Event& event : wan->take_events()) on_wan(event);
    for (const swarm::Event& event : lan->take_events()) on_lan(event);
    if (wan && wan_stale) choose();
    arm();
  }

  bool is_active() const { return wan || unsaved || saving || !holdings.is_whole(); }

  void arm() {
    if (!is_active() || tick_timer.pending()) return;
    tick_timer = loop.after(is_meeting() ? kMeetingTick : kTick, later([](State& self) {
                              self.turn();
                              self.tick(self.loop.now());
                              self.arm();
                            }));
  }

  void tick(Instant now) {
    if (now - dialled_at >= kRedial) dial_all(now);
    std::set<TorrentId> due;
    for (const auto& [torrent, when] : lan_again)
      if (now >= when) due.insert(torrent);
    for (const TorrentId& torrent : due) add_again(torrent);
    if (!due.empty()) meet_again();  // What was offered until now is not known any more.
    if (wan_again && now >= *wan_again && lease.is_open()) {
      log::info("wan_reopened");
      close_wan();
      open_wan();
    }
    if (read_back_again && now >= *read_back_again) {
      read_back_again.reset();
      for (const PackId& pack : holdings.unread()) read_back(pack);
    }
    if (wan) {
      choose();
      for (auto& [piece, since] : handed_over) {
        if (now - since < kHandOverMax || !takes(piece.torrent)) continue;
        since = now;
        wan->read_piece(piece.torrent, piece.pack, piece.number);
      }
      if (ranges) ranges->tick(now);
    }
    if (unsaved && !saving && now - saved_at >= config.save_interval) save();
    tell_progress();
  }

  // --- the lease

  void decide(const policy::LeaseHolder::Event& event) {
    const Instant now = loop.now();
    const auto actions = lease.on(event, now);
    if (config.record != nullptr) config.record->decided(kLeaseName, event, now, actions);
    carry_out(actions);
  }
  void carry_out(const std::vector<policy::LeaseHolder::Action>& actions) {
    for (const auto& action : actions) std::visit([this](const auto& a) { carry_out(a); }, action);
  }
  void carry_out(const policy::LeaseHolder::Open& open) {
    log::info("wan_opened", {{"epoch", open.epoch}});
    open_wan();
    dial_all(loop.now());  // Everybody needs the holder.
  }
  void carry_out(const policy::LeaseHolder::Refresh&) {
    if (wan) dial_seeders();
  }
  void carry_out(const policy::LeaseHolder::Close& close) {
    log::info("wan_closed", {{"reason", close.reason == policy::LeaseHolder::CloseReason::lapsed
                                            ? "the lease ran out"
                                            : "the lease was given back or lost"}});
    close_wan();
  }

  BitRate wan_max() const {
    const BitRate configured = config.wan_receive_max;
    const bool both = wan_limit.bits_per_second > 0 && configured.bits_per_second > 0;
    return both ? std::min(wan_limit, configured) : std::max(wan_limit, configured);
  }

  void open_wan() {
    wan_again.reset();
    auto session = swarm::Session::start({.kind = swarm::Session::Kind::wan,
                                          .directory = config.cache,
                                          .identity = config.identity,
                                          .receive_max = wan_max(),
                                          .ticket = ticket},
                                         ringer());
    if (!session) {
      trouble(session.error());
      wan_again = loop.now() + config.retry_after;
      return;
    }
    wan = std::move(*session);
    for (const auto& [torrent, bytes] : torrents) add_to_wan(torrent);
    const Instant now = loop.now();
    transport.begin(now);
    if (config.record != nullptr) config.record->began(kTransportName, now);
    choose();
    arm();
  }

  void close_wan() {
    if (ranges) ranges->stop();
    wan_wants.clear();
    meetings.clear();
    handed_over.clear();
    wan_left.reset();
    if (!wan) return;
    for (const auto& [torrent, bytes] : torrents) past.origin += wan->traffic(torrent).received;
    // The connections are cut now; the threads end in the pool.
    loop.offload(swarm::Session::close(std::move(wan)), [] {});
  }

  void add_to_wan(const TorrentId& torrent) {
    if (!wan || wan->has(torrent) || holdings.is_whole(torrent)) return;
    // It holds nothing: it serves nobody, and only what is missing is wanted of it.
    if (auto done = wan->add(torrents.at(torrent), {}, {}); !done) return trouble(done.error());
    meetings[torrent] = {.since = loop.now()};
    tick_timer = {};  // The next one is soon: whom it waits for may be there in a moment.
    dial_seeders(torrent);
  }

  void remove_from_wan(const TorrentId& torrent) {
    wan_wants.erase(torrent);
    meetings.erase(torrent);
    std::erase_if(handed_over, [&](const auto& entry) { return entry.first.torrent == torrent; });
    if (ranges) ranges->forget(torrent);
    if (!wan || !wan->has(torrent)) return;
    past.origin += wan->traffic(torrent).received;
    wan->remove(torrent);
  }

  static std::ptrdiff_t count_of(const swarm::PieceMap& pieces) {
    std::ptrdiff_t count = 0;
    for (const auto& [pack, bits] : pieces) count += std::ranges::count(bits, true);
    return count;
  }

  // Nothing more is fetched before the site was met, as if the session were opened just now.
  void meet_again() {
    for (auto& [torrent, meeting] : meetings) meeting = {.since = loop.now()};
  }

  static bool is_over(const std::pair<const TorrentId, Meeting>& entry) {
    return entry.second.is_over;
  }
  bool is_meeting() const { return !std::ranges::all_of(meetings, is_over); }

  void look_at_meetings() {
    if (!is_meeting()) return;
    const Instant now = loop.now();
    std::map<TorrentId, std::size_t> connected;
    for (const auto& [torrent, bytes] : torrents) connected[torrent] = lan->connected(torrent);
    for (auto& [torrent, meeting] : meetings) {
      // Twice in a row: a peer may cut a connection off at once.
      if (meeting.is_over || now - meeting.looked < kMeetingTick / 2) continue;
      policy::SiteContact contact{.known = peers.size(), .open = now - meeting.since};
      for (const auto& [other, count] : connected)
        if (other != torrent) contact.elsewhere = std::max<std::uint64_t>(contact.elsewhere, count);
      contact.connected =
          std::min(connected[torrent], std::exchange(meeting.connected, connected[torrent]));
      meeting.looked = now;
      meeting.is_over = policy::may_fetch(contact);
      if (config.record != nullptr)
        config.record->decided(kPiecesName, contact, now, meeting.is_over);
    }
  }

  void choose() {
    wan_stale = false;
    look_at_meetings();
    if (!meetings.empty() && std::ranges::none_of(meetings, is_over))
      return log::debug("wan_waits", {{"why", "nobody of the site is met yet"}});
    swarm::PieceMap missing;
    swarm::PieceMap offered;
    for (const auto& [torrent, bytes] : torrents) {
      const auto meeting = meetings.find(torrent);
      if (meeting == meetings.end() || !meeting->second.is_over) continue;
      auto of_torrent = holdings.missing_pieces(torrent);
      if (!of_torrent.empty()) offered.merge(lan->offered(torrent));
      missing.merge(std::move(of_torrent));
    }
    missing = policy::pieces_within(std::move(missing), shares);
    const Instant now = loop.now();
    swarm::PieceMap chosen = wan_choice.choose(missing, offered, now);
    if (config.record != nullptr)
      config.record->decided(kPiecesName, missing, offered, now, chosen);
    wan_left = is_meeting() ? std::nullopt : std::optional(size_of(chosen));
    if (wan_most) {
      pay_for_ranges();
      keep_within(*wan_most, chosen);
    }
    keep_to_what_is_taken(chosen);
    choose_transport(!chosen.empty());
    for (const auto& [torrent, bytes] : torrents) {
      if (!wan->has(torrent)) continue;
      swarm::PieceMap wants;
      for (const PackId& pack : holdings.owned(torrent))
        if (const auto pieces = chosen.find(pack); pieces != chosen.end())
          wants.insert(without_ranges(*pieces));
      if (wants == wan_wants[torrent]) continue;
      log::debug(
          "wan_wants",
          {{"torrent", torrent}, {"missing", count_of(missing)}, {"wanted", count_of(wants)}});
      wan->want_pieces(torrent, wants);
      wan_wants[torrent] = std::move(wants);
    }
    if (ranges) fetch_ranges(std::move(chosen));
  }

  // Nothing is fetched for a disk that does not take it, and little ahead of a slow one.
  void keep_to_what_is_taken(swarm::PieceMap& chosen) const {
    if (handed_over.size() > kHandedOverMax) chosen.clear();
    for (const auto& [torrent, again] : lan_again)
      for (const PackId& pack : holdings.owned(torrent)) chosen.erase(pack);
  }

  Bytes size_of(const swarm::PieceMap& map) const {
    Bytes total;
    for (const auto& [pack, pieces] : map)
      for (std::uint32_t i = 0; i < pieces.size(); ++i)
        if (pieces[i]) total += size_of_piece(pack, i);
    return total;
  }

  // --- ranges

  bool is_seeder_offering() const {
    return std::ranges::any_of(torrents, [this](const auto& torrent) {
      return std::ranges::any_of(wan->offered(torrent.first), [](const auto& pack) {
        return std::ranges::find(pack.second, true) != pack.second.end();
      });
    });
  }

  void choose_transport(bool is_wanted) {
    if (!ranges) return;
    const policy::WanTransport::Seen seen{.knows_seeders = !seeders.empty(),
                                          .is_offered = is_seeder_offering(),
                                          .is_wanted = is_wanted};
    const Instant now = loop.now();
    const auto change = transport.on(seen, now);
    if (config.record != nullptr) config.record->decided(kTransportName, seen, now, change);
    if (!change) return;
    const bool to_https = change->to == policy::WanTransport::Kind::https;
    log::info("wan_transport",
              {{"to", policy::name_of(change->to)}, {"reason", policy::name_of(change->why)}});
    emit(TransportChanged{to_https});
  }

  std::pair<PackId, swarm::PieceBits> without_ranges(
      std::pair<PackId, swarm::PieceBits> pieces) const {
    for (std::uint32_t i = 0; i < pieces.second.size(); ++i)
      if (pieces.second[i] && has_range(pieces.first, i)) pieces.second[i] = false;
    return pieces;
  }

  bool has_range(const PackId& pack, std::uint32_t piece) const {
    return ranges && ranges->has(pack, piece);
  }

  void pay_for_ranges() {
    if (!ranges) return;
    const Bytes total = ranges->received();
    if (wan_most) *wan_most = *wan_most - (total - ranges_paid);
    ranges_paid = total;
  }

  void fetch_ranges(swarm::PieceMap chosen) {
    if (transport.kind() != policy::WanTransport::Kind::https) return ranges->pause();
    for (const auto& [piece, since] : handed_over)
      if (const auto pieces = chosen.find(piece.pack); pieces != chosen.end())
        pieces->second[piece.number] = false;
    ranges->fetch(std::move(chosen));
  }

  std::optional<Owner> owner_of(const PackId& pack) const override {
    const auto torrent = std::ranges::find_if(
        torrents, [&](const auto& entry) { return holdings.owned(entry.first).contains(pack); });
    if (torrent == torrents.end()) return std::nullopt;
    const auto layer = std::ranges::find_if(
        layers, [&](const auto& entry) { return entry.second.torrent == torrent->first; });
    if (layer == layers.end()) return std::nullopt;
    return Owner{torrent->first, layer->first};
  }
  bool has(const TorrentId& torrent, const PackId& pack) const override {
    return torrents.contains(torrent) && holdings.has_pack(pack);
  }
  const Buffer& torrent_file(const TorrentId& torrent) const override {
    return torrents.at(torrent);
  }
  bool holds(const PackId& pack, std::uint32_t piece) const override {
    return holdings.holds(pack, piece);
  }
  bool take_out(const TorrentId& torrent, const Ranges::Run& run) override {
    // First the pieces leave the WAN session, and then a seeder is looked for: as long as none was
    // there, nothing of them is under way from one, and none can begin them any more.
    for (std::uint32_t i = 0; i < run.count; ++i) drop_from_wan(torrent, run.pack, run.first + i);
    if (!is_seeder_offering()) return true;
    wan_stale = true;
    loop.post(later([](State& self) { self.turn(); }));
    return false;
  }
  bool takes(const TorrentId& torrent) const override {
    return lan->has(torrent) && !lan_again.contains(torrent);
  }
  void hand_over(const TorrentId& torrent, const PackId& pack, std::uint32_t piece,
                 const Buffer& bytes) override {
    lan->add_piece(torrent, pack, piece, bytes);
  }
  void range_failed(Error error) override { trouble(std::move(error)); }
  void check_lease() override { decide(policy::LeaseHolder::Tick{}); }

  void drop_from_wan(const TorrentId& torrent, const PackId& pack, std::uint32_t piece) {
    wan->drop_piece(torrent, pack, piece);
    if (const auto wants = wan_wants.find(torrent); wants != wan_wants.end())
      if (const auto bits = wants->second.find(pack); bits != wants->second.end())
        bits->second[piece] = false;
  }

  // --- the WAN session

  // Leaves as many pieces as `most` bytes pay for, the last one perhaps in part. What is on its way
  // stays, so that nothing is begun twice.
  void keep_within(Bytes most, swarm::PieceMap& chosen) const {
    constexpr std::int64_t piece_size = swarm::kPieceSize;
    std::int64_t left = std::max<std::int64_t>(0, (most.count + piece_size - 1) / piece_size);
    const auto is_wanted = [&](const PackId& pack, std::size_t piece) {
      if (has_range(pack, static_cast<std::uint32_t>(piece))) return true;
      return std::ranges::any_of(wan_wants, [&](const auto& entry) {
        const auto found = entry.second.find(pack);
        return found != entry.second.end() && piece < found->second.size() && found->second[piece];
      });
    };
    swarm::PieceMap kept;
    for (const bool begun : {true, false})
      for (const auto& [pack, pieces] : chosen)
        for (std::size_t piece = 0; piece < pieces.size() && left > 0; ++piece) {
          // It is here, and paid for.
          const bool waits =
              handed_over_has(pack, piece) ||
              (ranges && ranges->has_received(pack, static_cast<std::uint32_t>(piece)));
          if (!pieces[piece] || waits || is_wanted(pack, piece) != begun) continue;
          kept.try_emplace(pack, pieces.size(), false).first->second[piece] = true;
          --left;
        }
    chosen = std::move(kept);
  }

  Bytes size_of_piece(const PackId& pack, std::uint32_t piece) const override {
    const std::uint64_t start = std::uint64_t{piece} * swarm::kPieceSize;
    return {static_cast<std::int64_t>(
        std::min<std::uint64_t>(swarm::kPieceSize, holdings.size_of(pack) - start))};
  }

  bool handed_over_has(const PackId& pack, std::size_t piece) const {
    return std::ranges::any_of(handed_over, [&](const auto& entry) {
      return entry.first.pack == pack && entry.first.number == piece;
    });
  }

  void on_wan(swarm::Event& event) {
    if (const auto* verified = std::get_if<swarm::PieceVerified>(&event)) {
      if (wan_most) *wan_most = *wan_most - size_of_piece(verified->pack, verified->piece);
      if (holdings.holds(verified->pack, verified->piece))
        return wan->forget_piece(verified->torrent, verified->pack, verified->piece);
      handed_over[{verified->torrent, verified->pack, verified->piece}] = loop.now();
      wan->read_piece(verified->torrent, verified->pack, verified->piece);
    } else if (auto* read = std::get_if<swarm::PieceRead>(&event)) {
      if (!holdings.holds(read->pack, read->piece))
        lan->add_piece(read->torrent, read->pack, read->piece, std::move(read->bytes));
    } else if (const auto* left = std::get_if<swarm::PeerLeft>(&event)) {
      log::debug("seeder_left", {{"seeder", left->peer}, {"reason", left->reason}});
      if (left->is_liar) {
        emit(Trouble{ErrorKind::corrupt,
                     "the seeder at " + left->peer +
                         " sent other bytes than the layer has; check that computer's "
                         "disk, and the layer with `lamina layer verify`"});
        // A new session takes from it again.
        if (!wan_again) wan_again = loop.now() + config.retry_after;
      }
    } else if (const auto* bad = std::get_if<swarm::Trouble>(&event)) {
      emit(Trouble{bad->kind, bad->text});
      if (!wan_again) wan_again = loop.now() + config.retry_after;
    }
  }

  // --- the site

  void on_lan(const swarm::Event& event) {
    if (const auto* verified = std::get_if<swarm::PieceVerified>(&event)) {
      const bool over_wan =
          handed_over.erase({verified->torrent, verified->pack, verified->piece}) > 0;
      if (wan && over_wan)
        wan->forget_piece(verified->torrent, verified->pack, verified->piece);
      else if (wan)
        drop_from_wan(verified->torrent, verified->pack, verified->piece);
      if (ranges) ranges->settle(verified->pack, verified->piece);
      if (holdings.holds(verified->pack, verified->piece)) return;
      changed.insert(verified->pack);
      unsaved = true;
      if (holdings.hold(verified->pack, verified->piece)) read_back(verified->pack);
      // It may have been the last one; nothing is read back then.
      if (holdings.is_needed_in_part(verified->pack)) tell_whole();
    } else if (const auto* left = std::get_if<swarm::PeerLeft>(&event)) {
      log::debug("peer_left", {{"peer", left->peer}, {"reason", left->reason}});
      if (left->is_liar) shut_out_peer(left->peer.substr(0, left->peer.rfind(':')));
    } else if (const auto* bad = std::get_if<swarm::Trouble>(&event)) {
      emit(Trouble{bad->kind, bad->text});
      if (torrents.contains(bad->torrent))
        lan_again.emplace(bad->torrent, loop.now() + config.retry_after);
    }
  }

  void shut_out_peer(const std::string& address) {
    const Instant now = loop.now();
    const auto length = shut_out.caught(address, now);
    if (config.record != nullptr) config.record->caught(kShutOutName, address, now, length);
    if (!length) return;
    static_cast<void>(allow_peers(peers, service.networks));  // They are addresses.
    let_in[address] = loop.after(*length, later([](State& self) {
      static_cast<void>(self.allow_peers(self.peers, self.service.networks));
    }));
    emit(Trouble{ErrorKind::corrupt,
                 "the peer at " + address +
                     " sent other bytes than the layer has and is shut out for " +
                     to_text(*length) + ": check that device's disk"});
  }

  Status allow_peers(const std::vector<wire::Peer>& all, const std::vector<std::string>& networks) {
    std::set<std::string> addresses(networks.begin(), networks.end());
    for (const wire::Peer& peer : all)
      if (!shut_out.is_out(peer.address, loop.now())) addresses.insert(peer.address);
    return lan->allow_only({addresses.begin(), addresses.end()});
  }

  Status add_to_lan(const TorrentId& torrent) {
    auto done =
        lan->add(torrents.at(torrent), holdings.held(torrent), holdings.missing_pieces(torrent));
    if (done) dial(torrent);
    return done;
  }

  void remove_from_lan(const TorrentId& torrent) {
    lan_again.erase(torrent);
    if (!lan->has(torrent)) return;
    const auto traffic = lan->traffic(torrent);
    past.lan += traffic.received;
    past.sent += traffic.sent;
    lan->remove(torrent);
  }

  // With what is held now; connections are made anew.
  void add_again(const TorrentId& torrent) {
    remove_from_lan(torrent);
    if (auto done = add_to_lan(torrent); !done) {
      trouble(done.error());
      lan_again[torrent] = loop.now() + config.retry_after;
    }
  }

  void dial(const TorrentId& torrent) {
    std::vector<wire::Peer> serving = peers;
    std::erase_if(serving, [](const wire::Peer& peer) { return !peer.serves.value_or(true); });
    for (const wire::Peer& peer :
         peers_to_dial(config.device, std::move(serving), lease.is_open(), config.dial_max))
      if (!shut_out.is_out(peer.address, loop.now()))
        static_cast<void>(lan->connect(torrent, endpoint_of(peer)));
  }

  void dial_seeders() {
    for (const auto& [torrent, bytes] : torrents)
      if (wan->has(torrent)) dial_seeders(torrent);
  }
  void dial_seeders(const TorrentId& torrent) {
    if (!transport.may_dial()) return;
    for (const std::string& seeder : seeders) static_cast<void>(wan->connect(torrent, seeder));
  }

  void dial_all(Instant now) {
    dialled_at = now;
    for (const auto& [torrent, bytes] : torrents)
      if (lease.is_open() || !holdings.is_whole(torrent)) dial(torrent);
    if (wan) dial_seeders();
  }

  // --- packs

  void read_back(const PackId& pack) {
    if (std::ranges::find(to_read_back, pack) == to_read_back.end()) to_read_back.push_back(pack);
    read_back_next();
  }

  void read_back_next() {
    if (reading_back || to_read_back.empty()) return;
    const PackId pack = to_read_back.front();
    to_read_back.erase(to_read_back.begin());
    // Its last layer may have left meanwhile.
    if (!holdings.has_pack(pack)) return read_back_next();
    reading_back = true;
    loop.offload_value(
        [cache = config.cache, pack, size = holdings.size_of(pack)] {
          return swarm::finish_pack(cache, pack, size);
        },
        [weak = weak_from_this(), pack](Status done) {
          if (const auto self = weak.lock()) self->was_read_back(pack, done);
        });
  }

  void was_read_back(const PackId& pack, const Status& done) {
    reading_back = false;
    unsaved = true;
    if (done) {
      changed.erase(pack);
      for (const TorrentId& torrent : holdings.finish(pack)) add_again(torrent);
      tell_whole();
    } else {
      trouble(done.error());
      if (done.error().kind() == ErrorKind::corrupt) {
        changed.erase(pack);
        for (const TorrentId& torrent : holdings.lose(pack)) {
          remove_from_wan(torrent);
          add_again(torrent);
          add_to_wan(torrent);
        }
        wan_stale = true;
      } else {
        read_back_again = loop.now() + config.retry_after;
      }
    }
    read_back_next();
    turn();
  }

  swarm::PieceMap all_pieces() const {
    swarm::PieceMap map = holdings.pieces();
    map.insert(remembered.begin(), remembered.end());
    return map;
  }

  void save() {
    saving = true;
    unsaved = false;
    saved_at = loop.now();
    loop.offload_value(
        [saver = saver, cache = config.cache, map = all_pieces(),
         packs = std::exchange(changed, {}),
         number = ++saves] { return std::pair(saver->save(cache, map, packs, number), packs); },
        [weak = weak_from_this()](std::pair<Status, std::set<PackId>> result) {
          const auto self = weak.lock();
          if (!self) return;
          self->saving = false;
          if (result.first) return;
          self->trouble(result.first.error());
          self->changed.merge(std::move(result.second));
          self->unsaved = true;
          self->saved_at = self->loop.now() + self->config.retry_after;
        });
  }

  // --- what the owner hears

  void trouble(const Error& error) { emit(Trouble{error.kind(), error.text()}); }

  void tell_whole() {
    for (auto& [torrent, bytes] : torrents)
      if (holdings.is_whole(torrent)) remove_from_wan(torrent);
    tell_complete();
  }

  void tell_complete() {
    for (auto& [id, layer] : layers) {
      if (layer.told_complete || !holdings.is_whole(layer.torrent)) continue;
      layer.told_complete = true;
      emit(LayerComplete{id});
    }
  }

  void tell_progress() {
    for (auto& [id, layer] : layers) {
      const Bytes missing = holdings.missing(layer.torrent);
      if (missing == layer.told_missing) continue;
      layer.told_missing = missing;
      emit(Progress{id, missing});
    }
  }
};

Reflector::Reflector(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Reflector>> Reflector::start(net::Loop& loop, Config config,
                                                    std::function<void(const Event&)> on_event) {
  for (const char* name : {"/packs", "/trees", "/state"})
    if (auto done = os::make_directories(config.cache + name); !done)
      return fail(std::move(done.error()));
  // What a killed writer left behind.
  for (const char* name : {"/trees", "/state"}) {
    auto names = os::list_directory(config.cache + name);
    if (!names) return fail(std::move(names.error()));
    for (const std::string& left : *names)
      if (left.find(".tmp-") != std::string::npos)
        static_cast<void>(os::remove_file(config.cache + name + '/' + left));
  }
  auto state = std::make_shared<State>(loop, std::move(config), std::move(on_event));
  if (auto* record = state->config.record) {
    record->begin_lease_holder(kLeaseName);
    record->begin_wan_pieces(kPiecesName, {});
    record->begin_wan_transport(kTransportName, state->config.transport);
    record->begin_shut_out(kShutOutName, {});
  }
  state->bell = std::make_shared<State::Bell>(loop, state);
  state->saved_at = state->dialled_at = loop.now();
  auto pieces = swarm::load_piece_map(state->config.cache);
  if (pieces)
    state->remembered = std::move(*pieces);
  else  // Unfinished packs start anew; finished ones are marked by their trees.
    log::warning("piece_map_ignored", {{"error", pieces.error().text()}});
  auto lan = swarm::Session::start({.kind = swarm::Session::Kind::lan,
                                    .listen = state->config.listen,
                                    .directory = state->config.cache,
                                    .identity = state->config.identity,
                                    .connections_max = state->config.connections_max},
                                   state->ringer());
  if (!lan) return fail(std::move(lan.error()));
  state->lan = std::move(*lan);
  return std::unique_ptr<Reflector>(new Reflector(std::move(state)));
}

Reflector::~Reflector() {
  State& state = *state_;
  state.close_wan();
  state.lan.reset();
  if (!state.unsaved && !state.saving) return;
  // What a save under way in the pool syncs is listed here too, and may have failed to sync there.
  auto packs = state.changed;
  for (const auto& [pack, pieces] : state.holdings.pieces()) packs.insert(pack);
  auto done = state.saver->save(state.config.cache, state.all_pieces(), packs, ++state.saves);
  if (!done) log::warning("piece_map_not_saved", {{"error", done.error().text()}});
}

Status Reflector::join(const LayerId& layer, const Buffer& torrent,
                       const std::vector<format::DistributedPack>& packs,
                       const std::set<PackId>& unneeded, const swarm::PieceMap& partly) {
  State& state = *state_;
  if (state.layers.contains(layer)) return Done{};
  auto content = swarm::read_torrent(torrent);
  if (!content) return fail(std::move(content.error()).in("joining layer " + layer.short_hex()));
  auto agreed = agreed_packs(*content, packs);
  if (!agreed) return fail(std::move(agreed.error()).in("joining layer " + layer.short_hex()));
  const TorrentId id = content->id;
  if (!state.holdings.has(id)) {
    std::set<PackId> whole;
    for (Holdings::Pack& pack : *agreed) {
      pack.is_needed = !unneeded.contains(pack.id);
      if (const auto pieces = partly.find(pack.id); pieces != partly.end())
        pack.needed = pieces->second;
      if (swarm::is_whole(state.config.cache, pack.id, pack.size)) whole.insert(pack.id);
      // It may have been removed since.
      if (!os::exists(state.config.cache + "/packs/" + pack.id.hex()))
        state.remembered.erase(pack.id);
    }
    const auto owners = state.holdings.join(id, *agreed, whole, state.remembered);
    for (const Holdings::Pack& pack : *agreed) state.remembered.erase(pack.id);
    state.torrents[id] = torrent;
    for (const TorrentId& owner : owners)
      state.lan->want_pieces(owner, state.holdings.missing_pieces(owner));
    if (auto done = state.add_to_lan(id); !done) {
      state.holdings.leave(id);
      state.torrents.erase(id);
      return fail(std::move(done.error()).in("joining layer " + layer.short_hex()));
    }
    for (const PackId& pack : state.holdings.unread()) state.read_back(pack);
    state.add_to_wan(id);
    state.wan_stale = true;
  }
  state.layers[layer] = {.torrent = id, .told_missing = state.holdings.missing(id)};
  state.tell_complete();
  state.turn();
  return Done{};
}

void Reflector::leave(const LayerId& layer) {
  State& state = *state_;
  const auto left = state.layers.find(layer);
  if (left == state.layers.end()) return;
  const TorrentId torrent = left->second.torrent;
  state.layers.erase(left);
  if (std::ranges::any_of(state.layers,
                          [&](const auto& other) { return other.second.torrent == torrent; }))
    return;
  state.remove_from_lan(torrent);
  state.remove_from_wan(torrent);
  const auto partial = state.holdings.held(torrent).partial;
  const auto heirs = state.holdings.leave(torrent);
  for (const auto& [pack, pieces] : partial)
    if (!state.holdings.has_pack(pack)) state.remembered.emplace(pack, pieces);
  state.torrents.erase(torrent);
  for (const TorrentId& heir : heirs)
    state.lan->want_pieces(heir, state.holdings.missing_pieces(heir));
  state.wan_stale = true;
  state.turn();
}

Status Reflector::meet(const std::vector<wire::Peer>& peers) {
  State& state = *state_;
  if (auto done = state.allow_peers(peers, state.service.networks); !done) return done;
  state.peers = peers;
  // Also for layers that are whole: others may lack them.
  for (const auto& [torrent, bytes] : state.torrents) state.dial(torrent);
  return Done{};
}

Status Reflector::configure(const Service& service) {
  State& state = *state_;
  if (service == state.service) return Done{};
  if (auto done = state.allow_peers(state.peers, service.networks); !done) return done;
  const bool stops = state.service.serves && !service.serves;
  state.service = service;
  state.lan->give(service.serves);
  state.lan->limit_connections(service.connections_max > 0 ? service.connections_max
                                                           : state.config.connections_max);
  // What peers have asked for already would still be given: the connections are made anew.
  if (stops)
    for (const auto& [torrent, bytes] : state.torrents) state.add_again(torrent);
  return Done{};
}

Status Reflector::lead(const Lease& lease) {
  State& state = *state_;
  if (lease.token.empty() || lease.token.size() > swarm::kTokenMax)
    return fail(ErrorKind::invalid, "the lease has no token of 1 to 4096 bytes");
  const Instant now = state.loop.now();
  if (lease.by_budget != state.by_budget) {
    // Another kind of lease: another session, and epochs of its own.
    state.decide(policy::LeaseHolder::Resigned{});
    state.lease = policy::LeaseHolder();
    if (state.config.record != nullptr) state.config.record->begin_lease_holder(kLeaseName);
    state.by_budget = lease.by_budget;
  }
  if (!state.lease.is_open() || !lease.most) {
    state.wan_most = lease.most;
    if (state.ranges) state.ranges_paid = state.ranges->received();
  }
  if (lease.expires > now && lease.epoch >= state.lease.epoch()) {
    state.ticket->set(lease.token);
    state.seeders = lease.seeders;
    if (state.shares != lease.shares) {
      state.shares = lease.shares;
      state.wan_left.reset();
      state.wan_stale = true;
    }
  }
  state.decide(policy::LeaseHolder::Led{lease.epoch, lease.expires});
  if (const auto end = state.lease.next_change())
    state.lease_timer = state.loop.after(*end - now, state.later([](State& self) { self.turn(); }));
  // With what came meanwhile: it is not to be fetched for the new shares.
  if (state.wan_stale) state.turn();
  state.arm();
  return Done{};
}

void Reflector::resign() {
  State& state = *state_;
  state.decide(policy::LeaseHolder::Resigned{});
}

void Reflector::limit_wan(BitRate most) {
  state_->wan_limit = most;
  const BitRate rate = state_->wan_max();
  if (state_->wan) state_->wan->limit_receive(rate);
  // A rate of the line: ranges count payload, 1448 bytes of a packet's 1500.
  if (state_->ranges) state_->ranges->limit({rate.bits_per_second / 1500 * 1448});
}

void Reflector::use_transport(std::optional<policy::WanTransport::Kind> only) {
  State& state = *state_;
  if (state.config.transport.only) return;
  const bool dialled = state.transport.may_dial();
  state.transport.rule(only);
  if (state.config.record != nullptr)
    state.config.record->ruled(kTransportName, only, state.loop.now());
  if (!state.wan) return;
  // Connections with seeders end with their session.
  if (dialled && !state.transport.may_dial()) state.wan_again = state.loop.now();
  state.dial_seeders();
  state.wan_stale = true;
  state.turn();
}

bool Reflector::leads() const { return state_->wan != nullptr; }

std::optional<Bytes> Reflector::wan_left() const { return state_->wan_left; }

void Reflector::use_identity(const swarm::SwarmIdentity& identity) {
  state_->config.identity = identity;
  state_->lan->use_identity(identity);
  if (state_->wan) state_->wan->use_identity(identity);
}

Bytes Reflector::missing(const LayerId& layer) const {
  const auto found = state_->layers.find(layer);
  return found == state_->layers.end() ? Bytes{} : state_->holdings.missing(found->second.torrent);
}

Bytes Reflector::sent(const LayerId& layer) const {
  const auto found = state_->layers.find(layer);
  return found == state_->layers.end() ? Bytes{} : state_->lan->traffic(found->second.torrent).sent;
}

Reflector::Sources Reflector::sources() const {
  Sources sources = state_->past;
  for (const auto& [torrent, bytes] : state_->torrents) {
    const auto traffic = state_->lan->traffic(torrent);
    sources.lan += traffic.received;
    sources.sent += traffic.sent;
    if (state_->wan) sources.origin += state_->wan->traffic(torrent).received;
  }
  if (state_->ranges) sources.https = state_->ranges->received();
  return sources;
}

std::vector<Reflector::LanPeer> Reflector::lan_peers() const {
  std::vector<LanPeer> list;
  for (const auto& [torrent, bytes] : state_->torrents)
    for (const swarm::PeerTraffic& peer : state_->lan->peers(torrent))
      list.push_back({torrent.hex() + ' ' + peer.peer, peer.peer.substr(0, peer.peer.rfind(':')),
                      peer.received, peer.sent, peer.is_whole});
  return list;
}

std::uint16_t Reflector::port() const { return state_->lan->port(); }

}  // namespace lamina::reflector
