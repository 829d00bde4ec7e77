#include "shared/delta/streams.hpp"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "shared/base/assert.hpp"
#include "shared/base/pieces.hpp"
#include "shared/delta/columns.hpp"
#include "shared/delta/x86_addresses.hpp"

namespace lamina::delta {
namespace {

// The stretches that are read before the layout is known; each once a file.
constexpr StreamId kHead = 1;
constexpr StreamId kSectionHeaders = 2;
constexpr StreamId kSectionNames = 3;
constexpr StreamId kBetween = 4;
constexpr StreamId kBehind = 5;
// Sections without a stream of their own.
constexpr StreamId kOtherCode = 6;
constexpr StreamId kOtherRela = 7;
constexpr StreamId kOther = 8;
// The sections that have one: kNamedFrom + place in the list. Chosen by their bytes in updates of
// programs, libraries and kernel modules; a list that grows at its end keeps its meaning.
constexpr StreamId kNamedFrom = 16;
constexpr std::array<std::string_view, 35> kNamed = {".text",
                                                     ".rodata",
                                                     ".data",
                                                     ".data.rel.ro",
                                                     ".eh_frame",
                                                     ".eh_frame_hdr",
                                                     ".gcc_except_table",
                                                     ".symtab",
                                                     ".strtab",
                                                     ".dynsym",
                                                     ".dynstr",
                                                     ".gnu.hash",
                                                     ".gnu.version",
                                                     ".rela.dyn",
                                                     ".rela.plt",
                                                     ".relr.dyn",
                                                     ".plt",
                                                     ".plt.sec",
                                                     ".got",
                                                     ".rodata.str1.1",
                                                     ".rodata.str1.8",
                                                     ".gopclntab",
                                                     ".BTF",
                                                     ".init.text",
                                                     ".modinfo",
                                                     "__versions",
                                                     "__ksymtab_strings",
                                                     ".orc_unwind",
                                                     ".orc_unwind_ip",
                                                     ".return_sites",
                                                     ".rela.text",
                                                     ".rela.orc_unwind_ip",
                                                     ".rela.return_sites",
                                                     ".rela__mcount_loc",
                                                     ".rela.init.text"};

constexpr std::size_t kUnwindIndexColumns = 2;  // Of .eh_frame_hdr: address and place of its entry.

constexpr std::uint64_t kImageMost = INT32_MAX;

// What is read of a long stretch at once.
constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;

StreamId stream_of(std::string_view name, const Elf64_Shdr& section) {
  const auto named = std::ranges::find(kNamed, name);
  if (named != kNamed.end()) return static_cast<StreamId>(kNamedFrom + (named - kNamed.begin()));
  if (section.sh_type == SHT_RELA) return kOtherRela;
  return (section.sh_flags & SHF_EXECINSTR) != 0 ? kOtherCode : kOther;
}

// The loaded image: every address in it less `from`.
struct Image {
  std::uint64_t from = 0;
  std::uint64_t size = 0;  // 0: nothing that x86_addresses.hpp can work on.
};

Image image_of(const Elf64_Ehdr& head, const std::vector<Elf64_Shdr>& sections) {
  // The code of relocatable files has no addresses yet.
  if (head.e_machine != EM_X86_64 || head.e_type == ET_REL) return {};
  std::uint64_t from = head.e_type == ET_DYN ? 0 : UINT64_MAX;
  std::uint64_t to = 0;
  for (const auto& section : sections) {
    if ((section.sh_flags & SHF_ALLOC) == 0) continue;
    if (section.sh_size > kImageMost || section.sh_addr > UINT64_MAX - kImageMost) return {};
    from = std::min(from, section.sh_addr);
    to = std::max(to, section.sh_addr + section.sh_size);
  }
  if (to <= from || to - from > kImageMost) return {};
  return {from, to - from};
}

// The bytes [offset, offset + size) of a content, which are of `stream`; nothing: they cannot be
// had.
using Fetch =
    std::function<Result<ByteView>(StreamId stream, std::uint64_t offset, std::uint64_t size)>;

// The stretches of a content of `size` bytes, in order and without gaps; nothing when it is no
// ELF-64 file with a clean layout. Asks for header, section headers and section names, in this
// order, before it knows anything else.
Result<std::optional<std::vector<Stretch>>> layout_of(std::uint64_t size, const Fetch& fetch) {
  using Layout = std::optional<std::vector<Stretch>>;
  if (size < sizeof(Elf64_Ehdr)) return Layout();
  const auto head_bytes = fetch(kHead, 0, sizeof(Elf64_Ehdr));
  if (!head_bytes) return fail(head_bytes.error());
  Elf64_Ehdr head;
  std::memcpy(&head, head_bytes->data(), sizeof head);
  constexpr std::array<unsigned char, 6> kMagic = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB};
  if (!std::equal(kMagic.begin(), kMagic.end(), head.e_ident)) return Layout();
  const std::uint64_t headers_size = std::uint64_t{head.e_shnum} * sizeof(Elf64_Shdr);
  if (head.e_shentsize != sizeof(Elf64_Shdr) || head.e_shstrndx >= head.e_shnum ||
      head.e_shoff > size || headers_size > size - head.e_shoff)
    return Layout();
  const auto header_bytes = fetch(kSectionHeaders, head.e_shoff, headers_size);
  if (!header_bytes) return fail(header_bytes.error());
  std::vector<Elf64_Shdr> sections(head.e_shnum);
  std::memcpy(sections.data(), header_bytes->data(), static_cast<std::size_t>(headers_size));
  for (const auto& section : sections)
    if (section.sh_type != SHT_NOBITS &&
        (section.sh_offset > size || section.sh_size > size - section.sh_offset))
      return Layout();
  const Elf64_Shdr& names = sections[head.e_shstrndx];
  if (names.sh_type == SHT_NULL || names.sh_type == SHT_NOBITS || names.sh_size == 0)
    return Layout();
  const auto name_bytes = fetch(kSectionNames, names.sh_offset, names.sh_size);
  if (!name_bytes) return fail(name_bytes.error());

