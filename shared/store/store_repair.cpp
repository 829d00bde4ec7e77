#include "shared/os/lock.hpp"
#include "shared/store/chunk_rows.hpp"
#include "shared/store/kv.hpp"
#include "shared/store/lost_pack.hpp"
#include "shared/store/store_check.hpp"

namespace lamina {
namespace {

// Into the new index `rows`, which lies beside the old one.
Status take(const PackFiles& files, const PackId& id, PackProof proof, Kv& rows,
            StoreRepair& repair) {
  if (proof == PackProof::trusted && files.block_hashes(id))
    if (auto pack = files.read(id)) {
      ++repair.packs;
      return chunk_rows::put_pack(rows, id, pack->index());
    }
  auto identity = identify(files.path_of(id));
  auto pack = files.read(id);
  if (!pack || !identity || identity->id != id) {
    // A disk that cannot be read now must not cost the index its rows.
    if (!identity && identity.error().kind() == ErrorKind::unavailable)
      return fail(std::move(identity.error())
                      .in("a pack that its disk has lost must be moved away before a repair"));
    // Out of the way of a good one.
    repair.unsound.push_back(id);
    if (auto done = os::make_directories(files.directory() + "/unsound", 0700); !done) return done;
    return os::rename_file(files.path_of(id), unsound_path(files.directory(), id));
  }
  ++repair.packs;
  if (!files.block_hashes(id)) {
    const ByteView hashes = std::as_bytes(std::span(identity->block_hashes));
    if (auto done = os::write_file(files.tree_path_of(id), hashes); !done) return done;
    ++repair.hashes;
  }
  return chunk_rows::put_pack(rows, id, pack->index());
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
                                 const std::function<void(Bytes done, Bytes total)>& progress,
                                 PackProof proof) {
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
    Bytes done_bytes;
    for (std::size_t i = 0; i < ids->size(); ++i) {
      if (progress) progress(done_bytes, total);
      if (auto done = take(*files, (*ids)[i], proof, **made, repair); !done)
        return fail(std::move(done.error()));
      done_bytes += sizes[i];
    }
    if (auto done = os::sync_directory(index + ".new"); !done) return fail(std::move(done.error()));
    if (!chunk_rows::has_index(directory))
      repair.index_was_broken = true;
    else if (auto done = compare(index, **made, repair); !done)
      return fail(std::move(done.error()));
  }
  // What is sound again is not lost; what is not there any more is noted still.
  for (const PackId& id : *ids)
    if (files->has(id))
      if (auto done = remove_lost_pack(directory, id); !done) return fail(std::move(done.error()));
  // Killed between the two, there is none: ChunkStore::open() says so, and this is done again.
  if (auto done = os::remove_tree(index); !done) return fail(std::move(done.error()));
  if (auto done = os::rename_file(index + ".new", index); !done)
    return fail(std::move(done.error()));
  if (auto done = os::sync_directory(directory); !done) return fail(std::move(done.error()));
  return repair;
}

}  // namespace lamina
