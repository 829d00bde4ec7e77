#include "node/net/uploads.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "shared/base/log.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

using nlohmann::json;

// An answer of the origin speaks for so long at most: a poll and its way.
constexpr Duration kAnswerSpan = std::chrono::seconds{60};

policy::HandedState state_of(const std::string& text) {
  if (text == "protected") return policy::HandedState::protected_;
  if (text == "at the site") return policy::HandedState::at_site;
  if (text == "refused") return policy::HandedState::refused;
  return policy::HandedState::unknown;
}

}  // namespace

struct Uploads::State : std::enable_shared_from_this<State> {
  State(net::Loop& on, const StateDirectory& directory, const DeviceId& id, OriginLink& o,
        WorkerLink& w, Options with, Calls c)
      : loop(on),
        state(directory),
        device(id),
        origin(o),
        worker(w),
        options(std::move(with)),
        calls(std::move(c)) {}

  net::Loop& loop;
  const StateDirectory& state;
  DeviceId device;
  OriginLink& origin;
  WorkerLink& worker;
  Options options;
  Calls calls;
  std::unique_ptr<Relay> relay;
  net::Timer door_again;

  std::optional<SwarmIdentity> identity;
  std::optional<BoxPublicKey> origin_key;
  std::vector<wire::Peer> peers;
  std::optional<DeviceId> holder;  // Of the site's lease.
  std::uint64_t site_version = 0;
  bool reachable = false;

  std::map<DeviceId, Instant> avoided;  // Relays, until then.
  std::unique_ptr<ParcelSender> sender;

  std::uint64_t sequence_used = 0;
  std::optional<AtSite> at_site;
  bool lost_before = false;
  Duration unlisted{};
  Duration age{};
  Instant heard_at;  // The last answer about it.
  std::vector<std::function<void(Status)>> settled_calls;

  template <class Call>
  auto later(Call call) {
    return [weak = weak_from_this(), call = std::move(call)](auto... values) {
      if (const auto self = weak.lock()) call(*self, std::move(values)...);
    };
  }

  // --- net/handed.json

  std::string path() const { return state.net() + "/handed.json"; }

  // A missing or broken file: nothing is at the site. The next snapshot is as good as the first.
  void read() {
    const auto text = os::read_text(path(), 4096);
    if (!text) return;
    const json object = json::parse(*text, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) return;
    const auto number = [&](const char* key) {
      const auto at = object.find(key);
      return at != object.end() && at->is_number_unsigned() ? at->get<std::uint64_t>() : 0;
    };
    const auto word = [&](const char* key) {
      const auto at = object.find(key);
      return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
    };
    sequence_used = number("sequence");
    const auto snapshot = SnapshotId::parse(word("snapshot"));
    const auto holder_of_it = DeviceId::parse(word("relay"));
    if (snapshot && holder_of_it && sequence_used > 0)
      at_site = AtSite{*snapshot, sequence_used, *holder_of_it,
                       static_cast<std::int64_t>(number("handed_ms")), ""};
    heard_at = loop.now();
  }

  Status write() const {
    json object{{"sequence", sequence_used}};
    if (at_site) {
      object["snapshot"] = at_site->snapshot.hex();
      object["relay"] = at_site->relay.hex();
      object["handed_ms"] = at_site->handed_ms;
    }
    return os::write_file(path(), as_view(object.dump() + '\n'), 0600);
  }

  void forget_at_site() {
    at_site.reset();
    if (auto done = write(); !done)
      log::warning("handed_not_noted", {{"error", done.error().text()}});
  }

  void tell_settled(const Status& status) {
    for (const auto& call : std::exchange(settled_calls, {})) call(status);
  }

  // --- what the origin says

  void judge(const std::string& said) {
    const Instant now = loop.now();
    const Duration step = std::min(now - heard_at, kAnswerSpan);
    heard_at = now;
    age += step;
    unlisted = said == "unknown" ? unlisted + step : Duration{};
    at_site->state = said;
    switch (policy::judge_handed(state_of(said), unlisted, age, options.handed)) {
      case policy::HandedVerdict::wait: return;
      case policy::HandedVerdict::settle: return settle();
      case policy::HandedVerdict::send_again: return send_again(said);
    }
  }

