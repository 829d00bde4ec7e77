#include "origin/seeding/line_pacing.hpp"

#include <algorithm>
#include <set>

#include "shared/base/log.hpp"

namespace lamina::origin {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLookEvery = 300ms;
constexpr Duration kSending = 1s;  // Without an acknowledgement for so long it does not send.
constexpr double kAlike = 0.2;
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

// bbr forgets at its start what loss taught: the threshold of slow start, which cubic then takes
// over, and its own estimate of the line, when it comes back after another.
void LinePacing::begin_anew(std::uint64_t id, Flow& flow) {
  if (refused_.contains(kForLoss)) return;
  const std::string again = flow.congestion_control;
  use(again == kForLoss ? "reno" : kForLoss, id, flow);
  use(again, id, flow);
}

void LinePacing::look(Instant now) {
  looked_ = now;
  std::map<std::string, std::set<std::uint64_t>> found;
  for (const os::TcpFlow& flow : flows_.look()) {
    found[flow.peer].insert(flow.id);
    Line& line = lines_[flow.peer];
    if (line.flows.contains(flow.id)) continue;
    Flow& added = line.flows[flow.id];
    added.moved = now;
    use(line.is_lossy ? kForLoss : kUsual, flow.id, added);
  }
  // A line without connections is forgotten: its next ones measure anew.
  for (auto line = lines_.begin(); line != lines_.end();) {
    const auto here = found.find(line->first);
    if (here == found.end()) {
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
  for (auto& [id, flow] : line.flows) {
    const auto measure = flows_.measure(id);
    if (!measure || measure->rtt_min <= Duration{}) continue;
    flow.lately += (static_cast<double>((measure->acked - flow.acked).count) - flow.lately) / 16;
    if (measure->acked > flow.acked) {
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
    if (seen.rtt == Duration{} || measure->rtt < seen.rtt) seen.rtt = measure->rtt;
  }
  if (sending.empty()) return;
  seen.acked = line.acked;
  seen.lost = line.lost;
  seen.is_among_ours = crowded_ > (line.pacing.is_crowded() ? 1 : 0);
  const auto decision = line.pacing.on(seen, now);
  if (decision.is_lossy != line.is_lossy) {
    line.is_lossy = decision.is_lossy;
    log::info(line.is_lossy ? "line_lossy" : "line_not_lossy", {{"peer", peer}});
    for (auto& [id, flow] : line.flows) use(line.is_lossy ? kForLoss : kUsual, id, flow);
  }
  if (!options_.give_way) return;
  double lately = 1;
  for (const std::uint64_t id : sending) lately += line.flows.at(id).lately;
  for (const std::uint64_t id : sending) {
    std::optional<BitRate> rate = decision.rate;
    if (rate && sending.size() > 1) {
      // A part of it to each alike, so that one that has more to send from now on can show it.
      const double share = kAlike / static_cast<double>(sending.size()) +
                           (1 - kAlike) * line.flows.at(id).lately / lately;
      rate->bits_per_second =
          static_cast<std::int64_t>(static_cast<double>(rate->bits_per_second) * share);
    }
    // It may be gone since it was measured; look() finds out.
    static_cast<void>(flows_.pace(id, rate));
    if (decision.begin_anew) begin_anew(id, line.flows.at(id));
  }
  if (line.pacing.stands_back() != line.stands_back) {
    line.stands_back = line.pacing.stands_back();
    log::info(line.stands_back ? "line_busy" : "line_free",
               {{"peer", peer},
                {"rate", decision.rate ? to_text(*decision.rate) : std::string("as TCP likes")}});
  }
}

}  // namespace lamina::origin
