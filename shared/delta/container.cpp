#include "shared/delta/container.hpp"

#include <algorithm>
#include <charconv>

#include "shared/codec/deflate.hpp"
#include "shared/codec/xz.hpp"
#include "shared/codec/zstd_program.hpp"

namespace lamina::delta {
namespace {

using Kind = Recipe::Step::Kind;
using namespace std::string_view_literals;

constexpr auto kGzip = "\x1f\x8b\x08"sv;
constexpr auto kZstd = "\x28\xb5\x2f\xfd"sv;
constexpr auto kXz =
    "\xfd"
    "7zXZ\0"sv;
constexpr auto kZip = "PK\3\4"sv;
constexpr auto kCpio = "070701"sv;
// Linux, Documentation/arch/x86/boot.rst: where a kernel image says what it is.
constexpr auto kKernel = "HdrS"sv;
constexpr std::size_t kKernelMagic = 0x202;

constexpr std::size_t kStepLeast = 2;  // Bytes of a step in a recipe.

bool begins(ByteView bytes, std::string_view magic) { return as_text(bytes).starts_with(magic); }

template <class Number>
Number little_endian(ByteView bytes, std::size_t at) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i)
    number = static_cast<Number>(number | std::to_integer<std::uint64_t>(bytes[at + i]) << (8 * i));
  return number;
}

// Puts a container together from front to back while it is taken apart.
class Opening {
 public:
  // Without programs nothing is proven.
  Opening(const Programs* programs, std::uint64_t memory_max)
      : programs_(programs), memory_max_(memory_max) {}

  void skeleton(ByteView bytes) {
    if (bytes.empty()) return;
    opened_.skeleton.insert(opened_.skeleton.end(), bytes.begin(), bytes.end());
    auto& steps = opened_.recipe.steps;
    // Neighbours are one, but not across the border of what is coded together.
    if (steps.size() > merge_from_ && steps.back().kind == Kind::skeleton)
      steps.back().size += bytes.size();
    else
      steps.push_back({Kind::skeleton, bytes.size(), {}});
  }
  void member(std::string name, ByteView bytes) {
    if (bytes.empty()) return;
    opened_.recipe.steps.push_back({Kind::member, bytes.size(), {}});
    opened_.members.push_back({std::move(name), bytes});
  }
  // What `inside` adds is compressed by `encoder`.
  template <class Inside>
  void coded(const Encoder& encoder, const Inside& inside) {
    auto& steps = opened_.recipe.steps;
    const std::size_t place = steps.size();
    steps.push_back({Kind::coded, 0, encoder});
    merge_from_ = steps.size();
    inside();
    steps[place].size = steps.size() - place - 1;
    merge_from_ = steps.size();
  }
  ByteView keep(Buffer bytes) { return opened_.kept.emplace_back(std::move(bytes)); }

  // The bytes inside may be so many more.
  bool has_room_for(std::uint64_t size) {
    if (size > kContainerMax - inside_) return false;
    inside_ += size;
    return true;
  }
  std::uint64_t room() const { return kContainerMax - inside_; }
  const Programs* programs() const { return programs_; }
  // Whether who closes it may take that much to code so many bytes.
  bool has_memory_for(const Encoder& encoder, std::uint64_t plain_size) const {
    return encoder_memory(encoder, plain_size) <= memory_max_;
  }
  Opened take() { return std::move(opened_); }

 private:
  const Programs* programs_;
  std::uint64_t memory_max_;
  Opened opened_;
  std::size_t merge_from_ = 0;
  std::uint64_t inside_ = 0;
};

std::size_t align4(std::size_t at) { return (at + 3) / 4 * 4; }

