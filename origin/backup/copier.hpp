// Copier: files of an origin from one directory into another, so that a name there means that the
// whole content is durable under it.
//
// Files are written under incoming/ of the target, many are made durable by one sync, and then get
// their names. A kill leaves files in incoming/ only, which the next copier removes. One thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "origin/data_directory.hpp"
#include "shared/store/pack_files.hpp"

namespace lamina::origin {

class Copier {
 public:
  // Called before each step of which a kill could leave something; for tests.
  using OnStep = std::function<void(std::string_view step)>;

  // Into `root`, which exists.
  static Result<Copier> open(const std::string& root, OnStep on_step);

  // `mode` is set exactly.
  Status bytes(ByteView content, const std::string& to, mode_t mode);
  // The pack at `from`, and its block hashes, to their places. `corrupt` when it has other bytes
  // than `id` says: nothing is copied then. Gives its size.
  Result<Bytes> pack(const std::string& from, const PackFiles& to, const PackId& id, mode_t mode);
  // Everything that was copied is durable under its name.
  Status finish();

  void step(std::string_view name) const {
    if (on_step_) on_step_(name);
  }

 private:
  struct Waiting {
    std::string from;
    std::string to;
  };
  static constexpr std::size_t kFilesMax = 256;
  static constexpr Bytes kBytesMax = 256_MiB;

  Copier(std::string root, OnStep on_step) : root_(std::move(root)), on_step_(std::move(on_step)) {}
  std::string incoming() const { return root_ + "/incoming"; }
  std::string temporary();
  Status add(const std::string& from, const std::string& to, Bytes size);
  Status flush();
  Status sync() const;

  std::string root_;
  OnStep on_step_;
  std::uint64_t number_ = 0;
  std::vector<Waiting> waiting_;
  Bytes waiting_bytes_;
};

// What may be in the way of a copy and does not end it.
struct CopyCounts {
  std::uint64_t objects = 0, objects_new = 0;  // Records and torrents.
  std::uint64_t packs = 0, packs_new = 0;
  Bytes bytes, bytes_new;             // Of packs.
  std::uint64_t vanished = 0;         // Gone between listing and reading.
  std::vector<std::string> problems;  // Damaged things, for people.
};
struct CopyOptions {
  enum class Into { backup, origin };  // A backup is for its owner only.
  Into into = Into::backup;
  // What the target has already is read whole and replaced when its bytes are wrong; otherwise its
  // name and size say that it is there.
  bool read_data = false;
  std::function<void(Bytes done, Bytes total)> progress = {};  // Of packs.
};
// Keys, the seeder's identity, records, torrents, packs and block hashes of `from`; neither
// origin.json nor the catalogue. `out_of_space` before anything large is copied, when it cannot
// fit.
Status copy_content(const DataDirectory& from, const DataDirectory& to, const CopyOptions& options,
                    Copier& copier, CopyCounts& counts);

}  // namespace lamina::origin
