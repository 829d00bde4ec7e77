// Delta frame: contents, coded together against contents that the receiver has.
//
//   frame = head, coded streams
//
// Items and references are split into streams (streams.hpp); each stream is coded on its own
// against the same stream of the references, by the coder and the way to write code that gave the
// fewest bytes. The head names items and references by numbers that the caller gives meaning to,
// and says every size before a byte is decoded. See FORMAT.md of this folder.
//
// Pure; any thread.
#pragma once

#include <vector>

#include "shared/delta/streams.hpp"
#include "shared/hash/sha256.hpp"

namespace lamina::delta {

// A content of a tree: a file's, by the file's number in an order that both sides know, or what an
// opened container (container.hpp) has inside.
struct ItemName {
  static constexpr std::uint32_t kFileItself = 0;
  std::uint32_t file = 0;
  std::uint32_t member = kFileItself;  // The others count from 1 on.
  auto operator<=>(const ItemName&) const = default;
};

struct Item {
  ItemName name;
  Source content;
};

// How much work the sender does for fewer bytes.
enum class Effort : std::uint8_t {
  fast,      // zstd at level 3.
  standard,  // zstd at level 12; at level 9 without references.
  high,      // LZMA2 as well for all streams that a receiver has memory for (frame.cpp).
};

// How a stream is coded in a frame.
enum class StreamCoder : std::uint8_t { raw = 0, zstd = 1, lzma2 = 2 };

struct FrameHead {
  struct Named {
    ItemName name;
    std::uint64_t size = 0;
    bool is_split = false;  // Of items.
    bool operator==(const Named&) const = default;
  };
  struct StreamEntry {
    StreamId id = kRaw;
    StreamCoder coder = StreamCoder::raw;
    Targets targets = Targets::distances;
    std::uint64_t plain_size = 0;
    // Of each segment (frame.cpp); of a stream that is coded in one, of it.
    std::vector<std::uint64_t> coded_sizes = {};
    bool is_in_segments = false;
    std::uint64_t coded_size() const;  // Of all.
    bool operator==(const StreamEntry&) const = default;
  };
  std::vector<Named> items;
  std::vector<Named> references;
  std::vector<StreamEntry> streams;       // Ascending by id.
  std::uint64_t references_checksum = 0;  // XXH3; tells a wrong reference from a broken frame.
  Sha256Digest items_digest{};            // Of the bytes of all items in order.
  std::size_t size = 0;                   // Of the head in the frame.

  // Checks that the sizes add up: items to streams, streams to the frame. `corrupt` if not,
  // `invalid` when the frame is of another version. Takes memory in proportion to the frame, not to
  // the sizes in it: compare those with what is expected before decoding.
  static Result<FrameHead> parse(ByteView frame);
  std::uint64_t plain_size() const;
};

// More bytes than this in one frame's items, or its references, are refused.
constexpr std::uint64_t kFrameContentsMax = std::uint64_t{512} << 20;

// The frame, already decoded once for proof. Preconditions: at least one item; items, and
// references, of at most kFrameContentsMax bytes. Errors of the sources are passed on; `corrupt`
// when one gives other bytes on a second reading. Memory: three times the largest stream and its
// reference, and the coded bytes.
Result<Buffer> encode_frame(std::span<const Item> items, std::span<const Item> references,
                            Effort effort);

// Decodes against the contents of head.references, in their order; gives the items' bytes in order,
// piece by piece (`part` is the item's index). `corrupt` when a reference is not what the sender
// had, or the frame is broken; what was emitted counts only after success. Memory: what is
// coded, and of each stream its bytes or, of a long one, a segment of 32 MiB with what that reaches
// of the reference (48 MiB, if that has as many bytes as the stream).
Status decode_frame(const FrameHead& head, Buffer frame, std::vector<Source> references,
                    const Emit& emit);

}  // namespace lamina::delta
