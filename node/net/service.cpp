#include "node/net/service.hpp"

#include <algorithm>
#include <deque>

#include "node/net/applying.hpp"
#include "node/net/asking.hpp"
#include "node/net/budget_spending.hpp"
#include "node/net/byte_ledger.hpp"
#include "node/net/certificate_renewal.hpp"
#include "node/net/control.hpp"
#include "node/net/hardware.hpp"
#include "node/net/node_view.hpp"
#include "node/net/pack_offers.hpp"
#include "node/net/reflecting.hpp"
#include "node/net/report_queue.hpp"
#include "node/net/site_fetch.hpp"
#include "node/net/site_memory.hpp"
#include "node/net/snoozing.hpp"
#include "node/net/updating.hpp"
#include "shared/base/log.hpp"
#include "shared/os/file.hpp"
#include "shared/os/random.hpp"

namespace lamina::node {
namespace {

using namespace std::chrono_literals;

constexpr Duration kSwarmAgain = 10s;  // After the swarm's port could not be opened.
// An update of which nothing comes for so long while this device may fetch it is not to be had: the
// origin may have lost a pack of it. As long as 16 MiB take at 0.25 Mbit/s.
constexpr Duration kUpdatePatience = 10min;
constexpr Duration kCountEvery = 5s;  // Bytes by source: a kill forgets at most so much.

std::int64_t ms_of(WallTime time) { return time.ns / 1'000'000; }

}  // namespace

struct Service::State : std::enable_shared_from_this<State> {
  using SyncThen = Synchronization::Then;
  using RevertThen = std::function<void(Result<RevertEnd>)>;

  State(net::Loop& on, StateDirectory directory, Options with, StartSwarm how)
      : loop(on),
        state(std::move(directory)),
        options(with),
        start_swarm(std::move(how)),
        worker(on, state.worker_socket()),
        ledger(state, net::Loop::wall_now()),
        line(on, state.bandwidth_rules(), options.calendar,
             [this](const policy::BandwidthLimits& limits) { keep_to(limits); }) {}

  net::Loop& loop;
  StateDirectory state;
  Options options;
  StartSwarm start_swarm;
  NodeConfig config;
  TrustedKeys keys;
  std::optional<SiteMemory> site;      // From open() on.
  std::optional<std::string> waiting;  // Why the origin has placed this device in no site.
  std::unique_ptr<Beacons> beacons;
  SiteFetch from_site{loop};
  bool is_fetching_list = false;
  std::unique_ptr<net::LocalServer> control;
  std::unique_ptr<OriginLink> origin;
  std::unique_ptr<CertificateRenewal> renewal;
  WorkerLink worker;
  net::Timer worker_again;
  std::optional<Error> worker_error;  // Why the Agent has not started.

  Fitness fitness{options.fitness, state.cache()};
  net::Timer fitness_again;

  std::optional<Agent> agent;
  std::deque<Agent::Event> events;
  bool is_feeding = false;
  net::Timer tick;

  std::map<LayerId, LayerFiles> layers;                   // With records on disk.
  std::set<LayerId> joined;                               // What the Agent wants shared.
  std::set<LayerId> for_site;                             // To be had with all packs.
  std::map<LayerId, std::set<LayerId>> updates_for_site;  // By layer, from which.
  bool is_fetched_for = false;      // It does not fetch over the line by itself.
  std::map<LayerId, Instant> came;  // When something came of a layer last.
  std::vector<wire::Peer> peers;
  std::vector<wire::Peer> said_peers;  // By the origin, in the newest answer that had them...
  std::uint64_t said_version = 0;      // ...and the version of the site that it was of.
  std::optional<LayerSwarm::Lease> lease;
  Instant leads_since;
  std::unique_ptr<LayerSwarm> swarm;
  std::optional<policy::WanTransport::Kind> transport;  // By the site's rule.
  net::Timer swarm_again;
  BudgetSpending spending{state.net() + "/budget.json"};

  ReportQueue reports{[this](const wire::Report& report, OriginLink::Then<Done> then) {
    origin->report(report, [weak = weak_from_this(), then = std::move(then),
                            is_apply = report.operation == "apply",
                            sequence = report.target_sequence](const Result<Done>& done) {
      const auto self = weak.lock();
      if (self && done && is_apply) self->tell_worker(sequence);
      then(done);
    });
  }};
  std::vector<std::string> restart_due;  // The layers because of which to restart the device.

  LedgerFile ledger;
  std::set<std::string> reflectors;  // Addresses of the others that hold a lease of the site.
  // Who fetched a layer for the site, as far as it was seen here; this device may be among them.
  std::map<LayerId, std::vector<DeviceId>> fetchers;
  std::shared_ptr<Asking> asking;
  net::Timer count_again;
  LineLimits line;

  std::shared_ptr<Reflecting> reflecting;
  std::shared_ptr<PackOffers> offers;
  std::shared_ptr<Updating> updating;
  std::shared_ptr<Applying> applying;
  std::unique_ptr<Uploads> uploads;
  Snoozing snoozing{state.snooze()};
  wire::Hardware hardware{read_hardware(options.sys)};
  bool tells_hardware = true;     // Once, as nothing is plugged in while it runs; and when asked.
  wire::Policy policy;            // That the worker keeps to, without its rules.
  bool is_giving_policy = false;  // To the worker.
  std::optional<Error> policy_error;  // Why it did not take the origin's newest.
  std::unique_ptr<Synchronization> sync;
  std::vector<SyncThen> sync_waiters;  // For the one under way...
  std::vector<SyncThen> sync_asked;    // ...and for the next.
  std::optional<WallTime> synced_at;

  template <class Call>
  auto later(Call call) {
    return [weak = weak_from_this(), call = std::move(call)](auto... values) {
      if (const auto self = weak.lock()) call(*self, std::move(values)...);
    };
  }

  // --- start

