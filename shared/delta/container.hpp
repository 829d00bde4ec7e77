// Containers: files that hold other contents in compressed form, opened into what is inside.
//
// Opened contents are coded against those of an old version, or are equal to a file of the tree:
// most of an initramfs is. The receiver closes the container again, bit for bit; its recipe names
// the encoders that were found to do so when it was opened. A container that nothing here makes
// again is left closed.
//
// Known by their first bytes: gzip, zstd, xz of one block, zip with deflated members, kernel images
// for x86 (a gzip, zstd or xz file behind code that unpacks it), and cpio archives in the "new
// ASCII" format (cpio(5)), plain, one behind the other or inside one of the first three: an
// initramfs (Linux, Documentation/driver-api/early-userspace/buffer-format.rst). Any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "shared/delta/recompress.hpp"

namespace lamina::delta {

// How a container is put together, from front to back.
struct Recipe {
  struct Step {
    enum class Kind : std::uint8_t {
      skeleton = 0,  // The next `size` bytes of what is between the members.
      member = 1,    // The next member, of `size` bytes.
      coded = 2,     // The next `size` steps, compressed by `encoder`; they are no `coded` ones.
    };
    Kind kind = Kind::skeleton;
    std::uint64_t size = 0;
    Encoder encoder;
    bool operator==(const Step&) const = default;
  };
  std::vector<Step> steps;

  std::vector<std::uint64_t> member_sizes() const;
  std::uint64_t skeleton_size() const;
  bool operator==(const Recipe&) const = default;
};

void write_recipe(Writer& out, const Recipe& recipe);
// `in` has failed when it is none, or one for more than `kContainerMax` bytes inside.
Recipe read_recipe(Reader& in);

// Containers with more bytes inside stay closed: a receiver has them in memory when it reads one.
constexpr std::uint64_t kContainerMax = std::uint64_t{256} << 20;

// Borrows nothing; views into it live as long as it does.
struct Opened {
  struct Member {
    std::string name;  // In the container; empty where it has none.
    ByteView bytes;
  };
  Recipe recipe;
  Buffer skeleton;
  std::vector<Member> members;  // In the order of the recipe.
  std::vector<Buffer> kept;     // What the members are views into.

  Opened() = default;
  Opened(Opened&&) = default;
  Opened& operator=(Opened&&) = default;
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
};

// Who closes a container takes so much memory for its encoder, besides one member, and no more:
// a part of the 400 MB that a device may need for an update.
constexpr std::uint64_t kCloseMemoryMax = std::uint64_t{128} << 20;

// Opens `bytes` for sending: nothing when they are no container, nothing here makes them again, or
// that takes more memory than `memory_max`. The result closes to `bytes`.
std::optional<Opened> open_proven(Buffer bytes, const Programs& programs,
                                  std::uint64_t memory_max = kCloseMemoryMax);
// Opens without looking for encoders, for what is only read. Where open_proven() has a result, this
// has the same members and skeleton. The recipe's encoders mean nothing.
std::optional<Opened> open_unproven(Buffer bytes);

// Whether a file that begins so may be a container: so many bytes are enough.
constexpr std::size_t kContainerMagic = 0x250;
bool may_be_container(ByteView first_bytes);
// Whether it is one that takes long to close (m: 5 MB of kernel modules a processor second), and
// whose inside takes no fewer bytes than it does unless it is coded against a predecessor.
bool is_costly(ByteView first_bytes);

// Whether closing it takes long, as is_costly() of its bytes.
bool is_costly(const Recipe& recipe);

// Whether close_container() has all the encoders it takes; otherwise `unavailable` names one.
Status check_closable(const Recipe& recipe, const Programs& programs);

// Gives the container's bytes in order, piece by piece. `member` gives a member by its index, of
// the size that the recipe says; one at a time is in memory. `unavailable` names an encoder that is
// missing here; `corrupt` when sizes do not fit. What comes out is the caller's to compare.
using MemberSource = std::function<Result<Buffer>(std::size_t index)>;
Status close_container(const Recipe& recipe, ByteView skeleton, const MemberSource& member,
                       const Programs& programs, const TakePiece& emit);

}  // namespace lamina::delta
