#include "shared/swarm/session.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/ip_filter.hpp>
#include <libtorrent/peer_class.hpp>
#include <libtorrent/peer_class_type_filter.hpp>
#include <libtorrent/peer_info.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/session_params.hpp>
#include <libtorrent/settings_pack.hpp>
#include <libtorrent/torrent_flags.hpp>
#include <libtorrent/torrent_handle.hpp>
#include <libtorrent/torrent_status.hpp>

#include "shared/base/assert.hpp"
#include "shared/swarm/libtorrent.hpp"
#include "shared/swarm/pack_disk.hpp"
#include "shared/swarm/plugins.hpp"

namespace lamina::swarm {
namespace {

namespace lt = libtorrent;

// Diffie-Hellman parameters for libtorrent's TLS contexts, which insist on some: the 2048-bit group
// of RFC 7919. The key exchange itself is elliptic.
std::string dh_parameters() {
  std::string pem;
  EVP_PKEY_CTX* const context = EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr);
  EVP_PKEY* parameters = nullptr;
  BIO* const memory = BIO_new(BIO_s_mem());
  if (context != nullptr && memory != nullptr && EVP_PKEY_paramgen_init(context) == 1 &&
      EVP_PKEY_CTX_ctrl_str(context, "dh_paramgen_type", "group") == 1 &&
      EVP_PKEY_CTX_ctrl_str(context, "group", "ffdhe2048") == 1 &&
      EVP_PKEY_paramgen(context, &parameters) == 1 &&
      PEM_write_bio_Parameters(memory, parameters) == 1) {
    char* text = nullptr;
    const long size = BIO_get_mem_data(memory, &text);
    pem.assign(text, static_cast<std::size_t>(size));
  }
  EVP_PKEY_free(parameters);
  EVP_PKEY_CTX_free(context);
  BIO_free(memory);
  return pem;
}

struct HostPort {
  lt::address address;
  std::uint16_t port = 0;
};

Result<HostPort> parse_endpoint(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  lt::error_code error;
  HostPort endpoint;
  if (colon != std::string::npos) {
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    endpoint.address = lt::make_address(host, error);
    const std::string digits = text.substr(colon + 1);
    unsigned long port = 0;
    if (!digits.empty() && digits.size() < 6 &&
        digits.find_first_not_of("0123456789") == std::string::npos)
      port = std::stoul(digits);
    else
      error =
          lt::error_code(boost::system::errc::invalid_argument, boost::system::generic_category());
    if (port > 65535)
      error =
          lt::error_code(boost::system::errc::invalid_argument, boost::system::generic_category());
    endpoint.port = static_cast<std::uint16_t>(port);
  }
  if (colon == std::string::npos || error)
    return fail(ErrorKind::invalid,
                "'" + printable(text, 80) + "' is no address of the form 10.0.0.1:8444");
  return endpoint;
}

// The first and the last address of "10.7.0.0/16" or of "10.7.0.1".
std::optional<std::pair<lt::address, lt::address>> range_of(const std::string& text) {
  const std::size_t slash = text.find('/');
  lt::error_code error;
  const lt::address first = lt::make_address(text.substr(0, slash), error);
  if (error) return std::nullopt;
  if (slash == std::string::npos) return std::pair(first, first);
  int prefix = -1;
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data() + slash + 1, end, prefix).ptr != end || prefix < 0)
    return std::nullopt;
  const auto last_of = [prefix](auto bytes) {
    for (std::size_t bit = static_cast<std::size_t>(prefix); bit < 8 * bytes.size(); ++bit)
      bytes[bit / 8] = static_cast<unsigned char>(bytes[bit / 8] | 0x80U >> bit % 8);
    return bytes;
  };
  if (first.is_v4())
    return prefix > 32
               ? std::nullopt
               : std::optional(std::pair(
                     first, lt::address(lt::address_v4(last_of(first.to_v4().to_bytes())))));
  return prefix > 128 ? std::nullopt
                      : std::optional(std::pair(
                            first, lt::address(lt::address_v6(last_of(first.to_v6().to_bytes())))));
}