  Status open() {
    auto read = read_config(state);
    if (!read) return fail(std::move(read.error()));
    config = std::move(*read);
    auto trust = read_trust(state);
    if (!trust) return fail(std::move(trust.error()));
    keys = std::move(*trust);
    site.emplace(state, config.device, keys.target);
    auto link = OriginLink::open(loop, state, config);
    if (!link) return fail(std::move(link.error()));
    origin = std::move(*link);
    renewal = std::make_unique<CertificateRenewal>(
        loop, state, *origin,
        later([](State& self, Certificate which, const Result<Instant>& expires) {
          self.renewed(which, expires);
        }));
    keep_to(line.limits());
    open_reflecting();
    offers = PackOffers::open(
        loop, state,
        {.send =
             [this](const wire::WantedPack& pack, const std::string& path,
                    std::function<void(Result<Done>)> then) {
               origin->send_layer_pack(pack.layer, pack.pack, path, std::move(then));
             },
         .damaged = [this](const LayerId& layer) { reflecting->suspect(layer); }});
    updating = Updating::open(loop, state, keys);
    open_asking();
    open_applying();
    uploads = Uploads::open(loop, state, config.device, *origin, worker, options.uploads,
                            {.changed = later([](State& self) {
                               if (self.agent) self.feed(Agent::Changed{});
                             }),
                             .lost = later([](State& self) {
                               if (self.agent) self.feed(Agent::SyncRequested{});
                             })});
    uploads->hand_on(later_page());
    if (options.beacons) open_beacons();
    auto server = net::LocalServer::listen(
        loop, state.node_socket(), 0660,
        later([](State& self, const std::string& line, const net::LocalServer::Answer& answer) {
          answer_request(self.control_calls(), line, answer);
        }));
    if (!server) return fail(std::move(server.error()));
    control = std::move(*server);
    log::info("node_started",
              {{"device", config.device},
               {"origin", config.origin_host + ':' + std::to_string(config.origin_port)}});
    ask_what_is_applied();
    return Done{};
  }

  void ask_what_is_applied() {
    worker.ask({.kind = WorkerRequest::Kind::status, .parent = {}, .reason = {}},
               later([](State& self, const Result<WorkerReply>& reply) {
                 if (reply) return self.start_agent(*reply);
                 if (!self.worker_error)
                   log::warning("worker_unreachable", {{"error", reply.error().text()}});
                 self.worker_error = reply.error();
                 self.worker_again =
                     self.loop.after(self.options.worker_retry,
                                     self.later([](State& me) { me.ask_what_is_applied(); }));
               }));
  }

  void start_agent(const WorkerReply& applied) {
    worker_error.reset();
    Agent::Memory memory{
        .device = config.device,
        .target_key = keys.target,
        .target = {},
        .applied_sequence = applied.sequence,
        .applied = applied.stack,
        .swarm_port = options.swarm_port,
        .certificate_expires = {},
        .swarm_certificate_expires = expiry_of_file(loop, state.swarm_certificate()),
        .waits = applied.waits > applied.sequence ? applied.waits : 0};
    if (site->list()) memory.site = site->peers();
    if (auto target = os::read_file(state.records() + "/target", format::kRecordMax))
      memory.target = std::move(*target);
    memory.certificate_expires =
        expiry_of_file(loop, state.device_certificate()).value_or(loop.now());
    if (auto opened = format::open_record(format::RecordType::target, memory.target,
                                          std::span(&keys.target, 1)))
      if (const auto target = format::parse_target(opened->record)) {
        // The origin signs it anew when it is asked.
        if (target->expires < net::Loop::wall_now()) memory.target.clear();
        memory.target_age = Duration{net::Loop::wall_now().ns - target->issued.ns};
        memory.budget_spent = spending.read(target->sequence);
      }
    agent.emplace(options.limits, std::move(memory), LAMINA_VERSION, loop.now());
    // Nobody writes packs yet: what an interrupted fetch of a former layer left goes too.
    reflecting->tidy(/*unfinished=*/true);
    if (os::exists(state.swarm_certificate())) open_swarm();
    feed(Agent::Settled{reflecting->settled().duties()});
    use_policy(applied.policy);
    feed(Agent::Snoozed{snoozing.left(net::Loop::wall_now())});
    keep_to(line.limits());
    look_at_fitness();
    restart_due = applied.restart_due;
    for (Outcome& outcome : untold_outcomes(applied, now_ms())) report(std::move(outcome));
  }

  // The origin knows how the target was applied, and how the scripts ended that followed it.
  void tell_worker(std::uint64_t sequence) {
    worker.ask(
        {.kind = WorkerRequest::Kind::told, .sequence = sequence, .parent = {}, .reason = {}},
        [](const Result<WorkerReply>& reply) {
          // Then they are reported once more.
          if (!reply) log::warning("worker_not_told", {{"error", reply.error().text()}});
        });
  }

  // --- for the site

  void open_reflecting() {
    reflecting = Reflecting::open(
        loop, state, keys, options.cache_limit,
        {.needs = [this] { return needs(); },
         .changed =
             [this] {
               if (!agent) return;
               feed(Agent::Settled{reflecting->settled().duties()});
               meet();
             },
         .hurry = [this] { feed(Agent::Hurry{}); },
         .lose = [this](const LayerId& layer) { lose(layer); },
         .ended =
             [this](const Reflecting::Ended& ended) {
               report({ended.operation, ended.started_ms, std::nullopt, {}, ended.counts});
               feed(Agent::Changed{});
             }},
        options.patrol_every);
  }

  Reflecting::Needs needs() const {
    Reflecting::Needs needs;
    if (!agent || !agent->target()) return needs;
    needs.applied = agent->applied();
    for (const auto& [id, layer] : agent->layers()) {
      if (layer.phase == Agent::Layer::Phase::complete) needs.complete.insert(id);
      if (const auto known = layers.find(id); known != layers.end())
        needs.layers.push_back(known->second);
      else if (auto files = load_layer(state, id, keys))
        needs.layers.push_back(placed(std::move(*files)));
    }
    needs.is_all = needs.layers.size() == agent->layers().size();
    return needs;
  }

  // With what the cache, its place in the target, and the site say about it.
  LayerFiles placed(LayerFiles files) const {
    find_bases(state, keys, files);
    files.beside.clear();
    if (agent && agent->target())
      files.beside.insert(agent->target()->stack.begin(), agent->target()->stack.end());
    files.beside.erase(files.layer);
    files.is_for_site = for_site.contains(files.layer);
    const auto updates = updates_for_site.find(files.layer);
    files.updates_for_site =
        updates == updates_for_site.end() ? std::set<LayerId>() : updates->second;
    files.is_fetched_for = is_fetched_for;
    return files;
  }

  // Somebody put packs and records into the cache.
  void cache_changed() {
    reflecting->tidy();
    std::vector<LayerId> fetching;
    for (const auto& [id, layer] : agent->layers())
      if (layer.phase == Agent::Layer::Phase::fetching) fetching.push_back(id);
    for (const LayerId& layer : fetching) {
      share_anew(layer);
      if (const auto files = layers.find(layer); files != layers.end())
        feed(Agent::LayerProgress{layer, missing_bytes(state, files->second)});
    }
    feed(Agent::Hurry{});
  }

  // A layer that counts as whole may need more packs than it did: without a layer beside it, or for
  // the site.
  void fetch_more(const LayerId& layer) {
    const auto progress = agent->layers().find(layer);
    const auto files = layers.find(layer);
    if (files == layers.end() || progress == agent->layers().end() ||
        progress->second.phase == Agent::Layer::Phase::records)
      return;
    const Bytes missing = missing_bytes(state, files->second);
    if (missing.count == 0) return;
    log::info("layer_needs_more", {{"layer", layer}, {"missing", missing}});
    feed(Agent::PacksNeeded{layer, missing});
    share_anew(layer);
  }

