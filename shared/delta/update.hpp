// Update: what travels from an old tree to a new one, planned.
//
//   survey(old), survey(new)  ->  plan_update()  ->  groups, each encoded as a frame (frame.hpp)
//                                                ->  assembly: what the receiver puts together
//
// Contents that the old tree has do not travel. The others, members of opened containers among
// them, each get a predecessor and are gathered into solid groups of one class in the order of
// their paths, so that related contents share what they have in common. Without an old tree the
// same gives full frames.
//
// Memory: some 200 bytes a content, and for fingerprints 1/64 of the bytes, three times that while
// planning; of files only containers are in memory as a whole, one at a time. Any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shared/delta/container.hpp"
#include "shared/delta/frame.hpp"

namespace lamina::delta {

// The regular files of a tree, hard links once, in an order that both sides know: a file's number
// is its place here.
struct Tree {
  struct File {
    std::string path;
    std::uint64_t size = 0;
  };
  std::vector<File> files;
  // Called from any thread.
  std::function<Result<Source>(std::uint32_t file)> open;
};

// Which contents are coded together; also the order of the groups.
enum class ItemClass : std::uint8_t { module, program, skeleton, other };

struct Content {
  ItemName name;
  std::string path;  // Of a member: what it is called in the container.
  std::uint64_t size = 0;
  ItemClass kind = ItemClass::other;
  Sha256Digest digest{};
  std::vector<std::uint64_t> fingerprints;  // See predecessors.hpp.
};

struct OpenedFile {
  std::uint32_t file = 0;
  Recipe recipe;
  Buffer skeleton;                    // If it is so small that it travels with the recipe.
  std::vector<Sha256Digest> members;  // The first is the skeleton's, if that is a content.
};
// The skeleton and the members of an opened container count as members from here on.
constexpr std::uint32_t kSkeletonMember = 1;
constexpr std::uint32_t kFirstMember = 2;
constexpr std::size_t kSmallSkeleton = 256;

struct Survey {
  std::vector<Sha256Digest> files;  // Of every file.
  std::vector<Content> contents;    // Each digest once; files before members.
  std::vector<OpenedFile> opened;
};
// Reads a whole tree. Files of which `is_known` is true are read once and no more. With `programs`
// containers are opened proven: those of a new tree; without for reading only: those of an old one.
// Costly containers (container.hpp) are worth opening where there is an old tree.
enum class Costly : std::uint8_t { closed, opened };
struct SurveyOptions {
  Costly costly = Costly::opened;
  std::uint64_t close_memory_max = kCloseMemoryMax;  // See open_proven().
};
Result<Survey> survey(const Tree& tree, const std::function<bool(const Sha256Digest&)>& is_known,
                      const Programs* programs, const SurveyOptions& options = {});

// Where the receiver finds a content.
struct Origin {
  bool is_old = false;  // In the old tree, else in the new one or in a frame.
  ItemName name;
  bool operator==(const Origin&) const = default;
};
// Files that neither come out of a frame nor have the content of another file, old or new, which
// the receiver knows by itself from the digests that it has of all files.
struct Assembly {
  struct Copy {  // The same content as a container's member.
    std::uint32_t file = 0;
    Origin from;
    bool operator==(const Copy&) const = default;
  };
  struct Closing {  // An opened container.
    std::uint32_t file = 0;
    Recipe recipe;
    Buffer skeleton;              // Empty: the first of `members` is.
    std::vector<Origin> members;  // In the recipe's order.
    bool operator==(const Closing&) const = default;
  };
  std::vector<Copy> copies;
  std::vector<Closing> closings;  // A container that is a member of another one before that.
  bool operator==(const Assembly&) const = default;
};
// zstd around what FORMAT.md says.
Buffer write_assembly(const Assembly& assembly);
// `corrupt` when it is none, or has more than `plain_max` bytes before it is compressed.
Result<Assembly> read_assembly(ByteView bytes, std::size_t plain_max);

// Gives the bytes of an opened container in order; errors as close_container() has them, and those
// of `find`.
Status close_file(const Assembly::Closing& closing,
                  const std::function<Result<Source>(const Origin&)>& find,
                  const Programs& programs, const std::function<Status(ByteView)>& emit);

// Whether all containers can be closed here; otherwise `unavailable` names an encoder that is
// missing. What closes is compared with its digest all the same.
Status check_closable(const Assembly& assembly, const Programs& programs);

// Contents to be encoded together, against others, by their places in the surveys.
struct Group {
  std::vector<std::size_t> items;
  std::vector<std::size_t> references;
  std::uint64_t bytes = 0;  // Of the items.
};
struct UpdatePlan {
  std::vector<Group> groups;
  Assembly assembly;
  std::vector<std::size_t> too_large;  // For a frame: these travel by other means.
};
// Groups of up to `group_bytes`, at most kFrameContentsMax; a larger content is a group of its own.
UpdatePlan plan_update(const Survey& old, const Survey& next, std::uint64_t group_bytes);

// Contents of a tree by their names: files, and members of containers. A container stays open, and
// in memory once, as long as a source of one of its members lives. One thread at a time.
class TreeReader {
 public:
  explicit TreeReader(const Tree& tree) : tree_(tree) {}
  // `corrupt` when there is no such member.
  Result<Source> open(ItemName name);

 private:
  const Tree& tree_;
  std::map<std::uint32_t, std::weak_ptr<const Opened>> opened_;  // By file.
};

}  // namespace lamina::delta