constexpr int kBlock = 16 * 1024;

// As libtorrent counts limits; 0 is none.
int bytes_per_second(BitRate rate) {
  return static_cast<int>(std::min<std::int64_t>(rate.bits_per_second / 8, INT_MAX));
}

// What depends on the caps, which may change while the session runs.
void set_for_caps(lt::settings_pack& settings, const Session::Config& config) {
  using S = lt::settings_pack;
  const int receive_max = bytes_per_second(config.receive_max);
  // A cap holds within 1 % and smoothly; with 100 ms and more it comes in bursts (m).
  const bool is_capped = receive_max > 0 || config.send_max.bits_per_second > 0;
  settings.set_int(S::tick_interval,
                   is_capped ? 20 : lt::default_settings().get_int(S::tick_interval));
  // How long a block may take: longer than the cap makes it.
  const int block_time = receive_max > 0 ? kBlock / receive_max : 0;
  settings.set_int(S::request_timeout, std::max(8, 4 * block_time));
  settings.set_int(S::piece_timeout, std::max(5, 3 * block_time));
  // A process that hangs must not let its kernel swallow megabytes of the line, and under a slow
  // cap what the kernel takes in ahead comes in bursts (m: 128 KiB hold 1 MB/s).
  if (config.kind == Session::Kind::wan)
    settings.set_int(S::recv_socket_buffer_size,
                     receive_max > 0 && receive_max <= 1'000'000 ? 128 * 1024 : 256 * 1024);
}

// The numbers come from measurements with libtorrent 2.0.8; what each is for stands beside it.
lt::settings_pack settings_of(const Session::Config& config) {
  using S = lt::settings_pack;
  S settings;
  // Peers come from the coordinator; nobody learns of the origin by accident.
  for (const int name : {S::enable_dht, S::enable_lsd, S::enable_upnp, S::enable_natpmp,
                         S::enable_ip_notifier, S::enable_outgoing_utp, S::enable_incoming_utp})
    settings.set_bool(name, false);
  settings.set_bool(S::allow_multiple_connections_per_ip, true);
  settings.set_int(S::in_enc_policy, S::pe_disabled);  // TLS is underneath.
  settings.set_int(S::out_enc_policy, S::pe_disabled);
  // A device that is not interested for a moment must not be dropped when its peer finishes: the
  // default costs the last device a second.
  settings.set_bool(S::close_redundant_connections, false);
  // Who has a piece need not hear that others have it: with thirty devices half of all messages.
  settings.set_bool(S::send_redundant_have, false);
  settings.set_int(S::peer_timeout, 10);
  settings.set_int(S::inactivity_timeout, 20);
  settings.set_int(S::handshake_timeout, 3);
  settings.set_int(S::min_reconnect_time, 1);
  settings.set_int(S::connection_speed, 200);
  settings.set_int(S::torrent_connect_boost, 200);
  // A port that is taken is an error, not a reason to listen somewhere else.
  settings.set_int(S::max_retry_port_bind, 0);
  settings.set_bool(S::listen_system_port_fallback, false);
  settings.set_int(S::unchoke_slots_limit, -1);
  settings.set_int(S::connections_limit, config.connections_max);
  settings.set_int(S::file_pool_size, 200);
  settings.set_int(S::alert_queue_size, 100'000);
  settings.set_int(S::alert_mask, lt::alert_category::error | lt::alert_category::status |
                                      lt::alert_category::storage | lt::alert_category::connect |
                                      lt::alert_category::piece_progress);
  set_for_caps(settings, config);
  settings.set_str(S::user_agent, "lamina/" LAMINA_VERSION);
  settings.set_str(S::peer_fingerprint, "-LM0100-");
  if (config.kind == Session::Kind::wan) {
    settings.set_bool(S::enable_incoming_tcp, false);
    settings.set_str(S::listen_interfaces, "");
    settings.set_int(S::request_queue_time, 1);
  } else {
    settings.set_str(S::listen_interfaces, config.listen + "s");  // "s": SSL only.
    // A peer that hangs takes connections and answers nothing. While such a one is tried, one that
    // it dials itself when it goes on is refused as a duplicate.
    settings.set_int(S::peer_connect_timeout, 3);
    // Peers know a device by the address that it listens at, and shut all others out.
    const auto endpoint = parse_endpoint(config.listen);
    if (endpoint && !endpoint->address.is_unspecified())
      settings.set_str(S::outgoing_interfaces, endpoint->address.to_string());
  }
  return settings;
}

// A filter that says the same of every address.
lt::ip_filter everywhere(std::uint32_t flags) {
  lt::ip_filter filter;
  filter.add_rule(lt::make_address("0.0.0.0"), lt::make_address("255.255.255.255"), flags);
  filter.add_rule(lt::make_address("::"),
                  lt::make_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), flags);
  return filter;
}