  // Whether it ever fetches over the line by itself decides which packs it waits for.
  void note_whether_it_leads(const wire::PollReply& reply) {
    if (!reply.site) return;
    const bool leads = reply.site->appoint.value_or(true) && reflecting->settled().duties().leads;
    if (leads != is_fetched_for) return;
    is_fetched_for = !leads;
    std::vector<LayerId> known;
    for (const auto& [layer, files] : layers) known.push_back(layer);
    for (const LayerId& layer : known) {
      const auto files = layers.find(layer);
      if (files == layers.end()) continue;
      files->second = placed(std::move(files->second));
      fetch_more(layer);
    }
  }

  // Devices of the site need packs that this one does not, and cannot fetch them over the line.
  void serve_site(const wire::PollReply& reply) {
    if (!reply.site) return;
    for (const LayerId& layer : reply.site->fresh.value_or(std::vector<LayerId>{})) {
      const auto files = layers.find(layer);
      if (files == layers.end() || !for_site.insert(layer).second) continue;
      files->second.is_for_site = true;
      fetch_more(layer);
    }
    for (const auto& update : reply.site->updates.value_or(std::vector<wire::UpdateOf>{})) {
      const auto files = layers.find(update.layer);
      if (files == layers.end() || !updates_for_site[update.layer].insert(update.from).second)
        continue;
      files->second.updates_for_site.insert(update.from);
      fetch_more(update.layer);
    }
  }

  // --- the agent

  void look_at_fitness() {
    const auto unfit = fitness.look(agent->leads(), loop.now());
    const auto reason = unfit ? std::optional(std::string(policy::name_of(*unfit))) : std::nullopt;
    reflecting->look();
    give_up_updates();
    if (reason != agent->unfit()) log::info("fitness", {{"unfit", reason.value_or("no")}});
    feed(Agent::Looked{reason});
    fitness_again =
        loop.after(options.fitness_interval, later([](State& self) { self.look_at_fitness(); }));
  }

  void feed(Agent::Event event) {
    events.push_back(std::move(event));
    if (is_feeding) return;
    is_feeding = true;
    while (!events.empty()) {
      const Agent::Event next = std::move(events.front());
      events.pop_front();
      for (const Agent::Action& action : agent->on(next, loop.now()))
        std::visit([this](const auto& a) { carry_out(a); }, action);
    }
    is_feeding = false;
    uploads->set_line(agent->origin_reachable(), agent->leads());
    if (beacons) beacons->set_away(!agent->origin_reachable());
    tick.cancel();
    if (const auto due = agent->next_change())
      tick = loop.after(std::max<Duration>(*due - loop.now(), 1ms),
                        later([](State& self) { self.feed(Agent::Tick{}); }));
  }

  void carry_out(const Agent::Poll& poll) {
    wire::PollRequest request = poll.request;
    request.bytes = ledger.totals();
    request.disk = disk_of(state);
    request.rules_version = line.version();
    request.members_sequence = site->sequence();
    request.keeps_peers = true;
    if (!restart_due.empty()) request.restart_due = restart_due;
    request.policy = policy.id;
    request.snooze = snoozing.said(net::Loop::wall_now());
    if (tells_hardware) request.hardware = hardware;
    uploads->add_to(request);
    reflecting->add_to(request, ledger.sent());
    if (is_metered()) request.relay_port.reset();  // It could not pass them on.
    origin->poll(request, later([kind = poll.kind](State& self, Result<wire::PollReply> reply) {
                   self.polled(kind, std::move(reply));
                 }));
  }

  void polled(Agent::PollKind kind, Result<wire::PollReply> reply) {
    if (!reply) {
      // Once, not for every try.
      if (agent->origin_reachable() || reply.error().kind() != ErrorKind::unavailable)
        log::warning("poll_failed", {{"error", reply.error().text()}});
      site->failed();
      feed(Agent::PollFailed{kind, os::random_number()});
      return found();  // Whom the LAN knows counts from now on.
    }
    tells_hardware = reply->wants_hardware.value_or(false);
    site->heard(net::Loop::wall_now());
    if (reply->site) fill_in_peers(*reply->site);
    take_site(*reply);
    if (!agent->origin_reachable()) log::info("origin_reached");
    if (reply->status != agent->status())
      log::info("device_status", {{"status", wire::name_of(reply->status)}});
    note_reflectors(*reply);
    // Before the Agent acts on a lease.
    if (reply->site) line.heard(*reply->site, origin->local_address());
    reports.flush();
    uploads->heard(*reply);
    reflecting->heard(*reply);
    note_whether_it_leads(*reply);
    serve_site(*reply);
    // Before a target that came with it is applied: the worker takes one request after the other.
    if (reply->policy) give_policy(*reply->policy);
    const WallTime now = net::Loop::wall_now();
    if (reply->snooze && snoozing.heard(*reply->snooze, reply->server_time_ms, now)) {
      log::info("snoozed", {{"by", "administrator"}, {"for", snoozing.left(now)}});
      feed(Agent::Snoozed{snoozing.left(now)});
    }
    if (reply->wanted_packs && !origin->upload_pace().is_stopped())
      offers->asked(*reply->wanted_packs);
    const auto waited = agent->uploads_wait();
    feed(Agent::Polled{kind, std::move(*reply), origin->local_address()});
    if (agent->uploads_wait() != waited) uploads_wait_changed();
  }

  void uploads_wait_changed() {
    const auto& why = agent->uploads_wait();
    if (!why) return log::info("uploads_go_on");
    log::info("uploads_wait", {{"why", *why}});
    // Whoever asked for a snapshot that has not begun is not kept waiting.
    for (const SyncThen& then : std::exchange(sync_asked, {}))
      then(fail(ErrorKind::unavailable, *why));
  }

  void fill_in_peers(wire::SiteView& view) {
    if (view.same_peers.value_or(false)) {
      view.peers = said_peers;
    } else if (view.version >= said_version) {
      said_peers = view.peers;
      said_version = view.version;
    }
  }

  // What of the answer is to be remembered for when there is none.
  void take_site(const wire::PollReply& reply) {
    waiting = reply.waiting;
    if (reply.status != wire::DeviceStatus::assigned) {
      if (auto done = site->forget(); !done)
        log::error("member_list_not_forgotten", {{"error", done.error().text()}});
    } else if (reply.members) {
      const auto taken = site->take(*reply.members, SiteMemory::From::origin);
      if (!taken)
        log::error("member_list_refused", {{"why", taken.error().text()}});
      else if (*taken)
        log::info("member_list_kept", {{"site", site->list()->site},
                                       {"sequence", site->sequence()},
                                       {"devices", site->list()->members.size()}});
    }
  }

