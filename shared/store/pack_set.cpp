#include "shared/store/pack_set.hpp"

#include <algorithm>

#include "shared/base/assert.hpp"

namespace lamina {

PackSet::PackSet() = default;

Status PackSet::add(const std::string& path, const std::string& what) {
  auto pack = OpenPack::open(path, what);
  if (!pack) return fail(std::move(pack.error()));
  const auto number = static_cast<std::uint32_t>(packs_.size());
  std::uint32_t frame_number = 0;
  for (const format::Frame& frame : pack->index().frames) {
    std::uint32_t offset = 0;
    for (const format::ChunkRef& chunk : frame.chunks) {
      places_.push_back({chunk.id, number, frame_number, offset, chunk.length});
      offset += chunk.length;
    }
    ++frame_number;
  }
  packs_.push_back({.path = path, .what = what, .open = std::nullopt});
  sealed_ = false;
  return Done{};
}

void PackSet::seal() {
  std::ranges::sort(places_, {}, &Place::id);
  const auto repeated = std::ranges::unique(places_, {}, &Place::id);
  places_.erase(repeated.begin(), repeated.end());
  places_.shrink_to_fit();
  sealed_ = true;
}

const PackSet::Place* PackSet::find(const ChunkId& id) const {
  LAMINA_ASSERT(sealed_);
  const auto place = std::ranges::lower_bound(places_, id, {}, &Place::id);
  return place != places_.end() && place->id == id ? &*place : nullptr;
}

Result<const OpenPack*> PackSet::open(std::uint32_t number) {
  Member& member = packs_[number];
  if (!member.open) {
    auto pack = OpenPack::open(member.path, member.what);
    if (!pack) return fail(std::move(pack.error()));
    member.open = std::move(*pack);
    opened_.push_front(number);
    if (opened_.size() > kPacksKeptOpen) {
      packs_[opened_.back()].open.reset();
      opened_.pop_back();
    }
  }
  return &*member.open;
}

Result<const format::PlainFrame*> PackSet::frame_of(const Place& place) {
  const std::uint64_t key = std::uint64_t{place.pack} << 32 | place.frame;
  const auto known = std::ranges::find(frames_, key, &Decoded::key);
  if (known != frames_.end()) {
    frames_.splice(frames_.begin(), frames_, known);
    return &frames_.front().frame;
  }
  auto pack = open(place.pack);
  if (!pack) return fail(std::move(pack.error()));
  const std::string& what = packs_[place.pack].what;
  // The file was opened anew and may have been changed since: its index is not what it was.
  if (place.frame >= (*pack)->index().frames.size())
    return fail(ErrorKind::corrupt, what + " changed while it was read");
  const format::Frame& frame = (*pack)->index().frames[place.frame];
  auto coded = (*pack)->read_coded(frame);
  if (!coded) return fail(std::move(coded.error()));
  auto decoded = format::PlainFrame::decode(frame, *coded, decompressor_);
  if (!decoded) return fail(std::move(decoded.error()).in(what));
  frames_.push_front({key, std::move(*decoded)});
  if (frames_.size() > kFramesKept) frames_.pop_back();
  return &frames_.front().frame;
}

Result<Buffer> PackSet::read(const format::ChunkRef& ref) {
  const Place* place = find(ref.id);
  if (place == nullptr)
    return fail(ErrorKind::not_found, "no pack here holds chunk " + ref.id.short_hex());
  auto frame = frame_of(*place);
  if (!frame) return fail(std::move(frame.error()).in("reading chunk " + ref.id.short_hex()));
  // Its digest is that of the bytes read: a pack may have been changed, or made by somebody who
  // lies.
  auto bytes = (*frame)->chunk_at(place->offset, ref);
  if (!bytes) return fail(std::move(bytes.error()).in(packs_[place->pack].what));
  return to_buffer(*bytes);
}

format::ChunkSource PackSet::source() {
  return [this](const format::ChunkRef& ref) { return read(ref); };
}

}  // namespace lamina
