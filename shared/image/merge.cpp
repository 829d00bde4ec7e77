#include "shared/image/merge.hpp"

#include <algorithm>

#include "shared/base/bytes.hpp"
#include "shared/format/path.hpp"
#include "shared/image/records/record_format.hpp"

namespace lamina::image {

using format::Entry;
using format::EntryKind;

MergeStream::MergeStream(std::vector<std::unique_ptr<format::EntryStream>> layers)
    : layers_(std::move(layers)), heads_(layers_.size()) {}

Status MergeStream::fill() {
  if (filled_) return Done{};
  filled_ = true;
  for (std::size_t i = 0; i < layers_.size(); ++i)
    if (auto read = advance(i); !read) return read;
  return Done{};
}

Status MergeStream::advance(std::size_t layer) {
  auto entry = layers_[layer]->next();
  if (!entry)
    return fail(std::move(entry.error()).in("merging layer " + std::to_string(layer + 1)));
  heads_[layer] = std::move(*entry);
  return Done{};
}

// Directories cannot be linked to.
void MergeStream::drop(std::size_t layer, std::size_t winner) {
  Entry& entry = *heads_[layer];
  if (entry.kind == EntryKind::directory || entry.kind == EntryKind::whiteout) return;
  Name name{layer, entry.path};
  dropped_.insert_or_assign(std::move(name), Dropped{std::move(entry), winner});
}

// Finds what a hard link of `layer` names: the highest version up to there. Where that was put out,
// or is not known at all, the link stays as it is.
void MergeStream::relink(Entry& entry, std::size_t layer) {
  for (std::size_t below = layer + 1; below-- > 0;) {
    const Name name{below, entry.target};
    if (const auto first = first_names_.find(name); first != first_names_.end()) {
      if (first->second.winner <= layer) break;
      entry.target = first->second.path;
      return;
    }
    const auto lost = dropped_.find(name);
    if (lost == dropped_.end()) continue;
    if (lost->second.winner <= layer) break;
    if (lost->second.entry.kind == EntryKind::hard_link) {
      // Comes earlier in path order: this ends.
      entry.target = lost->second.entry.target;
      layer = below++;
      continue;
    }
    std::string path = std::move(entry.path);
    entry = std::move(lost->second.entry);
    entry.path = path;
    first_names_.emplace(name, FirstName{std::move(path), lost->second.winner});
    dropped_.erase(lost);
    return;
  }
  // A name that was the first where the layer was captured need not be here.
  if (const auto other = links_.find(entry.target); other != links_.end())
    entry.target = other->second;
}

Status MergeStream::check_parent(const Entry& entry) {
  while (!directories_.empty() && !format::is_within(entry.path, directories_.back()))
    directories_.pop_back();
  const std::string_view parent = format::parent_of(entry.path);
  const std::string_view current = directories_.empty() ? std::string_view() : directories_.back();
  if (parent != current)
    return fail(ErrorKind::invalid, "entry '" + printable(entry.path, 200) + "' lies beneath '" +
                                        printable(parent, 200) +
                                        "', which is no directory in the merged layers; publish "
                                        "the layer again with its parent directories");
  if (entry.kind == EntryKind::directory) directories_.push_back(entry.path);
  return Done{};
}

Result<std::optional<Entry>> MergeStream::next() {
  if (auto filled = fill(); !filled) return fail(std::move(filled.error()));
  for (;;) {
    const std::string* lowest = nullptr;
    for (const auto& head : heads_)
      if (head && (!lowest || format::compare_paths(head->path, *lowest) < 0)) lowest = &head->path;
    if (!lowest) return std::nullopt;
    const std::string path = *lowest;

    while (!hidden_.empty() && !format::is_within(path, hidden_.back().path)) hidden_.pop_back();
    const std::size_t level = hidden_.empty() ? 0 : hidden_.back().level;

    // The highest layer wins; the highest non-directory among them hides what lies beneath.
    std::size_t winner = layers_.size(), hides = 0;
    for (std::size_t i = heads_.size(); i-- > level;) {
      if (!heads_[i] || heads_[i]->path != path) continue;
      if (winner == layers_.size()) winner = i;
      if (heads_[i]->kind != EntryKind::directory) hides = std::max(hides, i);
    }
    beneath_.clear();
    const bool is_merged = winner < layers_.size() && heads_[winner]->kind == EntryKind::file &&
                           record_rule(path) != nullptr;
    for (std::size_t i = level; is_merged && i < winner; ++i) {
      if (!heads_[i] || heads_[i]->path != path) continue;
      if (heads_[i]->kind == EntryKind::file)
        beneath_.push_back({i, *heads_[i]});
      else
        beneath_.clear();
    }
    std::optional<Entry> entry;
    for (std::size_t i = 0; i < heads_.size(); ++i) {
      if (!heads_[i] || heads_[i]->path != path) continue;
      if (i == winner)
        entry = std::move(*heads_[i]);
      else
        drop(i, std::max(level, winner == layers_.size() ? 0 : winner));
      if (auto read = advance(i); !read) return fail(std::move(read.error()));
    }
    if (hides > level) hidden_.push_back({path, hides});
    if (!entry || entry->kind == EntryKind::whiteout) continue;

    if (entry->kind == EntryKind::hard_link) relink(*entry, winner);
    if (entry->kind == EntryKind::hard_link) links_.emplace(entry->path, entry->target);
    if (auto parent = check_parent(*entry); !parent) return fail(std::move(parent.error()));
    source_ = winner;
    return entry;
  }
}

}  // namespace lamina::image
