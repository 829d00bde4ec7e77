#include "node/net/beacons.hpp"

#include <charconv>

#include "shared/base/log.hpp"
#include "shared/net/key_signature.hpp"
#include "shared/net/swarm_proof.hpp"
#include "shared/os/file.hpp"
#include "shared/os/random.hpp"

namespace lamina::node {
namespace {

constexpr std::uint64_t kBeaconsPerStart = std::uint64_t{1} << 32;

}  // namespace

struct Beacons::State : std::enable_shared_from_this<State> {
  State(net::Loop& on, std::string path, const DeviceId& id, const SiteMemory& known, Options with,
        Calls call)
      : loop(on),
        counter_path(std::move(path)),
        device(id),
        memory(known),
        options(with),
        calls(std::move(call)),
        neighbours(with.limits, id, on.now()) {}

  net::Loop& loop;
  std::string counter_path;
  DeviceId device;
  const SiteMemory& memory;
  Options options;
  Calls calls;
  Neighbours neighbours;
  std::string site;  // Of the neighbours.

  std::optional<SwarmIdentity> identity;
  Buffer certificate;  // DER.
  std::unique_ptr<net::LanDatagrams> port;
  std::optional<std::uint64_t> counter;  // Of the last beacon; none: not read yet.
  net::Timer due;

  template <class Call>
  auto later(Call call) {
    return [weak = weak_from_this(), call = std::move(call)](auto... values) {
      if (const auto self = weak.lock()) call(*self, std::move(values)...);
    };
  }

  // Past every number that was used before, on disk before it is used.
  Status begin_counting() {
    std::uint64_t before = 0;
    if (const auto text = os::read_text(counter_path, 64))
      static_cast<void>(std::from_chars(text->data(), text->data() + text->size(), before));
    const std::uint64_t start = before + kBeaconsPerStart;
    if (auto done = os::write_file(counter_path, as_view(std::to_string(start) + '\n'), 0600);
        !done)
      return done;
    counter = start;
    return Done{};
  }

  Status open() {
    if (!counter)
      if (auto done = begin_counting(); !done) return done;
    auto der = net::certificate_der(identity->certificate_pem);
    if (!der) return fail(std::move(der.error()));
    certificate = std::move(*der);
    if (port) return Done{};
    auto opened = net::LanDatagrams::open(
        loop, {.port = options.port, .only_loopback = options.only_loopback},
        later([](State& self, const std::string& from, ByteView bytes) {
          self.received(from, bytes);
        }));
    if (!opened) return fail(std::move(opened.error()));
    port = std::move(*opened);
    return Done{};
  }

  void begin() {
    if (auto done = open(); !done) {
      log::warning("beacons_off", {{"error", done.error().text()}});
      due = loop.after(options.open_again, later([](State& self) { self.begin(); }));
      return;
    }
    plan();
  }

  void plan() {
    const Duration wait = neighbours.next_sending() - loop.now();
    due = loop.after(std::max<Duration>(wait, std::chrono::milliseconds{1}),
                     later([](State& self) { self.send(); }));
  }

  void follow_site() {
    const std::string now = memory.list() ? memory.list()->site : "";
    if (now == site) return;
    site = now;
    neighbours.forget();
  }

  void send() {
    follow_site();
    if (neighbours.expire(loop.now())) calls.found();
    if (memory.list()) speak();
    neighbours.sent(loop.now(), os::random_number());
    plan();
  }

  void speak() {
    Said said = calls.say();
    if (said.layers.size() > format::kBeaconLayersMax) said.layers.resize(format::kBeaconLayersMax);
    format::SignedBeacon beacon{.beacon = {.site = memory.list()->site,
                                           .device = device,
                                           .counter = ++*counter,
                                           .port = said.port,
                                           .relay_port = said.relay_port,
                                           .list_sequence = memory.sequence(),
                                           .layers = std::move(said.layers)},
                                .certificate = certificate,
                                .signature = {}};
    auto proof = net::sign_with_key(identity->key_pem, format::signed_bytes(beacon.beacon));
    if (!proof) return log::warning("beacon_not_signed", {{"error", proof.error().text()}});
    beacon.signature = std::move(proof->signature);
    Buffer bytes = format::encode(beacon);
    if (bytes.size() > format::kBeaconMax)
      return log::warning("beacon_too_large", {{"bytes", bytes.size()}});
    port->send(bytes);
  }

  void received(const std::string& from, ByteView bytes) {
    if (!neighbours.admit(from, bytes.size(), loop.now())) return;
    follow_site();
    if (!memory.list()) return;
    const auto read = format::parse_beacon(bytes);
    if (!read || !neighbours.judge(read->beacon, *memory.list())) return;
    if (auto good = check(*read); !good) {
      log::debug("beacon_refused", {{"from", from}, {"error", good.error().text()}});
      return;
    }
    const format::Beacon& said = read->beacon;
    const bool is_news = neighbours.heard(said, from, loop.now());
    if (said.list_sequence > memory.sequence() && said.relay_port != 0)
      calls.newer_list({said.device, from, said.port, said.relay_port});
    if (!is_news) return;
    log::info("neighbour", {{"device", read->beacon.device}, {"address", from}});
    calls.found();
    plan();
  }

  // That the device of the beacon sent it.
  Status check(const format::SignedBeacon& read) {
    auto proof = net::check_swarm_certificate(read.certificate, identity->ca_pem,
                                              net::Loop::wall_now(), options.certificate_slack);
    if (!proof) return fail(std::move(proof.error()));
    if (proof->device != read.beacon.device)
      return fail(ErrorKind::refused, "the certificate is of device " + proof->device.short_hex());
    return net::check_swarm_signature(*proof, read.signature, format::signed_bytes(read.beacon));
  }
};

Beacons::Beacons(net::Loop& loop, const StateDirectory& state, const DeviceId& device,
                 const SiteMemory& memory, Options options, Calls calls)
    : state_(std::make_shared<State>(loop, state.net() + "/beacon-counter", device, memory, options,
                                     std::move(calls))) {}
Beacons::~Beacons() = default;

void Beacons::use_identity(SwarmIdentity identity) {
  state_->identity = std::move(identity);
  state_->begin();
}

void Beacons::tell() {
  State& s = *state_;
  s.neighbours.tell(s.loop.now());
  if (s.port) s.plan();
}

void Beacons::set_away(bool away) {
  State& s = *state_;
  if (away == s.neighbours.is_away()) return;
  s.neighbours.set_away(away, s.loop.now(), os::random_number());
  if (s.port) s.plan();
}

std::vector<wire::Peer> Beacons::peers() const {
  return state_->memory.list() ? state_->neighbours.peers(*state_->memory.list())
                               : std::vector<wire::Peer>{};
}

std::vector<wire::Peer> Beacons::knowing(const LayerId& layer) const {
  return state_->neighbours.knowing(layer);
}

std::size_t Beacons::heard() const { return state_->neighbours.size(); }

}  // namespace lamina::node
