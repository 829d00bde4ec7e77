#include "shared/store/chunk_store.hpp"

#include <algorithm>
#include <list>
#include <optional>
#include <span>

#include "shared/format/patch.hpp"
#include "shared/store/chunk_rows.hpp"

namespace lamina {

using chunk_rows::key_of;

namespace {

// Their chunks are enough for all lanes of SHA-256 to be in use, and not too much memory.
constexpr std::size_t kFramesTogether = 4;
// What patches change is coded while a device waits, and often changes again the next day (m: a
// day's work, 98.0 MB are stored instead of 96.7 at level 3, for 0.3 s less of 4 s of processor).
constexpr int kPatchedLevel = 1;

// Whoever sends a chunk must have its bytes: naming one gives no right to it.
Status check_chunks(const format::PlainFrame& plain, const std::string& what) {
  for (std::size_t chunk = 0; chunk < plain.chunk_count(); ++chunk)
    if (auto sound = plain.chunk(chunk); !sound) return fail(std::move(sound.error()).in(what));
  return Done{};
}

// Reads every frame of a pack and checks every chunk; `visit` sees each frame once.
Status check_frames(const OpenPack& pack, const std::string& what,
                    const std::function<Status(const format::Frame&, ByteView coded,
                                               const format::PlainFrame&)>& visit) {
  ZstdDecompressor decompressor;
  std::span<const format::Frame> rest(pack.index().frames);
  while (!rest.empty()) {
    const auto frames = rest.first(std::min(kFramesTogether, rest.size()));
    rest = rest.subspan(frames.size());
    auto coded = pack.read_coded(frames);
    if (!coded) return fail(std::move(coded.error()));
    auto decoded = format::PlainFrame::decode(frames, coded->frames, decompressor);
    if (!decoded) return fail(std::move(decoded.error()).in(what));
    for (std::size_t i = 0; i < frames.size(); ++i) {
      const format::PlainFrame& plain = (*decoded)[i];
      if (auto sound = check_chunks(plain, what); !sound) return sound;
      if (auto done = visit(frames[i], coded->frames[i], plain); !done) return done;
    }
  }
  return Done{};
}

// The chunks of a patch.
Result<format::PlainFrame> build(const OpenPack& pack, const format::Frame& frame,
                                 const format::ChunkSource& references,
                                 ZstdDecompressor& decompressor) {
  auto coded = pack.read_coded(frame);
  if (!coded) return fail(std::move(coded.error()));
  auto patch = format::Patch::parse(frame, *coded, decompressor);
  if (!patch) return fail(std::move(patch.error()));
  auto plain = patch->build(references);
  if (!plain) return fail(ErrorKind::corrupt, "a patch cannot be built: " + plain.error().text());
  const format::Frame whole{.coder = format::Coder::raw,
                            .offset = 0,
                            .coded_size = frame.plain_size,
                            .plain_size = frame.plain_size,
                            .chunks = frame.chunks};
  return format::PlainFrame::decode(whole, *plain, decompressor);
}

// Removes a file that was handed over, whatever happens to it.
class Handed {
 public:
  explicit Handed(std::string path) : path_(std::move(path)) {}
  // It may be gone: published under its name, or never there.
  ~Handed() { static_cast<void>(os::remove_file(path_)); }
  Handed(const Handed&) = delete;
  Handed& operator=(const Handed&) = delete;

 private:
  std::string path_;
};

std::vector<ChunkId> chunks_of(const format::PackIndex& index) {
  std::vector<ChunkId> ids;
  for (const format::Frame& frame : index.frames)
    for (const format::ChunkRef& chunk : frame.chunks) ids.push_back(chunk.id);
  return ids;
}

}  // namespace

struct ChunkStore::Place : chunk_rows::Place {};

struct ChunkStore::Frames {
  struct Decoded {
    PackId pack;
    std::uint32_t frame;
    std::shared_ptr<const format::PlainFrame> plain;
  };
  static constexpr std::size_t kKept = 12;

