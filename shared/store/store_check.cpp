#include "shared/store/store_check.hpp"

#include <map>
#include <memory>
#include <optional>

#include "shared/store/chunk_rows.hpp"
#include "shared/store/kv.hpp"
#include "shared/store/lost_pack.hpp"
#include "shared/store/pack_look.hpp"

namespace lamina {
namespace {

using Kind = StoreFinding::Kind;

bool is_in_part(const PackId& id, const StoreCheckOptions& options) {
  const auto first = std::to_integer<std::uint32_t>(id.bytes()[0]);
  const auto second = std::to_integer<std::uint32_t>(id.bytes()[1]);
  return (first * 256 + second) % options.parts == options.part - 1;
}

class Checking {
 public:
  Checking(const PackFiles& files, const StoreCheckOptions& options)
      : files_(files), options_(options) {}

  Result<StoreCheck> run();

 private:
  Status count_rows();
  Status look_at_pack(const PackId& id);
  Status look_at_index(const PackId& id, const format::PackIndex& index);
  Status look_at_aside(const LostPack& note);
  std::set<ChunkId> broken_chunks(const OpenPack& pack);
  Status name_unreadable();
  void found(Kind kind, const PackId& pack, std::string text) {
    check_.findings.push_back({kind, pack, std::move(text), {}});
  }

