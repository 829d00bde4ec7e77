#include "reflector/ranges.hpp"

#include <algorithm>

#include "shared/swarm/torrent_file.hpp"

namespace lamina::reflector {

bool Ranges::may_ask(const PackId& pack, std::uint32_t piece, Instant now) const {
  if (has(pack, piece)) return false;
  const auto spoilt = spoilt_.find({pack, piece});
  return spoilt == spoilt_.end() || now >= spoilt->second.again;
}

void Ranges::limit(BitRate rate, Instant now) {
  limits_.rate = rate;
  paced_ = now;
}

std::uint32_t Ranges::run_pieces_max() const {
  if (limits_.rate.bits_per_second == 0) return run_pieces_;
  const std::int64_t second = limits_.rate.bits_per_second / 8 / swarm::kPieceSize;
  return std::clamp<std::uint32_t>(
      static_cast<std::uint32_t>(std::min<std::int64_t>(second, run_pieces_)), 1, run_pieces_);
}

std::optional<Ranges::Run> Ranges::next(const swarm::PieceMap& chosen, Instant now) {
  if (running_.size() >= limits_.runs_max || unverified_.size() >= limits_.unverified_max ||
      now < again_ || now < paced_)
    return std::nullopt;
  for (const auto& [pack, pieces] : chosen)
    for (std::uint32_t first = 0; first < pieces.size(); ++first) {
      if (!pieces[first] || !may_ask(pack, first, now)) continue;
      Run run{.number = ++last_number_, .pack = pack, .first = first, .count = 1};
      while (run.count < run_pieces_max() && first + run.count < pieces.size() &&
             pieces[first + run.count] && may_ask(pack, first + run.count, now))
        ++run.count;
      running_[run.number] = {run, now};
      if (limits_.rate.bits_per_second > 0) {
        const std::int64_t bits = std::int64_t{run.count} * swarm::kPieceSize * 8;
        paced_ =
            std::max(paced_, now) + Duration{bits * 1'000'000'000 / limits_.rate.bits_per_second};
      }
      return run;
    }
  return std::nullopt;
}

bool Ranges::arrive(std::uint64_t number, Instant now) {
  const auto found = running_.find(number);
  if (found == running_.end()) return false;
  const Run run = found->second.run;
  const Duration took = now - found->second.since;
  running_.erase(found);
  failures_ = 0;
  for (std::uint32_t i = 0; i < run.count; ++i) unverified_.insert({run.pack, run.first + i});
  if (took > limits_.run_time)
    run_pieces_ = std::max<std::uint32_t>(1, run_pieces_ / 2);
  else if (took < limits_.run_time / 4)
    run_pieces_ = std::min(limits_.run_pieces_max, run_pieces_ * 2);
  return true;
}

void Ranges::fail(std::uint64_t number, std::uint64_t random, Instant now) {
  if (running_.erase(number) == 0) return;
  // Runs that fail together are one failure.
  if (now < again_) return;
  again_ = now + policy::retry_after(limits_.backoff, ++failures_, random);
}

void Ranges::settle(const PackId& pack, std::uint32_t piece) {
  unverified_.erase({pack, piece});
  spoilt_.erase({pack, piece});
}

void Ranges::spoil(const PackId& pack, std::uint32_t piece, std::uint64_t random, Instant now) {
  unverified_.erase({pack, piece});
  Spoilt& spoilt = spoilt_[{pack, piece}];
  spoilt.again = now + policy::retry_after(limits_.backoff, ++spoilt.times, random);
}

void Ranges::stop() {
  running_.clear();
  unverified_.clear();
}

bool Ranges::has(const PackId& pack, std::uint32_t piece) const {
  return unverified_.contains({pack, piece}) ||
         std::ranges::any_of(running_, [&](const auto& entry) {
           const Run& run = entry.second.run;
           return run.pack == pack && piece >= run.first && piece - run.first < run.count;
         });
}

std::optional<Instant> Ranges::next_change(Instant now) const {
  std::optional<Instant> next;
  const Instant gate = std::max(again_, paced_);
  if (gate > now) return gate;
  for (const auto& [piece, spoilt] : spoilt_)
    if (spoilt.again > now && (!next || spoilt.again < *next)) next = spoilt.again;
  return next;
}

}  // namespace lamina::reflector
