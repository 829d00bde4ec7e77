#include "shared/delta/frame.hpp"

#include <algorithm>
#include <functional>
#include <optional>

#include "shared/base/assert.hpp"
#include "shared/codec/referenced.hpp"
#include "shared/delta/file_number.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina::delta {
namespace {

// The second has streams in segments; frames without them are still written as the first.
constexpr std::uint8_t kVersion = 2;
constexpr std::uint8_t kVersionWithoutSegments = 1;
constexpr std::uint8_t kSplit = 1;      // A flag of an item.
constexpr std::uint8_t kPlaces = 0x10;  // Beside a stream's coder.
constexpr std::uint8_t kSegments = 0x20;
constexpr std::size_t kLeastNamed = 4;   // Bytes of the shortest item, and of the shortest
constexpr std::size_t kLeastStream = 4;  // stream entry.

// LZMA2 takes a dictionary of its own, at the receiver too, of at most 64 MiB: a stretch and its
// reference that are much larger see each other no longer, and are zstd's. A segment and its reach
// are a little larger (m: libxul's code of two builds, 30.7 MB instead of zstd's 31.7 at level 19).
constexpr std::uint64_t kLzmaBytesMax = std::uint64_t{96} << 20;

// A long stream is coded in segments, each against what lies at the same place of the reference in
// proportion, and kReach before and behind: a receiver holds no more of the reference than that. m:
// libxul's code of two builds (123 MB), zstd at level 9: 36.29 MB instead of 36.03, in the same
// time.
constexpr std::uint64_t kSegment = std::uint64_t{32} << 20;
constexpr std::uint64_t kReach = std::uint64_t{8} << 20;

struct Segment {
  std::uint64_t begin, end;              // Of the stream.
  std::uint64_t reach_begin, reach_end;  // Of its reference.
};
std::vector<Segment> segments_of(std::uint64_t plain, std::uint64_t reference,
                                 bool is_in_segments) {
  if (!is_in_segments) return {{0, plain, 0, reference}};
  std::vector<Segment> segments;
  const auto in_reference = [&](std::uint64_t at) { return at * reference / plain; };
  static_assert(kFrameContentsMax <= UINT32_MAX);
  for (std::uint64_t at = 0; at < plain; at += kSegment) {
    const std::uint64_t end = std::min(at + kSegment, plain);
    const std::uint64_t from = in_reference(at);
    segments.push_back(
        {at, end, from - std::min(from, kReach), std::min(reference, in_reference(end) + kReach)});
  }
  return segments;
}

// m: to Debian 13 from 12, levels 12 with references and 9 without: 299 MB, instead of 303 with
// levels 11 and 9 and 307 with 9 and 7, in 1.3 times the sender's time of the latter.
int zstd_level(Effort effort, bool has_references) {
  if (effort == Effort::fast) return 3;
  return has_references ? 12 : 9;
}
// Shows which way to write code is the better one.
constexpr int kZstdTrial = 1;
// With high effort: of what LZMA2 does not take, and beside it, for the little that it makes no
// smaller.
constexpr int kZstdHighest = 19;
constexpr int kZstdBeside = 5;

// Tells one sequence of reference streams from another: XXH3 of the streams' own XXH3.
class StreamsChecksum {
 public:
  void add(StreamId id, std::uint64_t sum) { sums_[id] = sum; }
  std::uint64_t value() const {
    Writer all;
    for (const auto& [id, sum] : sums_) all.u64(sum);
    return xxh3(all.view());
  }

