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

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kSplit = 1;       // A flag of an item.
constexpr std::uint8_t kPlaces = 0x10;   // Beside a stream's coder.
constexpr std::size_t kLeastNamed = 4;   // Bytes of the shortest item, and of the shortest
constexpr std::size_t kLeastStream = 4;  // stream entry.

// LZMA2 takes a dictionary as large as stream and reference, at the receiver too: beyond this they
// are zstd's, which needs none.
constexpr std::uint64_t kLzmaBytesMax = ReferencedCoder::kLzmaDictionaryMax;

// Without references, level 9 is a seventh more processor time than 7 for a hundredth fewer bytes
// (m: 2 GB of Debian, 452 MB in 46 s beside 446 MB in 52 s; level 3: 488 MB in 37 s). With them
// it is a tenth more for a fortieth.
int zstd_level(Effort effort, bool has_references) {
  if (effort == Effort::fast) return 3;
  return has_references ? 9 : 7;
}
// Shows which way to write code is the better one.
constexpr int kZstdTrial = 1;
// With high effort, of what LZMA2 does not take (m: libxul's code of 123 MB, 36.0 MB at level 9).
constexpr int kZstdHighest = 19;

// Tells one sequence of reference streams from another: XXH3 of the streams' own XXH3.
class StreamsChecksum {
 public:
  void add(StreamId id, ByteView bytes) { sums_[id] = xxh3(bytes); }
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
// 2 GB these are 47 s for 4 of 91 MB (m).
bool is_worth_lzma2(Effort effort, std::uint64_t plain, std::uint64_t reference) {
  return effort == Effort::high && plain + reference <= kLzmaBytesMax;
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
                                      (stream.targets == Targets::places ? kPlaces : 0)));
    body.varint(stream.plain_size);
    body.varint(stream.coded_size);
  }
  body.u64(head.references_checksum);
  body.raw(head.items_digest);
  Writer out;
  out.u8(kVersion);
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

// The way to write code that zstd codes in the fewest bytes, which a low level shows, then the
// coder that does.
Result<CodedStream> code_best(StreamId id, const SplitContents& contents,
                              const SplitContents& references, Effort effort,
                              StreamsChecksum& checksum, ReferencedCoder& coder) {
  CodedStream best{.entry = {.id = id, .coder = StreamCoder::zstd}, .bytes = {}};
  Gathered stream(id, contents, references);
  const bool has_references = !references.sizes().empty();
  const int level = zstd_level(effort, has_references);
  std::vector<Targets> ways = {Targets::distances};
  if (contents.has_code(id)) {
    ways.push_back(Targets::places);
    // Without old code, places repeat wherever distances do (m: 2 GB of Debian).
    if (!has_references) ways.erase(ways.begin());
  }
  for (const Targets targets : ways) {
    if (auto written = stream.write(targets); !written) return fail(std::move(written.error()));
    Buffer coded =
        coder.with_zstd(stream.plain, stream.reference, ways.size() > 1 ? kZstdTrial : level);
    if (targets != ways.front() && best.bytes.size() <= coded.size()) continue;
    best.bytes = std::move(coded);
    best.entry.targets = targets;
    checksum.add(id, stream.reference);
  }
  if (auto written = stream.write(best.entry.targets); !written)
    return fail(std::move(written.error()));
  if (ways.size() > 1) best.bytes = coder.with_zstd(stream.plain, stream.reference, level);
  if (is_worth_lzma2(effort, stream.plain.size(), stream.reference.size())) {
    Buffer smaller = coder.with_lzma2(stream.plain, stream.reference);
    if (smaller.size() < best.bytes.size()) {
      best.bytes = std::move(smaller);
      best.entry.coder = StreamCoder::lzma2;
    }
  } else if (effort == Effort::high) {
    Buffer smaller = coder.with_zstd(stream.plain, stream.reference, kZstdHighest);
    if (smaller.size() < best.bytes.size()) best.bytes = std::move(smaller);
  }
  best.entry.plain_size = stream.plain.size();
  if (best.bytes.size() >= stream.plain.size()) {
    best.bytes = std::move(stream.plain);
    best.entry.coder = StreamCoder::raw;
  }
  best.entry.coded_size = best.bytes.size();
  return best;
}

}  // namespace

std::uint64_t FrameHead::plain_size() const { return sum(items); }