  const Image image = image_of(head, sections);
  std::vector<Stretch> found = {
      {.stream = kHead, .offset = 0, .size = sizeof(Elf64_Ehdr)},
      {.stream = kSectionHeaders, .offset = head.e_shoff, .size = headers_size}};
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const Elf64_Shdr& section = sections[i];
    if (section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS || section.sh_size == 0)
      continue;
    if (section.sh_name >= name_bytes->size()) return Layout();
    std::string_view name = as_text(name_bytes->subspan(section.sh_name));
    name = name.substr(0, name.find('\0'));
    Stretch stretch{.stream = i == head.e_shstrndx ? kSectionNames : stream_of(name, section),
                    .offset = section.sh_offset,
                    .size = section.sh_size};
    if (stretch.stream != kSectionNames) {
      const std::uint64_t address = section.sh_addr - image.from;
      if (section.sh_type == SHT_RELA)
        stretch.shape = Stretch::Shape::rela;
      else if (name == ".eh_frame_hdr")
        stretch.shape = Stretch::Shape::unwind_index;
      else if ((section.sh_flags & SHF_EXECINSTR) != 0 && (section.sh_flags & SHF_ALLOC) != 0 &&
               image.size > 0 && address <= image.size && section.sh_size <= image.size - address) {
        stretch.shape = Stretch::Shape::code;
        stretch.address = address;
        stretch.image_size = image.size;
      }
    }
    found.push_back(stretch);
  }
  std::ranges::stable_sort(found, {}, &Stretch::offset);
  std::vector<Stretch> stretches;
  std::uint64_t at = 0;
  for (const Stretch& stretch : found) {
    if (stretch.offset < at) return Layout();  // Two stretches share bytes.
    if (stretch.offset > at)
      stretches.push_back({.stream = kBetween, .offset = at, .size = stretch.offset - at});
    stretches.push_back(stretch);
    at = stretch.offset + stretch.size;
  }
  if (at < size) stretches.push_back({.stream = kBehind, .offset = at, .size = size - at});
  return Layout(std::move(stretches));
}

// Whether a stretch can be brought into shape piece by piece.
bool comes_in_pieces(const Stretch& stretch) {
  return stretch.shape == Stretch::Shape::plain || stretch.shape == Stretch::Shape::code;
}

// Of a stretch, the bytes from `at` on. Returns how many are in shape for good when more follow.
std::size_t shape(std::span<std::byte> bytes, const Stretch& stretch, std::uint64_t at,
                  Targets targets) {
  switch (stretch.shape) {
    case Stretch::Shape::plain: break;
    case Stretch::Shape::rela: to_rela_differences(bytes); break;
    case Stretch::Shape::unwind_index: to_byte_planes(bytes, kUnwindIndexColumns); break;
    case Stretch::Shape::code:
      if (targets == Targets::places)
        return to_places(bytes, stretch.address + at, stretch.image_size);
  }
  return bytes.size();
}

// Undoes shape(), and returns the same.
std::size_t unshape(std::span<std::byte> bytes, const Stretch& stretch, std::uint64_t at,
                    Targets targets) {
  switch (stretch.shape) {
    case Stretch::Shape::plain: break;
    case Stretch::Shape::rela: from_rela_differences(bytes); break;
    case Stretch::Shape::unwind_index: from_byte_planes(bytes, kUnwindIndexColumns); break;
    case Stretch::Shape::code:
      if (targets == Targets::places)
        return to_distances(bytes, stretch.address + at, stretch.image_size);
  }
  return bytes.size();
}

