#include "origin/backup/copier.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include "shared/format/record.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kObjectMax = std::size_t{64} << 20;

bool is_file(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

Status set_mode(const std::string& path, mode_t mode) {
  if (chmod(path.c_str(), mode) != 0)
    return fail(os::last_error("setting the mode of " + printable(path)));
  return Done{};
}

// The names in a directory that may not be there, without what is being written.
Result<std::vector<std::string>> names_in(const std::string& directory) {
  if (!os::exists(directory)) return std::vector<std::string>();
  auto names = os::list_directory(directory);
  if (names)
    std::erase_if(*names, [](const std::string& name) { return name.find(".tmp-") != name.npos; });
  return names;
}

// When a pack came is what the capacity report tells growth by.
Status keep_time(const std::string& from, const std::string& to) {
  struct stat facts {};
  if (stat(from.c_str(), &facts) != 0) return fail(os::last_error("looking at " + printable(from)));
  const timespec times[2] = {facts.st_mtim, facts.st_mtim};
  if (utimensat(AT_FDCWD, to.c_str(), times, 0) != 0)
    return fail(os::last_error("setting the time of " + printable(to)));
  return Done{};
}

bool is_sound(const std::string& kind, const std::string& name, ByteView bytes) {
  if (kind == "layers") return format::layer_id(bytes).hex() == name;
  if (kind == "snapshots") return format::snapshot_id(bytes).hex() == name;
  return true;
}

class Copy {
 public:
  Copy(const DataDirectory& from, const DataDirectory& to, const CopyOptions& options,
       Copier& copier, CopyCounts& counts)
      : from_(from), to_(to), options_(options), copier_(copier), counts_(counts) {}

  Status all();

 private:
  Status secrets(const std::string& folder);
  Status objects(const std::string& folder, const std::string& kind);
  struct Space {
    std::string name;
    PackFiles from, to;
    struct Pack {
      PackId id;
      Bytes size;
      bool is_there = false;
    };
    std::vector<Pack> packs;
  };
  Result<Space> list(const std::string& name);
  Status packs(const Space& space);
  Status directory(const std::string& path, mode_t mode);
  mode_t mode(mode_t of_origin) const {
    return options_.into == CopyOptions::Into::backup ? 0600 : of_origin;
  }

  const DataDirectory& from_;
  const DataDirectory& to_;
  const CopyOptions& options_;
  Copier& copier_;
  CopyCounts& counts_;
  Bytes done_, total_;
};

Status Copy::directory(const std::string& path, mode_t mode) {
  return os::make_directories(path, options_.into == CopyOptions::Into::backup ? 0700 : mode);
}

Status Copy::secrets(const std::string& folder) {
  const std::string from = from_.root() + '/' + folder, to = to_.root() + '/' + folder;
  if (auto done = directory(to, folder == "keys" ? 0700 : 0755); !done) return done;
  auto names = names_in(from);
  if (!names) return fail(std::move(names.error()));
  for (const std::string& name : *names) {
    if (!is_file(from + '/' + name)) continue;
    auto bytes = os::read_file(from + '/' + name, kObjectMax);
    if (!bytes) return fail(std::move(bytes.error()));
    const auto had = os::read_file(to + '/' + name, kObjectMax);
    if (had && *had == *bytes) continue;
    const bool is_public = name.ends_with(".pem") || name.ends_with(".pub");
    if (auto done = copier_.bytes(*bytes, to + '/' + name, mode(is_public ? 0644 : 0600)); !done)
      return done;
  }
  return Done{};
}

Status Copy::objects(const std::string& folder, const std::string& kind) {
  const std::string from = from_.root() + '/' + folder, to = to_.root() + '/' + folder;
  if (auto done = directory(to, 0755); !done) return done;
  auto names = names_in(from);
  if (!names) return fail(std::move(names.error()));
  // Named by their content. Distribution records and torrents may be made anew for a layer.
  const bool is_immutable = kind == "layers" || kind == "snapshots";
  for (const std::string& name : *names) {
    const std::string target = to + '/' + name;
    ++counts_.objects;
    if (is_immutable && os::exists(target)) {
      if (!options_.read_data) continue;
      const auto had = os::read_file(target, kObjectMax);
      if (had && is_sound(kind, name, *had)) continue;
    }
    auto bytes = os::read_file(from + '/' + name, kObjectMax);
    if (!bytes) {
      if (bytes.error().kind() != ErrorKind::not_found) return fail(std::move(bytes.error()));
      ++counts_.vanished;
      continue;
    }
    if (!is_sound(kind, name, *bytes)) {
      counts_.problems.push_back(folder + '/' + name + " has other bytes than its name says");
      continue;
    }
    if (!is_immutable) {
      const auto had = os::read_file(target, kObjectMax);
      if (had && *had == *bytes) continue;
    }
    if (auto done = copier_.bytes(*bytes, target, mode(0644)); !done) return done;
    ++counts_.objects_new;
  }
  return Done{};
}

Result<Copy::Space> Copy::list(const std::string& name) {
  const std::string target = to_.root() + '/' + name;
  for (const std::string& path : {target, target + "/packs", target + "/trees"})
    if (auto done = directory(path, 0755); !done) return fail(std::move(done.error()));
  // For reading: what the stores themselves clean up is none of a copy's business.
  auto from = PackFiles::open(from_.root() + '/' + name, PackFiles::Access::read);
  if (!from) return fail(std::move(from.error()));
  auto to = PackFiles::open(target, PackFiles::Access::read);
  if (!to) return fail(std::move(to.error()));
  Space space{name, std::move(*from), std::move(*to), {}};
  if (!os::exists(from_.root() + '/' + name + "/packs")) return space;
  auto ids = space.from.list();
  if (!ids) return fail(std::move(ids.error()));
  for (const PackId& id : *ids) {
    auto size = space.from.size_of(id);
    if (!size && size.error().kind() == ErrorKind::not_found) {
      ++counts_.vanished;
      continue;
    }
    if (!size) return fail(std::move(size.error()));
    const auto had = space.to.size_of(id);
    space.packs.push_back({id, Bytes{static_cast<std::int64_t>(*size)}, had && *had == *size});
  }
  return space;
}

Status Copy::packs(const Space& space) {
  for (const Space::Pack& pack : space.packs) {
    if (options_.progress) options_.progress(done_, total_);
    const auto read = [&] {
      const auto identity = identify(space.to.path_of(pack.id));
      return identity && identity->id == pack.id && space.to.block_hashes(pack.id);
    };
    ++counts_.packs;
    counts_.bytes += pack.size;
    if (pack.is_there && !options_.read_data) continue;
    done_ += pack.size;
    if (pack.is_there && read()) continue;
    auto size = copier_.pack(space.from.path_of(pack.id), space.to, pack.id, mode(0644));
    if (size) {
      ++counts_.packs_new;
      counts_.bytes_new += *size;
      continue;
    }
    --counts_.packs;
    counts_.bytes = counts_.bytes - pack.size;
    if (size.error().kind() == ErrorKind::not_found && !space.from.has(pack.id))
      ++counts_.vanished;
    else if (size.error().kind() == ErrorKind::corrupt)
      counts_.problems.push_back(space.name + "/packs/" + pack.id.hex() + ": " +
                                 size.error().text());
    else
      return fail(std::move(size.error()));
  }
  return Done{};
}

Status Copy::all() {
  for (const char* folder : {"keys", "seed"})
    if (auto done = secrets(folder); !done) return done;
  for (const char* kind : {"layers", "distributions", "torrents", "snapshots"})
    if (auto done = objects(std::string("objects/") + kind, kind); !done) return done;
  if (auto done = objects("torrents", "by-infohash"); !done) return done;
  std::vector<Space> spaces;
  Bytes missing;
  for (const char* name : {"layers", "cvd"}) {
    auto space = list(name);
    if (!space) return fail(std::move(space.error()));
    for (const Space::Pack& pack : space->packs) {
      if (!pack.is_there || options_.read_data) total_ += pack.size;
      if (!pack.is_there) missing += pack.size;
    }
    spaces.push_back(std::move(*space));
  }
  auto disk = os::space_of(to_.root());
  if (!disk) return fail(std::move(disk.error()));
  if (missing > disk->free)
    return fail(ErrorKind::out_of_space,
                printable(to_.root()) + " has " + to_text(disk->free) + " free, and " +
                    to_text(missing) + " are to be copied: free space there, or choose another");
  for (const Space& space : spaces)
    if (auto done = packs(space); !done) return done;
  return copier_.finish();
}

}  // namespace

