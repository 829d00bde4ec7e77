#include "sim/model/efficiency.hpp"

#include <algorithm>
#include <span>

#include "sim/engine/random.hpp"

namespace lamina::sim {
namespace {

// Evenly with the logarithm of x, from (x0, y0) to (x1, y1).
double between(double x, double x0, double y0, double x1, double y1) {
  if (x <= x0 || x0 == x1) return y0;
  if (x >= x1) return y1;
  const double share = portable_log(x / x0) / portable_log(x1 / x0);
  return y0 + (y1 - y0) * share;
}

// Along the pieces, for one number of peers.
double along(std::span<const Efficiency> row, double pieces) {
  for (std::size_t i = 1; i < row.size(); ++i)
    if (pieces <= row[i].pieces)
      return between(pieces, row[i - 1].pieces, row[i - 1].eta, row[i].pieces, row[i].eta);
  return pieces <= row.front().pieces ? row.front().eta : row.back().eta;
}

}  // namespace

double swarm_efficiency(const Swarm& swarm, double peers, double pieces) {
  const std::span<const Efficiency> all(swarm.efficiency);
  if (all.empty()) return 1;
  double low_peers = 0, low = 0;
  for (std::size_t first = 0; first < all.size();) {
    std::size_t last = first;
    while (last < all.size() && all[last].peers == all[first].peers) ++last;
    const double here = along(all.subspan(first, last - first), pieces);
    const double at = all[first].peers;
    if (peers <= at) return first == 0 ? here : between(peers, low_peers, low, at, here);
    low_peers = at;
    low = here;
    first = last;
  }
  return low;
}

}  // namespace lamina::sim