  const PackFiles& files_;
  const StoreCheckOptions& options_;
  std::unique_ptr<Kv> index_;              // None: it is lost.
  std::map<PackId, std::uint64_t> rows_;   // Of the index, that name a pack.
  std::map<PackId, std::uint64_t> packs_;  // That are looked at, and their bytes.
  std::set<PackId> unusable_;              // None of their chunks can be had.
  StoreCheck check_;
};

Status Checking::count_rows() {
  if (!chunk_rows::has_index(files_.directory())) {
    found(Kind::index_lost, {}, "there is no index in " + printable(files_.directory()));
    return Done{};
  }
  auto index = Kv::open(files_.directory() + "/index");
  if (!index && index.error().kind() != ErrorKind::corrupt) return fail(std::move(index.error()));
  Status scanned = Done{};
  std::uint64_t broken = 0;
  if (index)
    scanned = (*index)->read([&](const Kv::View& view) {
      return view.scan(chunk_rows::kPrefix, [&](std::string_view key, std::string_view row) {
        const auto place = chunk_rows::parse_row(row);
        if (place && chunk_rows::parse_key(key))
          ++rows_[place->pack];
        else
          ++broken;
        return true;
      });
    });
  else
    scanned = fail(std::move(index.error()));
  if (!scanned) {
    if (scanned.error().kind() != ErrorKind::corrupt) return scanned;
    found(Kind::index_lost, {}, scanned.error().text());
    return Done{};
  }
  if (broken > 0)
    found(Kind::rows_wrong, {}, std::to_string(broken) + " rows of the index do not parse");
  index_ = std::move(*index);
  return Done{};
}

// Those whose bytes are not what their ids say.
std::set<ChunkId> Checking::broken_chunks(const OpenPack& pack) {
  std::set<ChunkId> broken;
  ZstdDecompressor decompressor;
  for (const format::Frame& frame : pack.index().frames) {
    auto coded = pack.read_coded(frame);
    auto plain = coded ? format::PlainFrame::decode(frame, *coded, decompressor)
                       : Result<format::PlainFrame>(fail(std::move(coded.error())));
    for (std::size_t i = 0; i < frame.chunks.size(); ++i)
      if (!plain || !plain->chunk(i)) broken.insert(frame.chunks[i].id);
  }
  return broken;
}

Status Checking::look_at_pack(const PackId& id) {
  const std::string what = "pack " + id.hex();
  ++check_.packs;
  auto pack = OpenPack::open(files_.path_of(id), what);
  if (!pack) {
    found(Kind::pack_broken, id, pack.error().text());
    unusable_.insert(id);
    return Done{};
  }
  for (const format::Frame& frame : pack->index().frames) check_.chunks += frame.chunks.size();
  if (auto hashes = files_.block_hashes(id); !hashes)
    found(Kind::hashes_broken, id, hashes.error().text());
  if (auto done = look_at_index(id, pack->index()); !done) return done;
  if (!options_.read_data) return Done{};
  check_.read = check_.read + Bytes{static_cast<std::int64_t>(pack->size())};
  auto look = lamina::look_at_pack(files_, id);
  if (!look) return fail(std::move(look.error()));
  if (look->state == PackLook::State::sound) return Done{};
  found(Kind::pack_broken, id, look->text);
  check_.findings.back().unreadable = broken_chunks(*pack);
  return Done{};
}

// What of it is not back.
Status Checking::look_at_aside(const LostPack& note) {
  std::set<ChunkId> missing;
  auto done = index_->read([&](const Kv::View& view) -> Status {
    for (const format::ChunkRef& chunk : note.chunks) {
      auto row = view.get(chunk_rows::key_of(chunk.id));
      if (!row) return fail(std::move(row.error()));
      if (!*row) missing.insert(chunk.id);
    }
    return Done{};
  });
  if (!done || missing.empty()) return done;
  found(Kind::pack_aside, note.pack, "pack " + note.pack.hex() + " was set aside: " + note.text);
  check_.findings.back().unreadable = std::move(missing);
  return Done{};
}

// The index may have a chunk in another pack: then that one is asked.
Status Checking::look_at_index(const PackId& id, const format::PackIndex& index) {
  if (!index_) return Done{};
  std::uint64_t here = 0;
  std::uint64_t unknown = 0;
  std::set<ChunkId> misplaced;
  auto done = index_->read([&](const Kv::View& view) -> Status {
    std::set<ChunkId> seen;
    const auto look = [&](const ChunkId& chunk, const chunk_rows::Place& place) -> Status {
      auto row = view.get(chunk_rows::key_of(chunk));
      if (!row) return fail(std::move(row.error()));
      const auto known = *row ? chunk_rows::parse_row(**row) : std::nullopt;
      if (!known) return ++unknown, Done{};
      if (known->pack != id || !seen.insert(chunk).second) return Done{};
      ++here;
      if (*known != place) misplaced.insert(chunk);
      return Done{};
    };
    return chunk_rows::for_each_place(id, index, look);
  });
  if (!done) return done;
  check_.unknown += unknown;
  const auto rows = rows_.find(id);
  const std::uint64_t stray = rows == rows_.end() ? 0 : rows->second - std::min(rows->second, here);
  if (stray + misplaced.size() == 0) return Done{};
  found(Kind::rows_wrong, id,
        "the index has " + std::to_string(stray + misplaced.size()) + " chunks in pack " +
            id.hex() + " where they are not");
  check_.findings.back().unreadable = std::move(misplaced);
  return Done{};
}

// Of packs that cannot be read at all, the index alone says what they had.
Status Checking::name_unreadable() {
  if (!index_ || unusable_.empty()) return Done{};
  std::map<PackId, std::set<ChunkId>> had;
  auto scanned = index_->read([&](const Kv::View& view) {
    return view.scan(chunk_rows::kPrefix, [&](std::string_view key, std::string_view row) {
      const auto place = chunk_rows::parse_row(row);
      const auto id = chunk_rows::parse_key(key);
      if (place && id && unusable_.contains(place->pack)) had[place->pack].insert(*id);
      return true;
    });
  });
  if (!scanned) return scanned;
  for (StoreFinding& finding : check_.findings)
    if (const auto of = had.find(finding.pack); of != had.end()) finding.unreadable = of->second;
  return Done{};
}

Result<StoreCheck> Checking::run() {
  // First the index: a pack is there before its rows are.
  if (auto done = count_rows(); !done) return fail(std::move(done.error()));
  auto ids = files_.list();
  if (!ids) return fail(std::move(ids.error()));
  const std::set<PackId> present(ids->begin(), ids->end());
  Bytes total;
  for (const PackId& id : present) {
    if (!is_in_part(id, options_)) continue;
    auto size = files_.size_of(id);
    packs_[id] = size ? *size : 0;  // Looking at it says what is wrong.
    total = total + Bytes{static_cast<std::int64_t>(packs_[id])};
  }
  Bytes done_bytes;
  for (const auto& [id, size] : packs_) {
    if (options_.progress) options_.progress(done_bytes, total);
    if (auto done = look_at_pack(id); !done) return fail(std::move(done.error()));
    done_bytes = done_bytes + Bytes{static_cast<std::int64_t>(size)};
  }
  for (const auto& [id, count] : rows_) {
    if (present.contains(id) || !is_in_part(id, options_)) continue;
    found(Kind::pack_lost, id,
          "pack " + id.hex() + " is not there; the index has " + std::to_string(count) +
              " chunks in it");
    unusable_.insert(id);
  }
  if (auto done = name_unreadable(); !done) return fail(std::move(done.error()));
  auto notes = read_lost_packs(files_.directory());
  if (!notes) return fail(std::move(notes.error()));
  for (const LostPack& note : *notes)
    if (index_ && is_in_part(note.pack, options_))
      if (auto done = look_at_aside(note); !done) return fail(std::move(done.error()));
  return std::move(check_);
}

}  // namespace

std::string_view name_of(StoreFinding::Kind kind) {
  switch (kind) {
    case Kind::index_lost: return "index-lost";
    case Kind::pack_lost: return "pack-lost";
    case Kind::pack_aside: return "pack-aside";
    case Kind::pack_broken: return "pack-broken";
    case Kind::hashes_broken: return "hashes-broken";
    case Kind::rows_wrong: return "rows-wrong";
  }
  return "unknown";
}

Result<StoreCheck> check_store(const std::string& directory, const StoreCheckOptions& options) {
  if (!os::exists(directory + "/packs"))
    return fail(ErrorKind::not_found, printable(directory) + " holds no packs");
  auto files = PackFiles::open(directory, PackFiles::Access::read);
  if (!files) return fail(std::move(files.error()));
  return Checking(*files, options).run();
}

}  // namespace lamina
