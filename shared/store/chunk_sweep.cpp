#include "shared/store/chunk_sweep.hpp"

#include <algorithm>
#include <unordered_map>

#include "shared/store/chunk_rows.hpp"
#include "shared/store/chunk_store.hpp"

namespace lamina {
namespace {

constexpr std::size_t kRowsTogether = 4096;  // In one transaction.
// Of packs that are written anew together: so much disk is needed for a moment.
constexpr std::uint64_t kGroupBytes = std::uint64_t{256} << 20;

std::uint64_t plain_bytes_of(const format::PackIndex& index) {
  std::uint64_t total = 0;
  for (const format::Frame& frame : index.frames) total += frame.plain_size;
  return total;
}

bool is_broken(const Error& error) {
  return error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::invalid;
}

}  // namespace

class ChunkStore::Sweep {
 public:
  Sweep(ChunkStore& store, const SweepOptions& options) : store_(store), options_(options) {}
  Result<Swept> run();

 private:
  struct Change {
    enum class To { needed, unneeded, gone };
    ChunkId id;
    std::string row;  // As it was seen; another one is left alone.
    To to;
  };
  struct Worn {
    PackId id;
    std::uint64_t dead = 0;  // Plain bytes.
    std::uint64_t size = 0;  // Of the file.
  };

  Status look_at_rows(std::uint8_t first);
  // Of the chunks that go at once, after look_at_rows() has noted what is unneeded of all.
  Status erase_at_once();
  Status erase_at_once(std::uint8_t first, std::span<const ChunkId> ids);
  Result<bool> has_erased(const PackId& id, const format::PackIndex& index) const;
  Status change_rows(std::span<const Change> changes);
  Status look_at_packs();
  Status rewrite(std::span<const Worn> worn, Bytes most);
  Status rewrite_group(std::span<const Worn> group);
  // Of each frame which chunks the index has just there.
  Result<std::vector<std::vector<bool>>> used_chunks(const PackId& id,
                                                     const format::PackIndex& index) const;
  // `corrupt` when one of them is not what its id says: then the writer was given nothing.
  Status copy_used(const PackId& id, PackWriter& writer);
  Status move_rows(const format::PackSummary& summary, const std::set<PackId>& old);
  Status remove(const PackId& id);
  Status remove_stray_trees();
  Status go_on() const {
    if (!options_.is_stopping || !options_.is_stopping()) return Done{};
    return fail(ErrorKind::unavailable, "the sweep was told to stop");
  }
  void step(std::string_view name) const {
    if (options_.on_step) options_.on_step(name);
  }

