#include "shared/tree/restore.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <unordered_map>

#include "shared/format/path.hpp"
#include "shared/hash/sha256.hpp"
#include "shared/hash/xxh3.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/user.hpp"
#include "shared/tree/materialize.hpp"

namespace lamina {
namespace {

using format::Entry;
using format::EntryKind;

// What a file is called until it is whole. A restore that was killed may leave one behind; the next
// one takes it for something that the snapshot has not.
constexpr const char* kUnfinished = ".lamina-restore~";

bool is_directory(const Entry& entry) { return entry.kind == EntryKind::directory; }

bool has_same_metadata(const Entry& a, const Entry& b) {
  const bool same_mode = a.mode == b.mode || a.kind == EntryKind::symlink;
  return same_mode && a.uid == b.uid && a.gid == b.gid && a.mtime_ns == b.mtime_ns &&
         a.attributes == b.attributes;
}

bool is_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

// Whether the open file reads as `entry` says; whether its holes are holes does not matter.
Result<bool> has_content(int fd, const Entry& entry) {
  const std::string what = "'" + printable(entry.path, 200) + "'";
  const auto read = [&](std::uint64_t offset, std::uint64_t size) {
    return os::read_at(fd, offset, static_cast<std::size_t>(size), what);
  };
  const std::vector<format::Extent> whole{{0, entry.size}};
  const auto& extents = entry.sparse ? entry.extents : whole;
  std::uint64_t hole = 0;
  constexpr std::uint64_t kPiece = 1 << 20;
  const auto hole_until = [&](std::uint64_t end) -> Result<bool> {
    for (; hole < end; hole += std::min(kPiece, end - hole)) {
      auto bytes = read(hole, std::min(kPiece, end - hole));
      if (!bytes) return fail(std::move(bytes.error()));
      if (!is_zero(*bytes)) return false;
    }
    return true;
  };
  std::size_t extent = 0;
  std::uint64_t in_extent = 0;
  for (const format::ChunkRef& ref : entry.chunks) {
    Buffer plain;
    while (plain.size() < ref.length) {
      const format::Extent& run = extents[extent];
      if (in_extent == 0) {
        auto empty = hole_until(run.offset);
        if (!empty || !*empty) return empty;
        hole = run.offset + run.length;
      }
      auto bytes = read(run.offset + in_extent,
                        std::min<std::uint64_t>(ref.length - plain.size(), run.length - in_extent));
      if (!bytes) return fail(std::move(bytes.error()));
      plain.insert(plain.end(), bytes->begin(), bytes->end());
      in_extent += bytes->size();
      if (in_extent == run.length) ++extent, in_extent = 0;
    }
    if (digest<ChunkId>(plain) != ref.id) return false;
  }
  return entry.sparse ? hole_until(entry.size) : Result<bool>(true);
}

}  // namespace

// One walk over tree and snapshot: plans, or carries a plan out.
class TreeRestorer::Pass {
 public:
  struct Work {  // None: it plans.
    const format::ChunkSource& source;
    RestorePart part;
  };

  Pass(const TreeRestorer& of, RestorePlan& plan, const Work* work)
      : of_(of), plan_(plan), work_(work), options_{.set_owner = os::is_root()} {}

  Status run(format::EntryStream& snapshot) {
    Walker walker(
        of_.root_,
        [this](const std::string& path, bool directory) {
          const bool is_included = of_.calls_.include(path, directory);
          if (!is_included) unseen_.push_back(path);
          return is_included;
        },
        [this](const Note& note) {
          unseen_.push_back(note.path);
          if (is_planning()) of_.calls_.on_note(note);
        });
    auto found = walker.next();
    if (!found) return fail(std::move(found.error()));
    auto wanted = next_of(snapshot);
    if (!wanted) return fail(std::move(wanted.error()));
    while (*found || *wanted) {
      const auto order = !*found    ? std::strong_ordering::greater
                         : !*wanted ? std::strong_ordering::less
                                    : format::compare_paths((*found)->entry.path, (*wanted)->path);
      const Entry* const now = order <= 0 ? &(*found)->entry : nullptr;
      const Entry* const want = order >= 0 ? &**wanted : nullptr;
      const std::string& path = now ? now->path : want->path;
      if (auto done = leave_until(path); !done) return done;
      if (now && (*found)->is_foreign) foreign_ = path;
      if (auto done = visit(path, now, want); !done) return done;
      if (order <= 0) {
        found = walker.next();
        if (!found) return fail(std::move(found.error()));
      }
      if (order >= 0) {
        wanted = next_of(snapshot);
        if (!wanted) return fail(std::move(wanted.error()));
        ++ordinal_;
      }
    }
    while (!open_.empty())
      if (auto done = leave_last(); !done) return done;
    return Done{};
  }