 private:
  std::map<StreamId, std::uint64_t> sums_;
};

struct CodedStream {
  FrameHead::StreamEntry entry;
  Buffer bytes;
};

// LZMA2 takes 3 processor seconds a coded MB for a sixth less of libxul's code; of streams that are
// mostly known, a fifth to a half less (kernel modules, .rodata, BTF), but for a month's updates of
// 2 GB these are 47 s for 4 of 91 MB (m): with high effort only.
bool is_worth_lzma2(const std::vector<Segment>& segments) {
  return std::ranges::all_of(segments, [](const Segment& segment) {
    return segment.end - segment.begin + segment.reach_end - segment.reach_begin <= kLzmaBytesMax;
  });
}

void write_named(Writer& out, const std::vector<FrameHead::Named>& all) {
  out.varint(all.size());
  std::int64_t before = 0;
  for (const FrameHead::Named& named : all) {
    write_file_number(out, named.name.file, before);
    out.varint(named.name.member);
    out.varint(named.size);
    out.u8(named.is_split ? kSplit : 0);
  }
}

std::vector<FrameHead::Named> read_named(Reader& in) {
  std::vector<FrameHead::Named> all(in.count(kLeastNamed));
  std::int64_t file = 0;
  for (FrameHead::Named& named : all) {
    named.name.file = read_file_number(in, file);
    named.name.member = static_cast<std::uint32_t>(in.varint(UINT32_MAX));
    named.size = in.varint(kFrameContentsMax);
    const std::uint8_t flags = in.u8();
    if (flags > kSplit) in.set_failed();
    named.is_split = flags == kSplit;
    if (in.failed()) return {};
  }
  return all;
}

Buffer write_head(const FrameHead& head) {
  Writer body;
  write_named(body, head.items);
  write_named(body, head.references);
  body.varint(head.streams.size());
  for (const FrameHead::StreamEntry& stream : head.streams) {
    body.u8(stream.id);
    body.u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(stream.coder) |
                                      (stream.targets == Targets::places ? kPlaces : 0) |
                                      (stream.is_in_segments ? kSegments : 0)));
    body.varint(stream.plain_size);
    for (const std::uint64_t size : stream.coded_sizes) body.varint(size);
  }
  body.u64(head.references_checksum);
  body.raw(head.items_digest);
  Writer out;
  out.u8(std::ranges::any_of(head.streams, &FrameHead::StreamEntry::is_in_segments)
             ? kVersion
             : kVersionWithoutSegments);
  out.varint(body.size());
  out.raw(body.view());
  return out.take();
}

std::uint64_t sum(const std::vector<FrameHead::Named>& all) {
  std::uint64_t bytes = 0;
  for (const FrameHead::Named& named : all) bytes += named.size;
  return bytes;
}

Result<SplitContents> split(std::span<const Item> items) {
  std::vector<Source> sources;
  for (const Item& item : items) sources.push_back(item.content);
  return SplitContents::of(std::move(sources));
}

std::vector<FrameHead::Named> names_of(std::span<const Item> items) {
  std::vector<FrameHead::Named> names;
  for (const Item& item : items) names.push_back({item.name, item.content.size, false});
  return names;
}

// The bytes of a stream and of its reference, written in one way at a time.
class Gathered {
 public:
  Gathered(StreamId id, const SplitContents& contents, const SplitContents& references)
      : id_(id), contents_(contents), references_(references) {}

  Status write(Targets targets) {
    if (targets_ == targets) return Done{};
    targets_.reset();
    auto bytes = contents_.gather(id_, targets);
    if (!bytes) return fail(std::move(bytes.error()));
    plain = std::move(*bytes);
    bytes = references_.gather(id_, targets);
    if (!bytes) return fail(std::move(bytes.error()));
    reference = std::move(*bytes);
    targets_ = targets;
    return Done{};
  }
  Buffer plain;
  Buffer reference;

 private:
  StreamId id_;
  const SplitContents& contents_;
  const SplitContents& references_;
  std::optional<Targets> targets_;
};

// A stream's segments, coded one by one.
template <class Code>
CodedStream code_segments(StreamCoder coder, const Gathered& stream,
                          const std::vector<Segment>& segments, const Code& code) {
  CodedStream coded{.entry = {.coder = coder}, .bytes = {}};
  for (const Segment& segment : segments) {
    const Buffer bytes =
        code(ByteView(stream.plain)
                 .subspan(static_cast<std::size_t>(segment.begin),
                          static_cast<std::size_t>(segment.end - segment.begin)),
             ByteView(stream.reference)
                 .subspan(static_cast<std::size_t>(segment.reach_begin),
                          static_cast<std::size_t>(segment.reach_end - segment.reach_begin)));
    coded.entry.coded_sizes.push_back(bytes.size());
    coded.bytes.insert(coded.bytes.end(), bytes.begin(), bytes.end());
  }
  return coded;
}

// The way to write code that zstd codes in the fewest bytes, which a low level shows.
Result<Targets> best_way(StreamId id, const SplitContents& contents, bool has_references,
                         Gathered& stream, ReferencedCoder& coder) {
  if (!contents.has_code(id)) return Targets::distances;
  // Without old code, places repeat wherever distances do (m: 2 GB of Debian).
  if (!has_references) return Targets::places;
  std::size_t as_distances = 0;
  for (const Targets targets : {Targets::distances, Targets::places}) {
    if (auto written = stream.write(targets); !written) return fail(std::move(written.error()));
    const std::size_t size = coder.with_zstd(stream.plain, stream.reference, kZstdTrial).size();
    if (targets == Targets::distances)
      as_distances = size;
    else if (size < as_distances)
      return Targets::places;
  }
  return Targets::distances;
}

