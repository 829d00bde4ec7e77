#include "shared/image/restore_scope.hpp"

#include <algorithm>

#include "shared/format/path.hpp"

namespace lamina::image {
namespace {

using format::Entry;

// Ids may differ where the names are the same: an apply goes by names.
bool is_same_owner(std::uint32_t id, const std::string& name, std::uint32_t other_id,
                   const std::string& other_name) {
  return name.empty() && other_name.empty() ? id == other_id : name == other_name;
}

bool is_version_of(const Entry& entry, const Entry& base) {
  Entry same = entry;
  same.uid = base.uid, same.gid = base.gid;
  return same == base && is_same_owner(entry.uid, entry.owner, base.uid, base.owner) &&
         is_same_owner(entry.gid, entry.group, base.gid, base.group);
}

// Beside Area::boot: rules whose files name disks.
bool names_disks(const Rule& rule) {
  constexpr std::string_view kNames[] = {"fstab", "crypttab", "mdadm", "lvm-backup", "lvm-archive"};
  return rule.area == Area::boot || std::ranges::find(kNames, rule.name) != std::end(kNames);
}

}  // namespace

std::string_view name_of(RestoreLevel level) {
  switch (level) {
    case RestoreLevel::whole: return "whole";
    case RestoreLevel::system: return "system";
    case RestoreLevel::apps_and_user: return "apps-and-user";
    case RestoreLevel::user: return "user";
  }
  return "";
}

Result<RestoreLevel> parse_restore_level(std::string_view text) {
  for (const RestoreLevel level : kRestoreLevels)
    if (name_of(level) == text) return level;
  return fail(ErrorKind::invalid,
              "a restore is of the level whole, system, apps-and-user or user, "
              "not '" +
                  printable(text, 40) + "'");
}

Result<const Entry*> BaseEntries::at(std::string_view path) {
  while (!is_at_end_ && (!next_ || format::compare_paths(next_->path, path) < 0)) {
    auto entry = base_->next();
    if (!entry) return fail(std::move(entry.error()));
    next_ = std::move(*entry);
    is_at_end_ = !next_;
  }
  return next_ && next_->path == path ? &*next_ : nullptr;
}

bool RestoreScope::covers(std::string_view path, bool is_directory, const Entry* entry,
                          const Entry* base) const {
  if (!then_.in_snapshot(path, is_directory)) return false;
  if (!entry && !now_.in_snapshot(path, is_directory)) return false;
  const Rule* rule = now_.own_rule(path, is_directory);
  if (disks_ == Disks::kept && rule && names_disks(*rule)) return false;
  const bool is_user = rule && rule->area == Area::user;
  switch (level_) {
    case RestoreLevel::whole: return true;
    case RestoreLevel::system: return !is_user;
    case RestoreLevel::user: return is_user;
    case RestoreLevel::apps_and_user: break;
  }
  if (is_user) return true;
  if (rule && (rule->area == Area::identity || rule->area == Area::boot)) return false;
  // What the base layer has is the base layer's, also where the device lacked it.
  if (base) return entry && !is_version_of(*entry, *base);
  return true;
}

// The Filesystem Hierarchy Standard's directories that a system must have at its start, with or
// without the merge of /usr; large trees beneath them that no start reads are left for later.
bool is_needed_to_start(std::string_view path) {
  constexpr std::string_view kFirst[] = {
      "bin",  "boot",    "etc",     "lib",       "lib32",     "lib64",      "libx32",
      "sbin", "usr/bin", "usr/lib", "usr/lib32", "usr/lib64", "usr/libx32", "usr/sbin"};
  constexpr std::string_view kLater[] = {"usr/lib/debug",   "usr/lib/jvm", "usr/lib/libreoffice",
                                         "usr/lib/python3", "usr/lib/gcc", "usr/lib/llvm*"};
  const auto holds = [&](std::string_view pattern) { return matches(pattern, path); };
  return std::ranges::any_of(kFirst, holds) && std::ranges::none_of(kLater, holds);
}

}  // namespace lamina::image
