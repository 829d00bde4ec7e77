#include "node/net/relay.hpp"

#include <charconv>
#include <set>

#include "shared/base/log.hpp"
#include "shared/net/https_server.hpp"
#include "shared/os/file.hpp"
#include "shared/os/random.hpp"
#include "shared/policy/upload_route.hpp"

namespace lamina::node {
namespace {

constexpr std::string_view kDoor = "/v1/relay/parcels/";

}  // namespace

struct Relay::State : std::enable_shared_from_this<State> {
  State(net::Loop& on, OriginLink& link, Options with, RelaySpool opened,
        std::function<void()> call)
      : loop(on),
        origin(link),
        options(std::move(with)),
        spool(std::move(opened)),
        on_change(std::move(call)) {}

  net::Loop& loop;
  OriginLink& origin;
  Options options;
  RelaySpool spool;
  std::function<void()> on_change;
  Page page;
  std::unique_ptr<net::HttpsServer> door;
  std::set<DeviceId> guests;

  bool origin_reachable = false;
  bool leads = false;
  bool is_sending = false;
  int failures = 0;
  net::Timer again;

  template <class Call>
  auto later(Call call) {
    return [weak = weak_from_this(), call = std::move(call)](auto... values) {
      if (const auto self = weak.lock()) call(*self, std::move(values)...);
    };
  }

  // --- the door

  Status open_door(const SwarmIdentity& identity) {
    door.reset();
    net::ServerOptions with;
    with.listen_address = options.listen_address;
    with.port = options.port;
    with.certificate_pem = identity.certificate_pem;
    with.key_pem = identity.key_pem;
    with.ca_pem = identity.ca_pem;
    with.client_ca_pem = identity.ca_pem;
    with.spool_directory = spool.incoming();
    // A site has at most some hundred devices, and one upload each.
    with.connections_max = 256;
    with.connections_per_device_max = 4;
    with.strangers_max = 64;
    with.strangers_per_address_max = 4;
    with.admit = [weak = weak_from_this()](const net::Request& head) -> Result<Bytes> {
      const auto self = weak.lock();
      if (!self) return fail(ErrorKind::unavailable, "the relay is closing");
      return self->admit(head);
    };
    auto opened = net::HttpsServer::listen(
        loop, std::move(with),
        later([](State& self, const net::Request& request, const net::Responder& responder) {
          self.take(request, responder);
        }));
    if (!opened) return fail(std::move(opened.error()));
    door = std::move(*opened);
    return Done{};
  }

  Status check_guest(const net::Request& request) const {
    if (!request.peer.device || request.peer.certificate_expired ||
        !guests.contains(*request.peer.device))
      return fail(ErrorKind::refused, "this device relays for the devices of its site only");
    return Done{};
  }

