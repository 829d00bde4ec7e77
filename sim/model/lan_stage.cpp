#include "sim/model/lan_stage.hpp"

#include <algorithm>

#include "shared/base/assert.hpp"
#include "sim/engine/water_level.hpp"

namespace lamina::sim {
namespace {

struct LaterFirst {
  template <class Entry>
  bool operator()(const Entry& a, const Entry& b) const {
    return a.end > b.end || (a.end == b.end && a.device > b.device);
  }
};

}  // namespace

LanStage::LanStage(std::uint32_t devices, Rate port, Rate wireless, Instant now)
    : devices_(devices), port_(port), wireless_(wireless), now_(now) {}

void LanStage::touch(Instant now, double frontier) {
  LAMINA_ASSERT(now >= now_);
  const double seconds = in_seconds(now - now_);
  const double came = frontier - frontier_;
  for (Side& side : sides_) {
    const std::uint32_t flows = side.fixed_count + side.behind_count;
    const double got = flows > 0 ? side.rate * seconds : 0;
    if (side.fixed_count > 0) side.fixed_clock += got;
    if (side.behind_count > 0) side.behind_clock += got - came;
    carried_ += got * flows + came * static_cast<double>(side.caught.size());
  }
  frontier_ = frontier;
  now_ = now;
}

void LanStage::restart_frontier(double frontier) {
  LAMINA_ASSERT(!has_followers());
  frontier_ = frontier;
  frontier_rate_ = 0;
}

void LanStage::add_fixed(std::uint32_t device, Access access, double bytes) {
  LAMINA_ASSERT(!runs(device));
  Side& side = sides_[access];
  if (side.fixed_count++ == 0) {
    side.fixed_clock = 0;
    side.fixed.clear();
  }
  devices_[device] = {side.fixed_clock + bytes, 0, kFixed, access};
  side.fixed.push_back({devices_[device].end, device});
  std::ranges::push_heap(side.fixed, LaterFirst{});
}

void LanStage::add_behind(std::uint32_t device, Access access, double gap) {
  LAMINA_ASSERT(!runs(device));
  Side& side = sides_[access];
  if (gap <= 0) {
    devices_[device] = {0, static_cast<std::uint32_t>(side.caught.size()), kCaught, access};
    side.caught.push_back(device);
    return;
  }
  if (side.behind_count++ == 0) {
    side.behind_clock = 0;
    side.behind.clear();
  }
  devices_[device] = {side.behind_clock + gap, 0, kBehind, access};
  side.behind.push_back({devices_[device].end, device});
  std::ranges::push_heap(side.behind, LaterFirst{});
}

double LanStage::remove(std::uint32_t name) {
  LAMINA_ASSERT(runs(name));
  Device& device = devices_[name];
  Side& side = sides_[device.access];
  double left = 0;
  if (device.kind == kCaught) {
    const std::uint32_t last = side.caught.back();
    side.caught[device.place] = last;
    devices_[last].place = device.place;
    side.caught.pop_back();
  } else if (device.kind == kFixed) {
    left = device.end - side.fixed_clock;
    --side.fixed_count;
  } else {
    left = device.end - side.behind_clock;
    --side.behind_count;
  }
  device.kind = kNone;
  return std::max(0.0, left);
}

// Those at the top of the heap; others stay until they come up.
void LanStage::drop_stale(std::vector<Entry>& heap, Kind kind) {
  const auto is_stale = [&](const Entry& entry) {
    const Device& device = devices_[entry.device];
    return device.kind != kind || device.end != entry.end;
  };
  while (!heap.empty() && is_stale(heap.front())) {
    std::ranges::pop_heap(heap, LaterFirst{});
    heap.pop_back();
  }
}

void LanStage::finish(std::vector<std::uint32_t>& done) {
  for (Side& side : sides_) {
    const double slack = done_within(side.fixed_clock, side.rate);
    for (;;) {
      drop_stale(side.fixed, kFixed);
      if (side.fixed.empty() || side.fixed.front().end > side.fixed_clock + slack) break;
      const Entry first = side.fixed.front();
      devices_[first.device].kind = kNone;
      --side.fixed_count;
      carried_ -= side.fixed_clock - first.end;
      done.push_back(first.device);
    }
    let_catch_up(side);
  }
}

void LanStage::let_catch_up(Side& side) {
  // The clock is a difference of two large numbers of the size of the part.
  const double slack = done_within(std::max(side.behind_clock, frontier_), side.rate);
  for (;;) {
    drop_stale(side.behind, kBehind);
    if (side.behind.empty() || side.behind.front().end > side.behind_clock + slack) break;
    const Entry first = side.behind.front();
    carried_ -= side.behind_clock - first.end;
    --side.behind_count;
    Device& device = devices_[first.device];
    device.kind = kCaught;
    device.place = static_cast<std::uint32_t>(side.caught.size());
    side.caught.push_back(first.device);
  }
}

void LanStage::let_fall_behind(Side& side) {
  if (side.behind_count == 0) {
    side.behind_clock = 0;
    side.behind.clear();
  }
  for (const std::uint32_t name : side.caught) {
    Device& device = devices_[name];
    device.kind = kBehind;
    device.end = side.behind_clock;
    side.behind.push_back({device.end, name});
    std::ranges::push_heap(side.behind, LaterFirst{});
    ++side.behind_count;
  }
  side.caught.clear();
}

// Wired ports and the radio, then what all that serve can send.
void LanStage::share() {
  std::array<Rate, kAccesses> most{port_, kInfinite};
  {
    const Side& radio = sides_[kWireless];
    std::array<Thirst, 2> parts{
        Thirst{frontier_rate_, static_cast<std::uint32_t>(radio.caught.size())},
        Thirst{kInfinite, radio.fixed_count + radio.behind_count}};
    most[kWireless] = water_level(parts, wireless_);
  }
  std::array<Thirst, 4> parts{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < kAccesses; ++i) {
    const Side& side = sides_[i];
    parts[count++] = {most[i], side.fixed_count + side.behind_count};
    parts[count++] = {std::min(most[i], frontier_rate_),
                      static_cast<std::uint32_t>(side.caught.size())};
  }
  std::ranges::sort(parts, {}, &Thirst::limit);
  const double level = water_level(parts, serving_);
  for (std::size_t i = 0; i < kAccesses; ++i) sides_[i].rate = std::min(most[i], level);
}

void LanStage::evaluate() {
  share();
  bool fell = false;
  for (Side& side : sides_) {
    if (side.caught.empty() || side.rate >= frontier_rate_) continue;
    let_fall_behind(side);
    fell = true;
  }
  if (fell) share();
  next_ = kNever;
  for (Side& side : sides_) {
    drop_stale(side.fixed, kFixed);
    drop_stale(side.behind, kBehind);
    if (!side.fixed.empty())
      next_ =
          std::min(next_, time_after(now_, side.fixed.front().end - side.fixed_clock, side.rate));
    if (!side.behind.empty())
      next_ = std::min(next_, time_after(now_, side.behind.front().end - side.behind_clock,
                                         side.rate - frontier_rate_));
  }
}

std::uint32_t LanStage::waiting() const {
  std::uint32_t count = 0;
  for (const Side& side : sides_) count += side.fixed_count + side.behind_count;
  return count;
}

bool LanStage::has_behind() const {
  return sides_[kWired].behind_count + sides_[kWireless].behind_count > 0;
}

bool LanStage::has_followers() const {
  return has_behind() || !sides_[kWired].caught.empty() || !sides_[kWireless].caught.empty();
}

}  // namespace lamina::sim