std::string to_text(const lt::tcp::endpoint& endpoint) {
  return endpoint.address().to_string() + ':' + std::to_string(endpoint.port());
}

ErrorKind kind_of(const lt::error_code& error) {
  if (error == boost::system::errc::no_space_on_device) return ErrorKind::out_of_space;
  if (error == boost::system::errc::io_error) return ErrorKind::corrupt;
  if (error == boost::system::errc::permission_denied) return ErrorKind::refused;
  return ErrorKind::unavailable;
}

}  // namespace

struct Session::State {
  struct PackPieces {
    lt::piece_index_t first{};
    std::uint32_t count = 0;
  };
  struct Torrent {
    lt::torrent_handle handle;
    std::shared_ptr<const lt::torrent_info> info;
    std::map<PackId, PackPieces> packs;
    // libtorrent drops pieces that are added before it has taken the torrent up: they wait here.
    bool is_ready = false;
    std::vector<std::pair<lt::piece_index_t, std::vector<char>>> waiting;

    lt::piece_index_t index_of(const PackId& pack, std::uint32_t piece) const {
      return lt::piece_index_t(static_cast<int>(packs.at(pack).first) + static_cast<int>(piece));
    }
    // Which pack a piece of the torrent belongs to.
    std::pair<PackId, std::uint32_t> locate(lt::piece_index_t piece) const {
      for (const auto& [id, pieces] : packs) {
        const int offset = static_cast<int>(piece) - static_cast<int>(pieces.first);
        if (offset >= 0 && offset < static_cast<int>(pieces.count))
          return {id, static_cast<std::uint32_t>(offset)};
      }
      return {PackId{}, 0};
    }
  };

  Config config;
  std::unique_ptr<lt::session> session;
  std::map<TorrentId, Torrent> torrents;
  std::shared_ptr<LeaseGuard> guard;
  std::shared_ptr<PieceMemory> memory;  // wan
  std::string dh;
  lt::peer_class_t peers{};  // All of them.

  void set_caps() {
    lt::peer_class_info limits = session->get_peer_class(peers);
    limits.download_limit = bytes_per_second(config.receive_max);
    limits.upload_limit = bytes_per_second(config.send_max);
    session->set_peer_class(peers, limits);
  }

  const Torrent* find(const TorrentId& id) const {
    const auto found = torrents.find(id);
    return found == torrents.end() ? nullptr : &found->second;
  }
  TorrentId id_of_handle(const lt::torrent_handle& handle) const {
    for (const auto& [id, torrent] : torrents)
      if (torrent.handle == handle) return id;
    return {};
  }
  std::optional<Event> translate(lt::alert* alert) const;
  PeerLeft peer_left(const lt::peer_alert& peer, const lt::error_code& why) const {
    const bool is_liar =
        why == lt::errors::too_many_corrupt_pieces || why == lt::errors::peer_banned;
    return {id_of_handle(peer.handle), to_text(peer.endpoint), why.message(), is_liar};
  }
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}

Session::~Session() {
  if (state_ && state_->session) state_->session->set_alert_notify({});
}