// cpio(5), "new ASCII format": 110 bytes of 8 hexadecimal digits each, the name, the content; both
// padded to 4 bytes from the archive's beginning.
struct CpioEntry {
  std::string_view name;
  std::size_t content = 0;
  std::size_t size = 0;
  std::size_t end = 0;
};
std::optional<CpioEntry> cpio_entry(ByteView bytes, std::size_t at) {
  constexpr std::size_t kHeader = 110;
  constexpr std::size_t kDigits = 8;
  const auto field = [&](std::size_t number) -> std::optional<std::size_t> {
    const char* const first = as_text(bytes).data() + at + kCpio.size() + number * kDigits;
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(first, first + kDigits, value, 16);
    if (error != std::errc() || end != first + kDigits) return std::nullopt;
    return value;
  };
  if (at > bytes.size() || bytes.size() - at < kHeader || !begins(bytes.subspan(at), kCpio))
    return std::nullopt;
  const auto size = field(6);
  const auto name_size = field(11);
  if (!size || !name_size || *name_size == 0 || *name_size > bytes.size() - at - kHeader)
    return std::nullopt;
  CpioEntry entry;
  entry.name = as_text(bytes).substr(at + kHeader, *name_size - 1);
  entry.content = align4(at + kHeader + *name_size);
  if (entry.content > bytes.size() || *size > bytes.size() - entry.content) return std::nullopt;
  entry.size = *size;
  entry.end = std::min(bytes.size(), align4(entry.content + *size));
  return entry;
}

// Smaller contents of an archive stay where they are: naming them costs more.
constexpr std::size_t kMemberLeast = 64;

// Takes the archives that `bytes` begins with; the place behind them.
std::size_t take_cpio(ByteView bytes, Opening& opening) {
  std::size_t taken = 0;  // Everything before is in a step.
  std::size_t at = 0;
  while (const auto entry = cpio_entry(bytes, at)) {
    if (entry->size >= kMemberLeast) {
      opening.skeleton(bytes.subspan(taken, entry->content - taken));
      opening.member(std::string(entry->name), bytes.subspan(entry->content, entry->size));
      taken = entry->content + entry->size;
    }
    at = entry->end;
    // Archives follow each other behind zeros.
    if (entry->name == "TRAILER!!!"sv)
      while (at < bytes.size() && bytes[at] == std::byte{0}) ++at;
  }
  opening.skeleton(bytes.subspan(taken, at - taken));
  return at;
}

// What was compressed: archives' members, or one member.
void take_plain(ByteView plain, std::string name, Opening& opening) {
  if (!cpio_entry(plain, 0)) return opening.member(std::move(name), plain);
  const std::size_t end = take_cpio(plain, opening);
  opening.skeleton(plain.subspan(end));
}

// RFC 1952, 2.3; the number of bytes before the deflate data, 0 if it is no gzip file.
std::size_t gzip_header_size(ByteView bytes) {
  constexpr std::uint8_t kCheck = 2, kExtra = 4, kName = 8, kComment = 16;
  constexpr std::size_t kFixed = 10;
  if (!begins(bytes, kGzip) || bytes.size() < kFixed) return 0;
  const auto flags = std::to_integer<std::uint8_t>(bytes[3]);
  std::size_t at = kFixed;
  if ((flags & kExtra) != 0) {
    if (bytes.size() - at < 2) return 0;
    at += 2 + std::size_t{little_endian<std::uint16_t>(bytes, at)};
  }
  for (const std::uint8_t text : {kName, kComment})
    if ((flags & text) != 0) {
      while (at < bytes.size() && bytes[at] != std::byte{0}) ++at;
      ++at;
    }
  if ((flags & kCheck) != 0) at += 2;
  return at <= bytes.size() ? at : 0;
}

// The level that gzip(1) was told, by the header's "extra flags": 2 slowest, 4 fastest.
int gzip_level(ByteView bytes) {
  constexpr std::size_t kExtraFlags = 8;
  const auto flags = std::to_integer<int>(bytes[kExtraFlags]);
  return flags == 2 ? 9 : flags == 4 ? 1 : 6;
}

