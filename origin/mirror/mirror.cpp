#include "origin/mirror/mirror.hpp"

#include <algorithm>

#include "origin/mirror/partial_pack.hpp"
#include "shared/base/log.hpp"
#include "shared/net/https_client.hpp"
#include "shared/os/lock.hpp"
#include "shared/os/random.hpp"
#include "shared/policy/retry.hpp"
#include "shared/store/pack_look.hpp"
#include "shared/wire/protocol.hpp"
#include "shared/wire/seeder.hpp"

namespace lamina::origin {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kRecordsAtOnce = 2;
// A limit is kept by waiting between ranges: small ones keep it evenly.
constexpr std::uint64_t kPacedRange = 512 * 1024;
constexpr Duration kRenewAgain = 60s;

// What failed lately, and when it may be tried again.
struct Again {
  int failures = 0;
  Instant at;
};

}  // namespace

struct Mirror::State {
  struct Fetch {
    PackId id;
    std::uint64_t size = 0;
    std::shared_ptr<PartialPack> file;
    net::Timer timer;
  };
  struct Records {
    LayerId id;
    format::LayerEnvelopes objects;
    int left = 3;
    std::optional<Error> error;
  };

  State(net::Loop& l, DataDirectory d, MirrorEngine e, MirrorOptions o, PackFiles f)
      : loop(l), data(std::move(d)), engine(std::move(e)), options(o), files(std::move(f)) {}

  net::Loop& loop;
  DataDirectory data;
  MirrorEngine engine;
  MirrorOptions options;
  PackFiles files;
  std::optional<os::FileLock> lock;
  MirrorConfig config;
  MirrorKeys keys;
  std::string api_key, swarm_key;
  WallTime swarm_expires;
  std::unique_ptr<net::HttpsClient> client;
  net::Pace pace;

