#include "shared/store/pack_part.hpp"

#include <algorithm>

namespace lamina {
namespace {

// m: packs of 16 MiB have an index of 15 to 40 KB.
constexpr std::uint64_t kIndexByHabit = 64 * 1024;

// Those of `more` too.
void add_ranges(std::vector<ByteRange>& ranges, const std::vector<ByteRange>& more) {
  ranges.insert(ranges.end(), more.begin(), more.end());
  std::ranges::sort(ranges, {}, &ByteRange::begin);
  std::vector<ByteRange> merged;
  for (const ByteRange& range : ranges)
    if (!merged.empty() && range.begin <= merged.back().end)
      merged.back().end = std::max(merged.back().end, range.end);
    else
      merged.push_back(range);
  ranges = std::move(merged);
}

bool covers(const std::vector<ByteRange>& ranges, const ByteRange& wanted) {
  return std::ranges::any_of(ranges, [&](const ByteRange& range) {
    return range.begin <= wanted.begin && wanted.end <= range.end;
  });
}

ByteRange range_of(const format::Frame& frame) {
  return {frame.offset, frame.offset + frame.coded_size};
}

// The frames with the chunks.
Result<std::vector<format::Frame>> frames_of(const format::PackIndex& index,
                                             const std::set<ChunkId>& chunks) {
  std::vector<format::Frame> frames;
  std::set<ChunkId> found;
  for (const format::Frame& frame : index.frames) {
    const std::size_t before = found.size();
    for (const format::ChunkRef& chunk : frame.chunks)
      if (chunks.contains(chunk.id)) found.insert(chunk.id);
    if (found.size() > before) frames.push_back(frame);
  }
  if (found.size() < chunks.size())
    return fail(ErrorKind::corrupt, "it has not all of the chunks that it should have");
  return frames;
}

Status check_chunks(const format::PlainFrame& plain, const format::Frame& frame,
                    const std::set<ChunkId>& chunks) {
  for (std::size_t i = 0; i < frame.chunks.size(); ++i)
    if (chunks.contains(frame.chunks[i].id))
      if (auto sound = plain.chunk(i); !sound) return fail(std::move(sound.error()));
  return Done{};
}

}  // namespace

PackPart make_part(std::set<ChunkId> chunks, std::uint64_t pack_size) {
  return {std::move(chunks), {{pack_size - std::min(pack_size, kIndexByHabit), pack_size}}};
}

Result<bool> take_part(const std::string& path, std::uint64_t pack_size, PackPart& part,
                       PackWriter& into) {
  if (pack_size < format::kPackHeaderSize + format::kPackFooterSize)
    return fail(ErrorKind::corrupt, path + ": no pack is as small");
  auto file = os::open_read(path);
  if (!file) return fail(std::move(file.error()));
  const auto read = [&](const ByteRange& range) {
    return os::read_at(file->get(), range.begin, range.end - range.begin, path);
  };
  auto footer = read({pack_size - format::kPackFooterSize, pack_size});
  if (!footer) return fail(std::move(footer.error()));
  auto place = format::parse_pack_footer(*footer, pack_size);
  if (!place) return fail(std::move(place.error()).in(path));
  const ByteRange of_index{place->offset, place->offset + place->size};
  if (!covers(part.ranges, of_index)) {
    add_ranges(part.ranges, {of_index});
    return false;
  }
  auto index_bytes = read(of_index);
  if (!index_bytes) return fail(std::move(index_bytes.error()));
  auto index = format::parse_pack_index(*index_bytes, *place);
  if (!index) return fail(std::move(index.error()).in(path));
  auto frames = frames_of(*index, part.chunks);
  if (!frames) return fail(std::move(frames.error()).in(path));
  std::vector<ByteRange> wanted;
  for (const format::Frame& frame : *frames) wanted.push_back(range_of(frame));
  if (!std::ranges::all_of(wanted, [&](const auto& range) { return covers(part.ranges, range); })) {
    add_ranges(part.ranges, wanted);
    return false;
  }
  // All of them are looked at before the first is copied.
  ZstdDecompressor decompressor;
  for (const bool is_copied : {false, true})
    for (const format::Frame& frame : *frames) {
      auto coded = read(range_of(frame));
      if (!coded) return fail(std::move(coded.error()));
      if (is_copied) {
        if (auto done = into.add_frame(frame, *coded); !done) return fail(std::move(done.error()));
        continue;
      }
      auto plain = format::PlainFrame::decode(frame, *coded, decompressor);
      if (!plain) return fail(std::move(plain.error()).in(path));
      if (auto sound = check_chunks(*plain, frame, part.chunks); !sound)
        return fail(std::move(sound.error()).in(path));
    }
  return true;
}

}  // namespace lamina
