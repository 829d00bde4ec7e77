// Streams: the bytes of contents sorted by what they are, so that like is coded with like.
//
// An ELF-64 file is a sequence of stretches: header, sections, what lies between and behind them.
// Each goes to the stream of its kind (code, strings, relocations, unwind tables, ...), in an order
// that the file's own headers say, so that joining needs nothing but the streams. Relocation and
// unwind tables become differences on the way, code may get places for distances. Every other
// content is one stretch of the stream kRaw.
//
// Every byte is in exactly one stream: the streams' sizes add up to the contents'. FORMAT.md of
// this folder has the kinds. Pure; one thread at a time per object.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "shared/delta/source.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina::delta {

// Which kind of bytes a stream has; the numbers are part of the format.
using StreamId = std::uint8_t;
constexpr StreamId kRaw = 0;

// How the code in a stream names its targets (x86_addresses.hpp).
enum class Targets : std::uint8_t { distances = 0, places = 1 };

// A stretch of a content, and how it is written in its stream.
struct Stretch {
  enum class Shape : std::uint8_t { plain, code, rela, unwind_index };
  StreamId stream = kRaw;
  Shape shape = Shape::plain;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t address = 0;     // Of code, in its image.
  std::uint64_t image_size = 0;  // Of code; the sum of both fits x86_addresses.hpp.
};

// Contents one behind the other, seen as streams.
class SplitContents {
 public:
  // Reads what says where the sections are, no more. Errors of the sources are passed on.
  static Result<SplitContents> of(std::vector<Source> contents);

  // Whether content `index` is split; if not, it is one stretch of kRaw.
  bool is_split(std::size_t index) const { return contents_[index].is_split; }
  // The streams that are not empty, with their sizes.
  const std::map<StreamId, std::uint64_t>& sizes() const { return sizes_; }
  bool has_code(StreamId stream) const;
  // All bytes of a stream. Errors of the sources are passed on.
  Result<Buffer> gather(StreamId stream, Targets targets) const;

 private:
  friend class StreamWindow;
  struct Content {
    Source source;
    bool is_split = false;
    std::vector<Stretch> stretches;
  };
  std::vector<Content> contents_;
  std::map<StreamId, std::uint64_t> sizes_;
};

// A stream's bytes from front to back, of which a part is in memory. One thread.
class StreamWindow {
 public:
  // `contents` must outlive it.
  StreamWindow(const SplitContents& contents, StreamId stream, Targets targets);
  std::uint64_t size() const { return size_; }
  // The bytes [from, to), valid until the next call. Neither end goes back, nor lies behind the
  // stream's. Errors of the sources are passed on.
  Result<ByteView> view(std::uint64_t from, std::uint64_t to);
  // XXH3 of the whole stream; reads what is left of it, and there are no views after it.
  Result<std::uint64_t> checksum();
  // The bytes of the last view, which is all of the stream.
  Buffer take_all();

 private:
  Status read_on();
  void next_stretch();
  const Stretch* stretch() const;

  const SplitContents& contents_;
  const StreamId stream_;
  const Targets targets_;
  std::uint64_t size_ = 0;
  std::size_t content_ = 0, stretch_ = 0;  // Where reading goes on, and how far into it.
  std::uint64_t in_stretch_ = 0;
  Buffer bytes_;  // The stream from `begin_` on,
  std::uint64_t begin_ = 0;
  std::size_t shaped_ = 0;      // and how much of it is in shape: of code, what follows decides.
  std::uint64_t in_shape_ = 0;  // Of the stretch.
  Xxh3 sum_;
};

struct Stream {
  Buffer bytes;
  Targets targets = Targets::distances;
  // Gives what follows `bytes`, piece by piece, each behind `rest`; nothing but that at the end.
  // An empty function: nothing follows.
  std::function<Result<Buffer>(ByteView rest)> more = nullptr;
};
// What join() makes of streams.
struct Part {
  std::uint64_t size = 0;
  bool is_split = false;
};
using Emit = std::function<Status(std::size_t part, ByteView piece)>;

// Gives the bytes of every part in order, piece by piece. `corrupt` when the streams are not what
// SplitContents makes of such contents, or have bytes left; what was emitted means nothing then.
// Errors of `emit` and of the streams are passed on. The streams' bytes are used up; pieces are
// asked for when they are needed, so that contents one after the other need few at a time.
Status join(std::span<const Part> parts, std::map<StreamId, Stream> streams, const Emit& emit);

}  // namespace lamina::delta