bool take_gzip(ByteView bytes, Opening& opening) {
  constexpr std::size_t kTrailer = 8;  // CRC-32 and size.
  const std::size_t header = gzip_header_size(bytes);
  if (header == 0) return false;
  auto inflated = inflate_bytes(bytes.subspan(header), static_cast<std::size_t>(opening.room()));
  // Several gzip files behind each other are seldom, and left closed.
  if (!inflated || header + inflated->coded_size + kTrailer != bytes.size() ||
      !opening.has_room_for(inflated->plain.size()))
    return false;
  Encoder encoder;
  if (opening.programs() != nullptr) {
    const auto found =
        find_deflate_encoder(inflated->plain, bytes.subspan(header, inflated->coded_size),
                             gzip_level(bytes), *opening.programs());
    if (!found) return false;
    encoder = *found;
  }
  opening.skeleton(bytes.first(header));
  const ByteView plain = opening.keep(std::move(inflated->plain));
  opening.coded(encoder, [&] { take_plain(plain, "", opening); });
  opening.skeleton(bytes.last(kTrailer));
  return true;
}

bool take_zstd(ByteView bytes, Opening& opening) {
  const auto header = zstd_header(bytes);
  // A last archive behind it would be part of an initramfs that nobody makes.
  if (!header || header->coded_size != bytes.size()) return false;
  auto decoded = zstd_decode_any(bytes, static_cast<std::size_t>(opening.room()));
  if (!decoded || !opening.has_room_for(decoded->size())) return false;
  Encoder encoder;
  if (opening.programs() != nullptr) {
    const auto found = find_zstd_encoder(*decoded, bytes);
    if (!found) return false;
    encoder = *found;
  }
  const ByteView plain = opening.keep(std::move(*decoded));
  opening.coded(encoder, [&] { take_plain(plain, "", opening); });
  return true;
}

bool take_xz(ByteView bytes, Opening& opening) {
  const auto header = xz_header(bytes);
  if (!header) return false;
  const ByteView data = bytes.subspan(header->data);
  auto decoded = lzma2_decode_any(data, header->shape, static_cast<std::size_t>(opening.room()));
  if (!decoded || !opening.has_room_for(decoded->plain.size())) return false;
  // Behind the data: up to 3 zeros, a check of up to 64 bytes, an index and a footer of 12. More
  // would be another block (xz -T of a large file) or file.
  constexpr std::size_t kBehindMax = 3 + 64 + 32 + 12;
  const ByteView behind = data.subspan(decoded->coded_size);
  if (behind.size() > kBehindMax) return false;
  Encoder encoder;
  if (opening.programs() != nullptr) {
    const Encoder costliest{.library = Encoder::Library::lzma,
                            .dictionary_code = header->shape.dictionary_code};
    if (!opening.has_memory_for(costliest, decoded->plain.size())) return false;
    const auto found =
        find_lzma2_encoder(decoded->plain, data.first(decoded->coded_size), header->shape);
    if (!found) return false;
    encoder = *found;
  }
  opening.skeleton(bytes.first(header->data));
  const ByteView plain = opening.keep(std::move(decoded->plain));
  opening.coded(encoder, [&] { take_plain(plain, "", opening); });
  opening.skeleton(behind);
  return true;
}

struct ZipMember {
  std::string_view name;
  std::size_t begin = 0;
  std::size_t size = 0;  // Coded.
  std::size_t plain_size = 0;
};

