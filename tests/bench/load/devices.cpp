#include "tests/bench/load/devices.hpp"

#include <algorithm>

#include "shared/wire/protocol.hpp"

namespace lamina::bench {
namespace {

using namespace std::chrono_literals;

constexpr Duration kReflectorEvery = 5s;
constexpr Duration kDeviceEvery = 60s;
constexpr Duration kDevicePause = kDeviceEvery - std::chrono::milliseconds{wire::kPollWaitMaxMs};
constexpr Duration kRenewEvery = 1s;
// More would wait in the origin's backlog and be counted as its slowness.
constexpr std::size_t kHandshakesAtOnce = 32;
constexpr std::int64_t kTransfer = std::int64_t{1} << 30;

double in_ms(Duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

}  // namespace

Status Devices::add(const std::string& site, std::uint32_t source,
                    const std::string& certificate_pem, const std::string& key_pem) {
  auto number = fleet_.add(source, certificate_pem, key_pem);
  if (!number) return fail(std::move(number.error()));
  const std::size_t in_site = sites_[site]++;
  auto device = std::make_unique<Device>();
  device->number = *number;
  device->reflector = in_site == 0;
  device->address =
      "10.0." + std::to_string(in_site / 250) + '.' + std::to_string(in_site % 250 + 1);
  devices_.push_back(std::move(device));
  return Done{};
}

std::vector<wire::Want> Devices::wants(Device& device) const {
  if (device.missing_bytes == 0) return {};
  // Never done: the lease stays where it is for as long as the measurement takes.
  device.missing_bytes = std::max<std::int64_t>(1, device.missing_bytes - 100'000);
  return {{LayerId(std::array<std::byte, 32>{std::byte{1}}), device.missing_bytes}};
}

void Devices::note(const Reply& reply) {
  ++counts_.failures[reply.status == 0 ? reply.body : std::to_string(reply.status)];
}

void Devices::take(Device& device, const wire::PollReply& reply) {
  if (reply.site) device.site_version = reply.site->version;
  hold(device, reply.lease && !reply.lease->token.empty() ? reply.lease->epoch : 0);
}

void Devices::hold(Device& device, std::uint64_t epoch) {
  if (device.epoch == 0 && epoch != 0) {
    ++holders_;
    if (device.wanted_since != Instant{})
      counts_.granted_ms.push_back(in_ms(fleet_.now() - device.wanted_since));
    device.wanted_since = {};
  }
  if (device.epoch != 0 && epoch == 0) --holders_;
  device.epoch = epoch;
}

void Devices::poll(Device& device, std::int64_t wait_ms, const std::function<void(bool)>& then) {
  const wire::PollRequest request{.site_version = device.site_version,
                                  .wants = wants(device),
                                  .lan_address = device.address,
                                  .swarm_port = 6881,
                                  .wait_ms = wait_ms,
                                  .node_version = LAMINA_VERSION};
  device.busy = true;
  fleet_.send(device.number, http_request("POST", "/v1/node/poll", wire::to_json(request)),
              [this, &device, wait_ms, then](const Reply& answer) {
                device.busy = false;
                auto reply = wire::parse_poll_reply(answer.body);
                if (answer.status != 200 || !reply) {
                  note(answer);
                  return then(false);
                }
                take(device, *reply);
                if (wait_ms == 0)
                  counts_.at_once_ms.push_back(in_ms(answer.took - answer.handshake));
                else if (const double late = in_ms(answer.took) - static_cast<double>(wait_ms);
                         late >= 0)
                  counts_.late_ms.push_back(late);
                else
                  ++counts_.news;
                then(true);
              });
}

void Devices::connect_all() {
  polling_ = true;
  std::size_t next = 0;
  std::size_t done = 0;
  const std::function<void()> one = [&] {
    if (next == devices_.size()) return;
    Device& device = *devices_[next++];
    poll(device, 0, [&, &device = device](bool) {
      ++done;
      const std::int64_t wait = device.reflector ? 0 : wire::kPollWaitMaxMs;
      const Duration pause = device.reflector ? kReflectorEvery : Duration{};
      fleet_.at(fleet_.now() + pause, [this, &device, wait] { poll_on(device, wait); });
      one();
    });
  };
  for (std::size_t i = 0; i < kHandshakesAtOnce; ++i) one();
  fleet_.run([&] { return done == devices_.size(); });
}

void Devices::poll_on(Device& device, std::int64_t wait_ms) {
  if (!polling_) return;
  const Instant begun = fleet_.now();
  // A renewal of the same device is under way: a moment later.
  if (device.busy)
    return fleet_.at(begun + 10ms, [this, &device, wait_ms] { poll_on(device, wait_ms); });
  const auto wait = std::chrono::milliseconds{wait_ms};
  poll(device, wait_ms, [this, &device, begun, wait](bool) {
    const Instant now = fleet_.now();
    // After news it asks again at once, as a node does.
    const Instant next = device.reflector     ? begun + kReflectorEvery
                         : now - begun < wait ? now
                                              : begun + wait + kDevicePause;
    const std::int64_t next_wait = device.reflector ? 0 : wire::kPollWaitMaxMs;
    fleet_.at(std::max(next, now), [this, &device, next_wait] { poll_on(device, next_wait); });
  });
}

void Devices::renew_on(Device& device) {
  if (!polling_) return;
  const Instant begun = fleet_.now();
  const auto later = [this, &device](Instant when) {
    fleet_.at(when, [this, &device] { renew_on(device); });
  };
  if (device.busy) return later(begun + 10ms);
  if (device.epoch == 0) return later(begun + kRenewEvery);
  const wire::LeaseRequest request{.epoch = device.epoch, .wants = wants(device)};
  device.busy = true;
  fleet_.send(device.number, http_request("POST", "/v1/node/lease", wire::to_json(request)),
              [this, &device, begun, later](const Reply& answer) {
                device.busy = false;
                if (answer.status == 200) {
                  counts_.renew_ms.push_back(in_ms(answer.took - answer.handshake));
                } else {
                  note(answer);
                  hold(device, 0);
                }
                later(std::max(begun + kRenewEvery, fleet_.now()));
              });
}

void Devices::start_transfers() {
  const Instant begun = fleet_.now();
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    Device& device = *devices_[i];
    // The reflector lacks least: it is granted the lease.
    device.missing_bytes = device.reflector ? kTransfer : 2 * kTransfer;
    if (!device.reflector) continue;
    device.wanted_since = begun;
    const auto share = static_cast<std::int64_t>(i) * (kRenewEvery.count() / std::ssize(devices_));
    fleet_.at(begun + Duration{share}, [this, &device] { renew_on(device); });
  }
}

void Devices::stop() { polling_ = false; }

void Devices::drop_all() {
  for (const auto& device : devices_) fleet_.drop(device->number);
}

double Devices::polls_per_second() const {
  const auto reflectors = static_cast<double>(sites_.size());
  const auto others = static_cast<double>(devices_.size()) - reflectors;
  return reflectors / std::chrono::duration<double>(kReflectorEvery).count() +
         others / std::chrono::duration<double>(kDeviceEvery).count();
}

}  // namespace lamina::bench
