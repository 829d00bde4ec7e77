#include "origin/seeding/line_pacing.hpp"

#include <algorithm>
#include <set>

#include "shared/base/log.hpp"

namespace lamina::origin {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLookEvery = 300ms;
constexpr Duration kSending = 1s;  // Without an acknowledgement for so long it does not send.
constexpr Duration kHeld = 500ms;  // After the receiver held it up last.
constexpr double kLately = 0.5;    // Seconds, of the average.
constexpr const char* kUsual = "cubic";
constexpr const char* kForLoss = "bbr";

}  // namespace

void LinePacing::use(const std::string& congestion_control, std::uint64_t id, Flow& flow) {
  if (flow.congestion_control == congestion_control || refused_.contains(congestion_control))
    return;
  auto done = flows_.use_congestion_control(id, congestion_control);
  if (done) flow.congestion_control = congestion_control;
  if (done || done.error().kind() == ErrorKind::not_found) return;
  refused_.insert(congestion_control);
  log::warning("congestion_control_refused", {{"error", done.error().text()}});
}

// The rate, among those that send. Every one may have its part of it at any time, so that it can
// show what it has to send; for a step or two all together may then be allowed more.
void LinePacing::share(const std::vector<std::uint64_t>& sending, Line& line,
                       std::optional<BitRate> rate) {
  double taken = 0;
  double waiting = 0;
  for (const std::uint64_t id : sending) {
    const Flow& flow = line.flows.at(id);
    if (flow.is_waiting)
      ++waiting;
    else
      taken += flow.lately;
  }
  for (const std::uint64_t id : sending) {
    Flow& flow = line.flows.at(id);
    std::optional<BitRate> part = rate;
    if (rate && sending.size() > 1) {
      const auto all = static_cast<double>(rate->bits_per_second);
      const double alike = all / static_cast<double>(sending.size());
      part->bits_per_second = static_cast<std::int64_t>(
          flow.is_waiting ? std::max(alike, (all - taken) / waiting) : alike);
    }
    if (part == flow.paced) continue;
    // It may be gone since it was measured; look() finds out.
    if (flows_.pace(id, part)) flow.paced = part;
  }
}

// A peer shows its lease after it has connected: until then its address is a line of its own.
std::string LinePacing::line_of(const std::string& peer) {
  if (const auto known = line_of_peer_.find(peer); known != line_of_peer_.end())
    return known->second;
  const auto site = options_.site_at ? options_.site_at(peer) : std::nullopt;
  if (!site) return peer;
  const std::string line = line_of_site_.try_emplace(*site, peer).first->second;
  line_of_peer_[peer] = line;
  return line;
}

void LinePacing::look(Instant now) {
  looked_ = now;
  std::map<std::string, std::set<std::uint64_t>> found;
  for (const os::TcpFlow& flow : flows_.look()) {
    const std::string name = line_of(flow.peer);
    found[name].insert(flow.id);
    const auto [at, is_new] = lines_.try_emplace(name);
    if (is_new && options_.record != nullptr) options_.record->begin_wan_pacing(name);
    Line& line = at->second;
    if (line.flows.contains(flow.id)) continue;
    // It had a line of its own until its site was known.
    if (const auto own = lines_.find(flow.peer); own != lines_.end())
      if (auto moved = own->second.flows.extract(flow.id)) {
        line.flows.insert(std::move(moved));
        continue;
      }
    Flow& added = line.flows[flow.id];
    added.moved = now;
    use(line.is_lossy ? kForLoss : kUsual, flow.id, added);
  }
  // A line without connections is forgotten: its next ones measure anew.
  for (auto line = lines_.begin(); line != lines_.end();) {
    const auto here = found.find(line->first);
    if (here == found.end()) {
      const auto is_its = [&](const auto& entry) { return entry.second == line->first; };
      std::erase_if(line_of_site_, is_its);
      std::erase_if(line_of_peer_, is_its);
      line = lines_.erase(line);
      continue;
    }
    std::erase_if(line->second.flows,
                  [&](const auto& flow) { return !here->second.contains(flow.first); });
    ++line;
  }
}