// The deflated members, in the order in which they lie; nothing when it is no zip file with a
// directory that fits. PKWARE APPNOTE.TXT, 4.3.7, 4.3.12 and 4.3.16; no zip64.
std::optional<std::vector<ZipMember>> deflated_members(ByteView bytes) {
  constexpr std::size_t kEndSize = 22, kEntrySize = 46, kLocalSize = 30, kCommentMax = 65535;
  constexpr std::uint16_t kDeflate = 8;
  if (bytes.size() < kEndSize) return std::nullopt;
  const std::size_t search = std::min(bytes.size(), kEndSize + kCommentMax);
  const std::size_t found = as_text(bytes.last(search)).rfind("PK\5\6"sv);
  if (found == std::string_view::npos || search - found < kEndSize) return std::nullopt;
  const std::size_t end = bytes.size() - search + found;
  const auto count = little_endian<std::uint16_t>(bytes, end + 10);
  std::size_t at = little_endian<std::uint32_t>(bytes, end + 16);
  std::vector<ZipMember> members;
  for (std::uint16_t i = 0; i < count; ++i) {
    if (at > end || end - at < kEntrySize || !begins(bytes.subspan(at), "PK\1\2"sv))
      return std::nullopt;
    const std::size_t name_size = little_endian<std::uint16_t>(bytes, at + 28);
    const std::size_t more = std::size_t{little_endian<std::uint16_t>(bytes, at + 30)} +
                             little_endian<std::uint16_t>(bytes, at + 32);
    const std::size_t local = little_endian<std::uint32_t>(bytes, at + 42);
    ZipMember member{.size = little_endian<std::uint32_t>(bytes, at + 20),
                     .plain_size = little_endian<std::uint32_t>(bytes, at + 24)};
    if (name_size > end - at - kEntrySize || local > end || end - local < kLocalSize ||
        !begins(bytes.subspan(local), kZip))
      return std::nullopt;
    member.name = as_text(bytes).substr(at + kEntrySize, name_size);
    member.begin = local + kLocalSize + little_endian<std::uint16_t>(bytes, local + 26) +
                   little_endian<std::uint16_t>(bytes, local + 28);
    if (member.begin > end || member.size > end - member.begin) return std::nullopt;
    if (little_endian<std::uint16_t>(bytes, at + 10) == kDeflate && member.plain_size > 0)
      members.push_back(member);
    at += kEntrySize + name_size + more;
  }
  std::ranges::sort(members, {}, &ZipMember::begin);
  for (std::size_t i = 1; i < members.size(); ++i)
    if (members[i].begin < members[i - 1].begin + members[i - 1].size) return std::nullopt;
  return members;
}

// All or nothing: opened proven or not, a container has the same members.
bool take_zip(ByteView bytes, Opening& opening) {
  const auto members = deflated_members(bytes);
  if (!members || members->empty()) return false;
  std::size_t taken = 0;
  for (const ZipMember& member : *members) {
    const ByteView coded = bytes.subspan(member.begin, member.size);
    auto inflated = inflate_bytes(coded, static_cast<std::size_t>(std::min<std::uint64_t>(
                                             opening.room(), member.plain_size)));
    if (!inflated || inflated->coded_size != member.size || inflated->plain.empty() ||
        !opening.has_room_for(inflated->plain.size()))
      return false;
    Encoder encoder;
    if (opening.programs() != nullptr) {
      const auto found = find_deflate_encoder(inflated->plain, coded, 0, *opening.programs());
      if (!found) return false;
      encoder = *found;
    }
    opening.skeleton(bytes.subspan(taken, member.begin - taken));
    const ByteView plain = opening.keep(std::move(inflated->plain));
    opening.coded(encoder, [&] { opening.member(std::string(member.name), plain); });
    taken = member.begin + member.size;
  }
  opening.skeleton(bytes.subspan(taken));
  return true;
}

bool is_compressed(ByteView bytes) {
  return begins(bytes, kGzip) || begins(bytes, kZstd) || begins(bytes, kXz);
}

bool take_compressed(ByteView bytes, Opening& opening) {
  if (begins(bytes, kGzip)) return take_gzip(bytes, opening);
  if (begins(bytes, kZstd)) return take_zstd(bytes, opening);
  if (begins(bytes, kXz)) return take_xz(bytes, opening);
  return false;
}

bool is_kernel(ByteView bytes) {
  return bytes.size() >= kContainerMagic && begins(bytes.subspan(kKernelMagic), kKernel);
}