  MirrorFacts facts;
  std::uint64_t list_version = 0;
  MirrorPlan plan;
  std::map<PackId, Fetch> fetches;
  std::set<LayerId> asking;
  std::map<PackId, Again> packs_again;
  std::map<LayerId, Again> records_again;
  std::set<PackId> sending;                                           // Packs that the origin lost.
  std::map<LayerId, std::weak_ptr<const swarm::PieceHashes>> hashes;  // Of layers being fetched.
  std::string trouble;       // Of the disk or of records; cleared by success.
  std::string poll_trouble;  // Of the last poll.
  int polls_failed = 0;
  bool is_renewing = false;
  Instant renew_at{};
  net::Timer poll_timer, turn_timer, patrol_timer;
  PackId patrolled;  // The last one.
  // Work in the pool may come back after this is gone.
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);

  std::string incoming(const PackId& id) const { return data.root() + "/incoming/" + id.hex(); }
  std::string torrent_path(const TorrentId& id) const {
    return data.torrents() + '/' + id.hex() + ".torrent";
  }

  template <class Work, class Then>
  void offload(Work work, Then then) {
    loop.offload_value(std::move(work),
                       [alive = std::weak_ptr<bool>(alive), then = std::move(then)](auto value) {
                         if (!alive.expired()) then(std::move(value));
                       });
  }

  void note_trouble(const std::string& what, const Error& error) {
    const std::string text = what + ": " + error.text();
    if (text != trouble) log::error("mirror_trouble", {{"error", text}});
    trouble = text.substr(0, 1000);
  }

  Again& failed(Again& again) {
    ++again.failures;
    again.at = loop.now() + policy::retry_after(
                                {options.retry_after, std::max(options.retry_after, Duration{60s})},
                                again.failures, os::random_number());
    return again;
  }

  // --- start

  Status load() {
    auto packs = files.list();
    if (!packs) return fail(std::move(packs.error()));
    for (const PackId& id : *packs) {
      auto size = files.size_of(id);
      if (!size) return fail(std::move(size.error()));
      facts.held[id] = Bytes{static_cast<std::int64_t>(*size)};
    }
    auto names = os::list_directory(data.root() + "/incoming");
    if (!names) return fail(std::move(names.error()));
    for (const std::string& name : *names) {
      const std::string path = data.root() + "/incoming/" + name;
      auto file = os::open_read(path);
      if (!file) return fail(std::move(file.error()));
      auto size = os::file_size(file->get(), path);
      if (!size) return fail(std::move(size.error()));
      if (auto id = PackId::parse(name))
        facts.partial[*id] = Bytes{static_cast<std::int64_t>(*size)};
    }
    auto layers = kept_layers(data.root());
    if (!layers) return fail(std::move(layers.error()));
    for (const LayerId& id : *layers) {
      auto objects = read_objects(data.root(), id);
      auto checked =
          objects ? check_objects(id, *objects, keys) : Result<MirrorLayer>(fail(objects.error()));
      if (checked) {
        facts.known[id] = std::move(*checked);
        continue;
      }
      // It is asked for again.
      log::warning("records_unusable", {{"layer", id}, {"error", checked.error().text()}});
      if (auto gone = remove_objects(data.root(), id); !gone) return gone;
    }
    auto torrents = os::list_directory(data.torrents());
    if (!torrents) return fail(std::move(torrents.error()));
    for (const std::string& name : *torrents)
      if (auto id = TorrentId::parse(std::string_view(name).substr(0, name.find('.'))))
        facts.served.insert(*id);
    return withdraw_what_is_not_whole();
  }

  Status withdraw_what_is_not_whole() {
    facts.reserve = options.reserve;
    plan = plan_mirror(facts);
    for (const TorrentId& torrent : plan.withdraw) {
      if (auto gone = os::remove_file(torrent_path(torrent)); !gone) return gone;
      facts.served.erase(torrent);
    }
    return Done{};
  }

  Status open_client() {
    std::string texts[4];
    const char* const names[4] = {"api-ca.pem", "api.pem", "api.key", "seed.key"};
    for (int i = 0; i < 4; ++i) {
      auto text = os::read_text(data.seed(names[i]));
      if (!text) return fail(std::move(text.error()));
      texts[i] = std::move(*text);
    }
    api_key = texts[2];
    swarm_key = texts[3];
    if (auto done = note_swarm_certificate(); !done) return done;
    auto opened = net::HttpsClient::create(
        loop, {.host = config.origin_host,
               .port = config.origin_port,
               .ca_pem = texts[0],
               .ca_fingerprint = {},
               .certificate_pem = texts[1],
               .key_pem = texts[2],
               .connections_max = static_cast<int>(options.packs_at_once + 3)});
    if (!opened) return fail(std::move(opened.error()));
    client = std::move(*opened);
    return Done{};
  }

  Status note_swarm_certificate() {
    auto pem = os::read_text(data.seed("seed.pem"));
    if (!pem) return fail(std::move(pem.error()));
    auto known = net::certificate_facts(*pem);
    if (!known) return fail(std::move(known.error()).in(data.seed("seed.pem")));
    swarm_expires = known->not_after;
    return Done{};
  }

  // --- polls

  void poll() {
    const Place place = *place_of(config.advertise, config.listen);  // Checked when it was opened.
    const auto load = engine.load();
    wire::SeederPollRequest request{.address = place.address,
                                    .port = place.port,
                                    .version = LAMINA_VERSION,
                                    .list_version = list_version,
                                    .holds = served_layers(),
                                    .held_bytes = plan.held.count,
                                    .missing_bytes = plan.missing.count,
                                    .unread = static_cast<std::int64_t>(plan.ask.size()),
                                    .connections = load.connections,
                                    .sent_bytes = load.sent.count,
                                    .certificate_expires_ms = swarm_expires.ns / 1'000'000,
                                    .trouble = trouble};
    client->send({.method = "POST",
                  .target = "/v1/seeder/poll",
                  .content_type = std::string(wire::kJson),
                  .body = wire::to_json(request),
                  .reply_max = wire::kRecordMax,
                  .timeout = 20s},
                 [this](Result<net::Reply> reply) { polled(net::check(std::move(reply))); });
  }

  std::vector<LayerId> served_layers() const {
    std::vector<LayerId> list;
    for (const LayerId& id : plan.complete)
      if (facts.served.contains(facts.known.at(id).torrent)) list.push_back(id);
    return list;
  }

  void polled(Result<net::Reply> answer) {
    auto reply = answer ? wire::parse_seeder_poll_reply(answer->body)
                        : Result<wire::SeederPollReply>(fail(answer.error()));
    Duration next = options.poll_every - options.poll_every / 5 +
                    Duration{static_cast<std::int64_t>(
                        os::random_number() %
                        static_cast<std::uint64_t>(options.poll_every.count() * 2 / 5 + 1))};
    if (!reply) {
      ++polls_failed;
      if (poll_trouble != reply.error().text())
        log::warning("poll_failed", {{"error", reply.error().text()}});
      poll_trouble = reply.error().text();
      next = std::max(
          next, policy::retry_after({options.poll_every, 60s}, polls_failed, os::random_number()));
      // An expired certificate is good for one thing only.
      if (reply.error().kind() == ErrorKind::refused) renew();
    } else {
      if (polls_failed > 0) log::info("poll_answered", {{"after_failures", polls_failed}});
      polls_failed = 0;
      poll_trouble.clear();
      list_version = reply->list_version;
      if (reply->layers) facts.listed.emplace(reply->layers->begin(), reply->layers->end());
      for (const PackId& id : reply->wanted_packs.value_or(std::vector<PackId>())) give_back(id);
      const WallTime now = net::Loop::wall_now();
      if (swarm_expires.ns - now.ns < options.renew_before.count()) renew();
    }
    poll_timer = loop.after(next, [this] { poll(); });
    turn();
  }

  void renew() {
    if (is_renewing || loop.now() < renew_at) return;
    auto csr = net::make_request(api_key);
    auto swarm_csr = net::make_request(swarm_key);
    if (!csr || !swarm_csr)
      return note_trouble("renewing the certificates", csr ? swarm_csr.error() : csr.error());
    is_renewing = true;
    renew_at = loop.now() + kRenewAgain;
    client->send({.method = "POST",
                  .target = "/v1/seeder/renew",
                  .content_type = std::string(wire::kJson),
                  .body = wire::to_json(wire::SeederRenewRequest{*csr, *swarm_csr}),
                  .timeout = 20s},
                 [this](Result<net::Reply> reply) {
                   is_renewing = false;
                   auto answer = net::check(std::move(reply));
                   Status done = answer ? renewed(answer->body) : Status(fail(answer.error()));
                   if (!done) log::error("renewal_failed", {{"error", done.error().text()}});
                 });
  }

  Status renewed(const std::string& body) {
    auto reply = wire::parse_seeder_renew_reply(body);
    if (!reply) return fail(std::move(reply.error()));
    if (auto done = client->use_certificate(reply->certificate_pem, api_key); !done) return done;
    if (auto done = keep_certificates(data, reply->certificate_pem, reply->swarm_certificate_pem);
        !done)
      return done;
    if (auto done = note_swarm_certificate(); !done) return done;
    engine.use_identity({reply->swarm_certificate_pem, swarm_key});
    log::info("certificates_renewed", {{"until", to_iso8601(swarm_expires)}});
    return Done{};
  }

  // --- what to do

  void turn_soon() {
    turn_timer = loop.after(Duration{0}, [this] { turn(); });
  }

  void turn() {
    const auto space = os::space_of(data.layers());
    if (!space) return note_trouble("the disk", space.error());
    facts.free = space->free;
    facts.reserve = options.reserve;
    plan = plan_mirror(facts);
    if (Status done = tidy_up(); !done) return note_trouble("removing", done.error());
    for (const LayerId& id : plan.serve)
      if (Status done = serve(id); !done)
        return note_trouble("serving layer " + id.short_hex(), done.error());
    const std::string space_trouble =
        plan.lacking_space.count == 0
            ? ""
            : "the disk is full: " + to_text(plan.lacking_space) + " more are needed";
    if (!space_trouble.empty() && trouble != space_trouble)
      log::error("mirror_trouble", {{"error", space_trouble}});
    if (!space_trouble.empty() || trouble.starts_with("the disk is full")) trouble = space_trouble;
    const Instant now = loop.now();
    for (const LayerId& id : plan.ask) {
      if (asking.size() >= kRecordsAtOnce) break;
      const auto again = records_again.find(id);
      if (!asking.contains(id) && (again == records_again.end() || again->second.at <= now))
        ask(id);
    }
    for (const PackId& id : plan.fetch) {
      if (fetches.size() >= options.packs_at_once) break;
      const auto again = packs_again.find(id);
      if (!fetches.contains(id) && (again == packs_again.end() || again->second.at <= now))
        begin(id);
    }
  }

  // The torrent first: the seeder must not offer what goes.
  Status tidy_up() {
    for (const TorrentId& torrent : plan.withdraw) {
      if (auto gone = os::remove_file(torrent_path(torrent)); !gone) return gone;
      facts.served.erase(torrent);
      log::info("torrent_withdrawn", {{"torrent", torrent}});
    }
    if (!plan.withdraw.empty()) engine.torrents_changed();
    for (const LayerId& id : plan.forget) {
      if (auto gone = remove_objects(data.root(), id); !gone) return gone;
      facts.known.erase(id);
      log::info("layer_forgotten", {{"layer", id}});
    }
    for (const PackId& id : plan.remove) {
      if (auto gone = files.remove(id); !gone) return gone;
      facts.held.erase(id);
    }
    for (const PackId& id : plan.remove_partial) {
      if (fetches.contains(id)) continue;
      auto gone = os::remove_file(incoming(id));
      if (!gone && gone.error().kind() != ErrorKind::not_found) return gone;
      facts.partial.erase(id);
    }
    return Done{};
  }

  Status serve(const LayerId& id) {
    auto objects = read_objects(data.root(), id);
    if (!objects) return fail(std::move(objects.error()));
    const TorrentId torrent = facts.known.at(id).torrent;
    if (auto done = os::write_file(torrent_path(torrent), objects->torrent); !done) return done;
    facts.served.insert(torrent);
    hashes.erase(id);
    log::info("layer_mirrored", {{"layer", id}, {"packs", facts.known.at(id).packs.size()}});
    engine.torrents_changed();
    return Done{};
  }

  // --- records

  void ask(const LayerId& id) {
    asking.insert(id);
    auto records = std::make_shared<Records>();
    records->id = id;
    const std::string base = "/v1/seeder/layers/" + id.hex() + '/';
    const auto get = [&](const char* what, Buffer format::LayerEnvelopes::*part) {
      net::Call call{.target = base + what};
      call.reply_max = Bytes{static_cast<std::int64_t>(swarm::kTorrentBytesMax)};
      client->send(std::move(call), [this, records, part](Result<net::Reply> reply) {
        auto good = net::check(std::move(reply));
        if (good)
          records->objects.*part = to_buffer(good->body);
        else if (!records->error)
          records->error = std::move(good.error());
        if (--records->left == 0) took(*records);
      });
    };
    get("record", &format::LayerEnvelopes::record);
    get("distribution", &format::LayerEnvelopes::distribution);
    get("torrent", &format::LayerEnvelopes::torrent);
  }

  void took(Records& records) {
    asking.erase(records.id);
    Status done = records.error ? Status(fail(*records.error)) : Status(Done{});
    if (done) done = keep(records);
    if (!done) {
      failed(records_again[records.id]);
      note_trouble("records of layer " + records.id.short_hex(), done.error());
      return;
    }
    records_again.erase(records.id);
    trouble.clear();
    turn_soon();
  }

  Status keep(const Records& records) {
    auto layer = check_objects(records.id, records.objects, keys);
    if (!layer) return fail(std::move(layer.error()));
    if (auto done = keep_objects(data.root(), records.id, records.objects); !done) return done;
    log::info("records_kept", {{"layer", records.id}, {"packs", layer->packs.size()}});
    facts.known[records.id] = std::move(*layer);
    return Done{};
  }

  // --- packs

  // Of a layer with that pack; each layer's are read once while it is fetched.
  Result<std::shared_ptr<const swarm::PieceHashes>> hashes_for(const PackId& pack) {
    for (const auto& [id, layer] : facts.known) {
      if (!layer.packs.contains(pack)) continue;
      if (auto read = hashes[id].lock()) return read;
      auto objects = read_objects(data.root(), id);
      if (!objects) return fail(std::move(objects.error()));
      auto made = swarm::PieceHashes::of(objects->torrent);
      if (!made) return fail(std::move(made.error()));
      auto shared = std::make_shared<const swarm::PieceHashes>(std::move(*made));
      hashes[id] = shared;
      return std::shared_ptr<const swarm::PieceHashes>(shared);
    }
    return fail(ErrorKind::not_found, "no known layer has pack " + pack.short_hex());
  }

  Bytes size_of(const PackId& pack) const {
    for (const auto& [id, layer] : facts.known)
      if (const auto at = layer.packs.find(pack); at != layer.packs.end()) return at->second;
    return {};
  }

  void begin(const PackId& id) {
    auto of_torrent = hashes_for(id);
    if (!of_torrent) return note_trouble("pack " + id.short_hex(), of_torrent.error());
    Fetch& fetch = fetches[id];
    fetch.id = id;
    fetch.size = static_cast<std::uint64_t>(size_of(id).count);
    fetch.file = std::make_shared<PartialPack>(incoming(id), id, fetch.size, *of_torrent);
    offload([file = fetch.file] { return file->resume(); },
            [this, id](Result<std::uint64_t> have) {
              if (!have) return give_up(id, have.error());
              go_on(id);
            });
  }

  void go_on(const PackId& id) {
    Fetch& fetch = fetches.at(id);
    facts.partial[id] = Bytes{static_cast<std::int64_t>(fetch.file->have())};
    if (fetch.file->is_whole()) {
      offload([file = fetch.file, this_files = files] { return file->finish(this_files); },
              [this, id](const Status& done) { finished(id, done); });
      return;
    }
    const Duration wait = pace.wait(loop.now());
    if (wait > Duration{}) {
      fetch.timer = loop.after(wait, [this, id] { go_on(id); });
      return;
    }
    ask_range(fetch);
  }

  void ask_range(Fetch& fetch) {
    const std::uint64_t have = fetch.file->have();
    const std::uint64_t most = options.most.bits_per_second > 0
                                   ? kPacedRange
                                   : static_cast<std::uint64_t>(wire::kPackRangeMax.count);
    const std::uint64_t size = std::min(most, fetch.size - have);
    net::Call call{.target = "/v1/seeder/packs/" + fetch.id.hex()};
    call.headers.add("Range",
                     "bytes=" + std::to_string(have) + '-' + std::to_string(have + size - 1));
    call.reply_max = std::max(Bytes{static_cast<std::int64_t>(size)}, Bytes{64 * 1024});
    pace.spend(Bytes{static_cast<std::int64_t>(size)}, loop.now());
    client->send(std::move(call), [this, id = fetch.id, size](Result<net::Reply> reply) {
      auto good = net::check(std::move(reply));
      if (!good) return give_up(id, good.error());
      if (good->status != 206 || good->body.size() != size)
        return give_up(
            id, {ErrorKind::invalid, "the origin answered " + std::to_string(good->status) +
                                         " with " + to_text(good->body_size) + " to a range of " +
                                         to_text(Bytes{static_cast<std::int64_t>(size)})});
      offload([file = fetches.at(id).file,
               body = std::move(good->body)] { return file->append(as_view(body)); },
              [this, id](const Status& done) {
                if (!done) return give_up(id, done.error());
                go_on(id);
              });
    });
  }

  void finished(const PackId& id, const Status& done) {
    if (!done) return give_up(id, done.error());
    facts.held[id] = Bytes{static_cast<std::int64_t>(fetches.at(id).size)};
    facts.partial.erase(id);
    packs_again.erase(id);
    fetches.erase(id);
    trouble.clear();
    turn_soon();
  }

  // The origin lost it. What is damaged here too is no help, and is fetched again.
  void give_back(const PackId& id) {
    if (!facts.held.contains(id) || !sending.insert(id).second) return;
    offload([this_files = files, id] { return look_at_pack(this_files, id); },
            [this, id](const Result<PackLook>& look) {
              if (!look) return given(id, fail(look.error()));
              if (look->state != PackLook::State::sound) return lose(id, look->text);
              client->send({.method = "PUT",
                            .target = "/v1/seeder/packs/" + id.hex(),
                            .content_type = std::string(wire::kBinary),
                            .upload_file = files.path_of(id)},
                           [this, id](Result<net::Reply> reply) {
                             auto good = net::check(std::move(reply));
                             given(id, good ? Status(Done{}) : Status(fail(good.error())));
                           });
            });
  }

  void given(const PackId& id, const Status& done) {
    sending.erase(id);
    if (done)
      log::info("pack_given_back", {{"pack", id.hex()}});
    else
      log::warning("pack_not_given_back", {{"pack", id.hex()}, {"error", done.error().text()}});
  }

  void patrol_later() {
    patrol_timer = loop.after(options.patrol_every, [this] { patrol(); });
  }

  void patrol() {
    if (facts.held.empty()) return patrol_later();
    auto next = facts.held.upper_bound(patrolled);
    if (next == facts.held.end()) next = facts.held.begin();
    patrolled = next->first;
    offload([this_files = files, id = patrolled] { return look_at_pack(this_files, id); },
            [this, id = patrolled](const Result<PackLook>& look) {
              if (!look)
                note_trouble("pack " + id.short_hex(), look.error());
              else if (look->state != PackLook::State::sound && facts.held.contains(id))
                lose(id, look->text);
              patrol_later();
            });
  }

  void lose(const PackId& id, const std::string& why) {
    sending.erase(id);
    log::error("pack_damaged", {{"pack", id.hex()}, {"why", why}});
    facts.held.erase(id);
    // The torrent first: the seeder must not offer what goes.
    plan = plan_mirror(facts);
    if (Status done = tidy_up(); !done) return note_trouble("removing", done.error());
    if (Status gone = files.remove(id); !gone) return note_trouble("removing", gone.error());
    turn_soon();
  }

  void give_up(const PackId& id, const Error& error) {
    facts.partial[id] = Bytes{static_cast<std::int64_t>(fetches.at(id).file->have())};
    fetches.erase(id);
    const Again& again = failed(packs_again[id]);
    note_trouble("pack " + id.short_hex(), error);
    turn_timer = loop.after(again.at - loop.now(), [this] { turn(); });
  }
};