  // --- the site's other devices on the LAN

  void open_beacons() {
    beacons = std::make_unique<Beacons>(
        loop, state, config.device, *site, *options.beacons,
        Beacons::Calls{.say = [this] { return said_in_beacons(); },
                       .found = later([](State& self) { self.found(); }),
                       .newer_list = later(
                           [](State& self, const wire::Peer& peer) { self.fetch_list(peer); })});
  }

  // What this device hands on while it lives.
  Relay::Page later_page() {
    return [weak = weak_from_this()](const std::string& path) -> Result<Relay::Handed> {
      const auto self = weak.lock();
      if (!self) return fail(ErrorKind::unavailable, "this device is stopping");
      return site_page(self->state, self->keys, self->site->envelope(), path);
    };
  }

  std::optional<SwarmIdentity> identity() const {
    auto certificate = os::read_text(state.swarm_certificate());
    auto key = os::read_text(state.swarm_key());
    auto ca = os::read_text(state.swarm_ca());
    if (!certificate || !key || !ca) return std::nullopt;
    return SwarmIdentity{*certificate, *key, *ca};
  }

  // Another device has a newer member list. What goes wrong is tried again at its next beacon.
  void fetch_list(const wire::Peer& peer) {
    const auto own = identity();
    if (is_fetching_list || !agent || agent->origin_reachable() || !own) return;
    is_fetching_list = true;
    from_site.members(*own, peer, later([peer](State& self, Result<Buffer> envelope) {
      self.is_fetching_list = false;
      auto taken = envelope ? self.site->take(*envelope, SiteMemory::From::peer)
                            : Result<bool>(fail(envelope.error()));
      if (!taken)
        return log::warning("member_list_refused",
                            {{"from", peer.device}, {"why", taken.error().text()}});
      if (!*taken) return;
      log::info("member_list_kept", {{"from", peer.device}, {"sequence", self.site->sequence()}});
      self.found();
    }));
  }

  Beacons::Said said_in_beacons() const {
    Beacons::Said said{.port = options.swarm_port};
    if (const Relay* relay = uploads->relay()) said.relay_port = relay->port().value_or(0);
    if (!agent) return said;
    for (const auto& [layer, progress] : agent->layers())
      if (progress.phase != Agent::Layer::Phase::records)
        said.layers.push_back({layer, progress.phase == Agent::Layer::Phase::complete});
    return said;
  }

  void found() {
    if (beacons && agent && beacons->heard() > 0) feed(Agent::PeersFound{beacons->peers()});
  }

  void show_identity() {
    uploads->use_identity();
    const auto own = identity();
    if (beacons && own) beacons->use_identity(*own);
  }

  // --- bandwidth rules

  bool is_metered() const { return options.fitness.metered; }

  void pace_uploads(const policy::BandwidthLimits& limits) {
    origin->upload_pace().set(is_metered() ? BitRate{} : limits.upload);
  }

  void keep_to(const policy::BandwidthLimits& limits) {
    pace_uploads(limits);
    // Where nothing may be fetched the Agent gives the lease up; no limit is as low as that.
    if (swarm && !line.no_download()) swarm->limit_wan(limits.download.value_or(BitRate{}));
    if (agent) feed(Agent::RuleChanged{line.no_download(), line.no_upload() || is_metered()});
  }

  void carry_out(const Agent::KeepTarget& keep) {
    for (auto& [layer, files] : layers) {
      files = placed(std::move(files));
      if (const auto progress = agent->layers().find(layer);
          progress != agent->layers().end() &&
          progress->second.phase == Agent::Layer::Phase::complete)
        fetch_more(layer);
    }
    if (auto done = os::write_file(state.records() + "/target", keep.target); !done)
      log::error("target_not_kept", {{"error", done.error().text()}});
    log::info("target_received",
              {{"sequence", agent->target()->sequence}, {"layers", agent->target()->stack.size()}});
  }

  void carry_out(const Agent::RefuseTarget& refuse) {
    log::error("target_refused", {{"why", refuse.why}});
    report({"target", now_ms(), Error(ErrorKind::refused, refuse.why), {}});
  }

  // --- bytes by source

  void count_bytes() {
    if (swarm) ledger.count(*swarm, reflectors, lease && lease->by_budget);
  }
  void count_now_and_then() {
    count_bytes();
    count_again = loop.after(kCountEvery, later([](State& self) { self.count_now_and_then(); }));
  }
  void note_reflectors(const wire::PollReply& reply) {
    std::set<std::string> addresses;
    if (reply.site && reply.lease)
      for (const DeviceId& holder : wire::holders_of(*reply.lease)) {
        note_fetcher(holder);
        for (const wire::Peer& peer : reply.site->peers)
          if (peer.device == holder) addresses.insert(peer.address);
      }
    if (addresses == reflectors) return;
    count_bytes();  // What came until now came from those before.
    reflectors = std::move(addresses);
  }

  void note_fetcher(const DeviceId& device) {
    for (const auto& [layer, progress] : agent->layers()) {
      if (progress.phase != Agent::Layer::Phase::fetching) continue;
      auto& known = fetchers[layer];
      if (std::ranges::find(known, device) == known.end()) known.push_back(device);
    }
  }

  // --- layers

  void carry_out(const Agent::FetchRecords& fetch) {
    if (auto files = load_layer(state, fetch.layer, keys)) return records_ready(std::move(*files));
    if (!fetch_records_from_site(fetch.layer)) fetch_records_from_origin(fetch.layer);
  }

  // What another device of the site has need not cross the line again. False: none is known.
  bool fetch_records_from_site(const LayerId& layer) {
    const auto own = identity();
    const auto knowing = beacons ? beacons->knowing(layer) : std::vector<wire::Peer>{};
    if (knowing.empty() || !own) return false;
    // Another one at each try.
    const wire::Peer& peer = knowing[os::random_number() % knowing.size()];
    log::info("records_from_site", {{"layer", layer}, {"device", peer.device}});
    from_site.layer(*own, peer, layer, later([layer](State& self, Result<LayerEnvelopes> got) {
      auto files = self.keep_records(layer, std::move(got));
      if (files) return self.records_ready(std::move(*files));
      log::warning("records_from_site_failed", {{"layer", layer}, {"error", files.error().text()}});
      self.fetch_records_from_origin(layer);
    }));
    return true;
  }

  void fetch_records_from_origin(const LayerId& layer) {
    origin->fetch_layer(layer, later([layer](State& self, Result<LayerEnvelopes> got) {
                          auto files = self.keep_records(layer, std::move(got));
                          if (!files) return self.records_failed(layer, std::move(files.error()));
                          self.records_ready(std::move(*files));
                          // Devices that got the same target are about to look for them.
                          if (self.beacons) self.beacons->tell();
                        }));
  }