 private:
  struct Directory {
    std::string path;
    std::optional<Entry> now, want;
    bool in_scope = false;
    bool exists = false;      // At this moment, or so it is planned.
    bool is_blocked = false;  // Something out of scope, and no directory, has its name.
    bool is_touched = false;  // Something in it was made or removed.
    bool goes = false;
    bool has_rest = false;         // Something in it stays.
    std::optional<Entry> instead;  // Takes its place when it is gone.
  };

  bool is_planning() const { return work_ == nullptr; }
  bool removes() const { return is_planning() || work_->part == RestorePart::rest; }

  // Links come when all files are there.
  bool is_first(const std::string& path, const Entry* want) const {
    return of_.calls_.is_first(path) && (!want || want->kind != EntryKind::hard_link);
  }

  // Whether this pass carries out what it finds of the entry.
  bool takes(const std::string& path, const Entry* want) const {
    return is_planning() || is_first(path, want) == (work_->part == RestorePart::start);
  }

  Result<std::optional<Entry>> next_of(format::EntryStream& snapshot) const {
    auto entry = snapshot.next();
    if (entry && *entry) map_owner(**entry);
    return entry;
  }

  // Whoever is not root owns what he makes.
  void map_owner(Entry& entry) const {
    if (!options_.set_owner) {
      entry.uid = geteuid(), entry.gid = getegid();
    } else if (of_.accounts_) {
      entry.uid = of_.accounts_->user_id(entry.owner).value_or(entry.uid);
      entry.gid = of_.accounts_->group_id(entry.group).value_or(entry.gid);
    }
  }

  static std::uint64_t key_of(const std::string& path) {
    return xxh3(as_view(std::string_view(path)));
  }

  void block(const std::string& path, std::string_view why) {
    constexpr std::size_t kBlockedMax = 100;
    if (is_planning() && plan_.blocked.size() < kBlockedMax)
      plan_.blocked.push_back(printable(path, 200) + ": " + std::string(why));
  }

  Status visit(const std::string& path, const Entry* now, const Entry* want) {
    const bool as_directory = want ? is_directory(*want) : is_directory(*now);
    auto in_scope = of_.calls_.scope(path, as_directory, want);
    if (!in_scope) return fail(std::move(in_scope.error()));
    if (is_planning() && want) plan_.writes.push_back(RestorePart::none);
    if (!foreign_.empty() && format::is_within(path, foreign_)) {
      if (path == foreign_) return enter(path, now, want, false);
      if (*in_scope && blocked_mounts_.insert(foreign_).second)
        block(foreign_, "the snapshot has no file system of its own here, but the content");
      return Done{};
    }
    if ((now && is_directory(*now)) || (want && is_directory(*want)))
      return enter(path, now, want, *in_scope);
    if (!*in_scope) {
      if (now && !open_.empty()) open_.back().has_rest = true;
      return Done{};
    }
    if (want) return put(*want, now);
    return removes() ? remove(*now) : Status(Done{});
  }

  Status enter(const std::string& path, const Entry* now, const Entry* want, bool in_scope) {
    Directory directory{.path = path, .in_scope = in_scope};
    directory.exists = now && is_directory(*now);
    if (directory.exists) directory.now = *now;
    if (want && is_directory(*want)) directory.want = *want;
    if (in_scope && directory.exists && !directory.want) {
      directory.goes = removes();
      if (want) directory.instead = *want;
      if (want && want->kind != EntryKind::hard_link) handled_[key_of(path)] = true;
      if (want && is_planning() && want->kind == EntryKind::file)
        plan_.writes.back() = RestorePart::rest;
    }
    if (now && !directory.exists) {
      if (in_scope) {
        if (auto done = remove(*now); !done) return done;
      } else {
        directory.is_blocked = true;
        open_.back().has_rest = true;
      }
    }
    const bool is_new = in_scope && !directory.exists;
    open_.push_back(std::move(directory));
    if (!is_new) return Done{};
    auto made = make_directories(path);
    return made ? Status(Done{}) : fail(std::move(made.error()));
  }