  void settle() {
    log::info("snapshot_protected", {{"snapshot", at_site->snapshot}});
    const LastSnapshot last = read_last_snapshot(state);
    if (last.sequence < at_site->sequence)
      if (auto done = write_last_snapshot(
              state, {at_site->snapshot, at_site->sequence, net::Loop::wall_now().ns / 1'000'000});
          !done)
        log::warning("snapshot_not_noted", {{"error", done.error().text()}});
    // Not counted, its scan is repeated: that costs time and sends nothing.
    worker.ask({.kind = WorkerRequest::Kind::settle,
                .parent = {},
                .reason = {},
                .snapshot = at_site->snapshot},
               [](const Result<WorkerReply>& reply) {
                 if (!reply) log::warning("scan_not_counted", {{"error", reply.error().text()}});
               });
    lost_before = false;
    forget_at_site();
    tell_settled(Done{});
  }

  void send_again(const std::string& said) {
    log::warning(
        "snapshot_lost",
        {{"snapshot", at_site->snapshot}, {"relay", at_site->relay}, {"origin_says", said}});
    lost_before = true;
    avoided[at_site->relay] = loop.now() + options.avoid_for;
    forget_at_site();
    tell_settled(
        fail(ErrorKind::unavailable, "what was at the site got lost there; it is sent again"));
    calls.lost();
  }

  // --- the relay

  void open_door() {
    if (!relay || !identity) return;
    if (auto done = relay->open_door(*identity); !done) {
      log::warning("relay_not_opened", {{"error", done.error().text()}});
      door_again = loop.after(options.door_retry, later([](State& self) { self.open_door(); }));
      return;
    }
    log::info("relay_opened", {{"port", *relay->port()}});
    calls.changed();
  }

  policy::UploadRoute route(Bytes size) {
    policy::UploadFacts facts{.self = device,
                              .has_key = origin_key.has_value() && identity.has_value(),
                              .origin_reachable = reachable,
                              .lost_before = lost_before,
                              .overtakes = at_site.has_value(),
                              .holder = holder,
                              .relays = {},
                              .size = size};
    const Instant now = loop.now();
    std::erase_if(avoided, [&](const auto& entry) { return entry.second <= now; });
    for (const wire::Peer& peer : peers)
      if (peer.relay_port && !avoided.contains(peer.device)) facts.relays.push_back(peer.device);
    return policy::choose_upload_route(facts);
  }

  ParcelSender* open_sender(const DeviceId& to, std::uint64_t sequence) {
    const auto peer = std::ranges::find(peers, to, &wire::Peer::device);
    auto key = os::read_text(state.device_key());
    auto opened = key ? ParcelSender::open(loop, {.relay = to,
                                                  .address = peer->address,
                                                  .port = *peer->relay_port,
                                                  .identity = *identity,
                                                  .device = device,
                                                  .device_key_pem = *key,
                                                  .origin_key = *origin_key,
                                                  .directory = state.outgoing(),
                                                  .sequence = sequence})
                      : Result<std::unique_ptr<ParcelSender>>(fail(key.error()));
    if (!opened) {
      log::error("relay_not_used", {{"error", opened.error().text()}});
      return nullptr;
    }
    sender = std::move(*opened);
    return sender.get();
  }
};

Uploads::Uploads(std::shared_ptr<State> state) : state_(std::move(state)) {}
Uploads::~Uploads() { state_->relay.reset(); }

std::unique_ptr<Uploads> Uploads::open(net::Loop& loop, const StateDirectory& state,
                                       const DeviceId& device, OriginLink& origin,
                                       WorkerLink& worker, Options options, Calls calls) {
  auto inside = std::make_shared<State>(loop, state, device, origin, worker, std::move(options),
                                        std::move(calls));
  inside->read();
  if (inside->options.relay) {
    auto relay = Relay::open(loop, state.relay(), origin, *inside->options.relay,
                             inside->later([](State& self) { self.calls.changed(); }));
    if (relay)
      inside->relay = std::move(*relay);
    else
      log::error("relay_not_usable", {{"error", relay.error().text()}});
  }
  return std::unique_ptr<Uploads>(new Uploads(std::move(inside)));
}