// Takes the streams' bytes from the front.
class Cursors {
 public:
  explicit Cursors(std::map<StreamId, Stream>& streams) : streams_(streams) {}

  // So many bytes at once; valid until more is taken of the stream.
  Result<std::span<std::byte>> take(StreamId stream, std::uint64_t size) {
    while (here(stream).size() < size) {
      const auto grown = read_on(stream);
      if (!grown) return fail(grown.error());
      if (!*grown) return too_short(stream);
    }
    const auto taken = here(stream).first(static_cast<std::size_t>(size));
    at_[stream] += taken.size();
    return taken;
  }
  // A stretch's bytes as they were, as many at a time as there are.
  Status give(const Stretch& stretch, const TakePiece& emit) {
    for (std::uint64_t given = 0; given < stretch.size;) {
      const auto bytes = here(stretch.stream);
      const std::uint64_t left = stretch.size - given;
      const auto piece =
          bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left)));
      const bool is_last = piece.size() == left;
      std::size_t done = 0;
      if (is_last || comes_in_pieces(stretch)) {
        if (!piece.empty()) done = unshape(piece, stretch, given, targets(stretch.stream));
        if (is_last) done = piece.size();
      }
      if (done == 0) {
        const auto grown = read_on(stretch.stream);
        if (!grown) return fail(grown.error());
        if (!*grown) return too_short(stretch.stream);
        continue;
      }
      if (auto emitted = emit(piece.first(done)); !emitted) return emitted;
      at_[stretch.stream] += done;
      given += done;
    }
    return Done{};
  }

  Status check_all_taken() {
    for (const auto& [id, stream] : streams_) {
      if (here(id).empty()) {
        const auto grown = read_on(id);
        if (!grown) return fail(grown.error());
        if (!*grown) continue;
      }
      return fail(ErrorKind::corrupt, "stream " + std::to_string(id) + " has bytes left over");
    }
    return Done{};
  }

 private:
  static tl::unexpected<Error> too_short(StreamId stream) {
    return fail(ErrorKind::corrupt,
                "stream " + std::to_string(stream) + " ends before its contents do");
  }
  // What there is of a stream, and was not taken.
  std::span<std::byte> here(StreamId stream) {
    const auto found = streams_.find(stream);
    return found == streams_.end() ? std::span<std::byte>()
                                   : std::span(found->second.bytes).subspan(at_[stream]);
  }
  Targets targets(StreamId stream) const { return streams_.at(stream).targets; }
  // Whether there is more of it now.
  Result<bool> read_on(StreamId id) {
    const auto found = streams_.find(id);
    if (found == streams_.end() || !found->second.more) return false;
    Stream& stream = found->second;
    const Buffer rest = to_buffer(here(id));
    release(stream.bytes);
    at_[id] = 0;
    auto more = stream.more(rest);
    if (!more) return fail(std::move(more.error()));
    stream.bytes = std::move(*more);
    if (stream.bytes.size() == rest.size()) return false;
    return true;
  }

  std::map<StreamId, Stream>& streams_;
  std::map<StreamId, std::size_t> at_;
};

Status join_split(std::size_t index, std::uint64_t size, Cursors& cursors, const Emit& emit) {
  std::map<std::uint64_t, std::span<std::byte>> taken;  // By offset: what the layout was read from.
  const auto layout = layout_of(
      size, [&](StreamId stream, std::uint64_t offset, std::uint64_t length) -> Result<ByteView> {
        auto bytes = cursors.take(stream, length);
        if (!bytes) return fail(std::move(bytes.error()));
        taken[offset] = *bytes;
        return ByteView(*bytes);
      });
  if (!layout) return fail(layout.error());
  if (!*layout) return fail(ErrorKind::corrupt, "a split content is no ELF file");
  const auto emit_piece = [&](ByteView piece) { return emit(index, piece); };
  for (const Stretch& stretch : **layout) {
    const bool is_taken = stretch.stream == kHead || stretch.stream == kSectionHeaders ||
                          stretch.stream == kSectionNames;
    auto emitted =
        is_taken ? emit_piece(taken.at(stretch.offset)) : cursors.give(stretch, emit_piece);
    if (!emitted) return emitted;
  }
  return Done{};
}

}  // namespace

Result<SplitContents> SplitContents::of(std::vector<Source> contents) {
  SplitContents split;
  for (Source& source : contents) {
    std::array<Buffer, 3> fetched;  // Kept while the layout is made.
    std::size_t count = 0;
    auto layout = layout_of(
        source.size, [&](StreamId, std::uint64_t offset, std::uint64_t size) -> Result<ByteView> {
          auto bytes = read_range(source, offset, size);
          if (!bytes) return fail(std::move(bytes.error()));
          return ByteView(fetched[count++] = std::move(*bytes));
        });
    if (!layout) return fail(std::move(layout.error()));
    Content content{.source = std::move(source), .is_split = layout->has_value()};
    if (*layout)
      content.stretches = std::move(**layout);
    else if (content.source.size > 0)
      content.stretches = {{.stream = kRaw, .offset = 0, .size = content.source.size}};
    for (const Stretch& stretch : content.stretches) split.sizes_[stretch.stream] += stretch.size;
    split.contents_.push_back(std::move(content));
  }
  return split;
}

