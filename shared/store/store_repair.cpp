#include <set>

#include "shared/os/lock.hpp"
#include "shared/store/chunk_rows.hpp"
#include "shared/store/kv.hpp"
#include "shared/store/store_check.hpp"

namespace lamina {
namespace {

// A new index beside the old one, from the packs alone.
class Rebuilding {
 public:
  Rebuilding(const PackFiles& files, Kv& index) : files_(files), index_(index) {}

  Status take(const PackId& id, StoreRepair& repair);

 private:
  const PackFiles& files_;
  Kv& index_;
};

Status Rebuilding::take(const PackId& id, StoreRepair& repair) {
  auto identity = identify(files_.path_of(id));
  auto pack = files_.read(id);
  if (!pack || !identity || identity->id != id) {
    // A disk that cannot be read now must not cost the index its rows.
    if (!identity && identity.error().kind() == ErrorKind::unavailable)
      return fail(std::move(identity.error())
                      .in("a pack that its disk has lost must be moved away before a repair"));
    // Out of the way of a good one.
    repair.unsound.push_back(id);
    const std::string aside = files_.directory() + "/unsound";
    if (auto done = os::make_directories(aside, 0700); !done) return done;
    return os::rename_file(files_.path_of(id), aside + '/' + id.hex());
  }
  ++repair.packs;
  if (!files_.block_hashes(id)) {
    const ByteView hashes = std::as_bytes(std::span(identity->block_hashes));
    if (auto done = os::write_file(files_.tree_path_of(id), hashes); !done) return done;
    ++repair.hashes;
  }
  return index_.write([&](Kv::Edit& edit) -> Status {
    std::uint32_t number = 0;
    for (const format::Frame& frame : pack->index().frames) {
      std::uint32_t offset = 0;
      for (const format::ChunkRef& chunk : frame.chunks) {
        auto put = edit.put(chunk_rows::key_of(chunk.id),
                            chunk_rows::row_of({id, number, offset, chunk.length}));
        if (!put) return put;
        offset += chunk.length;
      }
      ++number;
    }
    return Done{};
  });
}

// How many chunks of `from` are not in `in`.
Result<std::uint64_t> count_lacking(const Kv& from, const Kv& in) {
  std::uint64_t lacking = 0;
  auto read = in.read([&](const Kv::View& known) {
    return from.read([&](const Kv::View& rows) -> Status {
      Status looked = Done{};
      auto scanned = rows.scan(chunk_rows::kPrefix, [&](std::string_view key, std::string_view) {
        auto row = known.get(key);
        if (!row) looked = fail(std::move(row.error()));
        lacking += row && !*row ? 1 : 0;
        return looked.has_value();
      });
      return scanned ? looked : scanned;
    });
  });
  if (!read) return fail(std::move(read.error()));
  return lacking;
}

Status compare(const std::string& old_index, const Kv& made, StoreRepair& repair) {
  auto old = Kv::open(old_index);
  auto removed = old ? count_lacking(**old, made) : Result<std::uint64_t>(fail(old.error()));
  auto added = removed ? count_lacking(made, **old) : Result<std::uint64_t>(fail(removed.error()));
  if (added) {
    repair.removed = *removed;
    repair.added = *added;
    return Done{};
  }
  if (added.error().kind() != ErrorKind::corrupt) return fail(std::move(added.error()));
  repair.index_was_broken = true;
  return Done{};
}

Result<std::unique_ptr<Kv>> new_index(const std::string& path) {
  if (auto done = os::remove_tree(path); !done) return fail(std::move(done.error()));
  if (auto done = os::make_directories(path, 0700); !done) return fail(std::move(done.error()));
  return Kv::open(path);
}

}  // namespace

Result<StoreRepair> repair_store(const std::string& directory,
                                 const std::function<void(Bytes done, Bytes total)>& progress) {
  if (!os::exists(directory + "/packs"))
    return fail(ErrorKind::not_found, printable(directory) + " holds no packs");
  auto lock = os::FileLock::take(directory + "/lock");
  if (!lock) return fail(std::move(lock.error()));
  auto files = PackFiles::open(directory, PackFiles::Access::write);
  if (!files) return fail(std::move(files.error()));
  auto ids = files->list();
  if (!ids) return fail(std::move(ids.error()));
  Bytes total;
  std::vector<Bytes> sizes;
  for (const PackId& id : *ids) {
    auto size = files->size_of(id);
    if (!size) return fail(std::move(size.error()));
    sizes.push_back({static_cast<std::int64_t>(*size)});
    total += sizes.back();
  }
  const std::string index = directory + "/index";
  StoreRepair repair;
  {
    auto made = new_index(index + ".new");
    if (!made) return fail(std::move(made.error()));
    Rebuilding rebuilding(*files, **made);
    Bytes done_bytes;
    for (std::size_t i = 0; i < ids->size(); ++i) {
      if (progress) progress(done_bytes, total);
      if (auto done = rebuilding.take((*ids)[i], repair); !done)
        return fail(std::move(done.error()));
      done_bytes += sizes[i];
    }
    if (auto done = os::sync_directory(index + ".new"); !done) return fail(std::move(done.error()));
    if (!os::exists(index + "/data.mdb"))
      repair.index_was_broken = true;
    else if (auto done = compare(index, **made, repair); !done)
      return fail(std::move(done.error()));
  }
  // Killed between the two, there is none: ChunkStore::open() says so, and this is done again.
  if (auto done = os::remove_tree(index); !done) return fail(std::move(done.error()));
  if (auto done = os::rename_file(index + ".new", index); !done)
    return fail(std::move(done.error()));
  if (auto done = os::sync_directory(directory); !done) return fail(std::move(done.error()));
  return repair;
}

}  // namespace lamina