  // Verified first, whoever they come from.
  Result<LayerFiles> keep_records(const LayerId& layer, Result<LayerEnvelopes> got) {
    if (!got) return fail(std::move(got.error()));
    auto files = check_layer(layer, *got, keys);
    if (!files) return files;
    if (auto done = keep_layer(state, layer, *got, keys); !done)
      return fail(std::move(done.error()));
    return load_layer(state, layer, keys);
  }

  void records_failed(const LayerId& layer, Error error) {
    log::warning("records_failed", {{"layer", layer}, {"error", error.text()}});
    layers.erase(layer);
    if (error.kind() != ErrorKind::unavailable) report({"fetch", now_ms(), error, {layer}});
    feed(Agent::RecordsFailed{layer, os::random_number()});
  }

  // What comes out of an update takes about as much as what it stands for.
  static Bytes room_to_take(const LayerFiles& files, const LayerId& base) {
    Bytes sum;
    for (const format::DistributedPack& pack : replaced_packs(files, base))
      sum += Bytes{static_cast<std::int64_t>(pack.size)};
    return sum;
  }

  void records_ready(LayerFiles fetched) {
    LayerFiles files = placed(std::move(fetched));
    const LayerId layer = files.layer;
    layers[layer] = files;
    reflecting->wanted(layer);
    reflecting->tidy();  // It may need the room.
    const auto space = os::space_of(state.packs());
    if (!space) return records_failed(layer, space.error());
    Bytes missing = missing_bytes(state, files);
    if (const auto base = leaning_of(state, files).update;
        base && space->free < missing + room_to_take(files, *base) + options.space_reserve) {
      log::info("update_has_no_room", {{"layer", layer}, {"from", *base}});
      if (auto done = updating->give_up(files, *base); !done)
        return records_failed(layer, std::move(done.error()));
      layers[layer] = files = placed(std::move(files));
      missing = missing_bytes(state, files);
    }
    if (missing.count > 0 && space->free < missing + options.space_reserve)
      return records_failed(
          layer, {ErrorKind::out_of_space, "layer " + files.name + " needs " +
                                               to_text(missing + options.space_reserve) +
                                               " of space in " + state.cache() + ", " +
                                               to_text(space->free) + " are free: make room"});
    const Leaning leaning = leaning_of(state, files);
    log::info("layer_wanted", {{"layer", layer},
                               {"name", files.name},
                               {"missing", missing},
                               {"size", files.size()},
                               {"leans_on", leaning.upon.size()}});
    feed(Agent::RecordsFetched{layer, missing, leaning.is_fresh, leaning.update});
  }

  void carry_out(const Agent::Join& join) {
    joined.insert(join.layer);
    share(join.layer);
  }

  void share(const LayerId& layer) {
    if (!swarm) return;
    const LayerFiles& files = layers.at(layer);
    if (auto done = swarm->join(files, leaning_of(state, files)); !done) {
      log::error("join_failed", {{"layer", layer}, {"error", done.error().text()}});
      lose(layer);
    }
  }
  void share_anew(const LayerId& layer) {
    if (swarm) swarm->leave(layer);
    if (joined.contains(layer)) share(layer);
  }

  // Its records or packs proved unusable.
  void lose(const LayerId& layer) {
    if (auto done = forget_layer(state, layer); !done)
      log::error("layer_not_forgotten", {{"error", done.error().text()}});
    feed(Agent::LayerLost{layer, os::random_number()});
  }

  void carry_out(const Agent::Leave& leave) {
    joined.erase(leave.layer);
    for_site.erase(leave.layer);
    updates_for_site.erase(leave.layer);
    came.erase(leave.layer);
    fetchers.erase(leave.layer);
    asking->forget(leave.layer);
    const auto left = layers.extract(leave.layer);
    if (!left.empty() && reflecting->keep(left.mapped())) return;
    if (swarm) swarm->leave(leave.layer);
  }

  // --- the swarm

  void open_swarm() {
    const auto own = identity();
    if (!own) return;
    show_identity();
    auto started = start_swarm({own->certificate_pem, own->key_pem}, origin->pack_ranges(),
                               later([](State& self, const LayerSwarm::Event& event) {
                                 std::visit([&](const auto& e) { self.heard(e); }, event);
                               }));
    if (!started) {
      log::error("swarm_not_started", {{"error", started.error().text()}});
      swarm_again = loop.after(kSwarmAgain, later([](State& self) { self.open_swarm(); }));
      return;
    }
    swarm = std::move(*started);
    count_now_and_then();
    reflecting->use(*swarm);
    swarm->limit_wan(line.limits().download.value_or(BitRate{}));
    if (transport) swarm->use_transport(transport);
    meet();
    const std::set<LayerId> wanted = joined;
    for (const LayerId& layer : wanted) share(layer);
    if (lease) lead();
  }

  void heard(const LayerSwarm::Progress& progress) {
    came[progress.layer] = loop.now();
    feed(Agent::LayerProgress{progress.layer, progress.missing});
  }
  void heard(const LayerSwarm::Complete& complete) {
    const auto layer = layers.find(complete.layer);
    if (layer == layers.end()) return;
    const auto sources = swarm->sources();
    log::info("layer_complete", {{"layer", complete.layer},
                                 {"name", layer->second.name},
                                 {"from_lan", sources.lan},
                                 {"from_origin", sources.origin},
                                 {"from_origin_https", sources.https}});
    const Leaning leaning = leaning_of(state, layer->second);
    // What it leans on may have changed meanwhile.
    if (missing_packs(state, layer->second, leaning).count > 0) return fetch_more(complete.layer);
    if (leaning.update)
      return take_update(layer->second, *leaning.update, leaves_costly(complete.layer));
    if (!leaning.partly.empty()) return take_parts(layer->second);
    if (leaning.awaits_site) return asking->ask(complete.layer);
    feed(Agent::LayerComplete{complete.layer});
  }

  void give_up_updates() {
    if (!lease) return;
    std::map<LayerId, LayerId> hopeless;
    for (const auto& [layer, progress] : agent->layers()) {
      const auto files = layers.find(layer);
      if (progress.phase != Agent::Layer::Phase::fetching || files == layers.end() ||
          updating->is_taking(layer) ||
          loop.now() - std::max(came[layer], leads_since) < kUpdatePatience)
        continue;
      if (const auto base = leaning_of(state, files->second).update) hopeless[layer] = *base;
    }
    for (const auto& [layer, base] : hopeless) {
      LayerFiles& files = layers.at(layer);
      log::warning("update_not_to_be_had", {{"layer", layer}, {"from", base}});
      if (auto done = updating->give_up(files, base); !done) {
        log::error("update_not_given_up", {{"error", done.error().text()}});
        continue;
      }
      files = placed(std::move(files));
      fetch_more(layer);
    }
  }