Result<std::unique_ptr<Session>> Session::start(Config config, std::function<void()> notify) {
  auto state = std::make_unique<State>();
  state->dh = dh_parameters();
  if (config.kind != Kind::wan) {
    auto endpoint = parse_endpoint(config.listen);
    if (!endpoint) return fail(std::move(endpoint.error()));
  }
  if (config.check_lease) {
    LAMINA_ASSERT(config.clock != nullptr);
    state->guard = make_lease_guard(config.check_lease, *config.clock);
  }
  lt::session_params params(settings_of(config));
  if (config.kind == Kind::wan) state->memory = std::make_shared<PieceMemory>();
  params.disk_io_constructor = state->memory ? packs_in_memory(state->memory) : packs_in_files();
  state->session = std::make_unique<lt::session>(std::move(params));
  // All peers in one class: the default "local" class would escape the caps.
  state->peers = state->session->create_peer_class("peers");
  state->session->set_peer_class_filter(everywhere(1U << static_cast<std::uint32_t>(state->peers)));
  state->config = std::move(config);
  state->set_caps();
  auto session = std::unique_ptr<Session>(new Session(std::move(state)));
  if (session->state_->config.kind == Kind::lan)
    if (auto done = session->allow_only({}); !done) return fail(std::move(done.error()));
  if (session->state_->config.kind != Kind::wan && session->port() == 0) {
    std::string why = "it is in use or not of this machine";
    std::vector<lt::alert*> alerts;
    session->state_->session->pop_alerts(&alerts);
    for (const lt::alert* alert : alerts)
      if (const auto* failed = lt::alert_cast<lt::listen_failed_alert>(alert))
        why = failed->error.message();
    return fail(ErrorKind::unavailable, "cannot listen for the swarm at " +
                                            session->state_->config.listen + ": " + why +
                                            "; choose another port or stop the other program");
  }
  session->state_->session->set_alert_notify(std::move(notify));
  return session;
}

std::uint16_t Session::port() const {
  return state_->config.kind == Kind::wan ? 0 : state_->session->ssl_listen_port();
}

Status Session::add(const Buffer& bytes, const Held& held, const PieceMap& wanted) {
  auto info = parse_torrent(bytes);
  if (!info) return fail(std::move(info.error()));
  State::Torrent torrent{.handle = {}, .info = *info, .packs = {}};
  const lt::file_storage& files = (*info)->files();
  lt::add_torrent_params params;
  // Our store is the authority: with exactly as many bits as pieces, libtorrent checks nothing.
  params.have_pieces.resize((*info)->num_pieces(), false);
  params.piece_priorities.assign(static_cast<std::size_t>((*info)->num_pieces()),
                                 lt::dont_download);
  for (const lt::file_index_t file : files.file_range()) {
    if (files.pad_file_at(file)) continue;
    auto pack = pack_of_file(files, file);
    if (!pack) return fail(std::move(pack.error()));
    const State::PackPieces pieces{
        .first = files.piece_index_at_file(file),
        .count = static_cast<std::uint32_t>(files.file_num_pieces(file))};
    torrent.packs[*pack] = pieces;
    const bool complete = held.complete.contains(*pack);
    const auto has_bit = [&pack](const PieceMap& map, std::uint32_t piece) {
      const auto bits = map.find(*pack);
      return bits != map.end() && piece < bits->second.size() && bits->second[piece];
    };
    for (std::uint32_t i = 0; i < pieces.count; ++i) {
      const int index = static_cast<int>(pieces.first) + static_cast<int>(i);
      const bool have = complete || has_bit(held.partial, i);
      if (have) params.have_pieces.set_bit(lt::piece_index_t(index));
      if (have || has_bit(wanted, i))
        params.piece_priorities[static_cast<std::size_t>(index)] = lt::default_priority;
    }
  }
  params.ti = *info;
  // A torrent of one pack is parsed as a single file, which loses the directory.
  const bool single = !files.file_path(lt::file_index_t(0)).starts_with("packs/");
  params.save_path = state_->config.directory + (single ? "/packs" : "");
  params.storage_mode = lt::storage_mode_sparse;
  params.flags &= ~(lt::torrent_flags::auto_managed | lt::torrent_flags::paused);
  // Pack by pack: in another order all of them are whole at the end, and every device of the site
  // reads them back then (m: thirty on two cores had 1.6 s of nothing else).
  if (state_->config.kind == Kind::wan) params.flags |= lt::torrent_flags::sequential_download;
  // Until its peers are known; see take_events(). A seeder dials nobody.
  if (state_->config.kind != Kind::seeder) params.flags |= lt::torrent_flags::paused;
  params.flags |= lt::torrent_flags::disable_pex | lt::torrent_flags::disable_dht |
                  lt::torrent_flags::disable_lsd;
  params.extensions.push_back(
      [](const lt::torrent_handle&, lt::client_data_t) { return forbid_hash_exchange(); });
  if (state_->guard)
    params.extensions.push_back(
        [guard = state_->guard](const lt::torrent_handle&, lt::client_data_t) {
          return demand_lease(guard);
        });
  if (state_->config.ticket)
    params.extensions.push_back(
        [ticket = state_->config.ticket](const lt::torrent_handle&, lt::client_data_t) {
          return show_lease(ticket);
        });
  lt::error_code error;
  const TorrentId id = id_of(**info);
  torrent.handle = state_->session->add_torrent(std::move(params), error);
  if (error)
    return fail(ErrorKind::unavailable,
                "adding torrent " + id.short_hex() + ": " + error.message());
  torrent.handle.set_ssl_certificate_buffer(state_->config.identity.certificate_pem,
                                            state_->config.identity.key_pem, state_->dh);
  state_->torrents[id] = std::move(torrent);
  return Done{};
}