  // Makes the directories on the way that are missing. False where something stands in the way.
  Result<bool> make_directories(const std::string& path) {
    for (std::size_t i = 0; i < open_.size(); ++i) {
      Directory& directory = open_[i];
      if (directory.is_blocked) {
        block(path,
              "'" + printable(directory.path, 200) + "' is no directory, and is not restored");
        return false;
      }
      if (directory.exists) continue;
      of_.calls_.on_change(RestoreChange::make, directory.path);
      if (is_planning()) {
        ++plan_.made;
      } else {
        auto parent = of_.root_.open_parent(directory.path);
        if (!parent) return fail(std::move(parent.error()));
        const std::string name = os::last_component(directory.path);
        if (mkdirat(parent->get(), name.c_str(), 0700) != 0)
          return fail(os::last_error("creating '" + printable(directory.path, 200) + "'"));
      }
      if (i > 0) open_[i - 1].is_touched = true, open_[i - 1].has_rest = true;
      directory.exists = directory.is_touched = true;
      directory.in_scope = true;  // Made here: it gets the metadata of the snapshot.
    }
    return true;
  }

  Status remove(const Entry& now) {
    of_.calls_.on_change(RestoreChange::remove, now.path);
    if (is_planning()) {
      ++plan_.removed;
      room_of(now.path).gone += now.size;
      return Done{};
    }
    auto parent = of_.root_.open_parent(now.path);
    if (!parent) return fail(std::move(parent.error()));
    const int flags = is_directory(now) ? AT_REMOVEDIR : 0;
    if (unlinkat(parent->get(), os::last_component(now.path).c_str(), flags) != 0)
      return fail(os::last_error("removing '" + printable(now.path, 200) + "'"));
    if (!open_.empty()) open_.back().is_touched = true;
    return Done{};
  }

  // A non-directory of the snapshot, within the scope; `now`: what has its path, no directory.
  Status put(const Entry& want, const Entry* now) {
    if (!open_.empty()) open_.back().has_rest = true;
    if (want.kind == EntryKind::hard_link) return put_link(want, now);
    const bool is_planned = !is_planning() && plan_.writes.at(ordinal_) != RestorePart::none;
    auto is_new = differs(want, now, is_planned);
    if (!is_new) return fail(std::move(is_new.error()));
    handled_[key_of(want.path)] = *is_new;
    if (is_planning() && *is_new && want.kind == EntryKind::file)
      plan_.writes.back() = is_first(want.path, &want) ? RestorePart::start : RestorePart::rest;
    if (!takes(want.path, &want)) return Done{};
    return *is_new ? make(want, now, work_ ? &work_->source : nullptr) : refresh(want, *now);
  }

  // Whether a new file has to be made; `is_planned`: what the plan says of a file.
  Result<bool> differs(const Entry& want, const Entry* now, bool is_planned) {
    if (!now) return true;
    if (!is_planning() && want.kind == EntryKind::file) return is_planned;
    if (now->kind != want.kind || now->target != want.target || now->size != want.size ||
        now->device_major != want.device_major || now->device_minor != want.device_minor)
      return true;
    if (!has_same_metadata(*now, want)) {
      auto facts = of_.root_.facts(now->path);
      if (!facts) return fail(std::move(facts.error()));
      if (*facts && (*facts)->st_nlink > 1) return true;
    }
    if (want.kind != EntryKind::file) return false;
    auto file = of_.root_.open_at(now->path, O_RDONLY);
    auto same = file ? has_content(file->get(), want) : Result<bool>(fail(file.error()));
    if (!same) {
      of_.calls_.on_note({Note::Kind::unreadable, now->path, same.error().text()});
      return true;
    }
    return !*same;
  }