bool SplitContents::has_code(StreamId stream) const {
  for (const Content& content : contents_)
    for (const Stretch& stretch : content.stretches)
      if (stretch.stream == stream && stretch.shape == Stretch::Shape::code) return true;
  return false;
}

Result<Buffer> SplitContents::gather(StreamId stream, Targets targets) const {
  StreamWindow window(*this, stream, targets);
  if (auto all = window.view(0, window.size()); !all) return fail(std::move(all.error()));
  return window.take_all();
}

StreamWindow::StreamWindow(const SplitContents& contents, StreamId stream, Targets targets)
    : contents_(contents), stream_(stream), targets_(targets) {
  if (const auto size = contents.sizes_.find(stream); size != contents.sizes_.end())
    size_ = size->second;
  next_stretch();
}

const Stretch* StreamWindow::stretch() const {
  return content_ < contents_.contents_.size() ? &contents_.contents_[content_].stretches[stretch_]
                                               : nullptr;
}

// Goes on to the first one of the stream from the present one on.
void StreamWindow::next_stretch() {
  for (; content_ < contents_.contents_.size(); ++content_, stretch_ = 0) {
    const auto& stretches = contents_.contents_[content_].stretches;
    for (; stretch_ < stretches.size(); ++stretch_)
      if (stretches[stretch_].stream == stream_) return;
  }
}

Status StreamWindow::read_on() {
  const Stretch& here = *stretch();
  const std::uint64_t left = here.size - in_stretch_;
  const auto length =
      static_cast<std::size_t>(comes_in_pieces(here) ? std::min(left, kPiece) : left);
  const std::size_t at = bytes_.size();
  bytes_.resize(at + length);
  if (auto read = contents_.contents_[content_].source.read(here.offset + in_stretch_,
                                                            std::span(bytes_).subspan(at));
      !read)
    return read;
  in_stretch_ += length;
  const bool is_whole = in_stretch_ == here.size;
  const auto fresh = std::span(bytes_).subspan(shaped_);
  std::size_t done = shape(fresh, here, in_shape_, targets_);
  if (is_whole) done = fresh.size();
  sum_.add(fresh.first(done));
  shaped_ += done;
  in_shape_ += done;
  if (is_whole) {
    ++stretch_;
    in_stretch_ = in_shape_ = 0;
    next_stretch();
  }
  return Done{};
}

Result<ByteView> StreamWindow::view(std::uint64_t from, std::uint64_t to) {
  LAMINA_ASSERT(begin_ <= from && from <= to && to <= size_);
  const auto drop = static_cast<std::size_t>(
      std::min<std::uint64_t>(from - begin_, static_cast<std::uint64_t>(shaped_)));
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(drop));
  begin_ += drop;
  shaped_ -= drop;
  // Else it would grow by doubling.
  bytes_.reserve(static_cast<std::size_t>(std::min(to - begin_ + kPiece, size_ - begin_)));
  while (begin_ + shaped_ < to) {
    if (auto read = read_on(); !read) return fail(std::move(read.error()));
    if (begin_ + shaped_ > from) continue;
    begin_ += shaped_;
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(shaped_));
    shaped_ = 0;
  }
  return ByteView(bytes_).subspan(static_cast<std::size_t>(from - begin_),
                                  static_cast<std::size_t>(to - from));
}

Result<std::uint64_t> StreamWindow::checksum() {
  if (auto rest = view(size_, size_); !rest) return fail(std::move(rest.error()));
  while (stretch() != nullptr) {
    if (auto read = read_on(); !read) return fail(std::move(read.error()));
    begin_ += shaped_;
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(shaped_));
    shaped_ = 0;
  }
  release(bytes_);
  return sum_.value();
}

Buffer StreamWindow::take_all() {
  LAMINA_ASSERT(begin_ == 0 && bytes_.size() == size_);
  return std::move(bytes_);
}

Status join(std::span<const Part> parts, std::map<StreamId, Stream> streams, const Emit& emit) {
  Cursors cursors(streams);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].is_split) {
      if (auto joined = join_split(i, parts[i].size, cursors, emit); !joined) return joined;
    } else {
      const Stretch all{.stream = kRaw, .offset = 0, .size = parts[i].size};
      auto emitted = cursors.give(all, [&](ByteView piece) { return emit(i, piece); });
      if (!emitted) return emitted;
    }
  }
  return cursors.check_all_taken();
}

}  // namespace lamina::delta