void Session::remove(const TorrentId& id) {
  const State::Torrent* torrent = state_->find(id);
  if (torrent == nullptr) return;
  state_->session->remove_torrent(torrent->handle);
  state_->torrents.erase(id);
}

bool Session::has(const TorrentId& id) const { return state_->find(id) != nullptr; }

void Session::want_pieces(const TorrentId& id, const PieceMap& wanted) {
  const State::Torrent* torrent = state_->find(id);
  if (torrent == nullptr) return;
  std::vector<lt::download_priority_t> priorities(
      static_cast<std::size_t>(torrent->info->num_pieces()), lt::dont_download);
  for (const auto& [pack, bits] : wanted) {
    const auto pieces = torrent->packs.find(pack);
    if (pieces == torrent->packs.end()) continue;
    for (std::uint32_t i = 0; i < pieces->second.count && i < bits.size(); ++i)
      if (bits[i])
        priorities[static_cast<std::size_t>(static_cast<int>(pieces->second.first)) + i] =
            lt::default_priority;
  }
  torrent->handle.prioritize_pieces(priorities);
}

void Session::drop_piece(const TorrentId& id, const PackId& pack, std::uint32_t piece) {
  const State::Torrent* torrent = state_->find(id);
  if (torrent != nullptr && torrent->packs.contains(pack))
    torrent->handle.piece_priority(torrent->index_of(pack, piece), lt::dont_download);
}

PieceMap Session::offered(const TorrentId& id) const {
  PieceMap map;
  const State::Torrent* torrent = state_->find(id);
  if (torrent == nullptr) return map;
  std::vector<int> peers;
  torrent->handle.piece_availability(peers);
  for (const auto& [pack, pieces] : torrent->packs) {
    PieceBits bits(pieces.count, false);
    const auto first = static_cast<std::size_t>(static_cast<int>(pieces.first));
    for (std::size_t i = 0; i < bits.size() && first + i < peers.size(); ++i)
      bits[i] = peers[first + i] > 0;
    map.emplace(pack, std::move(bits));
  }
  return map;
}

Status Session::connect(const TorrentId& id, const std::string& peer) {
  const State::Torrent* torrent = state_->find(id);
  if (torrent == nullptr)
    return fail(ErrorKind::not_found, "this session has no torrent " + id.short_hex());
  auto endpoint = parse_endpoint(peer);
  if (!endpoint) return fail(std::move(endpoint.error()));
  torrent->handle.connect_peer(lt::tcp::endpoint(endpoint->address, endpoint->port));
  return Done{};
}