// The best way to write code, then the coder that gives the fewest bytes.
Result<CodedStream> code_best(StreamId id, const SplitContents& contents,
                              const SplitContents& references, Effort effort,
                              StreamsChecksum& checksum, ReferencedCoder& coder) {
  Gathered stream(id, contents, references);
  const bool has_references = !references.sizes().empty();
  const auto targets = best_way(id, contents, has_references, stream, coder);
  if (!targets) return fail(targets.error());
  if (auto written = stream.write(*targets); !written) return fail(std::move(written.error()));
  checksum.add(id, xxh3(stream.reference));
  const bool is_in_segments = stream.plain.size() > kSegment;
  const auto segments = segments_of(stream.plain.size(), stream.reference.size(), is_in_segments);
  const auto with_zstd = [&](int level) {
    return code_segments(StreamCoder::zstd, stream, segments,
                         [&](ByteView plain, ByteView reference) {
                           return coder.with_zstd(plain, reference, level);
                         });
  };
  const bool tries_lzma2 = effort == Effort::high && is_worth_lzma2(segments);
  CodedStream best = with_zstd(tries_lzma2              ? kZstdBeside
                               : effort == Effort::high ? kZstdHighest
                                                        : zstd_level(effort, has_references));
  if (tries_lzma2) {
    CodedStream other = code_segments(
        StreamCoder::lzma2, stream, segments,
        [&](ByteView plain, ByteView reference) { return coder.with_lzma2(plain, reference); });
    if (other.bytes.size() < best.bytes.size()) best = std::move(other);
  }
  if (best.bytes.size() >= stream.plain.size()) {
    best.entry.coder = StreamCoder::raw;
    best.entry.coded_sizes = {stream.plain.size()};
    best.bytes = std::move(stream.plain);
    best.entry.plain_size = best.bytes.size();
  } else {
    best.entry.plain_size = stream.plain.size();
    best.entry.is_in_segments = is_in_segments;
  }
  best.entry.id = id;
  best.entry.targets = *targets;
  return best;
}

}  // namespace

std::uint64_t FrameHead::plain_size() const { return sum(items); }

std::uint64_t FrameHead::StreamEntry::coded_size() const {
  std::uint64_t bytes = 0;
  for (const std::uint64_t size : coded_sizes) bytes += size;
  return bytes;
}

Result<FrameHead> FrameHead::parse(ByteView frame) {
  Reader in(frame);
  const std::uint8_t version = in.u8();
  if (!in.failed() && version != kVersion && version != kVersionWithoutSegments)
    return fail(ErrorKind::invalid, "a delta frame of version " + std::to_string(version) +
                                        "; this program reads versions " +
                                        std::to_string(kVersionWithoutSegments) + " and " +
                                        std::to_string(kVersion));
  const auto broken = [] { return fail(ErrorKind::corrupt, "this is no whole delta frame"); };
  const ByteView body = in.bytes(frame.size());
  if (in.failed()) return broken();
  FrameHead head;
  head.size = in.offset();
  Reader fields(body);
  head.items = read_named(fields);
  head.references = read_named(fields);
  head.streams.resize(fields.failed() ? 0 : fields.count(kLeastStream));
  std::uint64_t plain = 0;
  std::uint64_t coded = 0;
  int id_before = -1;
  for (StreamEntry& stream : head.streams) {
    stream.id = fields.u8();
    if (stream.id <= id_before) fields.set_failed();
    id_before = stream.id;
    const std::uint8_t how = fields.u8();
    const int coder = how & ~(kPlaces | kSegments);
    if (coder > static_cast<int>(StreamCoder::lzma2)) fields.set_failed();
    stream.coder = static_cast<StreamCoder>(coder);
    stream.targets = (how & kPlaces) != 0 ? Targets::places : Targets::distances;
    stream.is_in_segments = (how & kSegments) != 0;
    if (stream.is_in_segments && version == kVersionWithoutSegments) fields.set_failed();
    stream.plain_size = fields.varint(kFrameContentsMax);
    if (stream.plain_size == 0) fields.set_failed();
    if (fields.failed()) return broken();
    const std::size_t segments = segments_of(stream.plain_size, 0, stream.is_in_segments).size();
    for (std::size_t i = 0; i < segments; ++i)
      stream.coded_sizes.push_back(fields.varint(frame.size()));
    if (fields.failed()) return broken();
    plain += stream.plain_size;
    coded += stream.coded_size();
  }
  head.references_checksum = fields.u64();
  const ByteView digest = fields.raw(head.items_digest.size());
  if (!fields.finished() || head.items.empty() || coded != in.remaining() ||
      plain != sum(head.items) || plain > kFrameContentsMax ||
      sum(head.references) > kFrameContentsMax)
    return broken();
  std::ranges::copy(digest, head.items_digest.begin());
  return head;
}