Result<FrameHead> FrameHead::parse(ByteView frame) {
  Reader in(frame);
  if (const std::uint8_t version = in.u8(); !in.failed() && version != kVersion)
    return fail(ErrorKind::invalid, "a delta frame of version " + std::to_string(version) +
                                        "; this program reads version " + std::to_string(kVersion));
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
    const std::uint8_t coder = fields.u8();
    if ((coder & ~kPlaces) > static_cast<std::uint8_t>(StreamCoder::lzma2)) fields.set_failed();
    stream.coder = static_cast<StreamCoder>(coder & ~kPlaces);
    stream.targets = (coder & kPlaces) != 0 ? Targets::places : Targets::distances;
    stream.plain_size = fields.varint(kFrameContentsMax);
    stream.coded_size = fields.varint(frame.size());
    if (stream.plain_size == 0) fields.set_failed();
    if (fields.failed()) return broken();
    plain += stream.plain_size;
    coded += stream.coded_size;
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
  coded_streams = {};

  const auto parsed = FrameHead::parse(frame);
  LAMINA_ASSERT(parsed.has_value());
  std::vector<Source> sources;
  for (const Item& item : references) sources.push_back(item.content);
  const auto proven =
      decode_frame(*parsed, frame, sources, [](std::size_t, ByteView) -> Status { return Done{}; });
  if (!proven) return fail(Error(proven.error()).in("proving a delta frame"));
  return frame;
}

Status decode_frame(const FrameHead& head, ByteView frame, std::vector<Source> references,
                    const Emit& emit) {
  LAMINA_ASSERT(references.size() == head.references.size());
  for (std::size_t i = 0; i < references.size(); ++i)
    if (references[i].size != head.references[i].size)
      return fail(ErrorKind::corrupt, "a reference has " + std::to_string(references[i].size) +
                                          " bytes instead of " +
                                          std::to_string(head.references[i].size));
  const auto basis = SplitContents::of(std::move(references));
  if (!basis) return fail(basis.error());

  struct Place {
    const FrameHead::StreamEntry* entry;
    ByteView coded;
  };
  std::vector<Place> places;
  ByteView left = frame.subspan(head.size);
  for (const FrameHead::StreamEntry& entry : head.streams) {
    places.push_back({&entry, left.first(static_cast<std::size_t>(entry.coded_size))});
    left = left.subspan(static_cast<std::size_t>(entry.coded_size));
  }
  // The largest first: its reference is gone before the others fill memory.
  std::ranges::stable_sort(places, std::greater(),
                           [](const Place& place) { return place.entry->plain_size; });
  ReferencedCoder coder;
  StreamsChecksum checksum;
  std::map<StreamId, Stream> streams;
  std::optional<Error> broken;
  for (const auto& [entry, coded] : places) {
    const auto reference = basis->gather(entry->id, entry->targets);
    if (!reference) return fail(reference.error());
    checksum.add(entry->id, *reference);
    if (broken) continue;  // Only the checksum is still wanted.
    Buffer plain(static_cast<std::size_t>(entry->plain_size));
    Status decoded = Done{};
    switch (entry->coder) {
      case StreamCoder::raw:
        if (coded.size() == plain.size())
          std::ranges::copy(coded, plain.begin());
        else
          decoded = fail(ErrorKind::corrupt, "a raw stream of another size");
        break;
      case StreamCoder::zstd: decoded = coder.decode_zstd(coded, *reference, plain); break;
      case StreamCoder::lzma2: decoded = coder.decode_lzma2(coded, *reference, plain); break;
    }
    if (!decoded) broken = std::move(decoded.error());
    streams[entry->id] = {std::move(plain), entry->targets};
  }
  if (checksum.value() != head.references_checksum)
    return fail(ErrorKind::corrupt, "a reference is not the content that the frame was made with");
  if (broken) return fail(std::move(*broken).in("decoding a delta frame"));

  std::vector<Part> parts;
  for (const FrameHead::Named& item : head.items) parts.push_back({item.size, item.is_split});
  Sha256 digest;
  const auto joined = join(parts, std::move(streams), [&](std::size_t part, ByteView piece) {
    digest.update(piece);
    return emit(part, piece);
  });
  if (!joined) return joined;
  if (digest.finish() != head.items_digest)
    return fail(ErrorKind::corrupt, "a delta frame decodes to other bytes than it was made from");
  return Done{};
}

}  // namespace lamina::delta