Status Session::allow_only(const std::vector<std::string>& addresses) {
  lt::ip_filter filter = everywhere(lt::ip_filter::blocked);
  for (const std::string& text : addresses) {
    const auto range = range_of(text);
    if (!range)
      return fail(ErrorKind::invalid, "'" + printable(text, 80) + "' is no address of a peer");
    filter.add_rule(range->first, range->second, 0);
  }
  state_->session->set_ip_filter(filter);
  return Done{};
}

void Session::limit_connections(int most) {
  lt::settings_pack settings;
  settings.set_int(lt::settings_pack::connections_limit, most);
  state_->session->apply_settings(std::move(settings));
}

void Session::give(bool gives) {
  lt::settings_pack settings;
  settings.set_int(lt::settings_pack::unchoke_slots_limit, gives ? -1 : 0);
  // Pieces that even a choked peer may ask for.
  using S = lt::settings_pack;
  settings.set_int(S::allowed_fast_set_size,
                   gives ? lt::default_settings().get_int(S::allowed_fast_set_size) : 0);
  state_->session->apply_settings(std::move(settings));
}

void Session::read_piece(const TorrentId& id, const PackId& pack, std::uint32_t piece) {
  const State::Torrent* torrent = state_->find(id);
  if (torrent == nullptr || !torrent->packs.contains(pack)) return;
  torrent->handle.read_piece(torrent->index_of(pack, piece));
}

void Session::forget_piece(const TorrentId& id, const PackId& pack, std::uint32_t piece) {
  const State::Torrent* torrent = state_->find(id);
  if (torrent == nullptr || !state_->memory || !torrent->packs.contains(pack)) return;
  state_->memory->forget(torrent->info->info_hashes().get_best(), torrent->index_of(pack, piece));
}

void Session::add_piece(const TorrentId& id, const PackId& pack, std::uint32_t piece,
                        Buffer bytes) {
  const auto found = state_->torrents.find(id);
  if (found == state_->torrents.end() || !found->second.packs.contains(pack)) return;
  State::Torrent& torrent = found->second;
  const std::string_view text = as_text(bytes);
  const lt::piece_index_t index = torrent.index_of(pack, piece);
  std::vector<char> data(text.begin(), text.end());
  // Here a pack is followed by padding to the next piece, and what has another size is ignored.
  const auto size = static_cast<std::size_t>(torrent.info->piece_size(index));
  if (data.size() < size) data.resize(size);
  if (torrent.is_ready)
    torrent.handle.add_piece(index, std::move(data));
  else
    torrent.waiting.emplace_back(index, std::move(data));
}

std::optional<Event> Session::State::translate(lt::alert* alert) const {
  if (const auto* verified = lt::alert_cast<lt::piece_finished_alert>(alert)) {
    const TorrentId id = id_of_handle(verified->handle);
    const Torrent* torrent = find(id);
    if (torrent == nullptr) return std::nullopt;
    const auto [pack, piece] = torrent->locate(verified->piece_index);
    return PieceVerified{id, pack, piece};
  }
  if (const auto* read = lt::alert_cast<lt::read_piece_alert>(alert)) {
    const TorrentId id = id_of_handle(read->handle);
    const Torrent* torrent = find(id);
    if (torrent == nullptr) return std::nullopt;
    if (read->error) return Trouble{id, kind_of(read->error), read->error.message()};
    const auto [pack, piece] = torrent->locate(read->piece);
    return PieceRead{
        id, pack, piece,
        to_buffer(std::string_view(read->buffer.get(), static_cast<std::size_t>(read->size)))};
  }
  if (const auto* met = lt::alert_cast<lt::peer_connect_alert>(alert))
    return PeerMet{id_of_handle(met->handle), to_text(met->endpoint)};
  // Of one that leaves it is the former or, when it did something wrong, the latter.
  if (const auto* left = lt::alert_cast<lt::peer_disconnected_alert>(alert))
    return peer_left(*left, left->error);
  if (const auto* failed = lt::alert_cast<lt::peer_error_alert>(alert))
    return peer_left(*failed, failed->error);
  if (const auto* file = lt::alert_cast<lt::file_error_alert>(alert))
    return Trouble{id_of_handle(file->handle), kind_of(file->error),
                   std::string(file->filename()) + ": " + file->error.message()};
  if (const auto* failed = lt::alert_cast<lt::torrent_error_alert>(alert))
    return Trouble{id_of_handle(failed->handle), kind_of(failed->error), failed->error.message()};
  if (const auto* failed = lt::alert_cast<lt::listen_failed_alert>(alert))
    return Trouble{TorrentId{}, ErrorKind::unavailable, failed->message()};
  return std::nullopt;
}

