#include "origin/mirror/plan.hpp"

#include <algorithm>
#include <utility>

namespace lamina::origin {
namespace {

bool is_held(const MirrorFacts& facts, const PackId& pack, Bytes size) {
  const auto at = facts.held.find(pack);
  return at != facts.held.end() && at->second == size;
}

}  // namespace

MirrorPlan plan_mirror(const MirrorFacts& facts) {
  MirrorPlan plan;
  std::set<TorrentId> whole;
  std::map<PackId, Bytes> needed;
  std::vector<std::pair<Bytes, LayerId>> incomplete;  // By what they lack.
  const auto is_listed = [&](const LayerId& id) {
    return !facts.listed || facts.listed->contains(id);
  };
  for (const auto& [id, layer] : facts.known) {
    if (!is_listed(id)) {
      plan.forget.push_back(id);
      continue;
    }
    Bytes lacks;
    for (const auto& [pack, size] : layer.packs) {
      needed.emplace(pack, size);
      if (!is_held(facts, pack, size)) lacks += size;
    }
    if (lacks.count > 0) {
      incomplete.emplace_back(lacks, id);
      continue;
    }
    whole.insert(layer.torrent);
    plan.complete.push_back(id);
    if (!facts.served.contains(layer.torrent)) plan.serve.push_back(id);
  }
  // A layer that is listed and not known may be one that is served: its records come again first.
  bool is_all_known = facts.listed.has_value();
  if (facts.listed)
    for (const LayerId& id : *facts.listed)
      if (!facts.known.contains(id)) {
        plan.ask.push_back(id);
        is_all_known = false;
      }
  std::set<TorrentId> unfinished;
  for (const auto& [lacks, id] : incomplete) unfinished.insert(facts.known.at(id).torrent);
  for (const TorrentId& torrent : facts.served) {
    const bool is_gone = std::ranges::any_of(
        plan.forget, [&](const LayerId& id) { return facts.known.at(id).torrent == torrent; });
    if (whole.contains(torrent)) continue;
    if (is_gone || unfinished.contains(torrent) || is_all_known) plan.withdraw.push_back(torrent);
  }
  for (const auto& [pack, size] : facts.held) {
    const auto wanted = needed.find(pack);
    if (wanted != needed.end() && wanted->second == size)
      plan.held += size;
    else if (wanted != needed.end() || is_all_known)
      plan.remove.push_back(pack);
  }
  for (const auto& [pack, size] : facts.partial) {
    const auto wanted = needed.find(pack);
    if (wanted == needed.end() ? is_all_known : is_held(facts, pack, wanted->second))
      plan.remove_partial.push_back(pack);
  }
  for (const auto& [pack, size] : needed)
    if (!is_held(facts, pack, size)) plan.missing += size;

  std::ranges::sort(incomplete);
  std::set<PackId> chosen;
  Bytes room = facts.free - facts.reserve;
  for (const auto& [lacks, id] : incomplete)
    for (const auto& [pack, size] : facts.known.at(id).packs) {
      if (is_held(facts, pack, size) || !chosen.insert(pack).second) continue;
      const auto here = facts.partial.find(pack);
      const Bytes more =
          here == facts.partial.end() ? size : std::max(Bytes{}, size - here->second);
      if (room < more || plan.lacking_space.count > 0) {
        plan.lacking_space += more;
        continue;
      }
      room = room - more;
      plan.fetch.push_back(pack);
    }
  if (plan.lacking_space.count > 0)
    plan.lacking_space = plan.lacking_space - std::max(Bytes{}, room);
  return plan;
}

}  // namespace lamina::origin