  Status refresh(const Entry& want, const Entry& now) {
    if (has_same_metadata(now, want)) {
      if (is_planning()) ++plan_.same;
      return Done{};
    }
    of_.calls_.on_change(RestoreChange::metadata, want.path);
    if (is_planning()) return ++plan_.metadata, Done{};
    return give_metadata(want);
  }

  Status give_metadata(const Entry& entry) {
    if (entry.path.empty()) return set_metadata(of_.root_.fd(), ".", entry, options_);
    auto parent = of_.root_.open_parent(entry.path);
    if (!parent) return fail(std::move(parent.error()));
    return set_metadata(parent->get(), os::last_component(entry.path), entry, options_);
  }

  void count_new(const Entry& want, const Entry* now) {
    ++(now ? plan_.replaced : plan_.made);
    RestorePlan::Room& room = room_of(want.path);
    room.bytes += want.size;
    room.largest = std::max(room.largest, want.size);
    if (now) room.gone += now->size;
  }

  RestorePlan::Room& room_of(const std::string& path) {
    return plan_.rooms[of_.root_.volume_of(format::parent_of(path))];
  }

  Status make(const Entry& want, const Entry* now, const format::ChunkSource* source) {
    auto way = make_directories(want.path);
    if (!way) return fail(std::move(way.error()));
    if (!*way) return Done{};
    of_.calls_.on_change(now ? RestoreChange::replace : RestoreChange::make, want.path);
    if (is_planning()) return count_new(want, now), Done{};
    return take_name(
        want, [&](int parent) { return make_entry(parent, kUnfinished, want, *source, options_); });
  }

  // What `make` makes as kUnfinished gets the entry's name.
  Status take_name(const Entry& want, const std::function<Status(int parent)>& make) {
    auto parent = of_.root_.open_parent(want.path);
    if (!parent) return fail(std::move(parent.error()));
    if (unlinkat(parent->get(), kUnfinished, 0) != 0 && errno != ENOENT)
      return fail(
          os::last_error("removing an unfinished file beside '" + printable(want.path, 200) + "'"));
    if (auto done = make(parent->get()); !done) return done;
    if (renameat(parent->get(), kUnfinished, parent->get(),
                 os::last_component(want.path).c_str()) != 0)
      return fail(os::last_error("naming '" + printable(want.path, 200) + "'"));
    open_.back().is_touched = true;
    return Done{};
  }

  Status put_link(const Entry& want, const Entry* now) {
    std::string first = want.target;
    auto known = handled_.find(key_of(first));
    if (known == handled_.end()) {
      const auto at = outside_.find(first);
      if (at == outside_.end()) return put_outside(want, now);
      first = at->second;
      known = handled_.find(key_of(first));
    }
    bool is_new = !now;
    if (is_planning()) {
      is_new = is_new || known->second || now->kind != EntryKind::hard_link || now->target != first;
    } else if (now) {
      auto here = of_.root_.facts(want.path);
      if (!here) return fail(std::move(here.error()));
      auto there = of_.root_.facts(first);
      if (!there) return fail(std::move(there.error()));
      is_new = !*here || !*there || (*here)->st_ino != (*there)->st_ino;
    }
    if (!takes(want.path, &want)) return Done{};
    if (!is_new) {
      if (is_planning()) ++plan_.same;
      return Done{};
    }
    auto way = make_directories(want.path);
    if (!way) return fail(std::move(way.error()));
    if (!*way) return Done{};
    of_.calls_.on_change(now ? RestoreChange::replace : RestoreChange::make, want.path);
    if (is_planning()) return ++(now ? plan_.replaced : plan_.made), Done{};
    return take_name(want, [&](int parent) -> Status {
      auto from = of_.root_.open_parent(first);
      if (!from) return fail(std::move(from.error()));
      if (linkat(from->get(), os::last_component(first).c_str(), parent, kUnfinished, 0) != 0)
        return fail(os::last_error("linking '" + printable(want.path, 200) + "'"));
      return Done{};
    });
  }

