// PackFiles: a directory of immutable packs.
//
//   <directory>/packs/<pack id>   the pack
//   <directory>/trees/<pack id>   its block hashes, 32 bytes each (BEP 52)
//
// A pack appears under its name only when it is complete and durable. Several processes may read
// one directory; one writes. Any thread.
#pragma once

#include <functional>
#include <span>

#include "shared/format/pack.hpp"
#include "shared/os/file.hpp"

namespace lamina {

// An open pack whose header, footer and index have been checked.
class OpenPack {
 public:
  // `what` names the file in errors. `corrupt` or `invalid` when it is no sound pack. The content
  // is proven by the chunks' digests on read, not here.
  static Result<OpenPack> open(const std::string& path, const std::string& what);

  const format::PackIndex& index() const { return index_; }
  std::uint64_t size() const { return size_; }
  // Whether it is a pack of patches: only its receiver can read it.
  bool has_patches() const { return index_.frames.front().coder == format::Coder::patch; }
  // What its patches build upon, each chunk once; nothing when it has none.
  Result<std::vector<ChunkId>> references() const;
  // Coded bytes of a frame.
  Result<Buffer> read_coded(const format::Frame& frame) const;
  // Those of frames that follow each other in the index, at least one: one read.
  struct CodedFrames {
    Buffer bytes;
    std::vector<ByteView> frames;  // Parts of `bytes`.
  };
  Result<CodedFrames> read_coded(std::span<const format::Frame> frames) const;

 private:
  OpenPack(os::Descriptor file, std::string what)
      : file_(std::move(file)), what_(std::move(what)) {}
  os::Descriptor file_;
  std::string what_;
  std::uint64_t size_ = 0;
  format::PackIndex index_;
};

// The true identity of a file's bytes: reads all of it. `take` is given the bytes as they come, at
// most 256 KiB at a time; an error of it is passed on.
struct FileIdentity {
  PackId id;
  std::uint64_t size = 0;
  std::vector<Sha256Digest> block_hashes;
};
Result<FileIdentity> identify(const std::string& path,
                              const std::function<Status(ByteView)>& take = {});
// Likewise, and writes what it read to the new file `copy`, which is not synced. It is there after
// a failure too.
Result<FileIdentity> copy_and_identify(const std::string& path, const std::string& copy);

class PackFiles {
 public:
  // Makes the two directories when they are missing and removes what a killed writer left behind.
  // Only the writing process may open for writing. `spool`: written, and of no use after a power
  // failure: nothing is synced, and no block hashes are kept.
  enum class Access { read, write, spool };
  static Result<PackFiles> open(const std::string& directory, Access access);

  std::string path_of(const PackId& id) const { return directory_ + "/packs/" + id.hex(); }
  std::string tree_path_of(const PackId& id) const { return directory_ + "/trees/" + id.hex(); }
  const std::string& directory() const { return directory_; }

  bool has(const PackId& id) const;
  Result<OpenPack> read(const PackId& id) const;
  // The block hashes, checked to lead to `id`.
  Result<std::vector<Sha256Digest>> block_hashes(const PackId& id) const;
  Result<std::vector<PackId>> list() const;
  Result<std::uint64_t> size_of(const PackId& id) const;
  Status remove(const PackId& id) const;  // Not there: no error.

  // A path for a new temporary file in this directory's file system.
  Result<std::string> new_temporary() const;
  // Makes the temporary file at `path`, which holds the pack `id` with these blocks, durable under
  // its name, in the place of what is there; in a spool, puts it there.
  Status publish(const std::string& path, const PackId& id,
                 const std::vector<Sha256Digest>& block_hashes) const;

 private:
  PackFiles(std::string directory, Access access)
      : directory_(std::move(directory)), access_(access) {}
  std::string directory_;
  Access access_;
};

}  // namespace lamina
