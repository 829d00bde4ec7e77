// ChunkStore: packs that the disk has damaged.
#include <algorithm>

#include "shared/store/chunk_rows.hpp"
#include "shared/store/chunk_store.hpp"

namespace lamina {

using chunk_rows::key_of;

Result<std::map<PackId, std::uint64_t>> ChunkStore::packs_in_index() const {
  std::map<PackId, std::uint64_t> packs;
  auto scanned = index_->read([&](const Kv::View& view) {
    return view.scan(chunk_rows::kPrefix, [&](std::string_view, std::string_view row) {
      if (const auto place = chunk_rows::parse_row(row)) ++packs[place->pack];
      return true;
    });
  });
  if (!scanned) return fail(std::move(scanned.error()));
  return packs;
}

// The pack itself cannot say: what is broken may be its index.
Result<std::vector<ChunkId>> ChunkStore::rows_of(const PackId& id) const {
  std::vector<ChunkId> ids;
  auto scanned = index_->read([&](const Kv::View& view) {
    return view.scan(chunk_rows::kPrefix, [&](std::string_view key, std::string_view row) {
      const auto place = chunk_rows::parse_row(row);
      const auto chunk = chunk_rows::parse_key(key);
      if (place && chunk && place->pack == id) ids.push_back(*chunk);
      return true;
    });
  });
  if (!scanned) return fail(std::move(scanned.error()));
  return ids;
}

Result<std::optional<LostPack>> ChunkStore::set_aside(
    const PackId& id, const PackLook& look, WallTime now,
    const std::function<void(std::string_view step)>& on_step) {
  const auto step = [&](std::string_view name) {
    if (on_step) on_step(name);
  };
  auto rows = rows_of(id);  // Takes long for a large index; nobody waits for it.
  if (!rows) return fail(std::move(rows.error()));
  // Whoever takes in packs has them there before their rows, and a sweep moves rows before packs
  // go.
  const std::unique_lock lock(intake_);
  const bool is_there = files_.has(id);
  if (is_there == (look.state == PackLook::State::lost)) return std::optional<LostPack>();
  if (is_there) {
    // Somebody may have brought it since, or memory may have been at fault.
    auto again = look_at_pack(files_, id);
    if (!again) return fail(std::move(again.error()));
    if (again->state != PackLook::State::broken) return std::optional<LostPack>();
  }

  LostPack note{.pack = id,
                .found = now,
                .size = is_there ? look.size : 0,
                .text = look.text,
                .wrong_blocks = look.wrong_blocks,
                .chunks = {}};
  std::map<ChunkId, std::uint32_t> chunks;
  {
    // One that was begun and not finished knows what the index does not have any more.
    const std::lock_guard guard(lost_mutex_);
    if (const auto known = lost_packs_.find(id); known != lost_packs_.end())
      for (const format::ChunkRef& chunk : known->second.chunks) chunks[chunk.id] = chunk.length;
  }
  const auto for_each_row = [&](const Kv::View& view, const auto& visit) -> Status {
    for (const ChunkId& chunk : *rows) {
      auto row = view.get(key_of(chunk));
      if (!row) return fail(std::move(row.error()));
      const auto place = *row ? chunk_rows::parse_row(**row) : std::nullopt;
      if (!place || place->pack != id) continue;  // It moved since.
      if (auto done = visit(chunk, *place); !done) return done;
    }
    return Done{};
  };
  bool is_listed = false;
  auto listed = index_->read([&](const Kv::View& view) {
    return for_each_row(view, [&](const ChunkId& chunk, const chunk_rows::Place& place) -> Status {
      chunks[chunk] = place.length;
      is_listed = true;
      return Done{};
    });
  });
  if (!listed) return fail(std::move(listed.error()));
  if (!is_there && !is_listed) return std::optional<LostPack>();
  for (const auto& [chunk, length] : chunks) note.chunks.push_back({chunk, length});

  if (auto done = write_lost_pack(files_.directory(), note); !done)
    return fail(std::move(done.error()));
  step("noted");
  auto erased = index_->write([&](Kv::Edit& edit) {
    return for_each_row(edit, [&](const ChunkId& chunk, const chunk_rows::Place&) {
      return edit.erase(key_of(chunk));
    });
  });
  if (!erased) return fail(std::move(erased.error()));
  step("unlisted");
  if (is_there) {
    if (auto done = os::rename_file(files_.path_of(id), unsound_path(files_.directory(), id));
        !done)
      return fail(std::move(done.error()));
    for (const char* directory : {"/unsound", "/packs"})
      if (auto done = os::sync_directory(files_.directory() + directory); !done)
        return fail(std::move(done.error()));
    step("aside");
  }
  forget_pack(id);
  note_lost(note);
  return std::optional(std::move(note));
}

Result<std::uint64_t> ChunkStore::mend(const PackId& id, const PackLook& look) {
  const std::shared_lock taking(intake_);
  auto pack = files_.read(id);
  if (!pack) {
    // A sweep was faster.
    if (pack.error().kind() == ErrorKind::not_found) return std::uint64_t{0};
    return fail(std::move(pack.error()));
  }
  std::uint64_t changed = 0;
  if (look.are_hashes_wrong) {
    const ByteView hashes = std::as_bytes(std::span(look.block_hashes));
    if (auto done = os::write_file(files_.tree_path_of(id), hashes); !done)
      return fail(std::move(done.error()));
    ++changed;
  }
  std::set<ChunkId> lost;
  bool is_noted = false;
  {
    const std::lock_guard guard(lost_mutex_);
    if (const auto known = lost_packs_.find(id); known != lost_packs_.end()) {
      is_noted = true;
      for (const format::ChunkRef& chunk : known->second.chunks) lost.insert(chunk.id);
    }
  }
  // A chunk may be there twice: any of its places is right.
  std::map<ChunkId, chunk_rows::Place> wrong;
  const auto look_at_rows = [&](const Kv::View& view) {
    std::set<ChunkId> right;
    wrong.clear();
    return chunk_rows::for_each_place(
        id, pack->index(), [&](const ChunkId& chunk, const chunk_rows::Place& place) -> Status {
          if (right.contains(chunk)) return Done{};
          auto row = view.get(key_of(chunk));
          if (!row) return fail(std::move(row.error()));
          const auto known = *row ? chunk_rows::parse_row(**row) : std::nullopt;
          const bool is_wrong =
              *row ? !known || (known->pack == id && *known != place) : lost.contains(chunk);
          if (is_wrong) {
            wrong[chunk] = place;
          } else {
            right.insert(chunk);
            wrong.erase(chunk);
          }
          return Done{};
        });
  };
  auto seen = index_->read(look_at_rows);
  if (seen && !wrong.empty()) {
    seen = index_->write([&](Kv::Edit& edit) -> Status {
      if (auto again = look_at_rows(edit); !again) return again;
      for (const auto& [chunk, place] : wrong)
        if (auto put = edit.put(key_of(chunk), chunk_rows::row_of(place)); !put) return put;
      return Done{};
    });
    forget_pack(id);
  }
  if (!seen) return fail(std::move(seen.error()));
  changed += wrong.size();
  if (is_noted) {
    if (auto done = drop_lost(id); !done) return fail(std::move(done.error()));
    ++changed;
  }
  return changed;
}

void ChunkStore::note_lost(LostPack note) {
  const std::lock_guard guard(lost_mutex_);
  for (const format::ChunkRef& chunk : note.chunks) lost_chunks_.insert(chunk.id);
  const PackId pack = note.pack;
  lost_packs_.insert_or_assign(pack, std::move(note));
}

Status ChunkStore::drop_lost(const PackId& id) {
  {
    const std::lock_guard guard(lost_mutex_);
    if (lost_packs_.erase(id) == 0) return Done{};
    lost_chunks_.clear();
    for (const auto& [pack, note] : lost_packs_)
      for (const format::ChunkRef& chunk : note.chunks) lost_chunks_.insert(chunk.id);
  }
  return remove_lost_pack(files_.directory(), id);
}

Result<std::uint64_t> ChunkStore::erase_aside(std::span<const ChunkId> ids) {
  std::uint64_t removed = 0;
  for (LostPack& note : lost_packs()) {
    const auto erased = std::erase_if(note.chunks, [&](const format::ChunkRef& chunk) {
      return std::ranges::binary_search(ids, chunk.id);
    });
    if (erased == 0) continue;
    // The bytes before the note: killed in between, the note says that they are to go.
    const std::string path = unsound_path(files_.directory(), note.pack);
    const bool is_there = os::exists(path);
    if (auto done = os::remove_file(path); !done && done.error().kind() != ErrorKind::not_found)
      return fail(std::move(done.error()));
    if (auto done = os::sync_directory(files_.directory() + "/unsound"); !done)
      return fail(std::move(done.error()));
    removed += is_there ? 1 : 0;
    // What else was in it is still missed.
    if (note.chunks.empty()) {
      if (auto done = drop_lost(note.pack); !done) return fail(std::move(done.error()));
      continue;
    }
    note.size = 0;
    if (auto done = write_lost_pack(files_.directory(), note); !done)
      return fail(std::move(done.error()));
    const std::lock_guard guard(lost_mutex_);
    lost_packs_[note.pack] = std::move(note);
    lost_chunks_.clear();
    for (const auto& [pack, one] : lost_packs_)
      for (const format::ChunkRef& chunk : one.chunks) lost_chunks_.insert(chunk.id);
  }
  return removed;
}

std::vector<LostPack> ChunkStore::lost_packs() const {
  const std::lock_guard guard(lost_mutex_);
  std::vector<LostPack> notes;
  for (const auto& [pack, note] : lost_packs_) notes.push_back(note);
  return notes;
}

Result<std::vector<ChunkId>> ChunkStore::lost(const std::vector<ChunkId>& ids) const {
  std::vector<ChunkId> noted;
  {
    const std::lock_guard guard(lost_mutex_);
    if (lost_chunks_.empty()) return noted;
    std::ranges::copy_if(ids, std::back_inserter(noted),
                         [&](const ChunkId& id) { return lost_chunks_.contains(id); });
  }
  return lacking(noted);
}

}  // namespace lamina