  // The layer's packs that it needs are here, some of them of the update from `base`.
  void take_update(const LayerFiles& files, const LayerId& base, bool leaves_costly) {
    if (updating->is_taking(files.layer)) return;
    updating->take(files, base, now_ms(), leaves_costly, when_updated(files.layer));
  }

  // What takes long to make is made by who fetches the layer for the site; the others wait for it.
  bool leaves_costly(const LayerId& layer) { return !lease && !makers_of(layer).empty(); }
  // None where this device is one of them.
  std::vector<wire::Peer> makers_of(const LayerId& layer) {
    const auto known = fetchers.find(layer);
    if (known == fetchers.end() ||
        std::ranges::find(known->second, config.device) != known->second.end())
      return {};
    std::vector<wire::Peer> makers;
    for (const wire::Peer& peer : peers)
      if (peer.relay_port && std::ranges::find(known->second, peer.device) != known->second.end())
        makers.push_back(peer);
    return makers;
  }

  std::string given_directory() const { return state.cache() + "/given"; }
  void forget_given() const {
    if (auto done = os::remove_tree(given_directory());
        !done && done.error().kind() != ErrorKind::not_found)
      log::warning("given_not_removed", {{"error", done.error().text()}});
  }

  void open_asking() {
    forget_given();
    asking = Asking::make(
        loop,
        {.makers = [this](const LayerId& layer) { return makers_of(layer); },
         .fetch =
             [this](const wire::Peer& from, const LayerId& layer, Asking::Then then) {
               const auto own = identity();
               if (!own)
                 return then(fail(ErrorKind::unavailable, "this device has no certificate"));
               from_site.costly(*own, from, layer, given_directory(), std::move(then));
             },
         .ended = later([](State& self, const LayerId& layer, Result<Asking::Files> files) {
           self.asked(layer, std::move(files));
         })},
        Asking::Limits{});
  }
  void asked(const LayerId& layer, Result<Asking::Files> given) {
    const auto files = layers.find(layer);
    if (files == layers.end() || updating->is_taking(layer) ||
        !leaning_of(state, files->second).awaits_site)
      return;
    if (!given) return make_costly(layer, given.error());
    updating->take_from_site(
        files->second, std::move(*given),
        later([layer, started = now_ms()](State& self, const Result<Updated>& updated) {
          self.forget_given();
          if (!updated && updated.error().kind() == ErrorKind::corrupt)
            return self.make_costly(layer, updated.error());
          self.update_taken(layer, started, updated);
        }));
  }
  // By this device, after all: from the update once more.
  void make_costly(const LayerId& layer, const Error& why) {
    const auto files = layers.find(layer);
    if (files == layers.end()) return;
    log::info("made_here", {{"layer", layer}, {"why", why.text()}});
    if (const auto made = files->second.rebuilt.find(layer); made != files->second.rebuilt.end())
      take_update(files->second, LayerId(made->second.base), false);
  }
  // What an update did not give is here.
  void take_parts(const LayerFiles& files) {
    if (updating->is_taking(files.layer)) return;
    updating->take_parts(files, when_updated(files.layer));
  }
  Updating::Then when_updated(const LayerId& layer) {
    return later([layer, started = now_ms()](State& self, const Result<Updated>& updated) {
      self.update_taken(layer, started, updated);
    });
  }

  void update_taken(const LayerId& layer, std::int64_t started, const Result<Updated>& updated) {
    if (!updated) {
      log::warning("update_failed", {{"layer", layer}, {"error", updated.error().text()}});
      report({"update", started, updated.error(), {layer}});
      if (layers.contains(layer)) lose(layer);
      return;
    }
    if (updated->awaits > 0)
      log::info("update_awaits", {{"layer", layer}, {"chunks", updated->awaits}});
    if (updated->waits_for.count > 0)
      log::info("update_lacks", {{"layer", layer},
                                 {"from", updated->base},
                                 {"chunks", updated->fallback_chunks},
                                 {"fetching", updated->waits_for}});
    else if (updated->awaits == 0)
      update_ended(layer, *updated);
    const auto files = layers.find(layer);
    if (files == layers.end()) return;  // It left meanwhile.
    files->second = placed(std::move(files->second));
    if (missing_bytes(state, files->second).count > 0) return fetch_more(layer);
    if (leaning_of(state, files->second).awaits_site) return asking->ask(layer);
    feed(Agent::LayerComplete{layer});
  }
  void update_ended(const LayerId& layer, const Updated& updated) {
    log::info("update_taken", {{"layer", layer},
                               {"from", updated.base},
                               {"fetched", updated.fetched},
                               {"bytes", updated.bytes},
                               {"fallback_chunks", updated.fallback_chunks},
                               {"fallback", updated.fallback}});
    report({.operation = "update",
            .started_ms = updated.started_ms,
            .layers = {layer},
            .counts = {{"update_bytes", updated.fetched.count},
                       {"chunks", static_cast<std::int64_t>(updated.chunks)},
                       {"plain_bytes", updated.bytes.count},
                       {"fallback_chunks", static_cast<std::int64_t>(updated.fallback_chunks)},
                       {"fallback_bytes", updated.fallback.count}},
            .remarks = updated.troubles});
  }
  void heard(const LayerSwarm::Trouble& trouble) {
    log::warning("swarm_trouble", {{"kind", name_of(trouble.kind)}, {"error", trouble.text}});
    if (trouble.kind == ErrorKind::out_of_space)
      report({"fetch", now_ms(), Error(trouble.kind, trouble.text), {}});
  }

  void heard(const LayerSwarm::TransportChanged& changed) {
    feed(Agent::WanTransportChanged{changed.to_https});
  }

  void carry_out(const Agent::UseTransport& use) {
    log::info("transport_rule", {{"transport", use.only ? policy::name_of(*use.only) : "auto"}});
    transport = use.only;
    if (swarm) swarm->use_transport(transport);
  }

  void carry_out(const Agent::MeetPeers& action) {
    peers = action.peers;
    log::info("peers", {{"count", peers.size()}, {"from_origin", agent->origin_reachable()}});
    uploads->meet(peers);
    meet();
  }
  void meet() {
    if (!swarm) return;
    if (auto done = swarm->meet(reflecting->settled().accepted(peers)); !done)
      log::error("peers_refused", {{"error", done.error().text()}});
  }