std::vector<Event> Session::take_events() {
  std::vector<lt::alert*> alerts;
  state_->session->pop_alerts(&alerts);
  std::vector<Event> events;
  for (lt::alert* alert : alerts) {
    if (const auto* ready = lt::alert_cast<lt::torrent_checked_alert>(alert)) {
      const auto found = state_->torrents.find(state_->id_of_handle(ready->handle));
      if (found == state_->torrents.end()) continue;
      found->second.is_ready = true;
      // A torrent that goes on dials at once whom it knows; any other one does when the session's
      // second is over (m: up to 1.2 s later).
      found->second.handle.resume();
      for (auto& [piece, data] : found->second.waiting)
        found->second.handle.add_piece(piece, std::move(data));
      found->second.waiting.clear();
    }
    if (auto event = state_->translate(alert)) events.push_back(std::move(*event));
  }
  return events;
}

Traffic Session::traffic(const TorrentId& id) const {
  const State::Torrent* torrent = state_->find(id);
  if (torrent == nullptr) return {};
  const lt::torrent_status status = torrent->handle.status(lt::status_flags_t{});
  return {.received = {status.total_payload_download},
          .sent = {status.total_payload_upload},
          .peers = static_cast<std::uint32_t>(status.num_peers)};
}

std::vector<PeerTraffic> Session::peers(const TorrentId& id) const {
  std::vector<PeerTraffic> list;
  const State::Torrent* torrent = state_->find(id);
  if (torrent == nullptr) return list;
  std::vector<lt::peer_info> peers;
  torrent->handle.get_peer_info(peers);
  for (const lt::peer_info& peer : peers)
    list.push_back(
        {to_text(peer.ip),
         {peer.total_download},
         {peer.total_upload},
         static_cast<bool>(peer.flags & (lt::peer_info::seed | lt::peer_info::upload_only))});
  return list;
}

std::size_t Session::connected(const TorrentId& id) const {
  const State::Torrent* torrent = state_->find(id);
  if (torrent == nullptr) return 0;
  std::vector<lt::peer_info> peers;
  torrent->handle.get_peer_info(peers);
  return static_cast<std::size_t>(std::ranges::count_if(peers, [](const lt::peer_info& peer) {
    return !(peer.flags & (lt::peer_info::connecting | lt::peer_info::handshake));
  }));
}

std::optional<std::string> Session::site_at(const std::string& address) const {
  return state_->guard ? swarm::site_at(*state_->guard, address) : std::nullopt;
}

void Session::use_identity(SwarmIdentity identity) {
  state_->config.identity = std::move(identity);
  for (auto& [id, torrent] : state_->torrents)
    torrent.handle.set_ssl_certificate_buffer(state_->config.identity.certificate_pem,
                                              state_->config.identity.key_pem, state_->dh);
}

void Session::limit_receive(BitRate most) {
  if (most == state_->config.receive_max) return;
  state_->config.receive_max = most;
  lt::settings_pack settings;
  set_for_caps(settings, state_->config);
  state_->session->apply_settings(std::move(settings));
  state_->set_caps();
}

std::function<void()> Session::close(std::unique_ptr<Session> session) {
  session->state_->session->set_alert_notify({});
  // While the proxy lives, the session's end is begun but not waited for.
  auto proxy = std::make_shared<lt::session_proxy>(session->state_->session->abort());
  session.reset();
  return [proxy]() mutable { proxy.reset(); };
}

}  // namespace lamina::swarm