  // The file that the link is a name of is not restored: this name gets a file of its own.
  Status put_outside(const Entry& want, const Entry* now) {
    auto file = of_.outside_.find(want.target);
    if (!file) return fail(std::move(file.error()));
    if (is_directory(*file) || file->kind == EntryKind::hard_link)
      return fail(ErrorKind::invalid, "'" + printable(want.path, 200) + "' is a hard link to '" +
                                          printable(want.target, 200) + "', which is a " +
                                          std::string(name_of(file->kind)));
    file->path = want.path;
    map_owner(*file);
    auto is_new = differs(*file, now, plan_.own_files.contains(want.path));
    if (!is_new) return fail(std::move(is_new.error()));
    if (is_planning() && *is_new) plan_.own_files.insert(want.path);
    if (!takes(want.path, &want)) return Done{};
    outside_[want.target] = want.path;
    handled_[key_of(want.path)] = *is_new;
    return *is_new ? make(*file, now, &of_.outside_.source) : refresh(*file, *now);
  }

  Status leave_until(const std::string& path) {
    while (!open_.empty() && !format::is_within(path, open_.back().path))
      if (auto done = leave_last(); !done) return done;
    return Done{};
  }

  Status leave_last() {
    Directory directory = std::move(open_.back());
    open_.pop_back();
    return leave(directory);
  }

  Status leave(Directory& directory) {
    directory.has_rest = std::erase_if(unseen_,
                                       [&](const std::string& path) {
                                         return format::is_within(path, directory.path);
                                       }) > 0 ||
                         directory.has_rest;
    if (directory.goes && !directory.has_rest) {
      if (auto done = remove(*directory.now); !done) return done;
      if (!directory.instead) return Done{};
      if (directory.instead->kind == EntryKind::hard_link)
        return put_link(*directory.instead, nullptr);
      return make(*directory.instead, nullptr, work_ ? &work_->source : nullptr);
    }
    if (directory.exists && !open_.empty()) open_.back().has_rest = true;
    if (directory.instead)
      block(directory.path, "it is a directory with something that is not restored, and no " +
                                std::string(name_of(directory.instead->kind)));
    if (!directory.exists) return Done{};
    if (directory.in_scope && directory.want) {
      const bool same = directory.now && has_same_metadata(*directory.now, *directory.want);
      if (is_planning() && directory.now) ++(same ? plan_.same : plan_.metadata);
      if (directory.now && !same) of_.calls_.on_change(RestoreChange::metadata, directory.path);
      return is_planning() || (same && !directory.is_touched) ? Status(Done{})
                                                              : give_metadata(*directory.want);
    }
    return is_planning() || !directory.is_touched ? Status(Done{}) : give_metadata(*directory.now);
  }

  const TreeRestorer& of_;
  RestorePlan& plan_;
  const Work* work_;
  MaterializeOptions options_;
  std::vector<Directory> open_;  // From the root to where the walk is.
  std::size_t ordinal_ = 0;      // Of the snapshot's entry.
  // XXH3 of each non-directory that is restored, and whether it is a new file. A collision makes a
  // link to a file that is not restored.
  std::unordered_map<std::uint64_t, bool> handled_;
  std::vector<std::string> unseen_;  // What stays in directories although the walk has it not.
  std::string foreign_;  // Where the last mount is that the tree's root has not entered.
  std::set<std::string> blocked_mounts_;
  std::map<std::string, std::string> outside_;  // First names to where their files are here.
};

TreeRestorer::TreeRestorer(const os::Root& root, Calls calls, Outside outside,
                           const AccountNames* accounts)
    : root_(root), calls_(std::move(calls)), outside_(std::move(outside)), accounts_(accounts) {}

Result<RestorePlan> TreeRestorer::plan(format::EntryStream& snapshot) {
  RestorePlan plan;
  if (auto done = Pass(*this, plan, nullptr).run(snapshot); !done)
    return fail(std::move(done.error()));
  return plan;
}

Status TreeRestorer::carry_out(format::EntryStream& snapshot, RestorePlan& plan, RestorePart part,
                               const format::ChunkSource& source) {
  const Pass::Work work{source, part};
  return Pass(*this, plan, &work).run(snapshot);
}

}  // namespace lamina