  void carry_out(const Agent::Lead& action) {
    const bool is_new =
        !lease || lease->epoch != action.epoch || lease->by_budget != action.by_budget;
    if (is_new && action.by_budget)
      spending.begin(agent->target()->sequence, swarm ? swarm->sources().over_wan() : Bytes{});
    lease = {.epoch = action.epoch,
             .token = action.token,
             .expires = action.expires,
             .seeders = action.seeders,
             .by_budget = action.by_budget,
             .shares = action.shares,
             .most = action.most};
    if (is_new) leads_since = loop.now();
    note_fetcher(config.device);
    if (is_new)
      log::info("lease_held", {{"epoch", action.epoch},
                               {"by_budget", action.by_budget},
                               {"shares", static_cast<std::int64_t>(action.shares.size())}});
    lead();
  }
  void lead() {
    if (!swarm) return;
    if (auto done = swarm->lead(*lease); !done)
      log::error("lease_not_used", {{"error", done.error().text()}});
  }
  void carry_out(const Agent::Resign&) {
    log::info("lease_given_up", {{"epoch", lease ? lease->epoch : 0}});
    const bool by_budget = lease && lease->by_budget;
    if (swarm) swarm->resign();
    count_bytes();
    lease.reset();
    if (by_budget) note_spending();
  }

  // --- the WAN budget

  void note_spending() {
    if (!swarm || !agent->target()) return;
    feed(Agent::BudgetSpent{spending.note(agent->target()->sequence, swarm->sources().over_wan())});
  }

  void carry_out(const Agent::AskBudget& ask) {
    if (lease && lease->by_budget) note_spending();
    origin->ask_budget(ask.request, later([](State& self, Result<wire::LeaseReply> reply) {
                         if (reply) return self.feed(Agent::BudgetGranted{std::move(*reply)});
                         log::info("budget_not_granted", {{"why", reply.error().text()}});
                         self.feed(Agent::BudgetFailed{os::random_number()});
                       }));
  }

  void carry_out(const Agent::RenewLease& renew) {
    wire::LeaseRequest request = renew.request;
    if (const auto left = swarm ? swarm->wan_left() : std::nullopt)
      request.left_bytes = left->count;
    origin->renew_lease(request, later([](State& self, Result<wire::LeaseReply> reply) {
                          if (reply) return self.feed(Agent::LeaseRenewed{std::move(*reply)});
                          if (reply.error().kind() == ErrorKind::refused)
                            return self.feed(Agent::LeaseLost{});
                          self.feed(Agent::LeaseFailed{});
                        }));
  }

  // --- apply

  void carry_out(const Agent::Apply& apply) { applying->apply(apply.sequence); }

  void open_applying() {
    applying = Applying::make(
        loop, state, worker, layers,
        {.close_transaction =
             [this](Bytes stored) {
               count_bytes();
               return ledger.close_transaction(stored);
             },
         .report = [this](Outcome outcome) { report(std::move(outcome)); },
         .lose = [this](const LayerId& layer) { lose(layer); },
         .applied =
             [this](const Agent::Applied& done, const std::vector<std::string>& due) {
               restart_due = due;
               feed(done);
               reflecting->tidy();  // The former stack is needed no more.
             },
         .waits =
             [this](const Agent::ApplyWaits& until, const std::vector<std::string>& due) {
               restart_due = due;
               feed(until);
             },
         .failed = [this](const Agent::ApplyFailed& why) { feed(why); }});
  }

  // --- policy and snooze

  void give_policy(const wire::Policy& given) {
    if (is_giving_policy) return;
    is_giving_policy = true;
    WorkerRequest request{.kind = WorkerRequest::Kind::policy, .parent = {}, .reason = {}};
    request.policy = given;
    worker.ask(request, later([started = now_ms()](State& self, const Result<WorkerReply>& reply) {
                 self.is_giving_policy = false;
                 if (reply) {
                   self.policy_error.reset();
                   self.use_policy(reply->policy);
                   return self.feed(Agent::Changed{});
                 }
                 // Each answer of the origin brings it anew; it is said once.
                 if (!self.policy_error || self.policy_error->text() != reply.error().text()) {
                   log::error("policy_not_taken", {{"error", reply.error().text()}});
                   self.report({"policy", started, reply.error(), {}});
                 }
                 self.policy_error = reply.error();
               }));
  }

  void use_policy(const wire::Policy& held) {
    if (held.id != policy.id) log::info("policy", {{"name", held.name}, {"version", held.version}});
    policy = held;
    std::optional<Duration> interval;
    if (held.interval_ms) interval = std::chrono::milliseconds{*held.interval_ms};
    feed(Agent::IntervalChanged{interval});
  }

  Status snooze(Duration duration) {
    if (auto done = snoozing.snooze(duration, net::Loop::wall_now()); !done) return done;
    log::info("snoozed", {{"by", "user"}, {"for", duration}});
    feed(Agent::Snoozed{duration});
    return Done{};
  }

  // --- certificates

  void carry_out(const Agent::Renew& renew) {
    renewal->renew(renew.swarm ? Certificate::swarm : Certificate::api);
  }

  void renewed(Certificate which, const Result<Instant>& expires) {
    const bool is_swarm = which == Certificate::swarm;
    if (!expires) return feed(Agent::RenewFailed{is_swarm, os::random_number()});
    if (is_swarm && swarm) {
      swarm->use_identity(renewal->swarm_identity());
      show_identity();
    } else if (is_swarm) {
      open_swarm();
    }
    feed(Agent::Renewed{is_swarm, *expires});
  }

  // --- synchronization

  void carry_out(const Agent::Sync& action) {
    if (uploads->at_site() && !policy::scans_while_at_site(action.reason)) {
      log::info("sync_waits", {{"snapshot_at_site", uploads->at_site()->snapshot}});
      return feed(Agent::SyncEnded{});
    }
    for (SyncThen& then : sync_asked) sync_waiters.push_back(std::move(then));
    sync_asked.clear();
    log::info("sync_starts", {{"reason", action.reason}});
    sync = std::make_unique<Synchronization>(
        loop, worker, *origin, *uploads, state, action.reason, options.sync,
        later([started = now_ms()](State& self, const Result<SyncFigures>& result) {
          self.synchronized(result, started);
        }));
  }

  void carry_out(const Agent::StopSync&) {
    if (!sync) return;  // Its end is on its way.
    log::info("sync_snoozed");
    sync->stop({ErrorKind::unavailable, "this device is snoozed"});
    // A pack that is on its way may have long to go. The relay's, if this is one, go on after that.
    origin->upload_pace().set(BitRate{});
  }