Result<Buffer> encode_frame(std::span<const Item> items, std::span<const Item> references,
                            Effort effort) {
  FrameHead head{.items = names_of(items), .references = names_of(references)};
  LAMINA_ASSERT(!items.empty() && sum(head.items) <= kFrameContentsMax &&
                sum(head.references) <= kFrameContentsMax);
  const auto contents = split(items);
  if (!contents) return fail(contents.error());
  const auto basis = split(references);
  if (!basis) return fail(basis.error());
  Sha256 digest;
  for (std::size_t i = 0; i < items.size(); ++i) {
    head.items[i].is_split = contents->is_split(i);
    const auto read = read_pieces(items[i].content, [&](ByteView piece) -> Status {
      digest.update(piece);
      return Done{};
    });
    if (!read) return fail(read.error());
  }
  head.items_digest = digest.finish();

  ReferencedCoder coder;
  StreamsChecksum checksum;
  Buffer coded_streams;
  for (const auto& [id, size] : contents->sizes()) {
    auto coded = code_best(id, *contents, *basis, effort, checksum, coder);
    if (!coded) return fail(std::move(coded.error()));
    head.streams.push_back(coded->entry);
    coded_streams.insert(coded_streams.end(), coded->bytes.begin(), coded->bytes.end());
  }
  head.references_checksum = checksum.value();
  Buffer frame = write_head(head);
  frame.insert(frame.end(), coded_streams.begin(), coded_streams.end());
  release(coded_streams);

  const auto parsed = FrameHead::parse(frame);
  LAMINA_ASSERT(parsed.has_value());
  std::vector<Source> sources;
  for (const Item& item : references) sources.push_back(item.content);
  const auto proven =
      decode_frame(*parsed, frame, sources, [](std::size_t, ByteView) -> Status { return Done{}; });
  if (!proven) return fail(Error(proven.error()).in("proving a delta frame"));
  return frame;
}

namespace {

// A stream that is decoded segment by segment.
class CodedSegments {
 public:
  // `coded` may be bytes of this stream that it keeps; `basis` and `coder` must outlive it.
  CodedSegments(const FrameHead::StreamEntry& entry, Buffer coded, const SplitContents& basis,
                ReferencedCoder& coder)
      : entry_(entry),
        coded_(std::move(coded)),
        reference_(basis, entry.id, entry.targets),
        coder_(coder),
        segments_(segments_of(entry.plain_size, reference_.size(), entry.is_in_segments)) {}

  // `rest` with the next segment behind it, if there is one. `corrupt` when it does not decode;
  // errors of the reference's source are passed on.
  Result<Buffer> next(ByteView rest = {}) {
    if (next_ == segments_.size()) return to_buffer(rest);
    const Segment& segment = segments_[next_];
    const ByteView bytes =
        ByteView(coded_).subspan(begin_, static_cast<std::size_t>(entry_.coded_sizes[next_]));
    Buffer plain(rest.size() + static_cast<std::size_t>(segment.end - segment.begin));
    std::ranges::copy(rest, plain.begin());
    if (auto done = decode(segment, bytes, std::span(plain).subspan(rest.size())); !done)
      return fail(std::move(done.error()));
    begin_ += bytes.size();
    if (++next_ < segments_.size()) return plain;
    release(coded_);
    if (auto summed = reference_checksum(); !summed) return fail(std::move(summed.error()));
    return plain;
  }
  // Of the whole reference, which is read to its end; there is no next segment after it.
  Result<std::uint64_t> reference_checksum() {
    if (sum_) return *sum_;
    auto sum = reference_.checksum();
    if (sum) sum_ = *sum;
    return sum;
  }

 private:
  Status decode(const Segment& segment, ByteView bytes, std::span<std::byte> plain) {
    if (entry_.coder == StreamCoder::raw) {
      if (bytes.size() != plain.size())
        return fail(ErrorKind::corrupt, "a raw stream of another size");
      std::ranges::copy(bytes, plain.begin());
      return Done{};
    }
    const auto reach = reference_.view(segment.reach_begin, segment.reach_end);
    if (!reach) return fail(reach.error());
    return entry_.coder == StreamCoder::zstd ? coder_.decode_zstd(bytes, *reach, plain)
                                             : coder_.decode_lzma2(bytes, *reach, plain);
  }

