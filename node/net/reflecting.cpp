#include "node/net/reflecting.hpp"

#include <algorithm>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {

std::shared_ptr<Reflecting> Reflecting::open(net::Loop& loop, const StateDirectory& state,
                                             const TrustedKeys& keys,
                                             std::optional<Bytes> cache_limit, Calls calls,
                                             std::optional<Duration> patrol_every) {
  std::shared_ptr<Reflecting> reflecting(
      new Reflecting(loop, state, keys, cache_limit, std::move(calls), patrol_every));
  reflecting->patrol_later();
  return reflecting;
}

std::optional<Bytes> Reflecting::limit() const {
  const auto& settled = settled_.settings().cache_bytes;
  return settled ? std::optional(Bytes{*settled}) : cache_limit_;
}

// --- the swarm

void Reflecting::use(LayerSwarm& swarm) {
  swarm_ = &swarm;
  configure();
  for (const auto& [id, files] : cache_.kept())
    if (auto done = swarm.join(files, leaning_of(state_, files)); !done)
      log::warning("kept_layer_not_shared", {{"layer", id}, {"error", done.error().text()}});
}

void Reflecting::configure() {
  if (swarm_ == nullptr) return;
  const auto& settings = settled_.settings();
  const auto most = settings.connections.value_or(0);
  auto done = swarm_->configure({.serves = settled_.duties().serves,
                                 .connections_max = static_cast<int>(
                                     std::min<std::int64_t>(most, std::numeric_limits<int>::max())),
                                 .networks = settings.networks});
  if (!done) log::error("reflector_settings_refused", {{"error", done.error().text()}});
}

// --- layers

bool Reflecting::keep(const LayerFiles& layer) {
  return settled_.duties().keeps_others && cache_.keep(layer);
}

void Reflecting::wanted(const LayerId& layer) {
  if (!cache_.kept().contains(layer)) return;
  if (swarm_ != nullptr) swarm_->leave(layer);  // Joined anew it tells what it lacks.
  cache_.forget(layer);
}

void Reflecting::tidy(bool unfinished) {
  cache_.take_in(calls_.needs().layers);
  Needs needs = calls_.needs();
  if (!needs.is_all) return;
  std::set<LayerId> shared;
  for (const auto& [id, files] : cache_.kept()) shared.insert(id);
  auto done = cache_.settle({.target = std::move(needs.layers),
                             .applied = std::move(needs.applied),
                             .keeps_others = settled_.duties().keeps_others,
                             .unfinished = unfinished,
                             .limit = limit()},
                            [this](const LayerId& layer) {
                              if (swarm_ != nullptr) swarm_->leave(layer);
                            });
  said_cache_.forget();
  if (!done) log::warning("cache_not_cleaned", {{"error", done.error().text()}});
  if (swarm_ == nullptr) return;
  for (const auto& [id, files] : cache_.kept()) {
    if (shared.contains(id)) continue;
    log::info("layer_kept", {{"layer", id}, {"name", files.name}});
    if (auto joined = swarm_->join(files, leaning_of(state_, files)); !joined)
      log::warning("kept_layer_not_shared", {{"layer", id}, {"error", joined.error().text()}});
  }
}

void Reflecting::look() {
  if (swarm_ == nullptr) return;
  std::map<LayerId, Bytes> sent;
  for (const auto& [id, files] : cache_.kept()) {
    sent[id] = swarm_->sent(id);
    if (sent[id] > sent_[id]) cache_.used(id);
  }
  sent_ = std::move(sent);
}

// --- what is settled

void Reflecting::heard(const wire::PollReply& reply) {
  if (reply.reflector && settled_.heard(*reply.reflector)) {
    const auto& settings = settled_.settings();
    log::info("reflector_settings", {{"version", settings.version}, {"mode", settings.mode}});
    configure();
    calls_.changed();
    tidy();
  }
  next_command();
}

void Reflecting::next_command() {
  const auto command = settled_.next_command();
  if (!command || is_commanded_) return;
  is_commanded_ = true;
  log::info("reflector_command", {{"number", command->number}, {"what", command->what}});
  if (command->what == "sync") return synchronize(command->number);
  if (command->what == "rebuild") return rebuild(command->number);
  // Of a later origin. It must not stand before those that follow.
  log::warning("reflector_command_unknown", {{"what", printable(command->what, 32)}});
  settled_.carried_out(command->number);
  is_commanded_ = false;
}

void Reflecting::synchronize(std::uint64_t number) {
  const std::int64_t started = net::Loop::wall_now().ns / 1'000'000;
  const Needs needs = calls_.needs();
  std::int64_t lost = 0;
  Bytes missing;
  for (const LayerFiles& files : needs.layers) {
    const Bytes lacks = missing_bytes(state_, files);
    missing += lacks;
    if (lacks.count == 0 || !needs.complete.contains(files.layer)) continue;
    ++lost;
    calls_.lose(files.layer);
  }
  tidy();
  calls_.hurry();
  command_ended(number, {"reflector-sync",
                         started,
                         {{"layers", static_cast<std::int64_t>(needs.layers.size())},
                          {"lost", lost},
                          {"missing_bytes", missing.count}}});
}

