// RestoreScope: which paths a restore of some level touches. Pure.
//
// What the snapshot left out (runtime files, Lamina's own, what a policy does not protect) no
// restore touches; nor does it remove what the device's policy of today leaves out: no snapshot
// holds that.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include "shared/format/entry.hpp"
#include "shared/image/protection.hpp"

namespace lamina::image {

enum class RestoreLevel {
  whole,          // Everything that snapshots hold.
  system,         // All of that but the users' files.
  apps_and_user,  // The users' files, and what is neither of the base layer nor the machine's
                  // identity or boot: applications, installed by layers or by hand, and settings.
  user,           // The users' files alone.
};
inline constexpr std::array kRestoreLevels = {RestoreLevel::whole, RestoreLevel::system,
                                              RestoreLevel::apps_and_user, RestoreLevel::user};
std::string_view name_of(RestoreLevel level);  // "whole", "system", "apps-and-user", "user"
Result<RestoreLevel> parse_restore_level(std::string_view text);

// Files that name or find this machine's disks (fstab, boot loader, ...): as in the snapshot, or as
// they are on a machine whose volumes were laid out by hand.
enum class Disks { restored, kept };

// The base layer's entries, to be asked for paths in ascending order.
class BaseEntries {
 public:
  explicit BaseEntries(std::unique_ptr<format::EntryStream> base) : base_(std::move(base)) {}

  // Null: it has none. Valid until the next call. Errors of the stream are passed on.
  Result<const format::Entry*> at(std::string_view path);

 private:
  std::unique_ptr<format::EntryStream> base_;
  std::optional<format::Entry> next_;
  bool is_at_end_ = false;
};

class RestoreScope {
 public:
  // `then`: by which paths were left out of the snapshot; `now`: the device's, which says what is
  // its users'. Both outlive the object.
  RestoreScope(RestoreLevel level, Disks disks, const Protection& then, const Protection& now)
      : level_(level), disks_(disks), then_(then), now_(now) {}

  // Of a path that the snapshot has as `entry`, or has not (null). `base`: how the base layer has
  // it, asked for by apps_and_user only.
  bool covers(std::string_view path, bool is_directory, const format::Entry* entry,
              const format::Entry* base) const;
  bool needs_base() const { return level_ == RestoreLevel::apps_and_user; }

 private:
  RestoreLevel level_;
  Disks disks_;
  const Protection& then_;
  const Protection& now_;
};

// Whether a machine needs the path to start: kernel and initramfs, programs, libraries and
// settings. A restore writes these first.
bool is_needed_to_start(std::string_view path);

}  // namespace lamina::image