  const FrameHead::StreamEntry& entry_;
  Buffer coded_;
  StreamWindow reference_;
  ReferencedCoder& coder_;
  std::vector<Segment> segments_;
  std::size_t next_ = 0;
  std::size_t begin_ = 0;  // Of the next one's bytes in `coded_`.
  std::optional<std::uint64_t> sum_;
};

// A frame on its way to its items.
class Decoding {
 public:
  Decoding(const FrameHead& head, const SplitContents& basis, const Emit& emit)
      : head_(head), basis_(basis), emit_(emit) {}

  // Short streams are decoded, long ones when their segments are wanted.
  Status take_streams(Buffer frame) {
    ByteView left = ByteView(frame).subspan(head_.size);
    for (const FrameHead::StreamEntry& entry : head_.streams) {
      const auto size = static_cast<std::size_t>(entry.coded_size());
      coded_.try_emplace(entry.id, entry, to_buffer(left.first(size)), basis_, coder_);
      left = left.subspan(size);
    }
    release(frame);
    // The largest first: its reference is gone before the others fill memory.
    std::vector<const FrameHead::StreamEntry*> order;
    for (const FrameHead::StreamEntry& entry : head_.streams) order.push_back(&entry);
    std::ranges::stable_sort(order, std::greater(),
                             [](const auto* entry) { return entry->plain_size; });
    for (const FrameHead::StreamEntry* entry : order) {
      CodedSegments& coded = coded_.at(entry->id);
      Stream& stream = streams_[entry->id];
      stream.targets = entry->targets;
      if (entry->is_in_segments) {
        stream.more = [&coded](ByteView rest) { return coded.next(rest); };
        continue;
      }
      if (!broken_) {
        auto plain = coded.next();
        if (plain)
          stream.bytes = std::move(*plain);
        else if (auto noted = note(std::move(plain.error())); !noted)
          return noted;
      }
      if (auto summed = sum_up(entry->id); !summed) return summed;
    }
    return Done{};
  }
  // Before anything comes out if no stream is long.
  Status give_items() {
    if (coded_.empty())
      if (auto checked = check_reference(); !checked) return checked;
    if (!broken_) {
      std::vector<Part> parts;
      for (const FrameHead::Named& item : head_.items) parts.push_back({item.size, item.is_split});
      auto joined = join(parts, std::move(streams_), [&](std::size_t part, ByteView piece) {
        digest_.update(piece);
        return emit_(part, piece);
      });
      if (!joined)
        if (auto noted = note(std::move(joined.error())); !noted) return noted;
    }
    while (!coded_.empty())
      if (auto summed = sum_up(coded_.begin()->first); !summed) return summed;
    if (auto checked = check_reference(); !checked) return checked;
    if (digest_.finish() != head_.items_digest)
      return fail(ErrorKind::corrupt, "a delta frame decodes to other bytes than it was made from");
    return Done{};
  }

 private:
  // Of what is broken only the checksum of the references is still wanted.
  Status note(Error error) {
    if (error.kind() != ErrorKind::corrupt) return fail(std::move(error));
    broken_ = std::move(error);
    return Done{};
  }
  Status sum_up(StreamId id) {
    const auto sum = coded_.at(id).reference_checksum();
    if (!sum) return fail(sum.error());
    checksum_.add(id, *sum);
    coded_.erase(id);
    return Done{};
  }
  Status check_reference() {
    if (checksum_.value() != head_.references_checksum)
      return fail(ErrorKind::corrupt,
                  "a reference is not the content that the frame was made with");
    if (broken_) return fail(Error(*broken_).in("decoding a delta frame"));
    return Done{};
  }

  const FrameHead& head_;
  const SplitContents& basis_;
  const Emit& emit_;
  ReferencedCoder coder_;
  std::map<StreamId, CodedSegments> coded_;  // Whose reference was not read to its end.
  std::map<StreamId, Stream> streams_;
  StreamsChecksum checksum_;
  std::optional<Error> broken_;
  Sha256 digest_;
};

}  // namespace

Status decode_frame(const FrameHead& head, Buffer frame, std::vector<Source> references,
                    const Emit& emit) {
  LAMINA_ASSERT(references.size() == head.references.size());
  for (std::size_t i = 0; i < references.size(); ++i)
    if (references[i].size != head.references[i].size)
      return fail(ErrorKind::corrupt, "a reference has " + std::to_string(references[i].size) +
                                          " bytes instead of " +
                                          std::to_string(head.references[i].size));
  const auto basis = SplitContents::of(std::move(references));
  if (!basis) return fail(basis.error());
  Decoding decoding(head, *basis, emit);
  if (auto taken = decoding.take_streams(std::move(frame)); !taken) return taken;
  return decoding.give_items();
}

}  // namespace lamina::delta
