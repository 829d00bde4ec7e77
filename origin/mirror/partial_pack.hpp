// PartialPack: a pack that is half here, in a file of its own. It only grows by pieces whose
// hashes fit its torrent's; what a killed process left is verified before it is continued.
//
// Not thread-safe; its calls read and write files: run them on a worker thread, one at a time.
#pragma once

#include <memory>

#include "shared/store/pack_files.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::origin {

class PartialPack {
 public:
  // `path`: its file, made when it is missing. `size`: of the whole pack.
  PartialPack(std::string path, PackId id, std::uint64_t size,
              std::shared_ptr<const swarm::PieceHashes> hashes)
      : path_(std::move(path)), id_(id), size_(size), hashes_(std::move(hashes)) {}

  // Verifies what is here, cuts off what does not fit, and gives the bytes that are left.
  Result<std::uint64_t> resume();
  // Appends whole pieces, the last of the pack may be shorter. `corrupt` when one does not fit:
  // those before it are kept.
  Status append(ByteView bytes);
  std::uint64_t have() const { return have_; }
  bool is_whole() const { return have_ == size_; }
  // Reads all of it once more and puts it among the packs, durably, under its name. Precondition:
  // is_whole(). `corrupt`: the file is removed.
  Status finish(const PackFiles& files);

 private:
  bool fits(std::uint64_t offset, ByteView piece) const;

  std::string path_;
  PackId id_;
  std::uint64_t size_;
  std::shared_ptr<const swarm::PieceHashes> hashes_;
  std::uint64_t have_ = 0;
};

}  // namespace lamina::origin