  std::mutex mutex;
  std::list<Decoded> kept;
  struct Opened {
    PackId id;
    std::shared_ptr<const OpenPack> pack;
  };
  std::list<Opened> packs;
};

ChunkStore::ChunkStore(PackFiles files, os::FileLock lock, std::unique_ptr<Kv> index,
                       std::vector<LostPack> lost)
    : files_(std::move(files)),
      lock_(std::move(lock)),
      index_(std::move(index)),
      frames_(std::make_unique<Frames>()) {
  for (LostPack& note : lost) note_lost(std::move(note));
}

ChunkStore::~ChunkStore() = default;

Result<std::unique_ptr<ChunkStore>> ChunkStore::open(const std::string& directory) {
  // A new index would not know what is here, and everything would be sent again.
  if (!chunk_rows::has_index(directory)) {
    auto packs = PackFiles::open(directory, PackFiles::Access::read);
    if (!packs) return fail(std::move(packs.error()));
    auto ids = os::exists(directory + "/packs") ? packs->list() : std::vector<PackId>();
    if (!ids) return fail(std::move(ids.error()));
    if (!ids->empty())
      return fail(ErrorKind::corrupt, printable(directory) +
                                          " holds packs and no index: `lamina-origin repair` makes "
                                          "it from them");
  }
  if (auto done = os::make_directories(directory + "/index", 0700); !done)
    return fail(std::move(done.error()));
  auto lock = os::FileLock::take(directory + "/lock");
  if (!lock) return fail(std::move(lock.error()));
  auto files = PackFiles::open(directory, PackFiles::Access::write);
  if (!files) return fail(std::move(files.error()));
  auto index = Kv::open(directory + "/index");
  if (!index) return fail(std::move(index.error()));
  auto lost = read_lost_packs(directory);
  if (!lost) return fail(std::move(lost.error()));
  return std::unique_ptr<ChunkStore>(
      new ChunkStore(std::move(*files), std::move(*lock), std::move(*index), std::move(*lost)));
}

Result<bool> ChunkStore::has(const ChunkId& id) const {
  bool found = false;
  auto done = index_->read([&](const Kv::View& view) -> Status {
    auto row = view.get(key_of(id));
    if (!row) return fail(std::move(row.error()));
    found = row->has_value();
    return Done{};
  });
  if (!done) return fail(std::move(done.error()));
  return found;
}

Result<std::vector<ChunkId>> ChunkStore::lacking(const std::vector<ChunkId>& ids) const {
  std::vector<ChunkId> missing;
  auto done = index_->read([&](const Kv::View& view) -> Status {
    for (const ChunkId& id : ids) {
      auto row = view.get(key_of(id));
      if (!row) return fail(std::move(row.error()));
      if (!row->has_value()) missing.push_back(id);
    }
    return Done{};
  });
  if (!done) return fail(std::move(done.error()));
  return missing;
}

Result<std::vector<ChunkId>> ChunkStore::claim(const std::vector<ChunkId>& ids) {
  std::vector<ChunkId> missing;
  std::vector<ChunkId> unneeded;
  const auto look = [&](const Kv::View& view) -> Status {
    missing.clear();
    unneeded.clear();
    for (const ChunkId& id : ids) {
      auto row = view.get(key_of(id));
      if (!row) return fail(std::move(row.error()));
      if (!row->has_value())
        missing.push_back(id);
      else if (chunk_rows::unneeded_since(**row))
        unneeded.push_back(id);
    }
    return Done{};
  };
  auto done = index_->read(look);
  if (done && !unneeded.empty())
    done = index_->write([&](Kv::Edit& edit) -> Status {
      // A sweep may have been faster.
      if (auto looked = look(edit); !looked) return looked;
      for (const ChunkId& id : unneeded) {
        auto row = edit.get(key_of(id));
        const auto place = row && *row ? chunk_rows::parse_row(**row) : std::nullopt;
        if (!place)
          return fail(ErrorKind::corrupt,
                      "the index row of chunk " + id.short_hex() + " is broken");
        if (auto put = edit.put(key_of(id), chunk_rows::row_of(*place)); !put) return put;
      }
      return Done{};
    });
  if (!done) return fail(std::move(done.error()));
  return missing;
}

Result<Bytes> ChunkStore::plain_bytes(std::span<const ChunkId> ids) const {
  Bytes all;
  auto done = index_->read([&](const Kv::View& view) -> Status {
    for (const ChunkId& id : ids) {
      auto row = view.get(key_of(id));
      if (!row) return fail(std::move(row.error()));
      if (const auto place = *row ? chunk_rows::parse_row(**row) : std::nullopt)
        all += Bytes{static_cast<std::int64_t>(place->length)};
    }
    return Done{};
  });
  if (!done) return fail(std::move(done.error()));
  return all;
}

Result<ChunkStore::Place> ChunkStore::place_of(const ChunkId& id) const {
  std::optional<std::string> found;
  auto done = index_->read([&](const Kv::View& view) -> Status {
    auto row = view.get(key_of(id));
    if (!row) return fail(std::move(row.error()));
    found = std::move(*row);
    return Done{};
  });
  if (!done) return fail(std::move(done.error()));
  if (!found) return fail(ErrorKind::not_found, "the store has no chunk " + id.short_hex());
  const auto place = chunk_rows::parse_row(*found);
  if (!place)
    return fail(ErrorKind::corrupt, "the index row of chunk " + id.short_hex() + " is broken");
  return Place{*place};
}

Result<PackId> ChunkStore::pack_of(const ChunkId& id) const {
  auto place = place_of(id);
  if (!place) return fail(std::move(place.error()));
  return place->pack;
}

Result<std::shared_ptr<const OpenPack>> ChunkStore::open_pack(const PackId& id) const {
  {
    const std::lock_guard lock(frames_->mutex);
    for (const auto& opened : frames_->packs)
      if (opened.id == id) return opened.pack;
  }
  auto opened = files_.read(id);
  if (!opened) return fail(std::move(opened.error()));
  auto pack = std::make_shared<const OpenPack>(std::move(*opened));
  const std::lock_guard lock(frames_->mutex);
  frames_->packs.push_front({id, pack});
  if (frames_->packs.size() > Frames::kKept) frames_->packs.pop_back();
  return pack;
}

Result<ChunkStore::FramePlace> ChunkStore::frame_of(const ChunkId& id) const {
  auto place = place_of(id);
  if (!place) return fail(std::move(place.error()));
  return FramePlace{place->pack, place->frame};
}

Result<format::Frame> ChunkStore::frame(const FramePlace& place) const {
  auto pack = open_pack(place.pack);
  if (!pack) return fail(std::move(pack.error()));
  const auto& frames = (*pack)->index().frames;
  if (place.number >= frames.size())
    return fail(ErrorKind::corrupt, "the index and pack " + place.pack.short_hex() + " disagree");
  return frames[place.number];
}

Result<Buffer> ChunkStore::read_coded(const PackId& id, const format::Frame& frame) const {
  auto pack = open_pack(id);
  if (!pack) return fail(std::move(pack.error()));
  return (*pack)->read_coded(frame);
}

void ChunkStore::forget_pack(const PackId& id) const {
  const std::lock_guard lock(frames_->mutex);
  frames_->kept.remove_if([&](const Frames::Decoded& one) { return one.pack == id; });
  frames_->packs.remove_if([&](const Frames::Opened& one) { return one.id == id; });
}

Result<Buffer> ChunkStore::read(const format::ChunkRef& ref) const {
  auto place = place_of(ref.id);
  if (!place) return fail(std::move(place.error()));
  for (;;) {
    auto bytes = read_at(*place, ref);
    if (bytes || bytes.error().kind() != ErrorKind::not_found) return bytes;
    // A sweep may have moved it to another pack.
    auto moved = place_of(ref.id);
    if (!moved) return fail(std::move(moved.error()));
    if (*moved == *place) return bytes;
    place = std::move(moved);
  }
}

Result<Buffer> ChunkStore::read_at(const Place& at, const format::ChunkRef& ref) const {
  const std::string doing = "reading chunk " + ref.id.short_hex();
  const Place* const place = &at;
  std::shared_ptr<const format::PlainFrame> plain;
  {
    const std::lock_guard lock(frames_->mutex);
    auto& kept = frames_->kept;
    for (auto it = kept.begin(); it != kept.end(); ++it)
      if (it->frame == place->frame && it->pack == place->pack) {
        kept.splice(kept.begin(), kept, it);
        plain = kept.front().plain;
        break;
      }
  }
  if (!plain) {
    auto opened = open_pack(place->pack);
    if (!opened) return fail(std::move(opened.error()).in(doing));
    const std::shared_ptr<const OpenPack> pack = std::move(*opened);
    if (place->frame >= pack->index().frames.size())
      return fail(ErrorKind::corrupt,
                  doing + ": the index and pack " + place->pack.short_hex() + " disagree");
    const format::Frame& frame = pack->index().frames[place->frame];
    auto coded = pack->read_coded(frame);
    if (!coded) return fail(std::move(coded.error()).in(doing));
    ZstdDecompressor decompressor;
    auto decoded = format::PlainFrame::decode(frame, *coded, decompressor);
    if (!decoded)
      return fail(std::move(decoded.error()).in(doing + ": pack " + place->pack.short_hex()));
    plain = std::make_shared<const format::PlainFrame>(std::move(*decoded));
    const std::lock_guard lock(frames_->mutex);
    frames_->kept.push_front({place->pack, place->frame, plain});
    if (frames_->kept.size() > Frames::kKept) frames_->kept.pop_back();
  }
  auto bytes = plain->chunk_at(place->offset, ref);
  if (!bytes) return fail(std::move(bytes.error()).in(doing + ": pack " + place->pack.short_hex()));
  return to_buffer(*bytes);
}

format::ChunkSource ChunkStore::source() const {
  return [this](const format::ChunkRef& ref) { return read(ref); };
}

Status ChunkStore::index_pack(const PackId& id, const format::PackIndex& index) {
  return chunk_rows::put_pack(*index_, id, index);
}

Result<std::vector<ChunkId>> ChunkStore::take_in(const std::string& path, const PackId& expected) {
  const Handed handed(path);
  const std::string what = "pack " + expected.short_hex();
  auto identity = identify(path);
  if (!identity) return fail(std::move(identity.error()));
  if (identity->id != expected)
    return fail(ErrorKind::corrupt,
                what + " has the bytes of " + identity->id.short_hex() + ": send it again");
  auto pack = OpenPack::open(path, what);
  if (!pack) return fail(std::move(pack.error()));
  auto good = check_frames(
      *pack, what,
      [](const format::Frame&, ByteView, const format::PlainFrame&) -> Status { return Done{}; });
  if (!good) return fail(std::move(good.error()));
  const std::shared_lock taking(intake_);
  if (auto done = files_.publish(path, expected, identity->block_hashes); !done)
    return fail(std::move(done.error()));
  if (auto done = index_pack(expected, pack->index()); !done) return fail(std::move(done.error()));
  if (auto done = drop_lost(expected); !done) return fail(std::move(done.error()));
  return chunks_of(pack->index());
}

Result<std::vector<ChunkId>> ChunkStore::take_in_new(const std::string& path,
                                                     const PackId& expected,
                                                     const format::ChunkSource& references) {
  const Handed handed(path);
  const std::string what = "pack " + expected.short_hex();
  auto identity = identify(path);
  if (!identity) return fail(std::move(identity.error()));
  if (identity->id != expected)
    return fail(ErrorKind::corrupt,
                what + " has the bytes of " + identity->id.short_hex() + ": send it again");
  auto pack = OpenPack::open(path, what);
  if (!pack) return fail(std::move(pack.error()));

  const std::shared_lock taking(intake_);
  const bool has_patches = pack->has_patches();
  PackWriter writer(
      files_, {.level = has_patches ? kPatchedLevel : PackWriter::Options().level},
      [this](const format::PackSummary& summary) { return index_pack(summary.id, summary.index); });
  const auto add_missing = [&](const format::Frame& frame, ByteView coded,
                               const format::PlainFrame& plain) -> Status {
    std::vector<ChunkId> ids;
    for (const format::ChunkRef& chunk : frame.chunks) ids.push_back(chunk.id);
    auto missing = claim(ids);
    if (!missing) return fail(std::move(missing.error()));
    if (!has_patches && missing->size() == ids.size()) return writer.add_frame(frame, coded);
    std::size_t next = 0;
    for (std::size_t i = 0; i < frame.chunks.size() && next < missing->size(); ++i) {
      if ((*missing)[next] != frame.chunks[i].id) continue;
      ++next;
      auto bytes = plain.chunk(i);
      if (!bytes) return fail(std::move(bytes.error()));
      if (auto done = writer.add(frame.chunks[i], *bytes, ContentClass::data); !done) return done;
    }
    return Done{};
  };
  Status good = Done{};
  if (has_patches) {
    ZstdDecompressor decompressor;
    for (const format::Frame& frame : pack->index().frames) {
      auto built = build(*pack, frame, references, decompressor);
      good = built ? check_chunks(*built, what) : fail(std::move(built.error()).in(what));
      if (good) good = add_missing(frame, {}, *built);
      if (!good) break;
    }
  } else {
    good = check_frames(*pack, what, add_missing);
  }
  if (good) good = writer.finish();
  if (!good) return fail(std::move(good.error()));
  return chunks_of(pack->index());
}

Result<Bytes> ChunkStore::write_apart(const std::vector<Part>& parts, int level) {
  const std::shared_lock taking(intake_);
  PackWriter writer(files_, {.level = level}, [this](const format::PackSummary& summary) {
    return index_pack(summary.id, summary.index);
  });
  ZstdDecompressor decompressor;
  std::span<const Part> rest(parts);
  while (!rest.empty()) {
    const PackId id = rest.front().frame.pack;
    std::size_t count = 1;
    while (count < std::min(kFramesTogether, rest.size()) && rest[count].frame.pack == id) ++count;
    const auto together = rest.first(count);
    rest = rest.subspan(count);
    const std::string what = "pack " + id.short_hex();
    std::vector<format::Frame> frames;
    std::vector<Buffer> coded;
    for (const Part& part : together) {
      auto frame = this->frame(part.frame);
      if (!frame) return fail(std::move(frame.error()));
      if (part.chunks.size() != frame->chunks.size())
        return fail(ErrorKind::invalid, what + " has other frames than was said");
      auto bytes = read_coded(id, *frame);
      if (!bytes) return fail(std::move(bytes.error()));
      frames.push_back(std::move(*frame));
      coded.push_back(std::move(*bytes));
    }
    const std::vector<ByteView> views(coded.begin(), coded.end());
    auto decoded = format::PlainFrame::decode(frames, views, decompressor);
    if (!decoded) return fail(std::move(decoded.error()).in(what));
    for (std::size_t i = 0; i < count; ++i) {
      const std::vector<bool>& wanted = together[i].chunks;
      const bool is_whole = std::ranges::find(wanted, false) == wanted.end();
      const auto content =
          frames[i].coder == format::Coder::raw ? ContentClass::compressed : ContentClass::data;
      for (std::size_t chunk = 0; chunk < wanted.size(); ++chunk) {
        if (!wanted[chunk]) continue;
        auto plain = (*decoded)[i].chunk(chunk);
        if (!plain) return fail(std::move(plain.error()).in(what));
        if (is_whole) continue;
        if (auto done = writer.add(frames[i].chunks[chunk], *plain, content); !done)
          return fail(std::move(done.error()));
      }
      if (!is_whole) continue;
      if (auto done = writer.add_frame(frames[i], coded[i]); !done)
        return fail(std::move(done.error()));
    }
  }
  if (auto done = writer.finish(); !done) return fail(std::move(done.error()));
  return Bytes{static_cast<std::int64_t>(writer.bytes_written())};
}

}  // namespace lamina