  ChunkStore& store_;
  const SweepOptions& options_;
  std::unordered_map<PackId, std::uint64_t, IdHash> used_;  // Plain bytes of rows that stay.
  Swept swept_;
};

Result<Swept> ChunkStore::Sweep::run() {
  for (int first = 0; first < 256; ++first)
    if (auto done = look_at_rows(static_cast<std::uint8_t>(first)); !done)
      return fail(std::move(done.error()));
  if (auto done = erase_at_once(); !done) return fail(std::move(done.error()));
  if (auto done = look_at_packs(); !done) return fail(std::move(done.error()));
  if (auto done = remove_stray_trees(); !done) return fail(std::move(done.error()));
  return std::move(swept_);
}

Status ChunkStore::Sweep::look_at_rows(std::uint8_t first) {
  if (auto going = go_on(); !going) return going;
  auto needed = options_.needed(first);
  if (!needed) return fail(std::move(needed.error()));
  std::vector<ChunkId> lacking;
  std::vector<Change> changes;
  Status parsed = Done{};
  auto next = needed->begin();
  const auto look = [&](std::string_view key, std::string_view row) {
    const auto id = chunk_rows::parse_key(key);
    const auto place = chunk_rows::parse_row(row);
    if (!id || !place) {
      parsed =
          fail(ErrorKind::corrupt, "a row of the index of " + printable(store_.files_.directory()) +
                                       " does not parse: `lamina-origin repair` makes it anew");
      return false;
    }
    while (next != needed->end() && *next < *id) lacking.push_back(*next++);
    const bool is_needed = next != needed->end() && *next == *id;
    if (is_needed) ++next;
    ++swept_.chunks;
    const auto since = chunk_rows::unneeded_since(row);
    const std::int64_t from = since.value_or(options_.now).ns;
    if (is_needed) {
      if (since) changes.push_back({*id, std::string(row), Change::To::needed});
    } else if (from + options_.grace.count() <= options_.now.ns) {
      changes.push_back({*id, std::string(row), Change::To::gone});
      return true;
    } else {
      ++swept_.unneeded;
      if (!since) changes.push_back({*id, std::string(row), Change::To::unneeded});
    }
    used_[place->pack] += place->length;
    return true;
  };
  auto scanned = store_.index_->read([&](const Kv::View& view) {
    return view.scan(std::string(chunk_rows::kPrefix) + static_cast<char>(first), look);
  });
  if (!scanned) return scanned;
  if (!parsed) return parsed;
  lacking.insert(lacking.end(), next, needed->end());
  if (!lacking.empty())
    if (auto known = options_.lacking(lacking); !known) return known;
  for (std::span<const Change> rest(changes); !rest.empty();) {
    const auto some = rest.first(std::min(kRowsTogether, rest.size()));
    rest = rest.subspan(some.size());
    if (auto done = change_rows(some); !done) return done;
  }
  return Done{};
}

Status ChunkStore::Sweep::erase_at_once() {
  if (options_.dry_run || options_.at_once.empty()) return Done{};
  step("settling");
  if (options_.settle)
    if (auto settled = options_.settle(); !settled) return settled;
  for (std::span<const ChunkId> rest = options_.at_once; !rest.empty();) {
    const auto first = rest.front().bytes()[0];
    const auto end =
        std::ranges::find_if(rest, [&](const ChunkId& id) { return id.bytes()[0] != first; });
    const auto some = rest.first(static_cast<std::size_t>(end - rest.begin()));
    rest = rest.subspan(some.size());
    if (auto going = go_on(); !going) return going;
    if (auto done = erase_at_once(std::to_integer<std::uint8_t>(first), some); !done) return done;
  }
  return Done{};
}

Status ChunkStore::Sweep::erase_at_once(std::uint8_t first, std::span<const ChunkId> ids) {
  auto needed = options_.needed(first);
  if (!needed) return fail(std::move(needed.error()));
  std::vector<Change> changes;
  auto looked = store_.index_->read([&](const Kv::View& view) -> Status {
    for (const ChunkId& id : ids) {
      if (std::ranges::binary_search(*needed, id)) continue;
      auto row = view.get(chunk_rows::key_of(id));
      if (!row) return fail(std::move(row.error()));
      const auto place = *row ? chunk_rows::parse_row(**row) : std::nullopt;
      // Without a note somebody was told of it since: it is for the next sweep.
      if (!place || !chunk_rows::unneeded_since(**row)) continue;
      changes.push_back({id, **row, Change::To::gone});
      used_[place->pack] -= place->length;
      --swept_.unneeded;
    }
    return Done{};
  });
  if (!looked) return looked;
  return change_rows(changes);
}

Result<bool> ChunkStore::Sweep::has_erased(const PackId& id, const format::PackIndex& index) const {
  if (options_.dry_run || options_.at_once.empty()) return false;
  auto used = used_chunks(id, index);
  if (!used) return fail(std::move(used.error()));
  for (std::size_t number = 0; number < index.frames.size(); ++number)
    for (std::size_t i = 0; i < index.frames[number].chunks.size(); ++i)
      if (!(*used)[number][i] &&
          std::ranges::binary_search(options_.at_once, index.frames[number].chunks[i].id))
        return true;
  return false;
}

Status ChunkStore::Sweep::change_rows(std::span<const Change> changes) {
  std::uint64_t gone = 0;
  const auto change = [&](Kv::Edit& edit) -> Status {
    for (const Change& one : changes) {
      const std::string key = chunk_rows::key_of(one.id);
      auto row = edit.get(key);
      if (!row) return fail(std::move(row.error()));
      // Claimed or taken in since it was looked at.
      if (!*row || **row != one.row) continue;
      const chunk_rows::Place place = *chunk_rows::parse_row(one.row);
      Status done = Done{};
      switch (one.to) {
        case Change::To::needed: done = edit.put(key, chunk_rows::row_of(place)); break;
        case Change::To::unneeded:
          done = edit.put(key, chunk_rows::row_of(place, options_.now));
          break;
        case Change::To::gone:
          done = edit.erase(key);
          ++gone;
          break;
      }
      if (!done) return done;
    }
    return Done{};
  };
  if (options_.dry_run) {
    for (const Change& one : changes) swept_.removed += one.to == Change::To::gone ? 1 : 0;
    return Done{};
  }
  if (auto done = store_.index_->write(change); !done) return done;
  swept_.removed += gone;
  step("rows");
  return Done{};
}

Status ChunkStore::Sweep::look_at_packs() {
  auto ids = store_.files_.list();
  if (!ids) return fail(std::move(ids.error()));
  auto named = options_.named ? options_.named() : std::set<PackId>();
  if (!named) return fail(std::move(named.error()));
  std::ranges::sort(*ids);
  swept_.packs = ids->size();
  std::vector<Worn> worn;
  std::vector<Worn> with_erased;
  for (const PackId& id : *ids) {
    if (auto going = go_on(); !going) return going;
    const bool is_named = named->contains(id);
    const auto used = used_.find(id);
    if ((used == used_.end() || used->second == 0) && !is_named) {
      if (auto done = remove(id); !done) return done;
      continue;
    }
    auto pack = store_.files_.read(id);
    if (!pack) {
      if (!is_broken(pack.error())) return fail(std::move(pack.error()));
      swept_.unsound.push_back(id);
      continue;
    }
    const std::uint64_t all = plain_bytes_of(pack->index());
    const std::uint64_t dead = all - std::min(all, used == used_.end() ? 0 : used->second);
    if (dead == 0) continue;
    auto erased = has_erased(id, pack->index());
    if (!erased) return fail(std::move(erased.error()));
    if (*erased && !is_named) {
      with_erased.push_back({id, dead, pack->size()});
      continue;
    }
    if (dead * 100 < all * static_cast<std::uint64_t>(options_.worn_percent)) continue;
    if (is_named)
      swept_.worn_named.push_back(id);
    else
      worn.push_back({id, dead, pack->size()});
  }
  // Those that free the most come first.
  std::ranges::sort(worn, [](const Worn& a, const Worn& b) {
    return a.dead != b.dead ? a.dead > b.dead : a.id < b.id;
  });
  if (auto done = rewrite(with_erased, Bytes{INT64_MAX}); !done) return done;
  return rewrite(worn, options_.rewrite_most);
}

Status ChunkStore::Sweep::rewrite(std::span<const Worn> worn, Bytes most) {
  auto left = static_cast<std::uint64_t>(most.count);
  while (!worn.empty()) {
    if (auto going = go_on(); !going) return going;
    std::size_t count = 0;
    std::uint64_t bytes = 0;
    while (count < worn.size() && bytes < kGroupBytes && worn[count].size <= left) {
      bytes += worn[count].size;
      left -= worn[count++].size;
    }
    if (count == 0) return Done{};
    if (auto done = rewrite_group(worn.first(count)); !done) return done;
    worn = worn.subspan(count);
  }
  return Done{};
}

Status ChunkStore::Sweep::rewrite_group(std::span<const Worn> group) {
  if (options_.dry_run) {
    for (const Worn& one : group) swept_.freed += Bytes{static_cast<std::int64_t>(one.size)};
    swept_.packs_rewritten += group.size();
    return Done{};
  }
  std::set<PackId> old;
  PackWriter writer(store_.files_, {}, [&](const format::PackSummary& summary) {
    step("written");
    auto moved = move_rows(summary, old);
    if (moved) step("moved");
    return moved;
  });
  for (const Worn& one : group) {
    old.insert(one.id);  // First: what is copied may be written, and its rows moved, at any time.
    auto copied = copy_used(one.id, writer);
    if (copied) continue;
    if (!is_broken(copied.error())) return copied;
    swept_.unsound.push_back(one.id);
    old.erase(one.id);
  }
  if (auto done = writer.finish(); !done) return done;
  swept_.written += Bytes{static_cast<std::int64_t>(writer.bytes_written())};
  for (const PackId& id : old) {
    if (auto done = remove(id); !done) return done;
    ++swept_.packs_rewritten;
  }
  return Done{};
}

Result<std::vector<std::vector<bool>>> ChunkStore::Sweep::used_chunks(
    const PackId& id, const format::PackIndex& index) const {
  std::vector<std::vector<bool>> used(index.frames.size());
  auto read = store_.index_->read([&](const Kv::View& view) {
    return chunk_rows::for_each_place(
        id, index, [&](const ChunkId& chunk, const chunk_rows::Place& place) -> Status {
          auto row = view.get(chunk_rows::key_of(chunk));
          if (!row) return fail(std::move(row.error()));
          const auto known = *row ? chunk_rows::parse_row(**row) : std::nullopt;
          used[place.frame].push_back(known && *known == place);
          return Done{};
        });
  });
  if (!read) return fail(std::move(read.error()));
  return used;
}

// The digests are checked first: a pack with other bytes must not become a sound one with them.
Status ChunkStore::Sweep::copy_used(const PackId& id, PackWriter& writer) {
  auto pack = store_.files_.read(id);
  if (!pack) return fail(std::move(pack.error()));
  const auto& frames = pack->index().frames;
  auto used = used_chunks(id, pack->index());
  if (!used) return fail(std::move(used.error()));
  ZstdDecompressor decompressor;
  const std::string what = "pack " + id.short_hex();
  for (const bool is_copied : {false, true})
    for (std::size_t number = 0; number < frames.size(); ++number) {
      const format::Frame& frame = frames[number];
      const std::vector<bool>& mine = (*used)[number];
      if (std::ranges::find(mine, true) == mine.end()) continue;
      auto coded = pack->read_coded(frame);
      if (!coded) return fail(std::move(coded.error()));
      const bool is_whole = std::ranges::find(mine, false) == mine.end();
      if (is_copied && is_whole) {
        if (auto done = writer.add_frame(frame, *coded); !done) return done;
        continue;
      }
      auto plain = format::PlainFrame::decode(frame, *coded, decompressor);
      if (!plain) return fail(std::move(plain.error()).in(what));
      for (std::size_t i = 0; i < frame.chunks.size(); ++i) {
        if (!mine[i]) continue;
        auto bytes = plain->chunk(i);
        if (!bytes) return fail(std::move(bytes.error()).in(what));
        if (!is_copied) continue;
        const auto content =
            frame.coder == format::Coder::raw ? ContentClass::compressed : ContentClass::data;
        if (auto done = writer.add(frame.chunks[i], *bytes, content); !done) return done;
      }
    }
  return Done{};
}

// Chunks that were taken in anew, or erased, since they were copied stay as they are.
Status ChunkStore::Sweep::move_rows(const format::PackSummary& summary,
                                    const std::set<PackId>& old) {
  return store_.index_->write([&](Kv::Edit& edit) {
    return chunk_rows::for_each_place(
        summary.id, summary.index,
        [&](const ChunkId& chunk, const chunk_rows::Place& place) -> Status {
          const std::string key = chunk_rows::key_of(chunk);
          auto row = edit.get(key);
          if (!row) return fail(std::move(row.error()));
          const auto known = *row ? chunk_rows::parse_row(**row) : std::nullopt;
          if (!known || !old.contains(known->pack)) return Done{};
          return edit.put(key, chunk_rows::row_of(place, chunk_rows::unneeded_since(**row)));
        });
  });
}

Status ChunkStore::Sweep::remove(const PackId& id) {
  // A pack that is just taken in is there before its rows are.
  const std::unique_lock lock(store_.intake_);
  auto size = store_.files_.size_of(id);
  if (!size) {
    if (size.error().kind() == ErrorKind::not_found) return Done{};
    return fail(std::move(size.error()));
  }
  if (!options_.dry_run) {
    if (auto pack = store_.files_.read(id)) {
      auto used = used_chunks(id, pack->index());
      if (!used) return fail(std::move(used.error()));
      for (const std::vector<bool>& of_frame : *used)
        if (std::ranges::find(of_frame, true) != of_frame.end()) return Done{};
    } else if (!is_broken(pack.error())) {
      return fail(std::move(pack.error()));
    }
    if (auto done = store_.files_.remove(id); !done) return done;
    store_.forget_pack(id);
  }
  ++swept_.packs_removed;
  swept_.freed += Bytes{static_cast<std::int64_t>(*size)};
  step("removed");
  return Done{};
}

// What a removal that was killed leaves.
Status ChunkStore::Sweep::remove_stray_trees() {
  if (options_.dry_run) return Done{};
  const std::unique_lock lock(store_.intake_);
  auto names = os::list_directory(store_.files_.directory() + "/trees");
  if (!names) return fail(std::move(names.error()));
  for (const std::string& name : *names) {
    const auto id = PackId::parse(name);
    if (!id || store_.files_.has(*id)) continue;
    if (auto done = os::remove_file(store_.files_.tree_path_of(*id)); !done) return done;
  }
  return Done{};
}

Result<Swept> ChunkStore::sweep(const SweepOptions& options) { return Sweep(*this, options).run(); }

}  // namespace lamina
