#include "sim/model/demand_bound.hpp"

#include <algorithm>

namespace lamina::sim {
namespace {

constexpr std::int64_t kPieceNs = 1'000'000'000;
constexpr std::size_t kEntriesMax = 4 << 20;  // 32 MiB.
// So close to full, rounding could decide.
constexpr double kAlmostFull = 1 - 1e-6;

}  // namespace

DemandBound::DemandBound(const Plan& plan, const Groups& groups) : groups_(groups) {
  const std::size_t lines = groups.down.size() + groups.up.size();
  const std::int64_t end = plan.end().time_since_epoch().count();
  const auto pieces_max = static_cast<std::int64_t>(kEntriesMax / lines);
  piece_ns_ = std::max(kPieceNs, end / pieces_max + 1);
  const auto pieces = static_cast<std::size_t>(end / piece_ns_ + 2);
  const auto make = [&](const std::vector<TrunkGroup>& of) {
    Pieces made(of.size());
    for (std::size_t i = 0; i < of.size(); ++i)
      if (of[i].line < kInfinite) made[i].assign(pieces, 0);
    return made;
  };
  down_ = make(groups.down);
  up_ = make(groups.up);
}

void DemandBound::add(Pieces& pieces, const std::vector<TrunkGroup>& lines, std::uint32_t group,
                      Instant from, Instant until, Rate rate) {
  const auto first = static_cast<std::size_t>(from.time_since_epoch().count() / piece_ns_);
  const auto last =
      static_cast<std::size_t>((until.time_since_epoch().count() - 1) / piece_ns_) + 1;
  const FixedRate fixed = to_fixed(rate) + 1;
  for (;; group = lines[group].parent) {
    if (!pieces[group].empty()) {
      pieces[group][first] += fixed;
      pieces[group][last] -= fixed;
    }
    if (group == 0) return;
  }
}

DemandBound& DemandBound::operator+=(const DemandBound& other) {
  const auto add = [](Pieces& to, const Pieces& from) {
    for (std::size_t i = 0; i < to.size(); ++i)
      for (std::size_t k = 0; k < to[i].size(); ++k) to[i][k] += from[i][k];
  };
  add(down_, other.down_);
  add(up_, other.up_);
  return *this;
}

bool DemandBound::fits(const Pieces& pieces, const std::vector<TrunkGroup>& lines) {
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    FixedRate rate = 0;
    for (const FixedRate change : pieces[i]) {
      rate += change;
      if (from_fixed(rate) > lines[i].line * kAlmostFull) return false;
    }
  }
  return true;
}

bool DemandBound::fits() const { return fits(down_, groups_.down) && fits(up_, groups_.up); }

}  // namespace lamina::sim