void Reflecting::rebuild(std::uint64_t number) {
  const std::vector<LayerFiles> layers = all_layers();
  verify(layers, layers,
         [this, number,
          started = net::Loop::wall_now().ns / 1'000'000](const Result<PackCheck>& check) {
           if (!check) {
             log::error("rebuild_failed", {{"error", check.error().text()}});
             is_commanded_ = false;  // It is tried again with the next answer to a poll.
             return;
           }
           command_ended(number, {"reflector-rebuild",
                                  started,
                                  {{"packs", static_cast<std::int64_t>(check->packs)},
                                   {"damaged", static_cast<std::int64_t>(check->damaged.size())},
                                   {"bytes_read", check->read.count}}});
         });
}

std::vector<LayerFiles> Reflecting::all_layers() const {
  std::vector<LayerFiles> layers = calls_.needs().layers;
  for (const auto& [id, files] : cache_.kept()) layers.push_back(files);
  return layers;
}

void Reflecting::verify(std::vector<LayerFiles> packs_of, std::vector<LayerFiles> layers,
                        std::function<void(const Result<PackCheck>&)> then) {
  loop_.offload_value(
      [state = state_, packs_of = std::move(packs_of)] { return verify_packs(state, packs_of); },
      [weak = weak_from_this(), layers = std::move(layers),
       then = std::move(then)](const Result<PackCheck>& check) {
        const auto self = weak.lock();
        if (!self) return;
        if (check && !check->damaged.empty()) self->found_damaged(layers, check->damaged);
        then(check);
      });
}

// What was damaged is gone from the disk.
void Reflecting::found_damaged(const std::vector<LayerFiles>& layers,
                               const std::set<PackId>& damaged) {
  for (const LayerFiles& files : layers) {
    const auto is_broken = [&](const auto& pack) { return damaged.contains(pack.id); };
    // What it leaned on may be of no use any more.
    const bool has_lost_base =
        std::ranges::any_of(
            files.bases,
            [&](const auto& base) { return std::ranges::any_of(base.second, is_broken); }) &&
        missing_bytes(state_, files).count > 0;
    if (!has_lost_base && !std::ranges::any_of(files.all_packs(), is_broken)) continue;
    log::warning("layer_damaged", {{"layer", files.layer}});
    if (!cache_.kept().contains(files.layer)) calls_.lose(files.layer);
  }
  tidy();
}

// --- what the disk may lose

void Reflecting::patrol_later() {
  if (!patrol_every_) return;
  patrol_timer_ = loop_.after(*patrol_every_, [this] { patrol(); });
}

void Reflecting::patrol() {
  // A command reads everything.
  if (is_commanded_) return patrol_later();
  std::vector<LayerFiles> layers = all_layers();
  std::map<PackId, format::DistributedPack> packs;
  for (const LayerFiles& files : layers)
    for (const format::DistributedPack& pack : files.all_packs()) packs.try_emplace(pack.id, pack);
  if (packs.empty()) return patrol_later();
  auto next = packs.upper_bound(patrolled_);
  if (next == packs.end()) next = packs.begin();
  patrolled_ = next->first;
  LayerFiles one;
  one.packs = {next->second};
  verify({one}, std::move(layers), [this](const Result<PackCheck>& check) {
    if (!check) log::error("cache_not_read", {{"error", check.error().text()}});
    patrol_later();
  });
}

void Reflecting::suspect(const LayerId& layer) {
  std::vector<LayerFiles> layers = all_layers();
  std::vector<LayerFiles> of = layers;
  std::erase_if(of, [&](const LayerFiles& files) { return files.layer != layer; });
  verify(std::move(of), std::move(layers), [](const Result<PackCheck>& check) {
    if (!check) log::error("cache_not_read", {{"error", check.error().text()}});
  });
}

void Reflecting::command_ended(std::uint64_t number, const Ended& ended) {
  is_commanded_ = false;
  settled_.carried_out(number);
  calls_.ended(ended);
  next_command();
}

// --- what it says

wire::ServingState Reflecting::serving() const {
  struct Peer {
    bool is_served = false;
    bool is_waiting = false;
  };
  std::map<std::string, Peer> peers;
  if (swarm_ != nullptr)
    for (const LayerSwarm::PeerBytes& peer : swarm_->lan_peers()) {
      Peer& entry = peers[peer.address];
      entry.is_served = entry.is_served || peer.sent.count > 0;
      entry.is_waiting = entry.is_waiting || !peer.is_whole;
    }
  wire::ServingState state{.peers_connected = static_cast<std::int64_t>(peers.size())};
  for (const auto& [address, peer] : peers) {
    state.peers_served += peer.is_served;
    state.peers_waiting += peer.is_waiting;
  }
  return state;
}

void Reflecting::add_to(wire::PollRequest& request, Bytes sent) {
  const Instant now = loop_.now();
  request.settings_version = settled_.settings().version;
  request.command_done = settled_.command_done();
  request.cache = said_cache_.get(now, [this] { return cache_.look(); });
  request.serving = said_serving_.get(now, [this] { return serving(); });
  request.serving->sent_bytes = sent.count;
  auto& kept = request.kept.emplace();
  for (const auto& [id, files] : cache_.kept())
    if (kept.size() < 256) kept.push_back(id);
  if (!settled_.duties().serves) request.relay_port.reset();
}

}  // namespace lamina::node
