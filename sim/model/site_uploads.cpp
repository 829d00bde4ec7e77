// What a site's devices upload, directly or through a relay.
//
// An upload is a number of bytes that is due at some time and goes when its device is up. What was
// handed to a relay is the site's: it waits there for the line, and no longer for its device.
#include <algorithm>
#include <bit>

#include "shared/policy/week.hpp"
#include "sim/model/draw.hpp"
#include "sim/model/site_run.hpp"

namespace lamina::sim {
namespace {

constexpr Duration kMinute = std::chrono::minutes{1};
// node/net/relay.hpp, Relay::Options::waited_max.
constexpr Duration kRelayWaitsMax = std::chrono::minutes{10};

}  // namespace

// The uploads of a day lie one in each of as many equal parts of its window, evenly drawn there.
Instant SiteRun::upload_due(std::uint32_t device, std::uint32_t upload) const {
  const Uploads& uploads = plan_.scenario.uploads;
  const auto times = static_cast<std::uint32_t>(uploads.times);
  const std::int64_t day_ns = policy::kMinutesPerDay * kMinute.count();
  const std::int64_t start = home_start(device);
  const std::int64_t today = start / day_ns + upload / times;
  const double length = static_cast<double>((uploads.end - uploads.start) * kMinute.count());
  const double in_window =
      (upload % times + plan_.fleet.random().uniform(number(device), kUpload, upload)) / times;
  const std::int64_t local = today * day_ns + uploads.start * kMinute.count() +
                             static_cast<std::int64_t>(in_window * length);
  return Instant(Duration(local - start));
}

// Adds up what was due until now. Uploads from before the run have been made.
void SiteRun::collect_uploads(std::uint32_t name) {
  Device& device = devices_[name];
  const Uploads& uploads = plan_.scenario.uploads;
  const double bytes =
      static_cast<double>(uploads.per_day.count) / static_cast<double>(uploads.times);
  while (device.upload <= now_) {
    if (device.upload >= Instant{}) {
      device.pending_upload += bytes;
      upload_due_bytes_ += bytes;
    }
    device.upload = upload_due(name, ++device.uploads);
  }
}

// Hands over or sends what the device has; it is up.
void SiteRun::upload(std::uint32_t name) {
  Device& device = devices_[name];
  if (device.pending_upload <= 0) return;
  policy::UploadFacts& facts = upload_facts_;
  facts.self = id(name);
  facts.has_key = true;
  facts.origin_reachable = true;
  facts.size = {static_cast<std::int64_t>(device.pending_upload)};
  facts.holder.reset();
  facts.relays.clear();
  if (plan_.scenario.uploads.relayed && mode_ != Mode::direct) {
    if (!fetchers_.empty()) {
      facts.holder = id(fetchers_.front());
      if (fetchers_.front() != name) facts.relays.push_back(id(fetchers_.front()));
    } else {
      // The lowest id that is up, without itself: nobody else is asked.
      for (std::size_t word = 0; word < up_ranks_.size() && facts.relays.empty(); ++word) {
        std::uint64_t ranks = up_ranks_[word];
        if (device.rank / 64 == word) ranks &= ~(std::uint64_t{1} << (device.rank % 64));
        if (ranks != 0)
          facts.relays.push_back(
              id(by_rank_[word * 64 + static_cast<std::size_t>(std::countr_zero(ranks))]));
      }
    }
  }
  if (policy::choose_upload_route(facts).relay) {
    if (relayed_ <= 0 && !relaying_) relayed_since_ = now_;
    relayed_ += device.pending_upload;
    device.pending_upload = 0;
    relay_at_ = now_;
    return;
  }
  SiteLines& lines = up();
  if (lines.runs(name)) device.pending_upload += lines.remove(name);
  lines.add(name, device.is_wireless ? 1 : 0, device.pending_upload);
  device.pending_upload = 0;
}

void SiteRun::stop_upload(std::uint32_t name) {
  if (up_->lines(place_).runs(name)) devices_[name].pending_upload += up().remove(name);
}

// Nobody is up to pass anything on.
void SiteRun::stop_relay() {
  if (!relaying_) return;
  relaying_ = false;
  if (up_->lines(place_).runs(count())) relayed_ += up().remove(count());
}

// Passes on what lies at the site, if it may.
void SiteRun::relay() {
  const std::uint32_t flow = count();
  if (relaying_ && !up_->lines(place_).runs(flow)) relaying_ = false;
  if (relay_at_ > now_) return;
  relay_at_ = kNever;
  if (relayed_ <= 0 || up_count_ == 0) return;
  const Duration waited = now_ - relayed_since_;
  if (!relaying_ &&
      !policy::may_forward({.origin_reachable = true, .leads = fetching_, .waited = waited},
                           kRelayWaitsMax)) {
    relay_at_ = relayed_since_ + kRelayWaitsMax;
    return;
  }
  SiteLines& lines = up();
  if (relaying_) relayed_ += lines.remove(flow);
  lines.add(flow, 0, relayed_);
  relayed_ = 0;
  relaying_ = true;
}

}  // namespace lamina::sim
