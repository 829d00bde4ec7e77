#include "shared/store/pack_set.hpp"

#include <algorithm>
#include <future>
#include <iterator>
#include <span>

#include "shared/base/assert.hpp"

namespace lamina {
namespace {

std::uint64_t key_of(std::uint32_t pack, std::uint32_t frame) {
  return std::uint64_t{pack} << 32 | frame;
}

}  // namespace

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
  const auto is_same = [](const Place& one, const Place& other) { return one.id == other.id; };
  places_.erase(std::unique(places_.begin(), places_.end(), is_same), places_.end());
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
  const std::uint64_t key = key_of(place.pack, place.frame);
  const auto known = std::ranges::find(frames_, key, &Decoded::key);
  if (known != frames_.end()) {
    frames_.splice(frames_.begin(), frames_, known);
    return &frames_.front().frame;
  }
  auto pack = open(place.pack);
  if (!pack) return fail(std::move(pack.error()));
  if (auto done = decode(**pack, place); !done) return fail(std::move(done.error()));
  return &frames_.front().frame;
}

// The frame of the place comes to the front, and those that may be wanted soon behind it.
Status PackSet::decode(const OpenPack& pack, const Place& place) {
  const std::string& what = packs_[place.pack].what;
  const std::span<const format::Frame> frames(pack.index().frames);
  // The file was opened anew and may have been changed since: its index is not what it was.
  if (place.frame >= frames.size())
    return fail(ErrorKind::corrupt, what + " changed while it was read");
  // Twice as many as the last time for who goes on where those ended; who jumps gets one.
  const bool goes_on = place.pack == last_pack_ && place.frame == next_frame_;
  frames_ahead_ = goes_on ? std::min(2 * frames_ahead_, kFramesTogether) : 1;
  const auto wanted = frames.subspan(
      place.frame, std::min<std::size_t>(frames_ahead_, frames.size() - place.frame));
  last_pack_ = place.pack;
  next_frame_ = place.frame + static_cast<std::uint32_t>(wanted.size());
  auto coded = pack.read_coded(wanted);
  if (!coded) return fail(std::move(coded.error()));
  const std::span<const ByteView> views(coded->frames);
  auto decoded = decode_in_halves(wanted, views);
  // One that is damaged must not take those before it along.
  if (!decoded && wanted.size() > 1)
    decoded = format::PlainFrame::decode(wanted.first(1), views.first(1), decompressor_);
  if (!decoded) return fail(std::move(decoded.error()).in(what));
  for (std::size_t i = decoded->size(); i-- > 0;) {
    const auto key = key_of(place.pack, place.frame + static_cast<std::uint32_t>(i));
    std::erase_if(frames_, [key](const Decoded& known) { return known.key == key; });
    frames_.push_front({key, std::move((*decoded)[i])});
  }
  std::size_t bytes = 0;
  std::size_t kept = 0;
  for (const Decoded& known : frames_) {
    bytes += known.frame.plain().size();
    if (kept > 0 && (kept == kFramesKept || bytes > kBytesKept)) break;
    ++kept;
  }
  frames_.erase(std::next(frames_.begin(), static_cast<std::ptrdiff_t>(kept)), frames_.end());
  return Done{};
}

// Several go through two threads: decoding takes longer than writing what is decoded.
Result<std::vector<format::PlainFrame>> PackSet::decode_in_halves(
    std::span<const format::Frame> frames, std::span<const ByteView> coded) {
  using format::PlainFrame;
  const std::size_t half = frames.size() / 2;
  if (half == 0) return PlainFrame::decode(frames, coded, decompressor_);
  auto later = std::async(std::launch::async, [&] {
    return PlainFrame::decode(frames.subspan(half), coded.subspan(half), other_decompressor_);
  });
  auto decoded = PlainFrame::decode(frames.first(half), coded.first(half), decompressor_);
  auto rest = later.get();
  if (!decoded) return decoded;
  if (!rest) return rest;
  std::ranges::move(*rest, std::back_inserter(*decoded));
  return decoded;
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