Mirror::Mirror(std::unique_ptr<State> state) : state_(std::move(state)) {}
Mirror::~Mirror() = default;

Result<std::unique_ptr<Mirror>> Mirror::open(net::Loop& loop, const DataDirectory& data,
                                             MirrorEngine engine, MirrorOptions options) {
  auto config = read_mirror_config(data);
  if (!config) return fail(std::move(config.error()));
  auto keys = read_mirror_keys(data);
  if (!keys) return fail(std::move(keys.error()));
  if (auto place = place_of(config->advertise, config->listen); !place)
    return fail(std::move(place.error()));
  auto lock = os::FileLock::take(data.root() + "/mirror.lock");
  if (!lock) return fail(std::move(lock.error()));
  auto files = PackFiles::open(data.layers(), PackFiles::Access::write);
  if (!files) return fail(std::move(files.error()));
  auto state = std::make_unique<State>(loop, data, std::move(engine), options, std::move(*files));
  state->lock.emplace(std::move(*lock));
  state->config = std::move(*config);
  state->keys = std::move(*keys);
  if (options.most.bits_per_second > 0) state->pace.set(options.most);
  if (auto done = state->load(); !done) return fail(std::move(done.error()));
  if (auto done = state->open_client(); !done) return fail(std::move(done.error()));
  log::info("mirroring", {{"seeder", state->config.name},
                          {"origin", state->config.origin_host},
                          {"layers", state->plan.complete.size()}});
  state->poll();
  state->patrol_later();
  return std::unique_ptr<Mirror>(new Mirror(std::move(state)));
}

Mirror::Standing Mirror::standing() const {
  const State& s = *state_;
  return {.layers = s.served_layers().size(),
          .listed = s.facts.listed ? s.facts.listed->size() : 0,
          .held = s.plan.held,
          .missing = s.plan.missing,
          .trouble = s.trouble};
}

}  // namespace lamina::origin