// A bzImage: code that unpacks, with the compressed kernel in the middle. Linux,
// Documentation/arch/x86/boot.rst, "payload_offset" and "payload_length".
bool take_kernel(ByteView bytes, Opening& opening) {
  constexpr std::uint16_t kFirstWithPayload = 0x0208;
  constexpr std::size_t kSector = 512, kSectorsIfZero = 4;
  // Behind what is not gzip, scripts/Makefile.lib (size_append) puts the plain size.
  constexpr std::size_t kSizeBehind = 4;
  if (little_endian<std::uint16_t>(bytes, 0x206) < kFirstWithPayload) return false;
  const auto sectors = std::to_integer<std::size_t>(bytes[0x1f1]);
  const std::size_t begin = ((sectors == 0 ? kSectorsIfZero : sectors) + 1) * kSector +
                            little_endian<std::uint32_t>(bytes, 0x248);
  std::size_t size = little_endian<std::uint32_t>(bytes, 0x24c);
  if (begin > bytes.size() || size > bytes.size() - begin) return false;
  if (!begins(bytes.subspan(begin), kGzip)) size -= std::min(size, kSizeBehind);
  opening.skeleton(bytes.first(begin));
  if (!take_compressed(bytes.subspan(begin, size), opening)) return false;
  opening.skeleton(bytes.subspan(begin + size));
  return true;
}

std::optional<Opened> open(Buffer bytes, const Programs* programs, std::uint64_t memory_max) {
  Opening opening(programs, memory_max);
  const ByteView all = opening.keep(std::move(bytes));
  bool is_open = false;
  if (begins(all, kZip)) {
    is_open = take_zip(all, opening);
  } else if (begins(all, kCpio)) {
    if (!opening.has_room_for(all.size())) return std::nullopt;
    const std::size_t end = take_cpio(all, opening);
    is_open = end > 0;
    const ByteView behind = all.subspan(end);
    // zstd's output depends on its version, and what is in front can matter more (initramfs-tools
    // 0.148: 26 MB of modules, then 10 MB compressed). Whether the rest is opened must not depend
    // on the encoders of this machine: who opens it unproven finds the same members.
    constexpr std::size_t kFrontLarger = 2;
    const bool is_left = begins(behind, kZstd) && end >= kFrontLarger * behind.size();
    if (is_compressed(behind) && !is_left)
      is_open = is_open && take_compressed(behind, opening);
    else
      opening.skeleton(behind);  // It may be compressed in a way that is not known here.
  } else if (is_kernel(all)) {
    is_open = take_kernel(all, opening);
  } else {
    is_open = take_compressed(all, opening);
  }
  if (!is_open) return std::nullopt;
  Opened opened = opening.take();
  if (opened.members.empty()) return std::nullopt;
  // Nobody looks at what was compressed any more: members are views into what came out of it.
  if (!begins(all, kCpio)) release(opened.kept.front());
  return opened;
}

}  // namespace

std::vector<std::uint64_t> Recipe::member_sizes() const {
  std::vector<std::uint64_t> sizes;
  for (const Step& step : steps)
    if (step.kind == Kind::member) sizes.push_back(step.size);
  return sizes;
}

std::uint64_t Recipe::skeleton_size() const {
  std::uint64_t size = 0;
  for (const Step& step : steps)
    if (step.kind == Kind::skeleton) size += step.size;
  return size;
}

void write_recipe(Writer& out, const Recipe& recipe) {
  out.varint(recipe.steps.size());
  for (const Recipe::Step& step : recipe.steps) {
    out.u8(static_cast<std::uint8_t>(step.kind));
    out.varint(step.size);
    if (step.kind == Kind::coded) write_encoder(out, step.encoder);
  }
}

Recipe read_recipe(Reader& in) {
  Recipe recipe;
  const std::uint64_t count = in.count(kStepLeast);
  std::uint64_t bytes = 0;
  std::uint64_t coded_left = 0;
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
    Recipe::Step step;
    const std::uint8_t kind = in.u8();
    if (kind > static_cast<std::uint8_t>(Kind::coded)) in.set_failed();
    step.kind = static_cast<Kind>(kind);
    step.size = in.varint(kContainerMax);
    if (step.kind == Kind::coded) {
      if (coded_left > 0 || step.size > count - i - 1) in.set_failed();
      step.encoder = read_encoder(in);
      coded_left = step.size;
    } else {
      if (coded_left > 0) --coded_left;
      bytes += step.size;
      if (step.size == 0 || bytes > 2 * kContainerMax) in.set_failed();
    }
    recipe.steps.push_back(std::move(step));
  }
  return in.failed() ? Recipe{} : recipe;
}

