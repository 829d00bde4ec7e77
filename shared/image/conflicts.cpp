#include "shared/image/conflicts.hpp"

#include <algorithm>

#include "shared/format/path.hpp"
#include "shared/image/records/record_format.hpp"
#include "shared/image/rules.hpp"

namespace lamina::image {
namespace {

using format::Entry;
using format::EntryKind;

bool says_otherwise(const Entry& entry, const Entry& winner) {
  Entry other = winner;
  other.mtime_ns = entry.mtime_ns;
  if (!entry.owner.empty() && entry.owner == winner.owner) other.uid = entry.uid;
  if (!entry.group.empty() && entry.group == winner.group) other.gid = entry.gid;
  return entry != other;
}

}  // namespace

ConflictStream::ConflictStream(std::vector<std::unique_ptr<format::EntryStream>> layers)
    : layers_(std::move(layers)), heads_(layers_.size()) {}

Result<std::optional<Conflict>> ConflictStream::next() {
  while (found_.empty()) {
    auto more = compare_next_path();
    if (!more) return fail(std::move(more.error()));
    if (!*more) return std::optional<Conflict>();
  }
  Conflict conflict = std::move(found_.front());
  found_.pop_front();
  return std::optional(std::move(conflict));
}

// False at the end.
Result<bool> ConflictStream::compare_next_path() {
  const auto advance = [&](std::size_t layer) -> Status {
    auto entry = layers_[layer]->next();
    if (!entry)
      return fail(std::move(entry.error()).in("comparing layer " + std::to_string(layer + 1)));
    heads_[layer] = std::move(*entry);
    return Done{};
  };
  for (std::size_t i = 0; !filled_ && i < layers_.size(); ++i)
    if (auto read = advance(i); !read) return fail(std::move(read.error()));
  filled_ = true;

  const std::string* lowest = nullptr;
  for (const auto& head : heads_)
    if (head && (!lowest || format::compare_paths(head->path, *lowest) < 0)) lowest = &head->path;
  if (!lowest) return false;
  const std::string path = *lowest;
  while (!hidden_.empty() && !format::is_within(path, hidden_.back().path)) hidden_.pop_back();
  const std::size_t level = hidden_.empty() ? 0 : hidden_.back().level;

  std::vector<std::size_t> here;
  std::size_t hides = 0;
  for (std::size_t i = 0; i < heads_.size(); ++i) {
    if (!heads_[i] || heads_[i]->path != path) continue;
    here.push_back(i);
    if (heads_[i]->kind != EntryKind::directory) hides = i;
  }
  const std::size_t top = here.back();
  const bool is_gone = top < level || heads_[top]->kind == EntryKind::whiteout;
  for (const std::size_t i : here) {
    const Entry& entry = *heads_[i];
    const std::size_t winner = std::max(top, level);
    if (i == winner) continue;
    if (is_gone ? entry.kind == EntryKind::whiteout : !says_otherwise(entry, *heads_[top]))
      continue;
    if (factory_rule(path, entry.kind == EntryKind::directory) || derived_rule(path) ||
        record_rule(path))
      continue;
    found_.push_back({path, i, winner});
  }
  for (const std::size_t i : here)
    if (auto read = advance(i); !read) return fail(std::move(read.error()));
  if (hides > level) hidden_.push_back({path, hides});
  return true;
}

}  // namespace lamina::image