void Uploads::use_identity() {
  auto certificate = os::read_text(state_->state.swarm_certificate());
  auto key = os::read_text(state_->state.swarm_key());
  auto ca = os::read_text(state_->state.swarm_ca());
  if (!certificate || !key || !ca) return;
  state_->identity = SwarmIdentity{*certificate, *key, *ca};
  state_->open_door();
}

void Uploads::set_line(bool origin_reachable, bool leads) {
  state_->reachable = origin_reachable;
  if (state_->relay) state_->relay->set_line(origin_reachable, leads);
}

void Uploads::add_to(wire::PollRequest& request) const {
  if (state_->at_site)
    request.handed = wire::HandedSnapshot{state_->at_site->snapshot, state_->at_site->sequence};
  if (!state_->relay) return;
  request.relay_port = state_->relay->port();
  if (auto held = state_->relay->snapshots(); !held.empty()) request.relayed = std::move(held);
}

void Uploads::heard(const wire::PollReply& reply) {
  State& s = *state_;
  if (reply.relay_key)
    if (auto key = BoxPublicKey::from_bytes(*reply.relay_key)) s.origin_key = *key;
  // The answer to the waiting poll may be older than one that overtook it.
  if (reply.site && reply.site->version >= s.site_version) {
    s.site_version = reply.site->version;
    s.peers = reply.site->peers;
    s.holder = reply.lease ? std::optional(reply.lease->holder) : std::nullopt;
    if (s.relay) s.relay->meet(s.peers);
  }
  if (reply.handed && s.at_site) s.judge(*reply.handed);
}

void Uploads::hand_on(Relay::Page page) {
  if (state_->relay) state_->relay->hand_on(std::move(page));
}

void Uploads::meet(const std::vector<wire::Peer>& peers) {
  state_->peers = peers;
  if (state_->relay) state_->relay->meet(peers);
}

const std::optional<Uploads::AtSite>& Uploads::at_site() const { return state_->at_site; }
const Relay* Uploads::relay() const { return state_->relay.get(); }

void Uploads::when_settled(std::function<void(Status)> call) {
  if (!state_->at_site) return call(Done{});
  state_->settled_calls.push_back(std::move(call));
}

std::uint64_t Uploads::sequence_after(std::uint64_t kept) const {
  return std::max(kept, state_->sequence_used) + 1;
}

bool Uploads::origin_reachable() const { return state_->reachable; }

ParcelSender* Uploads::relay_for(Bytes size, std::uint64_t sequence) {
  const auto route = state_->route(size);
  log::info("upload_route", {{"to", route.relay ? route.relay->short_hex() : "origin"},
                             {"reason", policy::name_of(route.reason)},
                             {"size", size}});
  return route.relay ? state_->open_sender(*route.relay, sequence) : nullptr;
}

void Uploads::relay_failed(const Error& error) {
  if (!state_->sender) return;
  const DeviceId relay = state_->sender->relay();
  log::warning("relay_failed", {{"relay", relay}, {"error", error.text()}});
  state_->avoided[relay] = state_->loop.now() + state_->options.avoid_for;
}

Status Uploads::handed(const SnapshotId& snapshot, std::uint64_t sequence) {
  State& s = *state_;
  const auto before = std::exchange(s.at_site, AtSite{snapshot, sequence, s.sender->relay(),
                                                      net::Loop::wall_now().ns / 1'000'000, ""});
  const auto used = std::exchange(s.sequence_used, sequence);
  if (auto done = s.write(); !done) {
    s.at_site = before;
    s.sequence_used = used;
    return done;
  }
  s.unlisted = {};
  s.age = {};
  s.heard_at = s.loop.now();
  s.calls.changed();
  return Done{};
}

void Uploads::kept(std::uint64_t sequence) {
  State& s = *state_;
  s.sequence_used = std::max(s.sequence_used, sequence);
  s.lost_before = false;
  if (!s.at_site) return;
  log::info("snapshot_overtaken", {{"snapshot", s.at_site->snapshot}});
  s.forget_at_site();
  s.tell_settled(Done{});
}

}  // namespace lamina::node