std::optional<Opened> open_proven(Buffer bytes, const Programs& programs,
                                  std::uint64_t memory_max) {
  return open(std::move(bytes), &programs, memory_max);
}

std::optional<Opened> open_unproven(Buffer bytes) { return open(std::move(bytes), nullptr, 0); }

bool may_be_container(ByteView first) {
  return is_compressed(first) || begins(first, kZip) || begins(first, kCpio) || is_kernel(first);
}

bool is_costly(ByteView first) {
  // Kernels are compressed as tightly.
  return begins(first, kXz) || is_kernel(first);
}

bool is_costly(const Recipe& recipe) {
  return std::ranges::any_of(recipe.steps, [](const Recipe::Step& step) {
    return step.kind == Kind::coded && step.encoder.library == Encoder::Library::lzma;
  });
}

Status check_closable(const Recipe& recipe, const Programs& programs) {
  for (const Recipe::Step& step : recipe.steps)
    if (step.kind == Kind::coded)
      if (const auto at_hand = check_at_hand(step.encoder, programs); !at_hand) return at_hand;
  return Done{};
}

namespace {

// A container's parts in the order of its recipe.
class Parts {
 public:
  Parts(const Recipe& recipe, ByteView skeleton, const MemberSource& member)
      : steps_(recipe.steps), skeleton_(skeleton), member_(member) {}

  bool is_end() const { return at_ == steps_.size(); }
  // What the next parts are coded by, if they are, with their number and bytes.
  struct Coded {
    const Encoder& encoder;
    std::uint64_t parts = 0;
    std::uint64_t bytes = 0;
  };
  std::optional<Coded> coded() {
    if (steps_[at_].kind != Kind::coded) return std::nullopt;
    const Recipe::Step& step = steps_[at_++];
    Coded coded{.encoder = step.encoder, .parts = step.size};
    for (std::uint64_t i = 0; i < step.size; ++i) coded.bytes += steps_[at_ + i].size;
    return coded;
  }
  // Valid until the next call.
  Result<ByteView> next() {
    const Recipe::Step& step = steps_[at_++];
    const auto size = static_cast<std::size_t>(step.size);
    if (step.kind == Kind::skeleton) {
      if (size > skeleton_.size())
        return fail(ErrorKind::corrupt, "a container's skeleton is shorter than its recipe");
      const ByteView bytes = skeleton_.first(size);
      skeleton_ = skeleton_.subspan(size);
      return bytes;
    }
    release(open_);
    auto bytes = member_(next_member_++);
    if (!bytes) return fail(std::move(bytes.error()));
    if (bytes->size() != size)
      return fail(ErrorKind::corrupt, "a container's member has another size than its recipe");
    open_ = std::move(*bytes);
    return ByteView(open_);
  }
  Status check_all_taken() const {
    if (skeleton_.empty()) return Done{};
    return fail(ErrorKind::corrupt, "a container's skeleton is longer than its recipe");
  }

 private:
  const std::vector<Recipe::Step>& steps_;
  ByteView skeleton_;
  const MemberSource& member_;
  std::size_t at_ = 0;
  std::size_t next_member_ = 0;
  Buffer open_;  // The member that was given last.
};

}  // namespace

Status close_container(const Recipe& recipe, ByteView skeleton, const MemberSource& member,
                       const Programs& programs, const TakePiece& emit) {
  Parts parts(recipe, skeleton, member);
  while (!parts.is_end()) {
    Status done = Done{};
    if (auto coded = parts.coded()) {
      const auto next = [&]() -> Result<ByteView> {
        if (coded->parts == 0) return ByteView();
        --coded->parts;
        return parts.next();
      };
      done = encode(coded->encoder, next, coded->bytes, programs, emit);
    } else {
      const auto bytes = parts.next();
      done = bytes ? emit(*bytes) : Status(fail(bytes.error()));
    }
    if (!done) return done;
  }
  return parts.check_all_taken();
}

}  // namespace lamina::delta