Result<Copier> Copier::open(const std::string& root, OnStep on_step) {
  Copier copier(root, std::move(on_step));
  if (auto done = os::remove_tree(copier.incoming()); !done) return fail(std::move(done.error()));
  if (auto done = os::make_directories(copier.incoming(), 0700); !done)
    return fail(std::move(done.error()));
  return copier;
}

std::string Copier::temporary() { return incoming() + '/' + std::to_string(number_++); }

Status Copier::bytes(ByteView content, const std::string& to, mode_t mode) {
  const std::string path = temporary();
  auto file = os::open_write(path, 0600);
  if (!file) return fail(std::move(file.error()));
  if (auto done = os::write_all(file->get(), content, path); !done) return done;
  if (auto done = set_mode(path, mode); !done) return done;
  return add(path, to, Bytes{static_cast<std::int64_t>(content.size())});
}

Result<Bytes> Copier::pack(const std::string& from, const PackFiles& to, const PackId& id,
                           mode_t mode) {
  const std::string path = temporary();
  auto identity = copy_and_identify(from, path);
  if (!identity || identity->id != id) {
    // Best effort: the next copier removes it, too.
    static_cast<void>(os::remove_file(path));
    if (!identity) return fail(std::move(identity.error()));
    return fail(ErrorKind::corrupt, "it has other bytes than its name says");
  }
  if (auto done = set_mode(path, mode); !done) return fail(std::move(done.error()));
  if (auto done = keep_time(from, path); !done) return fail(std::move(done.error()));
  // The hashes first: a pack without them cannot be seeded.
  const ByteView hashes = std::as_bytes(std::span(identity->block_hashes));
  if (auto done = bytes(hashes, to.tree_path_of(id), mode); !done)
    return fail(std::move(done.error()));
  const Bytes size{static_cast<std::int64_t>(identity->size)};
  if (auto done = add(path, to.path_of(id), size); !done) return fail(std::move(done.error()));
  return size;
}

Status Copier::add(const std::string& from, const std::string& to, Bytes size) {
  waiting_.push_back({from, to});
  waiting_bytes_ += size;
  if (waiting_.size() < kFilesMax && waiting_bytes_ < kBytesMax) return Done{};
  return flush();
}

Status Copier::sync() const {
  auto directory = os::open_read(root_);
  if (!directory) return fail(std::move(directory.error()));
  return os::sync_filesystem_of(directory->get(), root_);
}

Status Copier::flush() {
  if (waiting_.empty()) return Done{};
  step("sync");
  if (auto done = sync(); !done) return done;
  for (const Waiting& file : waiting_) {
    step("rename");
    if (auto done = os::rename_file(file.from, file.to); !done) return done;
  }
  waiting_.clear();
  waiting_bytes_ = {};
  return Done{};
}

Status Copier::finish() {
  if (auto done = flush(); !done) return done;
  step("copied");
  return sync();
}

Status copy_content(const DataDirectory& from, const DataDirectory& to, const CopyOptions& options,
                    Copier& copier, CopyCounts& counts) {
  return Copy(from, to, options, copier, counts).all();
}

}  // namespace lamina::origin