  // Before the body: who it is, and whether there is room.
  Result<Bytes> admit(const net::Request& head) {
    if (auto guest = check_guest(head); !guest) return fail(std::move(guest.error()));
    constexpr Bytes kMost{static_cast<std::int64_t>(format::kParcelFrontMax)};
    const Bytes most = kMost + Bytes{static_cast<std::int64_t>(format::kParcelBoxMax)};
    const auto text = head.headers.value("Content-Length");
    std::int64_t length = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), length);
    if (ec != std::errc{} || end != text.data() + text.size() || length < 0 || Bytes{length} > most)
      return most;
    // It is reserved once it is here.
    if (auto room = spool.check_room(*head.peer.device, Bytes{length}); !room)
      return fail(std::move(room.error()));
    return Bytes{length};
  }

  void take(const net::Request& request, const net::Responder& responder) {
    if (auto other = net::check_protocol(request)) return responder.reply(std::move(*other));
    if (auto guest = check_guest(request); !guest)
      return responder.reply(net::error_response(guest.error()));
    if (request.method == "GET" && page) {
      auto handed = page(request.path);
      if (!handed) return responder.reply(net::error_response(handed.error()));
      auto response = net::binary_response(std::string(as_text(handed->bytes)));
      if (!handed->file.empty()) response.file = net::FileBody{handed->file};
      return responder.reply(std::move(response));
    }
    const auto id = request.method == "PUT" && request.path.starts_with(kDoor)
                        ? format::ParcelId::parse(request.path.substr(kDoor.size()))
                        : Result<format::ParcelId>(
                              fail(ErrorKind::not_found, "a relay takes parcels and nothing else"));
    if (!id) return responder.reply(net::error_response(id.error()));
    // The answer to the first time was lost.
    if (spool.has(*id)) return responder.reply(net::json_response("{}", 201));
    const DeviceId from = *request.peer.device;
    const Bytes size = request.body_size;
    if (auto room = spool.reserve(from, size); !room)
      return responder.reply(net::error_response(room.error()));
    std::string path = request.body_file.string();
    if (path.empty()) {
      path = spool.incoming() + '/' + id->hex();
      if (auto done = os::write_file(path, as_view(request.body), 0600); !done) {
        spool.released(from, size);
        return responder.reply(net::error_response(done.error()));
      }
    }
    // The responder keeps the file until the work is done.
    loop.offload_value(
        [path, id = *id, from, directory = spool.directory(),
         is_own = request.body_file.empty()]() -> Result<format::ParcelHead> {
          auto head = check_parcel(path, id, from);
          Status done = head ? store_parcel(path, directory, *head) : Status(Done{});
          if (is_own && (!head || !done)) static_cast<void>(os::remove_file(path));
          if (!done) return fail(std::move(done.error()));
          return head;
        },
        later([from, size, responder](State& self, const Result<format::ParcelHead>& head) {
          self.taken(from, size, head, responder);
        }));
  }

  void taken(const DeviceId& from, Bytes size, const Result<format::ParcelHead>& head,
             const net::Responder& responder) {
    if (!head) {
      spool.released(from, size);
      log::warning("parcel_not_taken", {{"device", from}, {"error", head.error().text()}});
      return responder.reply(net::error_response(head.error()));
    }
    // Two answers to one parcel that came twice at the same time: it is held once.
    if (spool.has(format::parcel_id(*head)))
      spool.released(from, size);
    else
      spool.added(*head, size, loop.now());
    log::info("parcel_held", {{"device", from},
                              {"sequence", head->sequence},
                              {"number", head->number},
                              {"bytes", size}});
    responder.reply(net::json_response("{}", 201));
    if (head->kind == format::ParcelKind::snapshot) on_change();
    pass_on();
  }

  // --- to the origin

  void pass_on() {
    if (is_sending || again.pending()) return;
    if (const std::size_t gone = spool.expire(loop.now()); gone > 0) {
      log::warning("parcels_given_up", {{"count", gone}});
      on_change();
    }
    const auto next = spool.next();
    if (!next) return;
    const Duration waited = loop.now() - next->taken;
    if (!policy::may_forward({origin_reachable, leads, waited}, options.waited_max)) {
      if (origin_reachable && leads) wait(options.waited_max - waited);
      return;
    }
    is_sending = true;
    origin.send_parcel(next->id, next->path,
                       later([held = *next](State& self, const Result<wire::ParcelReply>& reply) {
                         self.sent(held, reply);
                       }));
  }

  void wait(Duration how_long) {
    again = loop.after(std::max<Duration>(how_long, std::chrono::milliseconds{1}),
                       later([](State& self) {
                         self.again = {};
                         self.pass_on();
                       }));
  }

  void sent(const RelaySpool::Held& held, const Result<wire::ParcelReply>& reply) {
    is_sending = false;
    if (!reply && os::exists(held.path)) {
      // Once, not for every try.
      if (++failures == 1) log::info("relay_waits", {{"error", reply.error().text()}});
      return wait(policy::retry_after(options.backoff, failures, os::random_number()));
    }
    failures = 0;
    const std::string state = reply ? reply->state : "lost here";
    log::info("parcel_passed_on", {{"device", held.head.device},
                                   {"sequence", held.head.sequence},
                                   {"number", held.head.number},
                                   {"state", state},
                                   {"text", reply ? printable(reply->text, 200) : ""}});
    if (auto done = spool.remove(held.id); !done)
      log::warning("parcel_not_removed", {{"error", done.error().text()}});
    if (held.head.kind == format::ParcelKind::snapshot) on_change();
    pass_on();
  }
};

Relay::Relay(std::shared_ptr<State> state) : state_(std::move(state)) {}
Relay::~Relay() { state_->door.reset(); }

Result<std::unique_ptr<Relay>> Relay::open(net::Loop& loop, const std::string& directory,
                                           OriginLink& origin, Options options,
                                           std::function<void()> on_change) {
  auto spool = RelaySpool::open(directory, options.limits, loop.now(), net::Loop::wall_now());
  if (!spool) return fail(std::move(spool.error()));
  return std::unique_ptr<Relay>(new Relay(std::make_shared<State>(
      loop, origin, std::move(options), std::move(*spool), std::move(on_change))));
}

Status Relay::open_door(const SwarmIdentity& identity) { return state_->open_door(identity); }

std::optional<std::uint16_t> Relay::port() const {
  return state_->door ? std::optional(state_->door->port()) : std::nullopt;
}

void Relay::hand_on(Page page) { state_->page = std::move(page); }

void Relay::meet(const std::vector<wire::Peer>& peers) {
  state_->guests.clear();
  for (const wire::Peer& peer : peers) state_->guests.insert(peer.device);
}

void Relay::set_line(bool origin_reachable, bool leads) {
  if (state_->origin_reachable == origin_reachable && state_->leads == leads) return;
  state_->origin_reachable = origin_reachable;
  state_->leads = leads;
  if (state_->failures == 0) state_->again = {};  // What it waited for may have ended.
  state_->pass_on();
}

std::vector<wire::RelayedSnapshot> Relay::snapshots() const {
  return state_->spool.snapshots(state_->loop.now());
}
Bytes Relay::held() const { return state_->spool.size(); }

}  // namespace lamina::node