  void synchronized(const Result<SyncFigures>& result, std::int64_t started) {
    sync.reset();
    pace_uploads(line.limits());  // A snooze may have stopped them.
    if (result) {
      synced_at = net::Loop::wall_now();
      const bool at_site = !result->relay.is_none();
      log::info(at_site ? "snapshot_at_site" : "snapshot_kept",
                {{"snapshot", result->snapshot},
                 {"files_read", result->files_read},
                 {"files_reused", result->files_reused},
                 {"packs_sent", result->packs_sent},
                 {"bytes_sent", result->bytes_sent},
                 {"bytes_handed", result->bytes_handed},
                 {"notes", result->notes}});
      report({"snapshot",
              started,
              std::nullopt,
              {},
              {{"files_read", static_cast<std::int64_t>(result->files_read)},
               {"files_reused", static_cast<std::int64_t>(result->files_reused)},
               {"bytes_read", result->bytes_read.count},
               {"packs_sent", static_cast<std::int64_t>(result->packs_sent)},
               {"bytes_sent", result->bytes_sent.count},
               {"bytes_handed", result->bytes_handed.count},
               {"at_site", at_site ? 1 : 0},
               {"notes", static_cast<std::int64_t>(result->notes)}}});
    } else {
      log::warning("sync_failed", {{"error", result.error().text()}});
      if (result.error().kind() != ErrorKind::unavailable)
        report({"snapshot", started, result.error(), {}});
    }
    for (const SyncThen& then : std::exchange(sync_waiters, {})) then(result);
    feed(Agent::SyncEnded{});
  }

  // --- reports

  std::int64_t now_ms() const { return ms_of(net::Loop::wall_now()); }

  void report(Outcome outcome) {
    wire::Report message{.operation = std::move(outcome.operation),
                         .layers = std::move(outcome.layers),
                         .target_sequence = outcome.sequence.value_or(
                             agent->target() ? agent->target()->sequence : 0),
                         .started_ms = outcome.started_ms,
                         .finished_ms = now_ms(),
                         .ok = !outcome.error,
                         .text = printable(text_of(outcome), 4000),
                         .bytes_by_source = std::move(outcome.bytes_by_source),
                         .counts = std::move(outcome.counts)};
    if (message.layers.size() > 256) message.layers.resize(256);
    if (!outcome.scripts.empty()) message.scripts = std::move(outcome.scripts);
    reports.push(std::move(message));
  }

  // --- run/node.sock

  ControlCalls control_calls() {
    return {.status = [this] { return status_line(view()); },
            .metrics = [this] { return metrics_text(figures_of(view(), loop)); },
            .not_ready = [this]() -> std::optional<Error> {
              if (agent) return std::nullopt;
              return worker_error ? *worker_error
                                  : Error(ErrorKind::unavailable, "the node is starting");
            },
            .synchronize = [this](bool until_protected,
                                  SyncThen then) { synchronize(until_protected, std::move(then)); },
            .may_synchronize = [this] { return may_synchronize(); },
            .revert = [this](bool dry_run, RevertThen then) { revert(dry_run, std::move(then)); },
            .cache_changed = [this] { cache_changed(); },
            .snooze = [this](Duration duration) { return snooze(duration); }};
  }

  Status may_synchronize() const {
    if (agent->status() != wire::DeviceStatus::assigned)
      return agent->origin_reachable()
                 ? fail(ErrorKind::refused, "this device is " +
                                                std::string(wire::name_of(agent->status())) +
                                                ": an administrator must place it in a site first")
                 : fail(ErrorKind::unavailable, "the origin has not been reached yet");
    if (is_metered())
      return fail(ErrorKind::unavailable,
                  "this device's link is metered: a snapshot is made once the network process runs "
                  "without --metered");
    if (line.no_upload()) return fail(line.upload_forbidden());
    if (const auto& why = agent->uploads_wait()) return fail(ErrorKind::unavailable, *why);
    return Done{};
  }

  void synchronize(bool until_protected, const SyncThen& then) {
    if (auto may = may_synchronize(); !may) return then(fail(std::move(may.error())));
    sync_asked.push_back(later([then, until_protected](State& self, Result<SyncFigures> result) {
      if (!result || result->relay.is_none() || !until_protected) return then(std::move(result));
      self.uploads->when_settled(
          self.later([then, figures = *result](State& me, const Status& settled) {
            if (!settled) return me.synchronize(true, then);  // Lost: it is being sent again.
            SyncFigures now = figures;
            now.relay = {};
            then(std::move(now));
          }));
    }));
    feed(Agent::SyncRequested{});
  }

  void revert(bool dry_run, const RevertThen& then) {
    worker.ask(
        {.kind = WorkerRequest::Kind::revert, .dry_run = dry_run, .parent = {}, .reason = {}},
        later([dry_run, then, started = now_ms()](State& self, const Result<WorkerReply>& reply) {
          if (dry_run)
            return then(reply ? Result<RevertEnd>(RevertEnd{reply->stack, reply->waits != 0})
                              : fail(reply.error()));
          if (!reply) {
            self.report({"revert", started, reply.error(), {}});
            return then(fail(reply.error()));
          }
          log::info("reverted", {{"layers", reply->stack.size()}, {"waits", reply->waits != 0}});
          self.restart_due = reply->restart_due;
          std::vector<std::string> remarks = reply->remarks;
          if (reply->waits != 0) remarks.insert(remarks.begin(), "waits for the restart");
          self.report({.operation = "revert",
                       .started_ms = started,
                       .error = std::nullopt,
                       .layers = reply->stack,
                       .remarks = std::move(remarks)});
          self.feed(Agent::Reverted{reply->stack});
          then(RevertEnd{reply->stack, reply->waits != 0});
        }));
  }

  NodeView view() {
    count_bytes();
    return {.state = state,
            .config = config,
            .agent = agent ? &*agent : nullptr,
            .worker_error = worker_error ? &*worker_error : nullptr,
            .clock_trouble = renewal->clock_trouble(),
            .layers = layers,
            .site = *site,
            .waiting = waiting,
            .heard = beacons ? beacons->heard() : 0,
            .peers = peers.size(),
            .relays = static_cast<std::size_t>(std::ranges::count_if(
                peers, [](const wire::Peer& peer) { return peer.relay_port.has_value(); })),
            .swarm = swarm.get(),
            .received = ledger.totals(),
            .line = line,
            .is_metered = is_metered(),
            .uploads = *uploads,
            .reflecting = *reflecting,
            .is_synchronizing = sync != nullptr,
            .synced_at = synced_at,
            .policy = policy,
            .policy_error = policy_error ? &*policy_error : nullptr,
            .snooze_left = snoozing.left(net::Loop::wall_now()),
            .restart_due = restart_due};
  }
};

Service::Service(std::shared_ptr<State> state) : state_(std::move(state)) {}

Service::~Service() {
  // Their callbacks hold no reference to the state; what they refer to goes after them.
  state_->beacons.reset();
  state_->control.reset();
  state_->count_bytes();
  state_->sync.reset();
  state_->uploads.reset();
  state_->reflecting->stop();
  state_->swarm.reset();
}

Result<std::unique_ptr<Service>> Service::start(net::Loop& loop, StateDirectory state,
                                                Options options, StartSwarm start_swarm) {
  auto inside = std::make_shared<State>(loop, std::move(state), options, std::move(start_swarm));
  if (auto done = inside->open(); !done) return fail(std::move(done.error()));
  return std::unique_ptr<Service>(new Service(std::move(inside)));
}

}  // namespace lamina::node