void LinePacing::step(Instant now) {
  if (now - looked_ >= kLookEvery) look(now);
  crowded_ = std::ranges::count_if(
      lines_, [](const auto& line) { return line.second.pacing.is_crowded(); });
  for (auto& [peer, line] : lines_) decide(peer, line, now);
}

void LinePacing::decide(const std::string& peer, Line& line, Instant now) {
  policy::WanPacing::Seen seen;
  std::vector<std::uint64_t> sending;
  const double since =
      line.measured ? static_cast<double>((now - *line.measured).count()) / 1e9 : 0;
  line.measured = now;
  bool is_new = false;  // The round trip in `seen` is of what was acknowledged since.
  for (auto& [id, flow] : line.flows) {
    const auto measure = flows_.measure(id);
    if (!measure || measure->rtt_min <= Duration{}) continue;
    if (since > 0) {
      const double bits = static_cast<double>((measure->acked - flow.acked).count) * 8;
      flow.lately += (bits / since - flow.lately) * std::min(1.0, since / kLately);
    }
    flow.is_waiting = measure->waiting > Bytes{};
    if (measure->held > flow.held) flow.held_at = now;
    flow.held = measure->held;
    const bool has_moved = measure->acked > flow.acked;
    if (has_moved) {
      line.acked += measure->acked - flow.acked;
      flow.acked = measure->acked;
      flow.moved = now;
    }
    line.lost += measure->lost - flow.lost;
    flow.lost = measure->lost;
    if (seen.rtt_min == Duration{} || measure->rtt_min < seen.rtt_min)
      seen.rtt_min = measure->rtt_min;
    if (now - flow.moved > kSending) continue;
    sending.push_back(id);
    seen.is_held = seen.is_held || (flow.held_at && now - *flow.held_at < kHeld);
    // The kernel still tells the last one of a connection that is idle by now.
    if (seen.rtt == Duration{} || (has_moved && !is_new) ||
        (has_moved == is_new && measure->rtt < seen.rtt)) {
      is_new = has_moved;
      seen.rtt = measure->rtt;
      seen.jitter = measure->jitter;
    }
  }
  if (sending.empty()) return;
  seen.is_idle =
      std::ranges::none_of(sending, [&](std::uint64_t id) { return line.flows.at(id).is_waiting; });
  seen.acked = line.acked;
  seen.lost = line.lost;
  seen.is_among_ours = crowded_ > (line.pacing.is_crowded() ? 1 : 0);
  const auto decision = line.pacing.on(seen, now);
  if (options_.record != nullptr) options_.record->decided(peer, seen, now, decision);
  log::debug("line_paced", {{"peer", peer},
                            {"rate", decision.rate ? to_text(*decision.rate) : std::string("none")},
                            {"round_trip", seen.rtt},
                            {"jitter", seen.jitter},
                            {"queue", line.pacing.queue()},
                            {"acked", seen.acked},
                            {"lost", seen.lost}});
  if (decision.is_lossy != line.is_lossy) {
    line.is_lossy = decision.is_lossy;
    log::info(line.is_lossy ? "line_lossy" : "line_not_lossy", {{"peer", peer}});
  }
  const bool stands_back = options_.give_way && line.pacing.stands_back();
  for (auto& [id, flow] : line.flows) {
    // Cubic takes over the threshold of slow start that it learnt; bbr between forgets it.
    if (options_.give_way && decision.begin_anew) use(kForLoss, id, flow);
    // bbr takes a trickle for all that the line has, and sends it in single packets, whose
    // acknowledgements are delayed: by 40 ms, as by a queue.
    use(line.is_lossy && !stands_back ? kForLoss : kUsual, id, flow);
  }
  if (!options_.give_way) return;
  share(sending, line, decision.rate);
  if (line.pacing.stands_back() != line.stands_back) {
    line.stands_back = line.pacing.stands_back();
    log::info(line.stands_back ? "line_busy" : "line_free",
              {{"peer", peer},
               {"rate", decision.rate ? to_text(*decision.rate) : std::string("as TCP likes")}});
  }
}

}  // namespace lamina::origin
