#include "origin/api/restores.hpp"

#include <algorithm>

namespace lamina::origin {

bool Restores::add(const std::string& id, const DeviceId& device, const std::string& actor,
                   std::int64_t chunks, std::int64_t bytes, Instant now) {
  const auto at = restores_.find(id);
  if (at == restores_.end() || at->second.device != device || at->second.actor != actor)
    return false;
  at->second.chunks += chunks;
  at->second.bytes += bytes;
  at->second.seen = now;
  return true;
}

std::optional<RunningRestore> Restores::end(const std::string& id, const DeviceId& device,
                                            const std::string& actor) {
  const auto at = restores_.find(id);
  if (at == restores_.end() || at->second.device != device || at->second.actor != actor)
    return std::nullopt;
  RunningRestore ended = std::move(at->second);
  restores_.erase(at);
  return ended;
}

std::vector<RunningRestore> Restores::take_silent(Instant now) {
  std::vector<RunningRestore> silent;
  const auto most_silent = [&] {
    return std::ranges::min_element(restores_, {},
                                    [](const auto& entry) { return entry.second.seen; });
  };
  for (auto at = most_silent(); at != restores_.end(); at = most_silent()) {
    if (restores_.size() <= kMost && now - at->second.seen < kSilence) break;
    silent.push_back(std::move(at->second));
    restores_.erase(at);
  }
  return silent;
}

std::optional<Instant> Restores::next_change() const {
  std::optional<Instant> next;
  for (const auto& [id, restore] : restores_)
    next = next ? std::min(*next, restore.seen + kSilence) : restore.seen + kSilence;
  return next;
}

}  // namespace lamina::origin
